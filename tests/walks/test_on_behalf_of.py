"""Calling Microsoft Graph as who called with an access token: on-behalf-of, against the emulator."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulator.relying_party import Entra
from entrada.accounts.principal import UserPrincipal, evidence_of, with_evidence
from entrada.adapters.starlette import EntradaMiddleware, current_principal, scopes_required, token_for
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CLIENT_ID
from entrada.entra.callers import CallerKind
from entrada.errors import AccountDisabled, ApiTokenRefused, BearerTokenRefused, InteractionRequired
from entrada.web.auth_routes import AuthRoutes
from walks.conftest import NewVisitor, Serve
from walks.site import Site
from walks.test_api_tokens import asked

SCOPE = f"api://{CLIENT_ID}/access_as_user"
EVERYBODY = tuple(CallerKind)
OBO = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def app_of(emulator: RunningEmulator, held: list[Any]) -> Callable[[AuthRoutes], Any]:
    @scopes_required("access_as_user", roles=["Editor"], callers=EVERYBODY)
    async def graph(request: Request) -> Response:
        held.append(current_principal(request))
        scopes = request.query_params.getlist("scope") or ["User.Read"]
        token = await token_for(request, scopes)
        authorization = {"authorization": f"Bearer {token}"}
        answer = httpx.get(f"{emulator.http_url}/v1.0/me", headers=authorization, trust_env=False)
        if answer.status_code == 401:
            await token_for(request, scopes, challenge=answer.headers["www-authenticate"])
        return JSONResponse(answer.json())

    return lambda auth: Starlette(
        routes=[Route("/{path:path}", graph)], middleware=[Middleware(EntradaMiddleware, auth=auth)]
    )


@pytest.fixture
def held() -> list[Any]:
    return []


@pytest.fixture
def api(serve: Serve, emulator: RunningEmulator, held: list[Any]) -> Site:
    return serve(app_of=app_of(emulator, held), calls_apis=True)


def bearer_of(entra: Entra, name: str, **more: str) -> str:
    token: str = entra.tokens(name, scope=f"openid {SCOPE}", prompt="login", **more)["access_token"]
    return token


def application_token(entra: Entra) -> str:
    """Of an application on its own, which may do what editors may."""
    app = entra.emulator.app(CLIENT_ID)
    entra.emulator.directory.assign(app, app.service_principal_id, "Editor")
    asked_for = {"grant_type": "client_credentials", "scope": f"api://{CLIENT_ID}/.default"}
    token: str = entra.token(**asked_for).json()["access_token"]
    return token


def call(api: Site, token: str, path: str = "/here") -> httpx.Response:
    return httpx.get(api.address + path, headers={"authorization": f"Bearer {token}"}, trust_env=False)


def known(api: Site, new_visitor: NewVisitor, person: Any) -> None:
    """An account here, made by a first sign-in; its session is over again."""
    visitor = new_visitor(api)
    visitor.sign_in_as(person)
    visitor.sign_out()


def test_graph_is_called_as_the_person_in_the_token_and_entra_is_asked_once(
    api: Site, entra: Entra, emulator: RunningEmulator, new_visitor: NewVisitor, pat: Any
) -> None:
    """The caller's token is the assertion; while both live, the same caller has the same token."""
    known(api, new_visitor, pat)
    token = bearer_of(entra, "pat@contoso.test")
    emulator.clear_requests()
    for _ in range(3):
        answer = call(api, token)
        assert (answer.status_code, answer.json()["userPrincipalName"]) == (200, "pat@contoso.test")
    assert asked(emulator, OBO) == ["User.Read"]


def test_many_calls_at_once_are_one_exchange(
    api: Site, entra: Entra, emulator: RunningEmulator, new_visitor: NewVisitor, pat: Any
) -> None:
    """Fault 9, for bearers: within a process one waits for Entra, the others for that one."""
    known(api, new_visitor, pat)
    token = bearer_of(entra, "pat@contoso.test")
    emulator.clear_requests()
    emulator.fail("delay", endpoint="token", seconds=0.3)
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda _: call(api, token).status_code, range(20)))
    assert answers == [200] * 20
    assert asked(emulator, OBO) == ["User.Read"]


def test_two_people_never_have_one_anothers_token(
    api: Site, entra: Entra, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any, held: list[Any]
) -> None:
    """Each by their own token; a principal with another person's token is refused."""
    lee = emulator.add_person("lee@contoso.test", display_name="Lee Low", roles=["Editor"])
    tokens = {}
    for person in (pat, lee):
        known(api, new_visitor, person)
        name = person.user_principal_name
        tokens[name] = bearer_of(entra, name)
        assert call(api, tokens[name]).json()["userPrincipalName"] == name
    first, second = held
    swapped = with_evidence(first, evidence_of(second))
    with pytest.raises(ApiTokenRefused, match="not of the person"):
        api.auth.token_for(swapped, ["User.Read"])


def test_an_application_on_its_own_has_nobody_to_act_for(api: Site, entra: Entra) -> None:
    """A sentence that says so, 403."""
    answer = call(api, application_token(entra))
    assert answer.status_code == 403
    assert "There is no person to act for" in answer.json()["message"]


def test_a_missing_consent_says_where_the_person_has_to_go(
    api: Site, entra: Entra, new_visitor: NewVisitor, pat: Any
) -> None:
    """403, and an address of this application at which they consent in a browser; then the call works."""
    known(api, new_visitor, pat)
    token = bearer_of(entra, "pat@contoso.test")
    answer = call(api, token, "/here?scope=Mail.Read")
    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    address = answer.json()["sign_in_url"]
    assert address.startswith(api.public_url)
    browser = new_visitor(api)
    sent = browser.open(address)
    browser.approve_as(pat, sent.headers["location"])
    assert browser.complete().status_code == 303
    again = call(api, token, "/here?scope=Mail.Read")
    assert again.status_code == 200, again.text


@pytest.mark.parametrize("understands", [True, False])
def test_G14_a_demand_of_entras_reaches_the_caller_as_a_claims_challenge(
    api: Site, entra: Entra, emulator: RunningEmulator, new_visitor: NewVisitor, pat: Any, understands: bool
) -> None:
    """G8: 401 with the claims for who said cp1; a plain refusal for everybody else."""
    known(api, new_visitor, pat)
    emulator.fail("tamper", target="access_token", set={"xms_cc": ["CP1"]} if understands else {"x": "y"})
    token = bearer_of(entra, "pat@contoso.test")
    emulator.change_person("pat@contoso.test", conditional_access="mfa")
    answer = call(api, token)
    field = answer.headers["www-authenticate"]
    if understands:
        assert answer.status_code == 401
        assert 'error="insufficient_claims"' in field
        claims = json.loads(base64.b64decode(field.partition('claims="')[2].partition('"')[0]))
        assert "capolids" in claims["access_token"]
    else:
        assert answer.status_code == 403
        assert "claims=" not in field


def test_what_was_got_for_a_person_goes_when_the_log_names_them(
    api: Site, entra: Entra, emulator: RunningEmulator, new_visitor: NewVisitor, pat: Any, held: list[Any]
) -> None:
    """Disabled: no token at all. Their sessions ended: Entra is asked anew."""
    known(api, new_visitor, pat)
    token = bearer_of(entra, "pat@contoso.test")
    call(api, token)
    user = api.account_of(pat)
    assert user is not None
    new_visitor(api).sign_in_as(pat)
    emulator.clear_requests()
    api.auth.relying_party.sessions.end_of_user(user.id)
    api.clock.pass_by(seconds=1)
    assert call(api, token).status_code == 200
    assert asked(emulator, OBO) == ["User.Read"]
    api.auth.relying_party.set_disabled(user.id, disabled=True)
    with pytest.raises(AccountDisabled):
        api.auth.token_for(held[0], ["User.Read"])


def test_it_lives_no_longer_than_the_callers_token(
    api: Site, entra: Entra, emulator: RunningEmulator, new_visitor: NewVisitor, pat: Any, held: list[Any]
) -> None:
    """Graph's would live for a day; the caller's is over in an hour or so, and then nothing is given."""
    known(api, new_visitor, pat)
    call(api, bearer_of(entra, "pat@contoso.test"))
    token = api.auth.token_for(held[0], ["User.Read"])
    left = token.expires_at - api.clock.now()
    assert left.total_seconds() <= 5_400
    api.clock.pass_by(seconds=left.total_seconds() + 600)
    emulator.clear_requests()
    with pytest.raises(BearerTokenRefused):
        api.auth.token_for(held[0], ["User.Read"])
    assert asked(emulator, OBO) == []


def test_a_revoked_person_is_asked_for(
    api: Site, entra: Entra, emulator: RunningEmulator, new_visitor: NewVisitor, pat: Any, held: list[Any]
) -> None:
    """Entra refuses the exchange: an error that the caller can act on, and nothing is remembered."""
    known(api, new_visitor, pat)
    call(api, bearer_of(entra, "pat@contoso.test"))
    emulator.fail("aadsts", endpoint="token", code=50173)
    with pytest.raises(InteractionRequired) as needed:
        api.auth.token_for(held[0], ["Mail.Read"])
    assert needed.value.by_token


def test_the_callers_token_stands_nowhere_but_in_the_call(
    api: Site,
    entra: Entra,
    new_visitor: NewVisitor,
    pat: Any,
    held: list[Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """J1: not in the log, nor in what is printed of the principal, the error and the token."""
    caplog.set_level(logging.DEBUG, logger="entrada")
    known(api, new_visitor, pat)
    raw = bearer_of(entra, "pat@contoso.test")
    call(api, raw)
    call(api, raw, "/here?scope=Mail.Read")
    principal = held[0]
    assert isinstance(principal, UserPrincipal)
    secret = raw.rpartition(".")[2]
    assert secret not in caplog.text + repr(principal) + repr(evidence_of(principal))
    assert secret not in repr(api.auth.api_tokens)
