"""The addresses of oauth2-proxy and of App Service Authentication ("Easy Auth"), for who comes from there.

    oauth2-proxy                            Easy Auth
    /oauth2/sign_in    the sign-in page     /.auth/login/aad   to Entra
    /oauth2/start      to Entra             /.auth/logout      signs out
    /oauth2/sign_out   signs out            /.auth/me          who is signed in
    /oauth2/userinfo   who is signed in     /.auth/refresh     200 while somebody is
    /ping, /ready      for load balancers

Each is an address of ours under another name: what may happen there, and where a person may be sent, is
decided where it is for ours. `rd`, `post_login_redirect_uri` and `post_logout_redirect_uri` are paths of this
application, or URLs of the very origin that was asked; anything else is the front page (E1 to E4).
Nobody lands below /oauth2 or /.auth at one of these addresses after signing in; /ping and /ready may be pages
of an application behind another proxy.
No access token, ID token or refresh token is given to anybody.

`/oauth2/auth` is a forward-auth address and stands in `forward_auth`; the redirect URIs `/oauth2/callback`
and `/.auth/login/aad/callback` are answered when they are among the callback paths.

Source: oauth2-proxy, "Endpoints"; Microsoft, "Customize sign-in and sign-out in Azure App Service
authentication" and "Work with OAuth tokens in Azure App Service authentication".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from urllib.parse import urlencode

from starlette.types import ASGIApp, Receive, Scope, Send

from entrada.flows.session_check import CheckedSession
from entrada.gateway.asgi import peer_of
from entrada.gateway.caller import caller_of
from entrada.gateway.habits_sign_out import after_sign_out, sign_out
from entrada.gateway.hops import TrustedHops
from entrada.gateway.identity import claims_of_easy_auth
from entrada.web import sign_in_routes
from entrada.web.auth import Auth, Route
from entrada.web.auth_routes import AuthRoutes
from entrada.web.messages import SAFE_HEADERS, WebRequest, WebResponse

OAUTH2_PROXY, EASY_AUTH = "oauth2-proxy", "easy-auth"

WAY_BACK_FIELD = "x-auth-request-redirect"
"""How a proxy tells oauth2-proxy where a person wanted to go; believed from listed hops alone."""

_FOR_ENTRA = ("prompt", "login_hint", "domain_hint")
_ALWAYS_THERE = ("/oauth2/auth",)
_FOR_LOAD_BALANCERS = ("/ping", "/ready")


def habits_in_force(chosen: frozenset[str] | None, *, has_upstreams: bool) -> frozenset[str]:
    """What was chosen; by default all, and none where they could be an upstream's own addresses."""
    if chosen is not None:
        return chosen
    return frozenset() if has_upstreams else frozenset({OAUTH2_PROXY, EASY_AUTH})


def with_habits(auth: AuthRoutes, habits: frozenset[str], *, is_ready: Callable[[], bool]) -> AuthRoutes:
    """The same sign-in pages, at these products' addresses as well."""
    further: dict[str, Mapping[str, Route]] = {}
    if OAUTH2_PROXY in habits:
        further |= _of_oauth2_proxy(is_ready)
    if EASY_AUTH in habits:
        further |= _of_easy_auth()
    no_landing = [*_ALWAYS_THERE, *(path for path in further if path not in _FOR_LOAD_BALANCERS)]
    site = replace(auth.site, no_landing=(*auth.site.no_landing, *no_landing))
    if further:
        further[site.signed_out_path] = {"GET": after_sign_out}
    return replace(auth, site=site, further={**auth.further, **further})


def _of_oauth2_proxy(is_ready: Callable[[], bool]) -> dict[str, Mapping[str, Route]]:
    out = partial(sign_out, parameter="rd", way_back=_way_back_of_oauth2_proxy)
    return {
        "/oauth2/sign_in": {"GET": _sign_in_page},
        "/oauth2/start": {"GET": partial(_start, way_back=_way_back_of_oauth2_proxy)},
        "/oauth2/sign_out": {"GET": out, "POST": out},
        "/oauth2/userinfo": {"GET": _userinfo},
        "/ping": {"GET": lambda _auth, _request: _text(200, "OK")},
        "/ready": {
            "GET": lambda _auth, _request: _text(200, "OK") if is_ready() else _text(503, "not ready")
        },
    }


def _of_easy_auth() -> dict[str, Mapping[str, Route]]:
    after = "post_logout_redirect_uri"
    out = partial(sign_out, parameter=after, way_back=partial(_way_back, parameter=after))
    start = partial(_start, way_back=partial(_way_back, parameter="post_login_redirect_uri"))
    return {
        "/.auth/login/aad": {"GET": start},
        "/.auth/logout": {"GET": out, "POST": out},
        "/.auth/me": {"GET": _me_of_easy_auth},
        "/.auth/refresh": {"GET": _refresh, "POST": _refresh},
    }


# Where a person wants to go


def _way_back(auth: Auth, request: WebRequest, *, parameter: str) -> str | None:
    return _path_here(auth, request, request.first(parameter))


def _way_back_of_oauth2_proxy(auth: Auth, request: WebRequest) -> str | None:
    if asked := request.first("rd"):
        return _path_here(auth, request, asked)
    # nginx sets the field on every request, so at one of these addresses it names that very address.
    told = _path_here(auth, request, request.headers.get(WAY_BACK_FIELD))
    return None if told == auth.site.front_page else told


def _path_here(auth: Auth, request: WebRequest, text: str | None) -> str | None:
    """The page that was asked for, or None; without the origin, if that is the one of this request."""
    if not text:
        return None
    origin = auth.site.url_of(request)
    if text == origin or text.startswith(f"{origin}/"):
        text = text[len(origin) :] or "/"
    return auth.site.next_path(text)


WayBack = Callable[[Auth, WebRequest], str | None]


def _as_ours(request: WebRequest, path: str, next_path: str | None) -> WebRequest:
    """The request as it would have been at an address of ours."""
    kept = [(name, value) for name in _FOR_ENTRA if (value := request.first(name)) is not None]
    query = urlencode([*kept, *([] if next_path is None else [("next", next_path)])])
    return replace(request, path=path, raw_path=path, query=query)


# Signing in


def _sign_in_page(auth: Auth, request: WebRequest) -> WebResponse:
    next_path = _way_back_of_oauth2_proxy(auth, request)
    return sign_in_routes.login(auth, _as_ours(request, auth.site.login_path, next_path))


def _start(auth: Auth, request: WebRequest, *, way_back: WayBack) -> WebResponse:
    next_path = way_back(auth, request)
    return sign_in_routes.start(auth, _as_ours(request, auth.site.start_path, next_path))


# Who is signed in


def _userinfo(auth: Auth, request: WebRequest) -> WebResponse:
    session = auth.session_of(request)
    if session is None:
        return _text(401, "Unauthorized")
    caller = caller_of(session.principal)
    said = {
        "user": caller.object_id,
        "email": caller.email or "",
        "groups": sorted(caller.groups | caller.roles),
        "preferredUsername": caller.username,
    }
    return _json(200, {name: value for name, value in said.items() if value or name == "email"})


def _me_of_easy_auth(auth: Auth, request: WebRequest) -> WebResponse:
    session = auth.session_of(request)
    if session is None:
        return _json(401, [])  # empty for whoever looks at the list and not at the status
    return _json(200, [_identity_of_easy_auth(session)])


def _identity_of_easy_auth(session: CheckedSession) -> dict[str, object]:
    caller = caller_of(session.principal)
    roles = [{"typ": "roles", "val": role} for role in sorted(caller.roles)]
    return {
        "provider_name": "aad",
        "user_id": caller.username or caller.email or caller.object_id,
        "user_claims": [*claims_of_easy_auth(caller), *roles],
    }


def _refresh(auth: Auth, request: WebRequest) -> WebResponse:
    """There is no token to refresh: a session goes on with every request that it makes, this one included."""
    return _text(401, "Unauthorized") if auth.session_of(request) is None else _text(200, "OK")


def _text(status: int, text: str) -> WebResponse:
    return WebResponse(
        status=status,
        headers=[("content-type", "text/plain; charset=utf-8"), *SAFE_HEADERS],
        body=text.encode(),
    )


def _json(status: int, document: object) -> WebResponse:
    return WebResponse(
        status=status,
        headers=[("content-type", "application/json"), *SAFE_HEADERS],
        body=json.dumps(document).encode(),
    )


class WayBackOfTrustedProxies:
    """Leaves `X-Auth-Request-Redirect` to whom listed hops bring, and takes it away from everybody else."""

    def __init__(self, app: ASGIApp, *, hops: TrustedHops) -> None:
        self._app, self._hops = app, hops

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._hops.trust(peer_of(scope)):
            name = WAY_BACK_FIELD.encode()
            scope = {**scope, "headers": [field for field in scope["headers"] if field[0] != name]}
        await self._app(scope, receive, send)
