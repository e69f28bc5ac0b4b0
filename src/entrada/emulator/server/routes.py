"""Which endpoint a path belongs to.  The first path segment is the tenant, unless it is one of ours."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..protocol.errors import EntraError, correlation_id, error_response, incident
from ..protocol.http import Request, Response, redirect
from ..sign_in import pages
from ..sign_in.authorize import authorize
from ..sign_in.logout import logout
from ..state.world import World
from ..tokens import discovery
from ..tokens.endpoint import token

Endpoint = Callable[[World, Request, str], Response]


def _v2(endpoint: Callable[..., Response]) -> Endpoint:
    return partial(endpoint, version=2)


def _v1(endpoint: Callable[..., Response]) -> Endpoint:
    return partial(endpoint, version=1)


def _step(world: World, request: Request, _segment: str) -> Response:
    from ..sign_in.interaction import step

    return step(world, request)


def _device_code(world: World, request: Request, segment: str) -> Response:
    from ..tokens.further_grants import begin_device_code

    return begin_device_code(world, request, segment)


def _instance(_world: World, request: Request, _segment: str) -> Response:
    return discovery.instance_discovery(request)


def _admin_consent(world: World, request: Request, segment: str) -> Response:
    from ..sign_in.admin_consent import admin_consent

    return admin_consent(world, request, segment)


def _check_session(world: World, request: Request, segment: str) -> Response:
    from ..sign_in.check_session import check_session

    return check_session(world, request, segment)


_TENANT_PATHS: dict[str, tuple[str, str, Endpoint]] = {
    "v2.0/.well-known/openid-configuration": ("GET", "discovery", _v2(discovery.openid_configuration)),
    ".well-known/openid-configuration": ("GET", "discovery", _v1(discovery.openid_configuration)),
    "discovery/v2.0/keys": ("GET", "keys", _v2(discovery.keys)),
    "discovery/keys": ("GET", "keys", _v1(discovery.keys)),
    "discovery/instance": ("GET", "instance", _instance),
    "oauth2/v2.0/authorize": ("GET POST", "authorize", _v2(authorize)),
    "oauth2/authorize": ("GET POST", "authorize", _v1(authorize)),
    "oauth2/v2.0/token": ("*", "token", _v2(token)),
    "oauth2/token": ("*", "token", _v1(token)),
    "oauth2/v2.0/devicecode": ("POST", "devicecode", _device_code),
    "oauth2/devicecode": ("POST", "devicecode", _device_code),
    "oauth2/v2.0/logout": ("GET POST", "logout", logout),
    "oauth2/logout": ("GET POST", "logout", logout),
    "oauth2/checksession": ("GET", "checksession", _check_session),
    "adminconsent": ("GET", "authorize", _admin_consent),
    "v2.0/adminconsent": ("GET", "authorize", _admin_consent),
    "login": ("POST", "login", _step),
}


def find_endpoint(world: World, request: Request) -> tuple[str, Callable[[], Response]]:
    """The endpoint's name and its answer, not yet made."""
    first, _, rest = request.path.lstrip("/").partition("/")
    # An authority written with a slash at its end makes two behind the tenant; Entra does not mind.
    found = _TENANT_PATHS.get(rest.lstrip("/"))
    if found is not None and first != "_emulator":
        methods, name, endpoint = found
        if methods == "*" or request.method in methods.split():
            return name, partial(_in_words, world, request, endpoint, first)
        if request.method == "OPTIONS":
            return name, _preflight
        return name, partial(_wrong_method, world, request)
    return _other(world, request, first, rest)


def _other(world: World, request: Request, first: str, rest: str) -> tuple[str, Callable[[], Response]]:
    if first == "_emulator":
        from ..control.api import control

        return "control", partial(control, world, request, rest)
    if first in ("v1.0", "beta") or (first, rest) == ("oidc", "userinfo") or rest == "openid/userinfo":
        from ..graph.routes import graph

        return ("graph" if first in ("v1.0", "beta") else "userinfo"), partial(graph, world, request)
    if rest.lower().startswith("userrealm/") and request.method == "GET":
        return "userrealm", partial(discovery.user_realm, world, rest.partition("/")[2])
    if first == "devicelogin" and not rest:
        from ..sign_in.device_pages import device_login

        return "login", partial(device_login, world, request)
    if first == "error" and not rest:
        return "error", partial(_explain, request)
    if first == "":
        return "control", lambda: redirect("/_emulator/")
    if first == "favicon.ico":
        return "control", lambda: redirect("/_emulator/assets/icon.svg")
    return "unknown", lambda: pages.message(
        "Not found", "The emulator serves nothing at this address.", status=404
    )


def _in_words(world: World, request: Request, endpoint: Endpoint, segment: str) -> Response:
    """The endpoint's answer; a refusal it leaves to us is JSON, as discovery's are."""
    try:
        return endpoint(world, request, segment)
    except EntraError as error:
        happened = incident(error, clock=world.clock, correlation_id=correlation_id(request))
        return error_response(happened, base_url=request.base_url)


def _wrong_method(world: World, request: Request) -> Response:
    error = EntraError(900561, f"The method was {request.method[:10]}.")
    happened = incident(error, clock=world.clock, correlation_id=correlation_id(request))
    return error_response(happened, base_url=request.base_url)


def _preflight() -> Response:
    return Response(
        status=204,
        headers=[
            ("access-control-allow-origin", "*"),
            ("access-control-allow-methods", "GET, POST, OPTIONS"),
            ("access-control-allow-headers", "content-type, client-request-id, x-client-sku, x-client-ver"),
        ],
    )


def _explain(request: Request) -> Response:
    from ..protocol.aadsts import AADSTS

    code = request.query.get("code")
    meaning = AADSTS.get(int(code)) if code.isascii() and code.isdigit() and len(code) < 10 else None
    if meaning is None:
        return pages.message("Error code", "The emulator does not know this code.", status=404)
    return pages.message(f"AADSTS{code}", meaning.sentence)
