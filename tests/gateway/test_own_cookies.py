"""Cookies by which an application remembers somebody are kept to the person they were made for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from entrada.gateway.caller import Caller
from entrada.gateway.own_cookies import OwnCookies, own_cookies_of, tag_of
from entrada.gateway.rules import Route

ADA = Caller(
    user_id="1",
    tenant_id="t",
    object_id="o1",
    name="Ada",
    email=None,
    username=None,
    roles=frozenset({"Admin", "Editor"}),
)
VI = replace(ADA, user_id="2", object_id="o2", name="Vi", roles=frozenset({"Viewer"}))
ROUTE = Route(upstream="http://127.0.0.1:1", own_cookies=("access_token",))


def as_kept(caller: Caller | None, line: bytes) -> bytes:
    """What the browser of this caller keeps of a Set-Cookie line, as it sends it back."""
    ((_, kept),) = own_cookies_of(ROUTE, caller).to_browser([(b"Set-Cookie", line)])
    return kept.partition(b";")[0]


def test_it_comes_back_to_its_person() -> None:
    """Under the application's own name, beside the other cookies."""
    kept = as_kept(ADA, b"access_token=abc=d; HttpOnly; Path=/")
    assert kept.startswith(b"access_token.")
    assert (
        own_cookies_of(ROUTE, ADA).to_application(b"theme=dark; " + kept) == b"theme=dark;access_token=abc=d"
    )


@pytest.mark.parametrize(
    "other",
    [
        VI,
        None,
        replace(ADA, roles=frozenset({"Editor"})),
        replace(ADA, user_id="3"),
        replace(ADA, tenant_id="u"),
    ],
    ids=["somebody else", "nobody", "other roles", "another account", "another tenant"],
)
def test_it_comes_back_to_nobody_else(other: Caller | None) -> None:
    """Not to somebody else in the same browser, and not to the same person with other roles."""
    kept = as_kept(ADA, b"access_token=abc")
    assert own_cookies_of(ROUTE, other).to_application(kept + b"; theme=dark") == b"theme=dark"


@pytest.mark.parametrize(
    "cookie",
    [
        b"access_token=planted",
        b" access_token =planted",
        b"\xa0access_token=planted",
        b'"access_token"=planted',
        b"access_token_0=planted",
        b"access_token.=planted",
        b"access_token..=planted",
        b"access_token",
    ],
)
def test_k3_one_without_a_person_goes_no_further(cookie: bytes) -> None:
    """Under its own name in any spelling that an application could take for it: it is nobody's."""
    assert own_cookies_of(ROUTE, ADA).to_application(cookie + b"; a=b") == b"a=b"


def test_k3_another_spelling_with_the_mark_is_none() -> None:
    """What a neighbouring host could set beside the real one, should it ever learn the mark."""
    for planted in (b"\xa0access_token", b'"access_token"', b""):
        cookie = planted + b"." + tag_of(ADA).encode() + b"=planted"
        assert b"access_token" not in own_cookies_of(ROUTE, ADA).to_application(cookie)


def test_a_long_one_in_several_parts() -> None:
    """Each part is kept alike."""
    parts = b"; ".join(as_kept(ADA, b"access_token_%d=x" % number) for number in range(2))
    assert own_cookies_of(ROUTE, ADA).to_application(parts) == b"access_token_0=x; access_token_1=x".replace(
        b"; ", b";"
    )


def test_other_cookies_and_fields_stay_as_they_are() -> None:
    """Those that the route does not name, in both directions."""
    own = own_cookies_of(ROUTE, ADA)
    fields = [(b"set-cookie", b"theme=dark; Path=/"), (b"x-note", b"access_token=1")]
    assert own.to_browser(fields) == fields
    assert OwnCookies(names=(), tag="-").to_application(b"access_token=1;  b") == b"access_token=1;  b"
    assert own_cookies_of(Route(upstream="http://h"), ADA).to_browser(fields) == fields


def test_the_order_of_roles_is_no_difference() -> None:
    """The same person with the same roles is the same."""
    assert tag_of(ADA) == tag_of(replace(ADA, roles=frozenset(["Editor", "Admin"]), name="Ada L."))
    assert "Admin" not in tag_of(ADA)
