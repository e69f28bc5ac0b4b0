"""Entrada inside a FastAPI application.

    app = FastAPI()
    entra = install(app, Entrada.from_environment())

    @app.get("/me")
    async def me(person: Annotated[UserPrincipal, Depends(current_principal)]): ...

    @app.get("/admin", dependencies=[Depends(roles_required("Admin"))])
    def admin(): ...

    @app.get("/files")
    async def files(caller: Annotated[Principal, Security(entra, scopes=["Files.Read"])]): ...

    @app.get("/mail")
    def mail(token: Annotated[str, Depends(api_token("Mail.Read"))]): ...    # to call Graph as the person

A dependency that refuses sends what every guard of Entrada sends: a page visit goes to the sign-in page, a
script gets JSON. Routers, mounted applications and WebSockets are guarded alike. With `entra` as a dependency
"Authorize" in /docs signs in by PKCE; its redirect URI (`…/docs/oauth2-redirect`) must be registered in Entra
as that of a single-page application.

Source: OpenAPI 3.1, Security Scheme Object; Microsoft, "Redirect URI configuration for SPAs".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, NoReturn

from entrada.adapters.setup_mistakes import needs

try:
    from fastapi import FastAPI, HTTPException
    from fastapi.openapi.models import OAuth2, OAuthFlowAuthorizationCode, OAuthFlows
    from fastapi.security import SecurityScopes
    from fastapi.security.base import SecurityBase
    from starlette.exceptions import WebSocketException
    from starlette.requests import HTTPConnection
except ModuleNotFoundError as missing:
    raise needs("fastapi", missing) from None

from entrada.accounts.principal import Principal, UserPrincipal
from entrada.adapters.asgi import close_code_of, refusal_of, visitor_of
from entrada.adapters.starlette import EntradaMiddleware, token_for
from entrada.entra.callers import CallerKind
from entrada.web.guards import (
    PEOPLE,
    SIGNED_IN,
    HasAuth,
    Requirement,
    Visitor,
    context_requirement,
    role_requirement,
    scope_requirement,
)
from entrada.web.messages import WebResponse

if TYPE_CHECKING:
    from entrada.entra.api_token import ApiToken

Dependency = Callable[..., Awaitable[Principal]]


def install(app: FastAPI, entrada: HasAuth) -> EntraScheme:
    """Sign-in pages and sessions for this application; the security scheme for its API.

    "Authorize" in /docs is filled in, unless the application has done so itself.
    """
    app.add_middleware(EntradaMiddleware, entrada=entrada)
    scheme = EntraScheme(entrada)
    if app.swagger_ui_init_oauth is None:
        app.swagger_ui_init_oauth = scheme.swagger_ui_init_oauth
    return scheme


async def current_principal(connection: HTTPConnection, security_scopes: SecurityScopes) -> UserPrincipal:
    """The person who asks, by session or by an access token in their name; anybody else is refused."""
    principal = await _admitted(connection, _with_scopes(SIGNED_IN, security_scopes))
    assert isinstance(principal, UserPrincipal)  # no others are admitted
    return principal


async def optional_principal(connection: HTTPConnection) -> UserPrincipal | None:
    """The person who is signed in here, or None."""
    session = visitor_of(connection.scope).session
    return None if session is None else session.principal


def roles_required(*roles: str, callers: Collection[CallerKind] = PEOPLE) -> Dependency:
    """A dependency that lets callers with one of these roles pass."""
    return _dependency(role_requirement(roles, callers))


def scopes_required(
    *scopes: str, roles: Collection[str] = (), callers: Collection[CallerKind] = PEOPLE
) -> Dependency:
    """A dependency that lets pass who is signed in, and access tokens with one of these scopes."""
    return _dependency(scope_requirement(scopes, roles, callers))


def auth_context_required(
    auth_context: str,
    *,
    scopes: Collection[str] = (),
    roles: Collection[str] = (),
    callers: Collection[CallerKind] = PEOPLE,
) -> Dependency:
    """A dependency that lets pass whose sign-in met this authentication context, such as "c1"."""
    return _dependency(context_requirement(auth_context, scopes, roles, callers))


def api_token(*scopes: str) -> Callable[..., Awaitable[ApiToken]]:
    """A dependency that is a token with which to call an API as the person who asks; see `token_for`."""

    async def token(connection: HTTPConnection, security_scopes: SecurityScopes) -> ApiToken:
        await current_principal(connection, security_scopes)
        return await token_for(connection, scopes)

    return token


class EntraScheme(SecurityBase):
    """`Security(scheme, scopes=["Files.Read"])`: one of these scopes, and the API's documentation says so.

    `roles` and `callers` as in `roles_required`; with `callers` others than people may call.
    """

    def __init__(
        self, entrada: HasAuth, *, roles: Collection[str] = (), callers: Collection[CallerKind] = PEOPLE
    ) -> None:
        self.scheme_name = "Microsoft Entra ID"
        self._auth = entrada.auth
        self._required = Requirement(roles=tuple(roles), callers=frozenset(callers))

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes) -> Principal:
        return await _admitted(connection, _with_scopes(self._required, security_scopes))

    @property
    def model(self) -> OAuth2:  # type: ignore[override]  # read only: nothing sets it
        """Asked for when the API's documentation is made: Entra's addresses are read then."""
        metadata = self._auth.relying_party.sign_in.application.metadata()
        flow = OAuthFlowAuthorizationCode(
            authorizationUrl=metadata.authorization_endpoint,
            tokenUrl=metadata.token_endpoint,
            scopes=dict.fromkeys(self._scopes, "Call this API in your name"),
        )
        return OAuth2(flows=OAuthFlows(authorizationCode=flow))

    @property
    def swagger_ui_init_oauth(self) -> dict[str, object]:
        """What Swagger UI needs to sign in."""
        return {
            "clientId": self._auth.relying_party.sign_in.application.client_id,
            "usePkceWithAuthorizationCodeGrant": True,
            "scopes": " ".join(self._scopes),
        }

    @property
    def _scopes(self) -> list[str]:
        callers = self._auth.token_callers
        client_id = self._auth.relying_party.sign_in.application.client_id
        return [f"api://{client_id}/{scope}" for scope in sorted(callers.scopes if callers else ())]


def _dependency(required: Requirement) -> Dependency:
    async def admitted(connection: HTTPConnection) -> Principal:
        return await _admitted(connection, required)

    return admitted


def _with_scopes(required: Requirement, asked: SecurityScopes) -> Requirement:
    return _with(required, tuple(asked.scopes)) if asked.scopes else required


@lru_cache(maxsize=1_000)
def _with(required: Requirement, scopes: tuple[str, ...]) -> Requirement:
    """Those of an application's endpoints are a few, and the same at every request."""
    return replace(required, scopes=scopes)


async def _admitted(connection: HTTPConnection, required: Requirement) -> Principal:
    visitor = visitor_of(connection.scope)
    refused = await refusal_of(visitor, required)
    if refused is not None:
        _refuse(connection, visitor, refused)
    principal = visitor.principal
    assert principal is not None  # nobody else passes a guard
    return principal


def _refuse(connection: HTTPConnection, visitor: Visitor, refused: WebResponse) -> NoReturn:
    """A dependency can only raise; the middleware sends what the visitor carries."""
    if connection.scope["type"] == "websocket":
        raise WebSocketException(close_code_of(refused))
    visitor.refused = refused
    raise HTTPException(refused.status)
