"""The addresses of the walk in Mage, against the emulator, without Mage."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from entrada.compatibility import UTC
from entrada.emulator import RunningEmulator
from integrations.mage.unit_world import ADA, SITE, World, header, opened_world, tables


@pytest.fixture
def entra_now(entra: RunningEmulator) -> RunningEmulator:
    entra.reset()
    return entra


@pytest.fixture
def opened(entra_now: RunningEmulator, tmp_path: Path) -> Iterator[Callable[..., World]]:
    """A world with settings of its own."""
    worlds: list[World] = []

    def open_world(**settings: str) -> World:
        worlds.append(opened_world(entra_now, tmp_path, **settings))
        return worlds[-1]

    yield open_world
    for world in worlds:
        world.close()


@pytest.fixture
def world(opened: Callable[..., World]) -> World:
    return opened()


def arrival(body: bytes) -> dict[str, object]:
    found = re.search(rb'id="arrival">(.*?)</script>', body)
    assert found is not None
    told: dict[str, object] = json.loads(found[1])
    return told


def test_a_person_arrives_with_mages_token_in_a_cookie_and_nowhere_else(world: World) -> None:
    """The token is in one cookie, the person in the page, and neither in an address."""
    answer = world.sign_in("ada@contoso.test")
    (token,) = world.tokens()
    assert answer.status == 200
    assert world.cookies["oauth_token"] == f"encoded.{token}"
    assert token.encode() not in answer.body
    assert arrival(answer.body) == {"key": "current_user", "user": {"id": 1}, "next": "/"}
    assert header(answer, "referrer-policy") == "no-referrer"
    assert header(answer, "cache-control") == "no-store"


def test_mages_cookie_is_the_one_mages_script_can_remove(world: World) -> None:
    """Same name, path and strictness; no Domain on a host without a dot, HttpOnly never."""
    answer = world.sign_in("ada@contoso.test")
    (cookie,) = [value for name, value in answer.headers if value.startswith("oauth_token=")]
    attributes = [part.strip() for part in cookie.split(";")[1:]]
    assert attributes == ["Path=/", f"Max-Age={24 * 3600 - 1}", "SameSite=Strict"] or attributes == [
        "Path=/",
        f"Max-Age={24 * 3600}",
        "SameSite=Strict",
    ]


def test_signing_out_works_after_the_browser_was_closed(world: World) -> None:
    """Our cookie lives as long as Mage's own may, is read by no script, and comes only from our pages."""
    answer = world.sign_in("ada@contoso.test")
    (cookie,) = [value for name, value in answer.headers if value.startswith("entrada_mage_6789=")]
    attributes = [part.strip() for part in cookie.split(";")[1:]]
    assert attributes == ["Path=/", "HttpOnly", f"Max-Age={30 * 24 * 3600}", "SameSite=Lax"]


def test_a_session_ends_at_the_absolute_limit(opened: Callable[..., World]) -> None:
    """Stock Mage gives thirty days; here the limit of sessions counts."""
    world = opened(ENTRADA_SESSION_ABSOLUTE="2h", ENTRADA_SESSION_IDLE="1h")
    world.sign_in("ada@contoso.test")
    with world.store.engine.begin() as connection:
        expires = connection.execute(tables.access_tokens.select()).one().expires
    left = expires.replace(tzinfo=UTC) - world.clock.now()
    assert timedelta(hours=1, minutes=59) < left <= timedelta(hours=2)


@pytest.mark.parametrize(
    ("wanted", "gets"),
    [
        ("/pipelines/x/edit?tab=1", "/pipelines/x/edit?tab=1"),
        ("//evil.test", "/"),
        ("javascript:alert(1)", "/"),
        ("https://evil.test/", "/"),
        ("/sign-in?access_token=x", "/"),
        ("/oauth?code=x", "/"),
        ("/auth/entra/start", "/"),
        ("/\\evil.test", "/"),
    ],
)
def test_people_land_where_they_were_going_if_that_is_a_page_of_mages(
    world: World, wanted: str, gets: str
) -> None:
    answer = world.sign_in("ada@contoso.test", start=f"/auth/entra/start?next={quote(wanted)}")
    assert arrival(answer.body)["next"] == gets


def test_the_button_leads_to_our_start_at_the_configured_address(world: World) -> None:
    """Mage tells its page's address; of it only the place to return to is believed."""
    url_for = world.routes.addresses.start_url_for
    assert url_for(f"{SITE}/sign-in") == f"{SITE}/auth/entra/start"
    page = quote(f"http://evil.test/sign-in?redirect_url={quote('/pipelines', safe='')}", safe="")
    assert url_for(page) == f"{SITE}/auth/entra/start?next=/pipelines"
    assert url_for(None) == f"{SITE}/auth/entra/start"
    assert url_for("http://[") == f"{SITE}/auth/entra/start"


def test_an_answer_without_a_sign_in_under_way_is_refused_with_a_page(world: World) -> None:
    """A01, fault 6: a code with a state that was never issued is not redeemed."""
    before = len(world.users())
    answer = world.remember(world.routes.callback(world.request("/oauth?code=x&state=0123456789abcdef")))
    assert answer.status == 400
    assert b"no sign-in under way" in answer.body
    assert len(world.users()) == before


def test_another_browser_cannot_finish_a_sign_in(world: World) -> None:
    """Fault 2: an attacker's answer opens no session in a victim's browser."""
    path = world.answer_of_entra("ada@contoso.test")
    world.cookies.clear()
    answer = world.remember(world.routes.callback(world.request(path)))
    assert answer.status == 400
    assert world.tokens() == {}


def test_another_providers_answer_goes_to_mages_own_page(world: World) -> None:
    """Google, Okta and Git have the same redirect URI in Mage: what is not ours is left to Mage."""
    routes = replace(world.routes, others_use_callback=lambda: True)
    assert routes.callback(world.request("/oauth?code=x&state=0123456789abcdef0123456789abcdef")) is None
    stale = routes.callback(world.request(f"/oauth?code=x&state={'s' * 43}"))
    assert stale is not None
    assert stale.status == 400
    answer = routes.callback(world.request(world.answer_of_entra("ada@contoso.test")))
    assert answer is not None
    assert answer.status == 200


def test_without_a_broker_there_is_no_back_channel(world: World) -> None:
    """Nobody's signed word ends sessions where the sign-in goes to Entra itself."""
    request = world.request("/auth/broker/backchannel-logout", method="POST")
    assert world.routes.backchannel(request) is None


@pytest.mark.parametrize("path", ["/oauth", "/oauth?provider=active_directory"])
def test_coming_back_from_entras_sign_out_leads_to_the_sign_in_page(world: World, path: str) -> None:
    assert header(world.routes.callback(world.request(path)), "location") == "/sign-in"


def test_both_forms_of_the_redirect_uri_work(opened: Callable[..., World]) -> None:
    """Whoever registered the older form keeps it: it is what is sent, and what is answered."""
    world = opened(ENTRADA_CALLBACK_PATHS="/oauth?provider=active_directory")
    path = world.answer_of_entra("ada@contoso.test")
    assert path.startswith("/oauth?provider=active_directory&code=")
    assert world.remember(world.routes.callback(world.request(path))).status == 200


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("provider=active_directory&access_token=x&expires_in=1", ""),
        ("redirect_url=javascript:alert(1)", ""),
        ("redirect_url=//evil.test&tab=2", "?tab=2"),
        ("redirect_url=https://evil.test", ""),
        ("redirect_url[]=javascript:alert(1)", ""),
        ("redirect_url=/pipelines&redirect_url=javascript:x", "?redirect_url=%2Fpipelines"),
        ("access_token[]=x", ""),
    ],
)
def test_the_sign_in_page_sees_nothing_that_others_wrote_for_it(world: World, sent: str, kept: str) -> None:
    """Faults 2, 3 and 4: no token, no foreign address, no script reaches Mage's own page."""
    answer = world.routes.sign_in(world.request(f"/sign-in?{sent}"))
    assert header(answer, "location") == f"/sign-in{kept}"


@pytest.mark.parametrize("query", ["", "redirect_url=%2Fpipelines", "tab=2&redirect_url=%2Foverview"])
def test_the_sign_in_page_of_mage_itself_is_left_alone(world: World, query: str) -> None:
    assert world.routes.sign_in(world.request(f"/sign-in?{query}")) is None


def test_signing_out_ends_mages_session_and_names_entras(world: World) -> None:
    """Fault 5: the row is gone, and the page is told where Entra ends its own session."""
    world.sign_in("ada@contoso.test")
    answer = world.remember(world.routes.sign_out(world.request("/api/sessions/1", method="PUT")))
    assert world.tokens() == {}
    location = header(answer, "entrada-sign-out")
    assert "/oauth2/v2.0/logout?" in location
    assert quote(f"{SITE}/oauth", safe="") in location
    assert not [name for name in world.cookies if "known" not in name]


def test_signing_out_without_our_cookie_is_mages_own_business(world: World) -> None:
    assert world.routes.sign_out(world.request("/api/sessions/1", method="PUT")) is None


def test_another_site_cannot_sign_anybody_out(world: World) -> None:
    world.sign_in("ada@contoso.test")
    request = world.request("/api/sessions/1", method="PUT", **{"sec-fetch-site": "cross-site"})
    answer = world.routes.sign_out(request)
    assert answer is not None
    assert answer.status == 403
    assert len(world.tokens()) == 1


def test_entra_unreachable_still_signs_out_here(world: World, entra_now: RunningEmulator) -> None:
    world.sign_in("ada@contoso.test")
    world.routes.walk.parts.identification.application._discovery.known = None
    entra_now.fail("server_error", endpoint="discovery", times=None)
    answer = world.routes.sign_out(world.request("/api/sessions/1", method="PUT"))
    assert answer is not None
    assert answer.status == 200
    assert "entrada-sign-out" not in dict(answer.headers)
    assert world.tokens() == {}


def test_entra_ends_exactly_the_sessions_it_names(world: World) -> None:
    """Front channel: by `sid`, without a cookie; anything odd ends none."""
    world.sign_in("ada@contoso.test")
    with world.store.engine.begin() as connection:
        sid = connection.exec_driver_sql("select entra_session_id from entrada_mage_open_session").scalar()
    for odd in ("", "sid=", f"sid={sid}&sid={sid}", f"sid={sid}x", "sid=%00", "x=1&" * 60):
        assert (
            world.remember(world.routes.front_channel(world.request(f"/auth/entra/logout?{odd}"))).status
            == 200
        )
        assert len(world.tokens()) == 1, odd
    world.cookies.clear()
    world.remember(world.routes.front_channel(world.request(f"/auth/entra/logout?sid={sid}")))
    assert world.tokens() == {}


@pytest.mark.parametrize("sid", ["a b", "a+b&c=d", "x%41", '"<>', "~" * 129, "x" * 256])
def test_K19_mages_sessions_end_by_any_sid_that_a_sign_in_accepts(
    world: World, entra_now: RunningEmulator, sid: str
) -> None:
    """What the sign-in accepts, the front channel accepts, in Mage's store as in ours."""
    back = world.answer_of_entra("ada@contoso.test")
    entra_now.fail("tamper", target="id_token", set={"sid": sid})
    world.remember(world.routes.callback(world.request(back)))
    assert len(world.tokens()) == 1
    world.remember(world.routes.front_channel(world.request(f"/auth/entra/logout?sid={quote(sid, safe='')}")))
    assert world.tokens() == {}


def test_signing_in_again_ends_the_session_this_browser_had(world: World) -> None:
    world.sign_in("ada@contoso.test")
    (first,) = world.tokens()
    world.sign_in("ada@contoso.test")
    (second,) = world.tokens()
    assert first != second


def test_two_first_sign_ins_at_once_are_one_user(world: World) -> None:
    """Two tabs of the same newcomer: one account, one link, and both are in it."""
    paths = [world.answer_of_entra("ada@contoso.test") for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda path: world.routes.callback(world.request(path)), paths))
    assert [answer.status for answer in answers if answer] == [200] * 4
    assert len(world.users()) == 1
    assert set(world.tokens().values()) == {1}


def test_signing_in_with_a_password_ends_what_entra_opened_in_this_browser(world: World) -> None:
    world.sign_in("ada@contoso.test")
    world.routes.forget_session(world.request("/api/sessions", method="POST"))
    assert world.tokens() == {}


def test_an_answer_counts_once(world: World) -> None:
    path = world.answer_of_entra("ada@contoso.test")
    cookies = dict(world.cookies)
    assert world.remember(world.routes.callback(world.request(path))).status == 200
    world.cookies = cookies
    assert world.remember(world.routes.callback(world.request(path))).status == 400
    assert len(world.tokens()) == 1


def test_a_declined_consent_is_a_page_with_a_way_back(world: World, entra_now: RunningEmulator) -> None:
    """Fault 7: stock Mage shows nothing."""
    query = urlsplit(world.answer_of_entra("ada@contoso.test")).query
    state = parse_qs(query)["state"][0]
    answer = world.remember(world.routes.callback(world.request(f"/oauth?error=access_denied&state={state}")))
    assert answer.status == 403
    assert b"/auth/entra/start" in answer.body


def test_a_guest_who_is_not_let_in_leaves_nothing_behind(world: World) -> None:
    answer = world.sign_in("gus_fabrikam.test#EXT#@contoso.test")
    assert answer.status == 403
    assert world.users() == []
    assert world.tokens() == {}


def test_a_person_disabled_in_entra_is_out_within_the_interval(
    world: World, entra_now: RunningEmulator
) -> None:
    """The background look ends every session, and the password opens no other until they sign in again."""
    world.sign_in("ada@contoso.test")
    assert world.recheck_when_due() == 1
    assert len(world.tokens()) == 1
    entra_now.change_person("ada@contoso.test", enabled=False)
    assert world.recheck_when_due() == 1
    assert world.tokens() == {}
    assert world.store.access_is_over(1)
    entra_now.change_person("ada@contoso.test", enabled=True)
    world.sign_in("ada@contoso.test")
    assert not world.store.access_is_over(1)


def test_roles_follow_entra_in_the_background_too(world: World, entra_now: RunningEmulator) -> None:
    world.sign_in("ada@contoso.test")
    world.give_by_hand(1, "Viewer")
    entra_now.change_person("ada@contoso.test", roles=["Editor"])
    world.recheck_when_due()
    assert world.roles(1) == {"Editor", "Viewer"}


def test_a_user_nobody_is_linked_to_keeps_their_password(world: World) -> None:
    number = world.add_user(email="admin@admin.com", username="admin", password_hash="x")
    assert not world.store.access_is_over(number)
    assert world.found(ADA) is None
