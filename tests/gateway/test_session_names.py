"""A name that a page makes up for its session leads to the session of the same caller alone."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qs

import pytest

from entrada.gateway.caller import Caller
from entrada.gateway.own_cookies import tag_of
from entrada.gateway.session_names import to_application, value_to_application

NAMES = frozenset({"session_id", "marimo-session-id"})
ADA = Caller(
    user_id="1", tenant_id="t", object_id="o", name="Ada", email=None, username=None, roles=frozenset()
)
VI = replace(ADA, user_id="2")
MARK = "-" + tag_of(ADA)


@pytest.mark.parametrize(
    "query",
    [
        "session_id=s_1",
        "a=b&session_id=s_1&c",
        "session%5Fid=s_1",
        "%73ession_id=s_1",
        "session_id=x&session_id=s_1",
    ],
)
def test_every_spelling_is_marked(query: str) -> None:
    """However an application reads it, first or last, it reads the caller's own."""
    target = to_application(b"/ws?" + query.encode(), NAMES, ADA).decode()
    values = parse_qs(target.partition("?")[2])["session_id"]
    assert all(value.endswith(MARK) for value in values)
    assert values[-1] == "s_1" + MARK


def test_no_one_says_anothers() -> None:
    """Not even by writing the mark behind it."""
    of_ada = to_application(b"/ws?session_id=s_1", NAMES, ADA)
    for told in (b"/ws?session_id=s_1", of_ada):
        assert to_application(told, NAMES, VI) != of_ada
    assert to_application(b"/ws?session_id", NAMES, VI) == f"/ws?session_id=-{tag_of(VI)}".encode()


def test_what_is_none_stays() -> None:
    """Other parameters, paths and fields, byte for byte; everything where a route names none."""
    for target in (b"/session_id", b"/x?", b"/x?a=session_id&&b=%20+", b"/x?session_ids=1"):
        assert to_application(target, NAMES, ADA) == target
    assert to_application(b"/ws?session_id=s_1", frozenset(), ADA) == b"/ws?session_id=s_1"
    assert value_to_application((b"x-note", b"s_1"), NAMES, ADA) == b"s_1"


@pytest.mark.parametrize("name", [b"Marimo-Session-Id", b"marimo_session_id", b"marimo.session.id"])
def test_fields_are_marked_alike(name: bytes) -> None:
    """In every spelling that an application could take for the field."""
    assert value_to_application((name, b"s_1"), NAMES, ADA) == b"s_1" + MARK.encode()
