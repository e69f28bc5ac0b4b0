"""What the guard asks, of whom, and which of several credentials counts: without Mage."""

from __future__ import annotations

import pytest

from entrada.errors import RequestRefused
from entrada.integrations.mage import guard
from entrada.integrations.mage.credentials import Brought, brought_by, chosen
from entrada.integrations.mage.guard import Asks
from entrada.web.messages import WebRequest

SITE = "https://mage.contoso.com"


def request(method: str = "POST", path: str = "/api/x", query: str = "", **headers: str) -> WebRequest:
    return WebRequest(
        method=method,
        path=path,
        query=query,
        headers={
            "host": "mage.contoso.com",
            **{name.replace("_", "-"): text for name, text in headers.items()},
        },
    )


def test_k5_what_the_table_does_not_name_is_closed() -> None:
    """Also what is made of a class that it names: a newer Mage's handler waits until somebody has looked."""

    class Unknown:
        pass

    made_of_a_known_one = type("Fresh", (_class("mage_ai.server.server", "MainPageHandler"),), {})
    for handler in (Unknown, made_of_a_known_one):
        assert guard.rule_of(handler, ours=()) is guard.CLOSED
        assert guard.asked(guard.CLOSED, method="GET", api_path=["statuses"]) is Asks.CLOSED


def test_k5_what_we_put_before_mages_api_asks_what_its_api_asks() -> None:
    """Our own addresses ask for themselves; what they hand on to Mage's API is asked like the API."""
    api = _class("mage_ai.server.api.v1", "ApiResourceListHandler")
    page = _class("mage_ai.server.server", "MainPageHandler")
    ours = (type("SignIn", (api,), {}), type("Shared", (page,), {}), type("Own", (), {}))
    sign_in, shared, own = (guard.rule_of(handler, ours=ours) for handler in ours)
    assert guard.asked(sign_in, method="POST", api_path=["sessions"]) is Asks.NOTHING
    assert guard.asked(sign_in, method="GET", api_path=["sessions"]) is Asks.SESSION
    assert shared is own is guard.OURS


@pytest.mark.parametrize(
    ("method", "names", "asks"),
    [
        ("GET", ["oauths"], Asks.NOTHING),
        ("GET", ["oauths", "google"], Asks.NOTHING),
        ("GET", ["oauths", "google", "users"], Asks.SESSION),
        ("POST", ["oauths"], Asks.SESSION),
        ("PUT", ["oauths", "github"], Asks.SESSION),
        ("GET", ["users", "1", "oauths"], Asks.SESSION),
        ("POST", ["sessions"], Asks.NOTHING),
        ("POST", ["Sessions"], Asks.SESSION),
        ("POST", ["users", "1", "sessions"], Asks.SESSION),
        ("PUT", ["sessions", "1"], Asks.NOTHING),
        ("GET", ["sessions", "1"], Asks.SESSION),
        ("DELETE", ["sessions", "1"], Asks.SESSION),
        ("GET", ["statuses"], Asks.NOTHING),
        ("POST", ["statuses"], Asks.SESSION),
        ("OPTIONS", ["oauths"], Asks.SESSION),
        ("HEAD", ["oauths"], Asks.SESSION),
        ("GET", [], Asks.SESSION),
    ],
)
def test_k5_of_the_api_only_signing_in_asks_for_nothing(method: str, names: list[str], asks: Asks) -> None:
    rule = guard.RULES["mage_ai.server.api.v1.ApiResourceListHandler"]
    assert guard.asked(rule, method=method, api_path=names) is asks


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": SITE},
        {"origin": SITE, "sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "none"},
        {"host": "10.0.0.5:6789", "origin": "http://10.0.0.5:6789"},
        {"host": "localhost:6789", "origin": "http://localhost:6789"},
        {"host": "[::1]:6789", "origin": "http://[::1]:6789"},
    ],
    ids=str,
)
def test_k5_our_own_pages_and_programs_pass(headers: dict[str, str]) -> None:
    """The public address; and, for an emergency, an address of the machine that no other site can have."""
    guard.require_our_origin(request(**headers), urls=[SITE])


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": f"{SITE}.evil.example"},
        {"origin": f"{SITE}:8443"},
        {"origin": "http://mage.contoso.com"},
        {"origin": "https://evil.example", "sec_fetch_site": "same-origin"},
        {"origin": SITE, "sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"host": "evil.example", "origin": "https://evil.example"},
        {"host": "localhost:6789", "origin": "http://localhost:3000"},
        {"host": "10.0.0.5:6789", "origin": "http://10.0.0.6:6789"},
    ],
    ids=str,
)
def test_k5_other_sites_do_not(method: str, headers: dict[str, str]) -> None:
    """Whatever they claim: another host, scheme or port, a name that was made to lead here."""
    with pytest.raises(RequestRefused, match="Another site"):
        guard.require_our_origin(request(method, **headers), urls=[SITE])


def test_k5_a_link_from_elsewhere_is_followed() -> None:
    """A GET that a person makes by a link comes from any site; a form's POST does not."""
    visit = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}
    guard.require_our_origin(request("GET", **visit), urls=[SITE])
    with pytest.raises(RequestRefused):
        guard.require_our_origin(request("POST", **visit), urls=[SITE])


def test_credentials_are_looked_for_where_mage_looks() -> None:
    """Header, bearer, parameter, cookie; a parameter only where Mage reads one."""
    asked = request(
        query="token=download&HTTP_AUTHORIZATION=parameter",
        oauth_token="header",  # a name of Mage's
        authorization="bearer the-bearer",
        cookie="a=b; oauth_token=enc.one;oauth_token=enc.two; oauth_token=enc.one",
    )
    found = brought_by(asked, decode=lambda text: text.removeprefix("enc."), parameters=("token",))
    assert found.named == ["header", "the-bearer", "download"]
    assert found.cookies == [("one", "enc.one"), ("two", "enc.two")]
    basic = request(authorization="Basic eDp5", cookie="oauth_token=junk")
    assert brought_by(basic, decode=lambda _: None, parameters=()) == Brought(named=[], cookies=[])


@pytest.mark.parametrize(
    ("named", "cookies", "opening", "ours", "is_chosen"),
    [
        (["a"], [], {"a"}, None, "a"),
        (["a"], ["b"], {"b"}, None, None),
        (["a", "b"], [], {"b"}, None, None),
        ([], ["a"], {"a"}, None, "a"),
        ([], ["a"], set(), "a", None),
        ([], ["a", "b"], {"a", "b"}, None, None),
        ([], ["a", "b"], {"a", "b"}, "b", "b"),
        ([], ["a", "b"], {"a", "b"}, "c", None),
        ([], ["a", "b"], {"b"}, None, "b"),
        ([], [], set(), None, None),
    ],
)
def test_one_credential_counts(
    named: list[str], cookies: list[str], opening: set[str], ours: str | None, is_chosen: str | None
) -> None:
    """The one that Mage would take; of two good cookies the one that ours speaks of, or none."""
    brought = Brought(named=named, cookies=[(text, f"enc.{text}") for text in cookies])
    assert chosen(brought, opening=frozenset(opening), ours=ours) == is_chosen


def _class(module: str, name: str) -> type[object]:
    return type(name, (), {"__module__": module, "__qualname__": name})
