"""Pages that ask for an authentication context: one interactive round for people, a challenge for callers."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulator.relying_party import Entra
from entrada.adapters.starlette import EntradaMiddleware, auth_context_required, current_principal
from entrada.emulator import RunningEmulator
from entrada.web.auth_routes import AuthRoutes
from walks.conftest import NewVisitor, Serve
from walks.site import Site
from walks.test_on_behalf_of import bearer_of, call, known
from walks.visitor import query_of


async def _shown(request: Request) -> Response:
    principal = current_principal(request)
    return JSONResponse({"name": principal.name if principal else None})


def app_of(auth: AuthRoutes) -> Any:
    scopes = ["access_as_user"]
    return Starlette(
        routes=[
            Route("/plain", _shown),
            Route("/payments", auth_context_required("c1", scopes=scopes)(_shown)),
            Route("/vault", auth_context_required("c1")(auth_context_required("c2")(_shown))),
            Route("/keys", auth_context_required("c2", roles=["Editor"])(_shown)),
        ],
        middleware=[Middleware(EntradaMiddleware, auth=auth)],
    )


@pytest.fixture
def bank(serve: Serve) -> Site:
    return serve(app_of=app_of, calls_apis=True)


def test_a_person_goes_through_entra_once_for_a_stronger_sign_in(
    bank: Site, new_visitor: NewVisitor, pat: Any
) -> None:
    """F12: 303 with the claims, back to the page, and in; another context is another round."""
    visitor = new_visitor(bank)
    visitor.sign_in_as(pat)
    sent = visitor.open("/payments?to=%2Fx")
    assert sent.status_code == 303
    claims = json.loads(query_of(sent.headers["location"])["claims"])
    assert claims["id_token"]["acrs"] == {"essential": True, "value": "c1"}
    assert claims["access_token"]["xms_cc"] == {"values": ["cp1"]}
    visitor.answer_at_entra(sent.headers["location"], _emulator_approve="1")
    assert visitor.complete().headers["location"] == "/payments?to=%2Fx"
    for _ in range(2):
        assert visitor.open("/payments?to=%2Fx").json()["name"] == "Pat Page"
    assert visitor.open("/keys").status_code == 303


def test_two_contexts_on_one_page_send_nobody_to_and_fro(
    bank: Site, new_visitor: NewVisitor, pat: Any
) -> None:
    """What the session had met, the one that a further round opens has met, too."""
    visitor = new_visitor(bank)
    visitor.sign_in_as(pat)
    for _ in range(2):
        sent = visitor.open("/vault")
        assert sent.status_code == 303
        visitor.answer_at_entra(sent.headers["location"], _emulator_approve="1")
        assert visitor.complete().headers["location"] == "/vault"
    assert visitor.open("/vault").json()["name"] == "Pat Page"


def test_a_script_is_told_where_to_send_the_person(bank: Site, new_visitor: NewVisitor, pat: Any) -> None:
    """401 JSON; nobody at all is asked to sign in as ever; a missing role stays a missing role."""
    visitor = new_visitor(bank)
    assert visitor.open("/payments").headers["location"].startswith("/auth/login")
    visitor.sign_in_as(pat)
    said = visitor.fetch("/payments")
    assert (said.status_code, said.json()["error"]) == (401, "interaction_required")
    assert said.json()["sign_in_path"].startswith("/auth/entra/start?for=")
    other = new_visitor(bank)
    other.sign_in_as("vi@contoso.test")
    assert other.open("/keys").status_code == 403


def test_a_sign_in_that_does_not_meet_it_is_a_page_and_no_session(
    bank: Site, new_visitor: NewVisitor, pat: Any, emulator: RunningEmulator
) -> None:
    """B29: what Entra says is looked at; an ID token without the context opens no page, and no loop."""
    visitor = new_visitor(bank)
    visitor.sign_in_as(pat)
    before = visitor.session_cookie
    sent = visitor.open("/payments")
    emulator.fail("tamper", target="id_token", remove=["acrs"])
    visitor.answer_at_entra(sent.headers["location"], _emulator_approve="1")
    assert visitor.complete().status_code == 400
    assert visitor.session_cookie == before
    assert visitor.open("/plain").json()["name"] == "Pat Page"
    assert visitor.open("/payments").status_code == 303


def test_where_nobody_keeps_what_a_sign_in_met_it_is_a_page_and_no_loop(
    serve: Serve, new_visitor: NewVisitor, pat: Any
) -> None:
    """Behind a broker: whoever came back from there would be sent again, for ever."""
    visitor = new_visitor(serve(app_of=app_of))
    visitor.sign_in_as(pat)
    page = visitor.open("/payments")
    assert (page.status_code, "stronger sign-in" in page.text) == (403, True)
    assert visitor.fetch("/payments").status_code == 403
    assert visitor.open("/plain").json()["name"] == "Pat Page"


def test_who_signs_in_again_without_it_has_it_no_more(bank: Site, new_visitor: NewVisitor, pat: Any) -> None:
    """It belongs to the session whose sign-in met it, to no other browser of the same person."""
    visitor, other = new_visitor(bank), new_visitor(bank)
    other.sign_in_as(pat)
    visitor.sign_in_as(pat)
    sent = visitor.open("/payments")
    visitor.answer_at_entra(sent.headers["location"], _emulator_approve="1")
    visitor.complete()
    assert visitor.open("/payments").status_code == 200
    assert other.open("/payments").status_code == 303
    visitor.sign_in_as(pat)
    assert visitor.open("/payments").status_code == 303


@pytest.mark.parametrize("understands", [True, False])
def test_G8_a_caller_is_told_by_a_challenge_it_can_read(
    bank: Site,
    entra: Entra,
    emulator: RunningEmulator,
    new_visitor: NewVisitor,
    pat: Any,
    understands: bool,
) -> None:
    """Microsoft's claims challenge for who said cp1, RFC 9470's for everybody else; with the context, in."""
    known(bank, new_visitor, pat)
    emulator.fail("tamper", target="access_token", set={"xms_cc": ["CP1"]} if understands else {"x": "y"})
    refused = call(bank, bearer_of(entra, "pat@contoso.test"), "/payments")
    assert refused.status_code == 401
    field = refused.headers["www-authenticate"]
    if understands:
        assert 'error="insufficient_claims"' in field
        claims = base64.b64decode(field.partition('claims="')[2].partition('"')[0]).decode()
    else:
        assert 'error="insufficient_user_authentication", acr_values="c1"' in field
        claims = json.dumps({"access_token": {"acrs": {"essential": True, "value": "c1"}}})
    stronger = bearer_of(entra, "pat@contoso.test", claims=claims)
    assert call(bank, stronger, "/payments").json()["name"] == "Pat Page"
