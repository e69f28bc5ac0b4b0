"""A request with the session of one caller and the token of another, before guards that look at both."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI

from emulator.relying_party import Entra
from entrada.accounts.principal import Principal, UserPrincipal
from entrada.adapters.fastapi import EntradaMiddleware, current_principal, roles_required, scopes_required
from entrada.web.auth_routes import AuthRoutes
from walks.conftest import NewVisitor, Serve
from walks.site import Site
from walks.test_on_behalf_of import EVERYBODY, application_token, bearer_of

ByToken = Annotated[
    Principal, Depends(scopes_required("access_as_user", roles=["Editor"], callers=EVERYBODY))
]
BySession = Annotated[UserPrincipal, Depends(current_principal)]


def app_of(auth: AuthRoutes) -> Any:
    app = FastAPI()
    app.add_middleware(EntradaMiddleware, auth=auth)

    @app.get("/token-first")
    async def token_first(_: ByToken, person: BySession) -> str:
        return person.name

    @app.get("/session-first", dependencies=[Depends(roles_required("Editor"))])
    async def session_first(caller: Annotated[Principal, Depends(scopes_required("access_as_user"))]) -> str:
        return caller.name

    return app


@pytest.fixture
def site(serve: Serve) -> Site:
    return serve(app_of=app_of, calls_apis=True)


def test_an_endpoint_acts_for_one_caller(site: Site, entra: Entra, new_visitor: NewVisitor, pat: Any) -> None:
    """The role is never one caller's and the name another's; one's own token beside one's session is fine."""
    of_vi, of_pat = new_visitor(site), new_visitor(site)
    of_vi.sign_in_as("vi@contoso.test")
    of_pat.sign_in_as(pat)
    vi, own, app = (
        bearer_of(entra, "vi@contoso.test"),
        bearer_of(entra, "pat@contoso.test"),
        application_token(entra),
    )
    for visitor, path, token, status in (
        (of_pat, "/session-first", vi, 400),
        (of_vi, "/token-first", own, 400),
        (of_pat, "/token-first", app, 400),
        (of_pat, "/session-first", own, 200),
        (of_pat, "/token-first", own, 200),
        (of_vi, "/session-first", own, 403),
        (of_pat, "/token-first", vi, 403),
    ):
        answer = visitor.fetch(path, authorization=f"Bearer {token}")
        assert answer.status_code == status, (path, answer.text)
        if status == 400:
            assert answer.json()["error"] == "bearer_request_refused"
