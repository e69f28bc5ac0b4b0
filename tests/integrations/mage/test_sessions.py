"""Which tokens open Mage, and that none does once its session has ended: over the real Mage.

K1: only what a sign-in opened is a session. K2: an ended one stays ended. K5: open sockets end with it.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from clients import websocket
from clients.mage import mage_commands
from clients.websocket import Socket
from integrations.mage.desk import Desk, Person
from integrations.mage.test_sign_out import entras_frame

pytestmark = [pytest.mark.heavy, pytest.mark.browser, pytest.mark.timeout(300)]

EVIL = "https://evil.example"
_AT_ONCE = 1.0
"""Seconds within which an open socket ends with its session."""


@contextmanager
def socket_of(desk: Desk, session: str, path: str = "/websocket/") -> Iterator[Socket]:
    socket = websocket.opened(desk.mage.site + path, {"Cookie": f"oauth_token={session}"})
    assert socket.status == 101
    yield socket
    socket.close()


def files_a_token(desk: Desk, session: str, token: str, *, provider: str = "github", **more: object) -> str:
    """Somebody keeps a token with Mage's Git accounts; gives the public id of that provider's application."""
    with desk.api(session) as api:
        asked = {"provider": provider, "token": token, **more}
        api.post("/api/oauths", json={"oauth": asked, "api_key": desk.mage.api_key})
    found = desk.in_the_database(
        "select client_id from oauth2_application where client_id like :like", like=f"{provider}_%"
    )
    return str(found[0][0]) if found else ""


def runs_a_command(desk: Desk, session: str, *, api_key: str, token: str) -> bool:
    """Whether the shell carries out what comes with that token, over a socket of that session."""
    mark = f"{int(time.time() * 1000)}"
    with socket_of(desk, session, f"/websocket/terminal?term_name=t{mark}") as socket:
        command = ["stdin", f"echo it-$((1 + 1))-{mark}\r"]
        socket.say({"api_key": api_key, "token": token, "command": command})
        return socket.hears(f"it-2-{mark}", seconds=3)


def opens_anything(desk: Desk, token: str, *, api_key: str) -> list[str]:
    """Everything that opens for a raw token and a client id, however they are brought."""
    opened = []
    keys = {api_key, desk.mage.api_key}
    for path in ("/api/pipelines", "/api/event_matchers", "/api/oauth_access_tokens", "/api/downloads/a.b.c"):
        for key in keys:
            ways: list[tuple[dict[str, str], dict[str, str]]] = [
                ({"oauth-token": token}, {}),
                ({"authorization": f"Bearer {token}"}, {}),
                ({"cookie": f"oauth_token={token}"}, {}),
                ({}, {"token": token}),
                ({}, {"HTTP_AUTHORIZATION": token}),
            ]
            for headers, query in ways:
                answer = httpx.get(
                    desk.mage.site + path,
                    params={"api_key": key, **query},
                    headers={"x-api-key": key, **headers},
                    trust_env=False,
                )
                if answer.status_code != 401:
                    opened.append(f"{path} {headers or query} {answer.status_code} {answer.text[:80]}")
    for path in ("/websocket/", "/websocket/terminal"):
        for asked in (f"?token={token}&api_key={api_key}", f"?HTTP_AUTHORIZATION={token}"):
            for name in ("OAUTH-TOKEN", "Sec-WebSocket-Protocol", "X-Nothing"):
                socket = websocket.opened(desk.mage.site + path + asked, {name: token})
                socket.close()
                if socket.status == 101:
                    opened.append(f"{path}{asked} {name}")
    return opened


# --- K1 ---


def test_k1_a_kept_token_opens_nothing(desk: Desk) -> None:
    """K1: a token that a person keeps with Mage's Git accounts is no session: not while they are in, and not
    after; and it goes on being their Git account as long as they are in.
    """
    with desk.person() as browser:
        session = desk.sign_in("ed@contoso.test", browser=browser)
        kept = "kept-by-ed-for-git-0123456789"
        client_id = files_a_token(desk, session, kept)
        assert client_id
        with desk.api(session) as api:
            listed = api.get("/api/oauth_access_tokens").json()["oauth_access_tokens"]
            assert [one["token"] for one in listed] == [kept]
            assert api.get("/api/oauths/github").json()["oauth"]["authenticated"] is True
        assert runs_a_command(desk, session, api_key=desk.mage.api_key, token=desk.token_in(session))
        assert not runs_a_command(desk, session, api_key=client_id, token=kept)
        assert not runs_a_command(desk, session, api_key=desk.mage.api_key, token=kept)
        assert opens_anything(desk, kept, api_key=client_id) == []
        desk.signs_out(browser)
    assert opens_anything(desk, kept, api_key=client_id) == []
    assert opens_anything(desk, desk.token_in(session), api_key=client_id) == []


def test_k1_a_session_given_out_without_a_sign_in_opens_nothing(desk: Desk) -> None:
    """Mage hands whoever makes a user a session of that user: withheld, and any such row is nobody's."""
    number = desk.make_user("given@example.org", username="given")
    rows = desk.in_the_database("select token from oauth2_access_token where user_id = :n", n=number)
    for (token,) in rows:
        assert opens_anything(desk, token, api_key=desk.mage.api_key) == []
    (application,) = desk.in_the_database(
        "select id from oauth2_application where client_id = :key", key=desk.mage.api_key
    )
    desk.in_the_database(
        "insert into oauth2_access_token (token, expires, user_id, oauth2_application_id) "
        "values ('written-by-hand', '2099-01-01 00:00:00', :n, :application)",
        n=number,
        application=application[0],
    )
    assert opens_anything(desk, "written-by-hand", api_key=desk.mage.api_key) == []


def test_k1_what_a_deleted_user_kept_is_nobodys(desk: Desk) -> None:
    """Whatever somebody kept before their user was deleted: the sign-in page still offers the button."""
    desk.entra.add_person("keeper@contoso.test", roles=["Editor"])
    session = desk.sign_in("keeper@contoso.test")
    files_a_token(desk, session, "kept-by-somebody-deleted", provider="active_directory")
    user = desk.behind(session)
    assert user is not None
    with desk.api(desk.password_session()) as api:
        api.delete(f"/api/users/{user.user_id}")
    rows = desk.in_the_database(
        "select user_id from oauth2_access_token where token = 'kept-by-somebody-deleted'"
    )
    assert rows == [(None,)]
    assert desk.sign_in("ed@contoso.test")


# --- K2 ---


def test_k2_mages_api_shows_no_session(desk: Desk) -> None:
    """K2: neither an open session nor an ended one stands in what Mage's API lists."""
    with desk.person() as browser:
        desk.sign_in("vi@contoso.test", browser=browser)
        desk.signs_out(browser)
    session = desk.sign_in("vi@contoso.test")
    with desk.api(session) as api:
        for query in ("", "?show_all=true", "?show_all=1&_limit=100"):
            told = api.get(f"/api/oauth_access_tokens{query}").json()
            assert told["oauth_access_tokens"] == []


@pytest.mark.parametrize("provider", ["github", "gitlab", "active_directory", "google", "oidc_generic"])
def test_k2_nothing_prolongs_a_session(desk: Desk, provider: str) -> None:
    """K2: filing the token of a session, open or ended, with whatever provider, moves no limit."""
    with desk.person() as browser:
        ended = desk.sign_in("ed@contoso.test", browser=browser)
        ended_row = desk.in_the_database(
            "select id from oauth2_access_token where token = :t", t=desk.token_in(ended)
        )[0][0]
        desk.signs_out(browser)
    session = desk.sign_in("ed@contoso.test")
    texts = {
        desk.token_in(ended),
        desk.token_in(session),
        desk.in_the_database("select token from oauth2_access_token where id = :i", i=ended_row)[0][0],
    }
    limits = "select id, expires from oauth2_access_token where oauth2_application_id = 1 order by id"
    before = desk.in_the_database(limits)
    for text in texts:
        files_a_token(desk, session, text, provider=provider, expires_in=10**8)
    assert desk.in_the_database(limits) == before
    assert not desk.opens(ended)
    for text in texts - {desk.token_in(session)}:
        assert opens_anything(desk, text, api_key=desk.mage.api_key) == []


def test_k2_an_ended_session_stays_ended_whatever_its_row_says(desk: Desk) -> None:
    """K2: with its old text and a new limit in Mage's column, an ended session opens nothing."""
    with desk.person() as browser:
        session = desk.sign_in("ed@contoso.test", browser=browser)
        text = desk.token_in(session)
        (row,) = desk.in_the_database("select id from oauth2_access_token where token = :t", t=text)[0]
        desk.signs_out(browser)
    desk.in_the_database(
        "update oauth2_access_token set token = :t, expires = '2099-01-01 00:00:00' where id = :i",
        t=text,
        i=row,
    )
    assert not desk.opens(session)
    assert opens_anything(desk, text, api_key=desk.mage.api_key) == []


def test_k2_a_text_that_begins_like_an_ended_one_is_ended_like_any_other(desk: Desk) -> None:
    """K2: nothing is passed over by how it begins: the row of a session is found by whose it is."""
    session = desk.sign_in("ed@contoso.test")
    with desk.person() as browser:
        other = desk.sign_in("ed@contoso.test", browser=browser)
        text = "entrada-ended-chosen-by-somebody"
        files_a_token(desk, other, text)
        frame = entras_frame(desk, browser)
    httpx.get(frame, trust_env=False)
    assert not desk.opens(other)
    assert desk.opens(session)
    assert opens_anything(desk, text, api_key=desk.mage.api_key) == []


def test_k2_our_limit_holds_whatever_mages_column_says(desk: Desk) -> None:
    """K2: past the limit that we keep, a session opens nothing, though Mage's row would last for years."""
    session = desk.sign_in("ed@contoso.test")
    text = desk.token_in(session)
    desk.in_the_database(
        "update oauth2_access_token set expires = '2099-01-01 00:00:00' where token = :t", t=text
    )
    assert desk.opens(session)
    lets_time_pass(desk, text)
    assert not desk.opens(session)
    assert opens_anything(desk, text, api_key=desk.mage.api_key) == []


def lets_time_pass(desk: Desk, text: str) -> None:
    """As if the absolute limit of this session had come."""
    from entrada.integrations.mage.tables import hash_of

    desk.in_the_database(
        "update entrada_mage_open_session set expires_at = 0 where token_hash = :h",
        h=hash_of(text),
    )


def test_k2_mages_own_sign_out_ends_a_password_session(desk: Desk) -> None:
    """Without our cookie, too: a client that signs out by Mage's API ends its session for good."""
    session = desk.password_session()
    assert desk.opens(session)
    with desk.api(session) as api:
        api.put("/api/sessions/1", json={"session": {}, "api_key": desk.mage.api_key})
    assert not desk.opens(session)


# --- K5: open sockets ---


def _sign_out(desk: Desk, browser: Person, session: str) -> None:
    del session
    assert desk.signs_out(browser).status_code == 200


def _front_channel(desk: Desk, browser: Person, session: str) -> None:
    del session
    httpx.get(entras_frame(desk, browser), trust_env=False)


def _limit(desk: Desk, browser: Person, session: str) -> None:
    del browser
    lets_time_pass(desk, desk.token_in(session))


def _next_sign_in(desk: Desk, browser: Person, session: str) -> None:
    del session
    assert desk.sign_in("leaver@contoso.test", browser=browser)


def _user_deleted(desk: Desk, browser: Person, session: str) -> None:
    del browser
    user = desk.behind(session)
    assert user is not None
    with desk.api(desk.password_session()) as api:
        api.delete(f"/api/users/{user.user_id}")
    assert user.user_id not in desk.users()


@pytest.mark.parametrize("ends", [_sign_out, _front_channel, _limit, _next_sign_in, _user_deleted])
def test_k5_an_open_socket_ends_with_its_session(
    desk: Desk, ends: Callable[[Desk, Person, str], None]
) -> None:
    """K5: within a second both sockets are closed; those of others stay."""
    desk.entra.add_person("leaver@contoso.test", roles=["Editor"])
    stays = desk.sign_in("ed@contoso.test")
    with desk.person() as browser:
        session = desk.sign_in("leaver@contoso.test", browser=browser)
        with (
            socket_of(desk, session) as kernel,
            socket_of(desk, session, "/websocket/terminal?term_name=leaver") as shell,
            socket_of(desk, stays) as others,
        ):
            assert not kernel.is_closed_within(1.5)
            ends(desk, browser, session)
            assert kernel.is_closed_within(_AT_ONCE)
            assert kernel.closed == 4401
            assert shell.is_closed_within(_AT_ONCE)
            assert shell.closed == 4401
            assert not others.is_closed_within(0.5)
    assert not desk.opens(session)


def test_k5_a_stream_ends_with_its_session(tmp_path: Path) -> None:
    """K5: a long answer over plain HTTP is cut, too; and everything is, when the database says nothing."""
    told = subprocess.run(
        [mage_commands(with_entrada=True) / "python", Path(__file__).with_name("streaming.py")],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    cut, unanswered, stays = json.loads(told.stdout)
    assert cut < _AT_ONCE
    assert unanswered < 8
    assert stays


def test_k5_what_an_ended_session_says_is_not_heard(desk: Desk) -> None:
    """K5: in the moment before its socket is closed, an ended session runs nothing any more."""
    with desk.person() as browser:
        session = desk.sign_in("ed@contoso.test", browser=browser)
        with socket_of(desk, session, "/websocket/terminal?term_name=late") as socket:
            desk.signs_out(browser)
            command = ["stdin", "echo late-$((1 + 1))\r"]
            socket.say({"api_key": desk.mage.api_key, "token": desk.token_in(session), "command": command})
            assert not socket.hears("late-2", seconds=2)
            assert socket.closed == 4401


def test_k5_the_number_of_a_deleted_user_brings_nobody_in(desk: Desk) -> None:
    """SQLite gives a deleted user's number to the next one: the old session is not the new user's."""
    desk.entra.add_person("gone@contoso.test", roles=["Editor"])
    session = desk.sign_in("gone@contoso.test")
    user = desk.behind(session)
    assert user is not None
    with desk.api(desk.password_session()) as api:
        api.delete(f"/api/users/{user.user_id}")
    assert user.user_id not in desk.users()
    desk.entra.add_person("next@contoso.test", roles=["Viewer"])
    after = desk.behind(desk.sign_in("next@contoso.test"))
    assert after is not None
    desk.in_the_database(
        "update oauth2_access_token set user_id = :n where token = :t",
        n=after.user_id,
        t=desk.token_in(session),
    )
    assert not desk.opens(session)


# --- K45, and cookies ---


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": EVIL},
        {"origin": "null"},
        {"origin": EVIL, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
    ids=str,
)
@pytest.mark.parametrize("how", ["json", "data"])
def test_k45_another_site_signs_nobody_in(desk: Desk, how: str, headers: dict[str, str]) -> None:
    """K45: a form or script elsewhere that brings the attacker's own password changes no cookie."""
    with desk.person() as browser:
        session = desk.sign_in("ed@contoso.test", browser=browser)
        before = browser.cookie(desk.our_cookie, desk.mage.site)
        asked: dict[str, object] = {
            "json": {
                "session": {"email": "admin@admin.com", "password": "admin"},
                "api_key": desk.mage.api_key,
            },
            "data": {"session": "x", "api_key": desk.mage.api_key},
        }
        answer = browser.send(
            "POST",
            f"{desk.mage.site}/api/sessions?api_key={desk.mage.api_key}",
            headers=headers,
            **{how: asked[how]},
        )
        assert before
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
        assert browser.cookie(desk.our_cookie, desk.mage.site) == before
        assert desk.signs_out(browser).status_code == 200
    assert not desk.opens(session)


def test_k45_a_neighbours_second_cookie_signs_nobody_in_or_out(desk: Desk) -> None:
    """Of two cookies of Mage's name the one that our own cookie speaks of counts, in any order."""
    attackers = desk.sign_in("vi@contoso.test")
    with desk.person() as browser:
        session = desk.sign_in("ed@contoso.test", browser=browser)
        ours = f"{desk.our_cookie}={browser.cookie(desk.our_cookie, desk.mage.site)}"
    files_a_token(desk, session, "git-of-ed")
    files_a_token(desk, attackers, "git-of-vi")
    for pair in ((session, attackers), (attackers, session), (session, "junk"), ("junk", session)):
        cookie = "; ".join([*(f"oauth_token={one}" for one in pair), ours])
        answer = httpx.get(
            f"{desk.mage.site}/api/oauth_access_tokens",
            params={"api_key": desk.mage.api_key},
            headers={"cookie": cookie},
            trust_env=False,
        )
        assert "git-of-ed" in answer.text
        assert "git-of-vi" not in answer.text
    both = f"oauth_token={session}; oauth_token={attackers}"
    for path in ("/api/oauth_access_tokens", "/api/event_matchers"):
        answer = httpx.get(desk.mage.site + path, headers={"cookie": both}, trust_env=False)
        assert answer.status_code == 401


def test_a_cookie_that_has_ended_does_not_keep_people_from_signing_in(desk: Desk) -> None:
    """The sign-in page asks for its buttons, and a password is taken, whatever old cookie comes along."""
    for cookie in ("oauth_token=junk", f"oauth_token={_ended(desk)}", "oauth_token="):
        offered = httpx.get(
            f"{desk.mage.site}/api/oauths",
            params={"api_key": desk.mage.api_key},
            headers={"cookie": cookie},
            trust_env=False,
        )
        assert "oauths" in offered.json()
        signed_in = httpx.post(
            f"{desk.mage.site}/api/sessions",
            json={
                "session": {"email": "admin@admin.com", "password": "admin"},
                "api_key": desk.mage.api_key,
            },
            headers={"cookie": cookie, "origin": desk.mage.site},
            timeout=30,
            trust_env=False,
        )
        assert signed_in.json()["session"]["token"]


def _ended(desk: Desk) -> str:
    with desk.person() as browser:
        session = desk.sign_in("ed@contoso.test", browser=browser)
        desk.signs_out(browser)
    return session
