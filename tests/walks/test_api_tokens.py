"""Calling Microsoft Graph as who is signed in: the emulator's Entra and Graph, a real application."""

from __future__ import annotations

import base64
import copy
import json
import logging
import os
import pickle
import secrets
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from entrada.accounts.principal import Evidence, evidence_of, with_evidence
from entrada.adapters.starlette import EntradaMiddleware, login_required, token_for
from entrada.build import build_auth_routes
from entrada.emulator import RunningEmulator
from entrada.entra.jws import RawAccessToken
from entrada.errors import ApiTokenRefused, EntraRefused, EntraUnavailable, InteractionRequired
from entrada.flows.session_tokens import HELD_FOR
from entrada.sessions.session import SessionId
from entrada.settings import load_settings
from entrada.web.auth_routes import AuthRoutes
from entrada.web.messages import WebRequest
from walks.conftest import NewVisitor, Serve
from walks.site import Site, rows_of
from walks.visitor import PAGE_VISIT, Visitor, query_of

PAGE = "/m%C3%BC;v=1/%2F?scope=Mail.Read&q=a%20b&&x=%2f%2fevil"


def app_of(emulator: RunningEmulator) -> Callable[[AuthRoutes], Any]:
    """`/graph/...?scope=…` calls Graph's /me with a token of these scopes and says what came back."""

    @login_required
    async def graph(request: Request) -> Response:
        scopes = request.query_params.getlist("scope") or ["User.Read"]
        token = await token_for(request, scopes)
        answer = _me(emulator, token)
        if "never" in request.query_params:
            token = await token_for(request, scopes, challenge=_challenge(nbf="4102444800"))
        elif answer.status_code == 401:
            token = await token_for(request, scopes, challenge=answer.headers["www-authenticate"])
            answer = _me(emulator, token)
        return JSONResponse({"scopes": list(token.scopes), "status": answer.status_code, "me": answer.json()})

    return lambda auth: Starlette(
        routes=[Route("/{path:path}", graph, methods=["GET", "POST"])],
        middleware=[Middleware(EntradaMiddleware, auth=auth)],
    )


def _me(emulator: RunningEmulator, token: str) -> httpx.Response:
    return httpx.get(
        f"{emulator.http_url}/v1.0/me", headers={"authorization": f"Bearer {token}"}, trust_env=False
    )


@pytest.fixture
def calling(serve: Serve, emulator: RunningEmulator) -> Site:
    return serve(app_of=app_of(emulator), calls_apis=True)


@pytest.fixture
def caller(calling: Site, new_visitor: NewVisitor) -> Visitor:
    return new_visitor(calling)


def asked(emulator: RunningEmulator, grant_type: str = "refresh_token") -> list[str]:
    """The scopes of each request for tokens of this kind, as far as they are an API's."""
    own = {"openid", "profile", "offline_access", "email"}
    return [
        " ".join(sorted(word.rpartition("/")[2] for word in request.form["scope"].split() if word not in own))
        for request in emulator.requests
        if request.form.get("grant_type") == grant_type
    ]


def principal_of(visitor: Visitor) -> Any:
    """Whom the site's guards let in, of this browser."""
    cookie = visitor.session_cookie
    assert cookie is not None
    checked = visitor.site.auth.relying_party.check_session(cookie.value)
    assert checked is not None
    return checked.principal


def grants(site: Site) -> list[tuple[Any, ...]]:
    assert site.database is not None
    return rows_of(site.database, "SELECT session_id, sealed FROM entrada_session_grant ORDER BY 1")


def consent(visitor: Visitor, page: str = PAGE) -> None:
    sent = visitor.open(page)
    assert sent.status_code == 303
    visitor.answer_at_entra(sent.headers["location"], _emulator_approve="1")
    assert visitor.complete().headers["location"] == page


# A token, and consent


def test_graph_is_called_as_the_person_and_entra_is_asked_once(
    caller: Visitor, pat: Any, emulator: RunningEmulator
) -> None:
    """The token is the person's own; while it is good, every request of theirs has the same one."""
    caller.sign_in_as(pat)
    for _ in range(3):
        assert caller.open("/here").json()["me"]["userPrincipalName"] == "pat@contoso.test"
    assert asked(emulator) == ["User.Read"]


def test_a_missing_consent_is_asked_for_and_the_page_comes_back_byte_for_byte(
    caller: Visitor, pat: Any
) -> None:
    """303 to Entra with the scope, the person named; then the very address that was asked for."""
    caller.sign_in_as(pat)
    sent = caller.open(PAGE)
    assert sent.status_code == 303
    to_entra = query_of(sent.headers["location"])
    assert "/Mail.Read" in to_entra["scope"]
    assert to_entra["login_hint"]
    assert json.loads(to_entra["claims"]) == {"access_token": {"xms_cc": {"values": ["cp1"]}}}
    caller.answer_at_entra(sent.headers["location"], _emulator_approve="1")
    back = caller.complete()
    assert (back.status_code, back.headers["location"]) == (303, PAGE)
    assert caller.open(PAGE).json()["status"] == 200


def test_a_script_gets_401_with_the_address_to_send_the_person_to(caller: Visitor, pat: Any) -> None:
    """JSON, no redirect; the address leads through Entra and back to the page that the script is of."""
    caller.sign_in_as(pat)
    answer = caller.fetch("/data?scope=Mail.Read", referer=f"{caller.site.public_url}/board?tab=2")
    assert answer.status_code == 401
    said = answer.json()
    assert said["error"] == "interaction_required"
    sent = caller.open(said["sign_in_path"])
    assert "Mail.Read" in query_of(sent.headers["location"])["scope"]
    caller.answer_at_entra(sent.headers["location"], _emulator_approve="1")
    assert caller.complete().headers["location"] == "/board?tab=2"
    assert caller.fetch("/data?scope=Mail.Read").json()["status"] == 200


def test_a_form_is_not_lost_to_a_consent(caller: Visitor, pat: Any) -> None:
    """What was filled in is still with the person: a page says how to send it again."""
    caller.sign_in_as(pat)
    answer = caller.post("/send?scope=Mail.Send")
    assert answer.status_code == 401
    assert "/auth/entra/start?for=" in answer.text


@pytest.mark.parametrize("changed", ["x", "AAAA", "", "cut"])
def test_an_address_of_somebody_elses_making_asks_entra_for_nothing(
    caller: Visitor, pat: Any, changed: str
) -> None:
    """What Entra is asked for stands sealed in the address: a changed one, and an old one, is refused."""
    caller.sign_in_as(pat)
    path = caller.fetch("/data?scope=Mail.Read").json()["sign_in_path"]
    spoiled = path[:-9] if changed == "cut" else path.partition("for=")[0] + f"for={changed}"
    assert caller.open(spoiled).status_code == 403
    caller.site.clock.pass_by(minutes=11)
    assert caller.open(path).status_code == 403


def test_who_declines_gets_a_page_and_stays_signed_in(caller: Visitor, pat: Any) -> None:
    """No loop: a page that says so, and the session is the one there was."""
    caller.sign_in_as(pat)
    sent = caller.open(PAGE)
    caller.answer_at_entra(sent.headers["location"], _emulator_decline="1")
    page = caller.complete()
    assert page.status_code == 403
    assert "Go to the application" in page.text
    assert caller.open("/here").json()["status"] == 200


def test_who_has_just_been_at_entra_for_the_same_is_not_sent_again(
    caller: Visitor, pat: Any, emulator: RunningEmulator
) -> None:
    """One try: Entra asked, came back, and still refuses; that is a page, for some minutes."""
    caller.sign_in_as(pat)
    consent(caller)
    refused = {"endpoint": "token", "times": None, "code": 65001}
    emulator.fail("aadsts", **refused)
    assert caller.open(PAGE).status_code == 403
    assert caller.fetch(PAGE).status_code == 403
    caller.site.clock.pass_by(minutes=11)
    assert caller.open(PAGE).status_code == 303


def test_a_consent_that_entra_calls_invalid_grant_ends_no_session(
    caller: Visitor, pat: Any, emulator: RunningEmulator
) -> None:
    """Fault 12: the refresh token still serves the sign-in, so it is the API that is not allowed."""
    caller.sign_in_as(pat)
    emulator.fail("aadsts", endpoint="token", code=65001, error="invalid_grant")
    assert caller.open(PAGE).status_code == 303
    assert caller.whoami() is not None


def test_fewer_scopes_than_asked_for_are_no_success(
    caller: Visitor, pat: Any, emulator: RunningEmulator
) -> None:
    """An answer that grants less is a consent that is missing."""
    caller.sign_in_as(pat)
    emulator.fail("tamper", target="token_response", set={"scope": "openid profile email"})
    assert caller.open("/here").status_code == 303


@pytest.mark.parametrize(
    "again",
    [
        ["Calendars.Read", "Mail.Read"],
        ["Mail.Read", "Mail.Read", "Calendars.Read", "openid", "offline_access", "profile"],
        ["https://graph.microsoft.com/Mail.Read", "Calendars.Read"],
    ],
)
def test_order_doubles_and_the_sign_ins_own_scopes_make_no_difference(
    caller: Visitor, pat: Any, emulator: RunningEmulator, again: list[str]
) -> None:
    """The same scopes, however they are written, are the same token."""
    caller.sign_in_as(pat)
    consent(caller, "/x?scope=Mail.Read&scope=Calendars.Read")
    emulator.clear_requests()
    tokens = {
        str(caller.site.auth.token_for(principal_of(caller), scopes))
        for scopes in (["Mail.Read", "Calendars.Read"], again)
    }
    assert len(tokens) == 1
    assert asked(emulator) == ["Calendars.Read Mail.Read"]


def test_everything_that_was_granted_is_asked_for_by_default(caller: Visitor, pat: Any) -> None:
    """`.default` alone; beside another scope it is refused."""
    caller.sign_in_as(pat)
    token = caller.site.auth.token_for(principal_of(caller), [".default"])
    assert "User.Read" in json.loads(_payload(token))["scp"].split()
    with pytest.raises(ApiTokenRefused, match="goes with no other scope"):
        caller.site.auth.token_for(principal_of(caller), [".default", "Mail.Read"])


# Endings


def _signs_out(visitor: Visitor, person: Any, emulator: RunningEmulator) -> None:
    form = visitor.site.auth.form_token  # a page of ours would hold it; same-origin evidence does as well
    del form, person, emulator
    assert visitor.sign_out().status_code == 303


def _front_channel(visitor: Visitor, person: Any, emulator: RunningEmulator) -> None:
    del person, emulator
    assert visitor.site.database is not None
    ((sid,),) = rows_of(visitor.site.database, "SELECT entra_session_id FROM entrada_session")
    assert visitor.open(f"/auth/entra/logout?sid={sid}").status_code == 200


def _expires(visitor: Visitor, person: Any, emulator: RunningEmulator) -> None:
    del person, emulator
    visitor.site.clock.pass_by(hours=25)


def _is_disabled(visitor: Visitor, person: Any, emulator: RunningEmulator) -> None:
    del emulator
    user = visitor.site.account_of(person)
    assert user is not None
    visitor.site.auth.relying_party.set_disabled(user.id, disabled=True)


def _is_deleted(visitor: Visitor, person: Any, emulator: RunningEmulator) -> None:
    del emulator
    user = visitor.site.account_of(person)
    assert user is not None
    visitor.site.auth.relying_party.accounts.delete(user.id)


def _is_revoked(visitor: Visitor, person: Any, emulator: RunningEmulator) -> None:
    del emulator
    user = visitor.site.account_of(person)
    assert user is not None
    visitor.site.auth.relying_party.sessions.end_of_user(user.id)


def _all_end(visitor: Visitor, person: Any, emulator: RunningEmulator) -> None:
    del person, emulator
    visitor.site.auth.relying_party.sessions.end_all()


def _signs_in_again(visitor: Visitor, person: Any, emulator: RunningEmulator) -> None:
    del emulator
    visitor.sign_in_as(person)


def _recheck_ends_it(visitor: Visitor, person: Any, emulator: RunningEmulator) -> None:
    emulator.change_person(person.user_principal_name, enabled=False)
    visitor.site.clock.pass_by(minutes=16)
    recheck = visitor.site.auth.relying_party.recheck
    assert recheck is not None
    recheck.look()


ENDINGS = [
    _signs_out, _front_channel, _expires, _is_disabled, _is_deleted, _is_revoked, _all_end, _signs_in_again,
    _recheck_ends_it,
]  # fmt: skip


@pytest.mark.parametrize("end", ENDINGS)
def test_a_session_that_ended_gives_no_token_by_whatever_way_it_ended(
    caller: Visitor, pat: Any, emulator: RunningEmulator, end: Callable[..., None]
) -> None:
    """E15: the token there was is gone with the session, and its refresh token redeems nothing."""
    caller.sign_in_as(pat)
    caller.open("/here")
    held = principal_of(caller)
    ((old, _),) = grants(caller.site)
    end(caller, pat, emulator)
    emulator.clear_requests()
    with pytest.raises(InteractionRequired):
        caller.site.auth.token_for(held, ["User.Read"])
    assert asked(emulator) == []
    caller.site.auth.relying_party.sessions.prune(now=caller.site.clock.now())
    assert old not in [session_id for session_id, _ in grants(caller.site)]


@pytest.mark.parametrize("end", [_signs_out, _is_disabled, _is_deleted, _all_end])
def test_a_session_that_ends_while_entra_is_asked_gets_no_token(
    caller: Visitor,
    pat: Any,
    emulator: RunningEmulator,
    end: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Faults 13 and 14: what Entra gave is thrown away, and nothing of it is stored."""
    caller.sign_in_as(pat)
    held = principal_of(caller)
    application = caller.site.auth.relying_party.sign_in.application
    ask = application.ask

    def end_meanwhile(question: Any) -> Any:
        answer = ask(question)
        assert "access_token" in answer
        end(caller, pat, emulator)
        return answer

    monkeypatch.setattr(application, "ask", end_meanwhile)
    with pytest.raises(InteractionRequired):
        caller.site.auth.token_for(held, ["User.Read"])
    assert grants(caller.site) == []


def test_a_refresh_token_that_entra_took_back_ends_the_session(
    caller: Visitor, pat: Any, emulator: RunningEmulator
) -> None:
    """Fault 12: invalid_grant for the sign-in too; the person signs in again and is back at their page."""
    caller.sign_in_as(pat)
    emulator.revoke_sessions(pat.user_principal_name)
    sent = caller.open("/here")
    assert sent.status_code == 303
    assert caller.whoami() is None
    caller.answer_at_entra(sent.headers["location"], _emulator_approve="1")
    assert caller.complete().headers["location"] == "/here"
    assert caller.open("/here").json()["status"] == 200


def test_a_second_factor_that_is_demanded_meanwhile_is_asked_for(
    caller: Visitor, pat: Any, emulator: RunningEmulator
) -> None:
    """Fault 12: a policy wants the person; the claims that Entra names go along."""
    caller.sign_in_as(pat)
    emulator.change_person(pat.user_principal_name, conditional_access="mfa")
    sent = caller.open("/here")
    assert "capolids" in query_of(sent.headers["location"])["claims"]
    caller.answer_at_entra(sent.headers["location"], _emulator_approve="1")
    caller.complete()
    assert caller.open("/here").json()["status"] == 200


def test_an_address_of_another_application_with_the_same_keys_asks_for_nothing(
    caller: Visitor,
    pat: Any,
    serve: Serve,
    new_visitor: NewVisitor,
    emulator: RunningEmulator,
    tmp_path: Path,
) -> None:
    """What one application wants of a person is sealed for its own registration; it is good there still."""
    assert caller.site.database is not None
    other = serve(
        database=tmp_path / "other.db",
        calls_apis=True,
        ENTRADA_CLIENT_ID="11111111-2222-4333-8444-555555555555",
        ENTRADA_SECRET_KEYS=environment_of(caller.site, emulator)["ENTRADA_SECRET_KEYS"],
    )
    caller.sign_in_as(pat)
    address = caller.fetch(PAGE).json()["sign_in_path"]
    assert new_visitor(other).open(address).status_code == 403
    assert caller.open(address).status_code == 303


# Outages and many at once


@pytest.mark.parametrize("fault", ["server_error", "drop", "too_many_requests", "half_json", "html", "null"])
def test_an_outage_keeps_the_session_and_a_token_that_is_still_good(
    serve: Serve, new_visitor: NewVisitor, pat: Any, emulator: RunningEmulator, fault: str
) -> None:
    """Fault 12: 5xx end nothing; a token in its last minutes is used, and with none it is a 503 or 502."""
    long = {"ENTRADA_SESSION_IDLE": "40h", "ENTRADA_SESSION_ABSOLUTE": "48h"}
    caller = new_visitor(serve(app_of=app_of(emulator), calls_apis=True, **long))
    caller.sign_in_as(pat)
    auth = caller.site.auth
    token = auth.token_for(principal_of(caller), ["User.Read"])
    emulator.fail(fault, endpoint="token", times=None)
    left = token.expires_at - caller.site.clock.now()
    caller.site.clock.pass_by(seconds=left.total_seconds() - 120)
    assert caller.open("/here").json()["status"] == 200
    caller.site.clock.pass_by(minutes=3)
    assert caller.fetch("/here").status_code in (502, 503)
    emulator.clear_faults()
    assert caller.whoami() is not None


def test_a_time_to_come_back_is_kept_by_everybody(
    caller: Visitor, pat: Any, emulator: RunningEmulator, new_visitor: NewVisitor, kim: Any
) -> None:
    """Fault 8: 429 with Retry-After is one request, however many want a token meanwhile."""
    other = new_visitor(caller.site)
    caller.sign_in_as(pat)
    other.sign_in_as(kim)
    emulator.fail("too_many_requests", endpoint="token", times=None, retry_after=30)
    emulator.clear_requests()
    for visitor in (caller, other, caller):
        answer = visitor.fetch("/here")
        assert answer.status_code == 503
        assert 0 < int(answer.headers["retry-after"]) <= 30
    assert len(asked(emulator)) == 1
    emulator.clear_faults()
    caller.site.clock.pass_by(seconds=31)
    assert caller.fetch("/here").json()["status"] == 200


def test_two_apis_that_are_never_content_send_nobody_to_and_fro(
    caller: Visitor, pat: Any, emulator: RunningEmulator
) -> None:
    """Each round opens a session; what was asked for lately goes along, so that it ends in a page."""
    caller.sign_in_as(pat)
    consent(caller)
    rounds = 0
    while True:
        page = PAGE + "&never=content" if rounds % 2 else "/here?never=content"
        sent = caller.open(page)
        if sent.status_code != 303:
            break
        rounds += 1
        assert rounds < 5
        caller.answer_at_entra(sent.headers["location"], _emulator_approve="1")
        caller.complete()
    assert (sent.status_code, rounds) == (403, 2)
    del emulator


def test_many_requests_at_once_in_several_processes_ask_entra_once(
    caller: Visitor, pat: Any, emulator: RunningEmulator, serve: Serve
) -> None:
    """Fault 9: 60 requests find the token expired, in three processes; one refresh, one token."""
    caller.sign_in_as(pat)
    first = caller.site
    held = principal_of(caller)
    environment = environment_of(first, emulator)
    others = [build_auth_routes(*load_settings(environment), calls_apis=True) for _ in range(2)]
    del serve
    emulator.fail("delay", endpoint="token", seconds=0.3)
    emulator.clear_requests()
    try:
        with ThreadPoolExecutor(60) as threads:
            parties = [first.auth, *others] * 20
            tokens = list(threads.map(lambda auth: str(auth.token_for(held, ["User.Read"])), parties))
    finally:
        for auth in others:
            auth.relying_party.close()
    assert len(set(tokens)) == 1
    assert asked(emulator) == ["User.Read"]


KILLED = """
import os, signal
from entrada.build import build_auth_routes
from entrada.settings import load_settings

auth = build_auth_routes(*load_settings(os.environ), calls_apis=True)
application = auth.relying_party.sign_in.application
ask = application.ask

def ask_and_die(question):
    assert "access_token" in ask(question)
    os.kill(os.getpid(), signal.SIGKILL)

application.ask = ask_and_die
auth.token_for(auth.relying_party.check_session(os.environ["COOKIE"]).principal, ["User.Read"])
"""


def test_a_process_that_is_killed_with_the_answer_in_hand_is_waited_for_and_then_replaced(
    caller: Visitor, pat: Any, emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faults 10 and 11: its hold ends by itself; the older refresh token is still good at Entra."""
    caller.sign_in_as(pat)
    held, auth, before = principal_of(caller), caller.site.auth, grants(caller.site)
    tokens, cookie = auth.relying_party.session_tokens, caller.session_cookie
    assert tokens is not None
    assert cookie is not None
    environment = {**os.environ, **environment_of(caller.site, emulator), "COOKIE": cookie.value}
    done = subprocess.run([sys.executable, "-c", KILLED], env=environment, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert grants(caller.site) == before
    monkeypatch.setattr("entrada.flows.session_tokens.WAITED_FOR_SECONDS", 0.1)
    emulator.clear_requests()
    with pytest.raises(EntraUnavailable):
        auth.token_for(held, ["User.Read"])
    assert asked(emulator) == []
    caller.site.clock.pass_by(seconds=HELD_FOR.total_seconds() + 1)
    assert auth.token_for(held, ["User.Read"])
    assert asked(emulator) == ["User.Read"]


def test_the_re_check_and_a_refresh_for_an_api_do_not_harm_one_another(
    caller: Visitor, pat: Any, emulator: RunningEmulator
) -> None:
    """Each goes on with the newest refresh token it knows; the older ones stay good at Entra."""
    caller.sign_in_as(pat)
    party = caller.site.auth.relying_party
    assert party.recheck is not None
    for _ in range(3):
        caller.site.clock.pass_by(minutes=89)
        caller.open("/here")
        party.recheck.look()
    assert caller.open("/here").status_code == 200
    assert caller.whoami() is not None
    del emulator


# The right person


def test_a_row_that_is_copied_to_another_session_opens_nothing_there(
    caller: Visitor, pat: Any, kim: Any, new_visitor: NewVisitor, emulator: RunningEmulator
) -> None:
    """F7: sealed for one session of one person; in another's it is as if there were none."""
    caller.sign_in_as(pat)
    caller.open("/here")
    other = new_visitor(caller.site)
    other.sign_in_as(kim)
    mine, theirs = held_session(principal_of(caller)), held_session(principal_of(other))
    assert caller.site.database is not None
    with closing(sqlite3.connect(caller.site.database)) as database, database:
        database.execute(
            "UPDATE entrada_session_grant SET sealed = (SELECT sealed FROM entrada_session_grant WHERE"
            " session_id = ?) WHERE session_id = ?",
            (mine, theirs),
        )
    emulator.clear_requests()
    with pytest.raises(InteractionRequired):
        caller.site.auth.token_for(principal_of(other), ["User.Read"])
    assert asked(emulator) == []


def test_a_principal_gives_nobody_elses_token(
    caller: Visitor, pat: Any, kim: Any, new_visitor: NewVisitor
) -> None:
    """A session's id under another person's principal, and a principal of nowhere, are refused."""
    caller.sign_in_as(pat)
    other = new_visitor(caller.site)
    other.sign_in_as(kim)
    swapped = with_evidence(principal_of(other), evidence_of(principal_of(caller)))
    with pytest.raises(InteractionRequired):
        caller.site.auth.token_for(swapped, ["User.Read"])
    for nowhere in (replace(principal_of(caller)), copy.copy(principal_of(caller))):
        with pytest.raises(ApiTokenRefused, match="with which session"):
            caller.site.auth.token_for(nowhere, ["User.Read"])
    with pytest.raises(ApiTokenRefused, match="Nobody is signed in"):
        caller.site.auth.token_for(None, ["User.Read"])


def test_what_a_principal_came_with_is_no_part_of_it(caller: Visitor, pat: Any) -> None:
    """Not in repr, asdict, comparisons or pickles: nothing that an application logs or stores holds it."""
    caller.sign_in_as(pat)
    person = principal_of(caller)
    secret = RawAccessToken("a.secret.token")
    marked = with_evidence(person, Evidence(access_token=secret))
    assert marked == person
    assert hash(marked) == hash(person)
    assert secret not in repr(marked) + repr(asdict(marked)) + repr(evidence_of(marked))
    again = pickle.loads(pickle.dumps(marked))
    assert again == person
    assert evidence_of(again) == Evidence()


def test_keys_that_are_rotated_open_what_they_sealed_and_a_lost_one_asks_the_person(
    serve: Serve, emulator: RunningEmulator, new_visitor: NewVisitor, pat: Any, tmp_path: Path
) -> None:
    """F8: a new key in front changes nothing; without the old one it is a sign-in, not an error."""
    old, new = "o" * 8 + "abcdefgh0123456789" * 2, "n" * 8 + "ABCDEFGH0123456789" * 2
    database = tmp_path / "shared.db"
    port_of = {"database": database, "app_of": app_of(emulator), "calls_apis": True}
    first = serve(**port_of, ENTRADA_SECRET_KEYS=old)
    visitor = new_visitor(first)
    visitor.sign_in_as(pat)
    held = principal_of(visitor)
    before = str(first.auth.token_for(held, ["User.Read"]))
    second = serve(**port_of, ENTRADA_SECRET_KEYS=f"{new},{old}")
    assert str(second.auth.token_for(held, ["User.Read"])) == before
    third = serve(**port_of, ENTRADA_SECRET_KEYS=new)
    with pytest.raises(InteractionRequired):
        third.auth.token_for(held, ["User.Read"])


def test_nothing_of_a_token_stands_in_the_log_or_the_database(
    caller: Visitor, pat: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """J1: neither access token nor refresh token, and the repr of a token does not show it."""
    caplog.set_level(logging.DEBUG)
    caller.sign_in_as(pat)
    token = caller.site.auth.token_for(principal_of(caller), ["User.Read"])
    caller.open(PAGE)
    assert caller.site.database is not None
    stored = caller.site.database.read_bytes()
    for part in (str(token), str(token).rpartition(".")[2]):
        assert part not in caplog.text
        assert part.encode() not in stored
    assert str(token) not in repr(token) + repr([token])


# Claims challenges (G14)


def test_G14_a_claims_challenge_drops_the_token_and_sends_the_person_back_once(
    caller: Visitor, pat: Any, emulator: RunningEmulator
) -> None:
    """Graph wants a newer sign-in: the cached token goes, the claims go along with xms_cc, and it is over."""
    caller.sign_in_as(pat)
    assert caller.open("/here?q=1").json()["status"] == 200
    emulator.revoke_sessions(pat.user_principal_name)
    sent = caller.open("/here?q=1")
    assert sent.status_code == 303
    claims = json.loads(query_of(sent.headers["location"])["claims"])["access_token"]
    assert claims["xms_cc"] == {"values": ["cp1"]}
    assert claims["nbf"]["essential"] is True
    caller.answer_at_entra(sent.headers["location"], _emulator_approve="1")
    assert caller.complete().headers["location"] == "/here?q=1"
    assert caller.open("/here?q=1").json()["status"] == 200


def test_G14_an_api_that_is_never_content_sends_nobody_round_in_circles(
    caller: Visitor, pat: Any, emulator: RunningEmulator
) -> None:
    """One round: the API refuses again what the new sign-in brought, and that is a page."""
    caller.sign_in_as(pat)
    page = "/here?never=content"
    sent = caller.open(page)
    assert sent.status_code == 303
    caller.answer_at_entra(sent.headers["location"], _emulator_approve="1")
    assert caller.complete().headers["location"] == page
    assert caller.open(page).status_code == 403
    assert caller.open("/here").status_code == 403  # the same token, of which it says the same
    assert caller.whoami() is not None
    del emulator


def test_G14_what_is_no_claims_challenge_is_refused_with_a_sentence(caller: Visitor, pat: Any) -> None:
    """Another 401, or nonsense in the place of the claims, drops nothing."""
    caller.sign_in_as(pat)
    for challenge in ('Bearer error="invalid_token"', "", 'Bearer error="insufficient_claims", claims="%%%"'):
        with pytest.raises(ApiTokenRefused, match="no claims challenge"):
            caller.site.auth.token_for(principal_of(caller), ["User.Read"], challenge=challenge)


def test_G14_claims_that_entra_refuses_spoil_no_later_token(
    caller: Visitor, pat: Any, emulator: RunningEmulator
) -> None:
    """What an API made up is asked for once; without a challenge the next token is asked for without it."""
    caller.sign_in_as(pat)
    held, auth = principal_of(caller), caller.site.auth
    emulator.fail("aadsts", endpoint="token", code=9002313, error="invalid_request")
    with pytest.raises(EntraRefused):
        auth.token_for(held, ["User.Read"], challenge=_challenge(made_up="x"))
    emulator.clear_requests()
    assert auth.token_for(held, ["User.Read"])
    (request,) = [request for request in emulator.requests if request.form.get("grant_type")]
    assert "made_up" not in request.form["claims"]


def test_G14_claims_too_long_for_a_browser_to_keep_are_a_page(
    caller: Visitor, pat: Any, emulator: RunningEmulator
) -> None:
    """The cookie of the sign-in would be dropped in silence, and nobody could come back."""
    caller.sign_in_as(pat)
    noise = "".join(secrets.token_urlsafe(30) for _ in range(95))
    claims = json.dumps({"access_token": {"nbf": {"essential": True, "value": "4102444800"}, "x": noise}})
    with pytest.raises(InteractionRequired) as needed:
        caller.site.auth.token_for(
            principal_of(caller),
            ["User.Read"],
            challenge=f"Bearer error=insufficient_claims, claims={_text(claims)}",
        )
    host = caller.site.public_url.partition("//")[2]
    visit = WebRequest(method="GET", path="/here", headers={**PAGE_VISIT, "host": host})
    answer = caller.site.auth.failure(needed.value, visit)
    assert (answer.status, [name for name, _ in answer.headers if name == "set-cookie"]) == (403, [])
    del emulator


def _text(claims: str) -> str:
    return base64.b64encode(claims.encode()).decode().rstrip("=")


def _challenge(**claims: str) -> str:
    asked = {"access_token": {name: {"essential": True, "value": value} for name, value in claims.items()}}
    encoded = base64.b64encode(json.dumps(asked).encode()).decode()
    return f'Bearer realm="", error="insufficient_claims", claims="{encoded}"'


def held_session(principal: Any) -> SessionId:
    session_id = evidence_of(principal).session_id
    assert session_id is not None
    return SessionId(session_id)


def environment_of(site: Site, emulator: RunningEmulator) -> dict[str, str]:
    """What makes another process one more server of this site."""
    assert site.database is not None
    return {
        **emulator.env("entrada"),
        "ENTRADA_PUBLIC_URL": site.public_url,
        "ENTRADA_DATABASE_URL": f"sqlite:///{site.database}",
        "ENTRADA_SECRET_KEYS": site.database.with_suffix(".keys").read_text("ascii").strip(),
    }


def _payload(token: str) -> bytes:
    part = token.split(".")[1]
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
