"""A page's token opens a socket for who opened the page, as they are now, and for nobody else."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import replace
from typing import Any

import pytest

from entrada.errors import RequestRefused
from entrada.gateway.caller import Caller
from entrada.gateway.identity import identity_fields
from entrada.gateway.page_tokens import LARGEST_TOKEN_BYTES, check_page_token

STYLES = ("x-forwarded", "x-entrada")
ADA = Caller(
    user_id="1",
    tenant_id="t",
    object_id="o1",
    name="Ada",
    email="ada@contoso.test",
    username="ada",
    roles=frozenset({"Admin"}),
)


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def token(headers: Any, *, signature: str = ".c2lnbmVk", **more: Any) -> bytes:
    packed = encoded(zlib.compress(json.dumps({"headers": headers}).encode()))
    payload = {"session_id": "x", "session_expiry": 1, "__bk__zlib_": packed, **more}
    return (encoded(json.dumps(payload).encode()) + signature).encode()


def headers_of(caller: Caller | None) -> dict[str, str]:
    """Those of the request for the page, as Bokeh keeps them."""
    told = {name: value for name, value in identity_fields(STYLES, caller) if value}
    return {**told, "Host": "localhost"}


def opens(caller: Caller | None, protocols: bytes) -> bool:
    try:
        check_page_token([(b"Sec-WebSocket-Protocol", protocols)], STYLES, caller)
    except RequestRefused:
        return False
    return True


def test_it_opens_for_its_person() -> None:
    """Signed or not: whether it is genuine, the application finds out."""
    assert opens(ADA, b"bokeh, " + token(headers_of(ADA)))
    assert opens(ADA, b"bokeh," + token(headers_of(ADA), signature=""))
    assert opens(None, b"bokeh, " + token(headers_of(None)))


@pytest.mark.parametrize(
    "now",
    [
        None,
        replace(ADA, user_id="2", object_id="o2"),
        replace(ADA, roles=frozenset({"Viewer"})),
        replace(ADA, roles=frozenset()),
        replace(ADA, name="Grace"),
    ],
    ids=["nobody", "somebody else", "other roles", "no role", "another name"],
)
def test_it_opens_for_nobody_else(now: Caller | None) -> None:
    """Nor for the same person when their roles have changed."""
    assert not opens(now, b"bokeh, " + token(headers_of(ADA)))


def test_a_page_of_nobody_opens_nothing_for_somebody() -> None:
    """What is missing is not the same as what is said."""
    assert not opens(ADA, b"bokeh, " + token(headers_of(None)))


@pytest.mark.parametrize(
    "protocols",
    [
        b"",
        b"bokeh",
        b"bokeh, ",
        b"bokeh, !!!",
        b"bokeh, " + encoded(b"[]").encode(),
        b"bokeh, " + encoded(b"{}").encode(),
        b"bokeh, " + token([]),
        b"bokeh, " + token({**headers_of(ADA), "x-entrada-name": "Ada"}),
        b"bokeh, " + token(headers_of(ADA), __bk__zlib_="AAAA"),
        b"bokeh, " + token({**headers_of(ADA), "X-Long": "0" * LARGEST_TOKEN_BYTES}),
        b"bokeh, " + token(headers_of(ADA)) + b", " + token(headers_of(ADA)),
    ],
    ids=["none", "no token", "empty", "no text", "a list", "no packing", "no names", "a name twice",
         "not packed", "too long", "two"],
)  # fmt: skip
def test_anything_else_opens_nothing(protocols: bytes) -> None:
    """Missing, unreadable, two readings, or larger than any page's."""
    assert not opens(ADA, protocols)
