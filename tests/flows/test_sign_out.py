"""Signing out: here first, whatever happens at Entra; and exactly the sessions that Entra names."""

from __future__ import annotations

from urllib.parse import parse_qs, quote, urlsplit

import pytest

from entra.tokens import ABSENT, CLIENT_ID
from entrada.errors import StoreUnavailable
from entrada.sessions.session import Session
from entrada.sessions.token import new_session_token
from entrada.storage.memory_sessions import MemorySessionStore
from flows.world import LOGIN, TENANT, Browser, FakeEntra, answer, metadata, new_browser

SID = "003d5f7a-0c1e-4d59-a1a5-1d4d6c1b0a22"
OTHER_OBJECT = "ffffffff-ffff-4fff-8fff-ffffffffffff"
BACK = "https://app.contoso.test/auth/signed-out"


@pytest.fixture
def ada() -> Browser:
    """Ada, signed in."""
    browser = new_browser()
    browser.sign_in(login_hint="O.CiQ-hint", sid=SID)
    assert browser.me().status == 200
    return browser


def cookie_of(browser: Browser) -> str:
    assert browser.session_cookie is not None
    return browser.session_cookie


def another(browser: Browser, **claims: str) -> Browser:
    """Another browser of the same application, signed in."""
    other = Browser(auth=browser.auth, entra=browser.entra)
    other.sign_in(**claims)
    return other


def session_of(browser: Browser) -> Session:
    checked = browser.auth.relying_party.check_session(cookie_of(browser))
    assert checked is not None
    session = browser.auth.relying_party.sessions.find(checked.session_id)
    assert session is not None
    return session


def test_E8_a_session_that_was_ended_is_refused_at_once_here(ada: Browser) -> None:
    """After signing out the old cookie opens nothing in this process, without any waiting."""
    cookie = cookie_of(ada)
    ended = ada.auth.relying_party.sign_out.end(cookie)
    assert ended is not None
    assert ada.auth.relying_party.session_check.peek(cookie) is None
    assert ada.auth.relying_party.check_session(cookie) is None


def test_signing_out_ends_only_this_session(ada: Browser) -> None:
    """Another browser of the same person stays signed in."""
    elsewhere = another(ada)
    ada.auth.relying_party.sign_out.end(cookie_of(ada))
    ada.entra.clock.advance(seconds=1)
    assert elsewhere.me().status == 200


def test_E15_signing_out_everywhere_ends_all_sessions_of_the_person_and_nobody_elses(ada: Browser) -> None:
    """`everywhere` ends the person's sessions in all browsers; other people stay signed in."""
    elsewhere, somebody_else = another(ada), another(ada, oid=OTHER_OBJECT)
    ada.auth.relying_party.sign_out.end(cookie_of(ada), everywhere=True)
    ada.entra.clock.advance(seconds=1)
    assert [ada.me().status, elsewhere.me().status, somebody_else.me().status] == [401, 401, 200]


@pytest.mark.parametrize("cookie", ["", "x", new_session_token().cookie_value])
def test_a_cookie_that_opens_nothing_ends_nothing(ada: Browser, cookie: str) -> None:
    """Signing out with an unknown or malformed cookie is no error and ends nobody's session."""
    assert ada.auth.relying_party.sign_out.end(cookie) is None
    assert ada.me().status == 200


def test_the_id_of_a_session_without_its_secret_ends_nothing(ada: Browser) -> None:
    """The id is no secret, so knowing it ends nothing."""
    forged = f"{session_of(ada).id}.{new_session_token().secret}"
    assert ada.auth.relying_party.sign_out.end(forged, everywhere=True) is None
    ada.entra.clock.advance(seconds=1)
    assert ada.me().status == 200


def test_a_store_that_fails_is_told(ada: Browser) -> None:
    """If the session could not be ended, nobody is told that it was."""

    class Broken(MemorySessionStore):
        def find(self, session_id: object) -> Session | None:
            raise StoreUnavailable

    sign_out = ada.auth.relying_party.sign_out
    object.__setattr__(sign_out, "sessions", Broken())
    with pytest.raises(StoreUnavailable):
        sign_out.end(cookie_of(ada))


# --- Entra's front channel ---


def test_E10_entra_ends_exactly_the_sessions_with_that_sid(ada: Browser) -> None:
    """Every session with the `sid` ends, without a cookie; all others stay."""
    same_sid, other_sid = another(ada, sid=SID), another(ada, sid="another-sid")
    assert ada.auth.relying_party.sign_out.end_by_entra(SID) == 2
    assert [browser.me().status for browser in (ada, same_sid, other_sid)] == [401, 401, 200]


@pytest.mark.parametrize(
    "sid",
    [
        "",
        "unknown",
        SID.upper(),
        SID[:-1],
        SID + "x",
        "%",
        "*",
        "' OR 1=1",
        "a" * 129,
        "é",
        "\x00",
        f"{SID}\n",
        " ",
    ],
)
def test_E11_an_unknown_or_odd_sid_ends_nothing(ada: Browser, sid: str) -> None:
    """Anything but the exact `sid` of a session has no effect."""
    assert ada.auth.relying_party.sign_out.end_by_entra(sid) == 0
    assert ada.me().status == 200


@pytest.mark.parametrize("sid", ["a" * 129, "a" * 256, "a b+c", "%41", "a/b?c&d=e", '"', "{sid}", "~!@^"])
def test_K19_every_sid_that_a_sign_in_accepted_can_be_ended(sid: str) -> None:
    """Whatever text Entra's `sid` is, the front channel ends the session by it, and by nothing near it."""
    browser = new_browser(FakeEntra())
    browser.sign_in(sid=sid)
    for named, status in ((f"{sid}x", 200), (sid, 401)):
        browser.request("GET", f"/auth/entra/logout?sid={quote(named, safe='')}", sec_fetch_dest="iframe")
        assert browser.me().status == status


def test_E11_a_session_without_sid_is_ended_by_no_sid(ada: Browser) -> None:
    """Missing never equals missing: where Entra sent no `sid`, no front-channel call ends the session."""
    other = FakeEntra()
    browser = new_browser(other)
    browser.sign_in(sid=ABSENT)
    assert session_of(browser).entra_session_id is None
    for sid in ("", "None", "null"):
        assert browser.auth.relying_party.sign_out.end_by_entra(sid) == 0
    assert browser.me().status == 200


# --- where Entra ends its own session ---


def test_entra_is_told_where_to_come_back_and_who_leaves(ada: Browser) -> None:
    """K54: the application, without which strict providers do not come back; the way back; and the hint."""
    url = ada.auth.relying_party.sign_out.entra_url(
        session_of(ada).logout_hint, post_logout_redirect_uri=BACK
    )
    assert url is not None
    assert url.startswith(f"{LOGIN}/{TENANT}/oauth2/v2.0/logout?")
    assert parse_qs(urlsplit(url).query) == {
        "client_id": [CLIENT_ID],
        "post_logout_redirect_uri": [BACK],
        "logout_hint": ["O.CiQ-hint"],
    }


def test_an_endpoint_with_a_query_of_its_own_keeps_it() -> None:
    """A sign-out address that has parameters gets ours besides."""
    entra = FakeEntra(metadata=metadata(end_session_endpoint=f"{LOGIN}/{TENANT}/logout?p=policy"))
    url = new_browser(entra).auth.relying_party.sign_out.entra_url(None, post_logout_redirect_uri=BACK)
    assert parse_qs(urlsplit(url or "").query) == {
        "p": ["policy"],
        "client_id": [CLIENT_ID],
        "post_logout_redirect_uri": [BACK],
    }


@pytest.mark.parametrize(
    "entra",
    [
        FakeEntra(down=True),
        FakeEntra(metadata=answer({}, status=500)),
        FakeEntra(metadata=metadata(issuer="https://elsewhere.test/v2.0")),
        FakeEntra(metadata={k: v for k, v in metadata().items() if k != "end_session_endpoint"}),
    ],
    ids=["down", "500", "refused", "none named"],
)
def test_E14_entra_that_cannot_be_asked_is_left_out(entra: FakeEntra) -> None:
    """With Entra down, wrong, or without a sign-out address, there is none, and no error."""
    sign_out = new_browser(entra).auth.relying_party.sign_out
    assert sign_out.entra_url(None, post_logout_redirect_uri=BACK) is None
