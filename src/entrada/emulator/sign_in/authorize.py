"""The authorize endpoint: read the request, check it, and begin the sign-in.

The checks stand in Entra's order.  Until client and redirect URI are known to belong together nothing is
sent anywhere: those errors stay on the emulator's page.
Source: RFC 6749, 4.1.1; RFC 7636; OpenID Connect Core 1.0, 3.1.2; Microsoft, "OAuth 2.0 authorization code
flow".
"""

from __future__ import annotations

import re

from ..directory.records import App, Tenant
from ..faults.switched_error import switched_error
from ..protocol.authorize_request import AuthorizeRequest
from ..protocol.errors import EntraError, correlation_id
from ..protocol.http import Parameters, Request, Response
from ..protocol.redirect_uris import checked_redirect_uri, platform_of
from ..protocol.return_address import ReturnAddress
from ..protocol.scopes import read_scope
from ..state.world import World
from ..tokens.admission import check_application, find_application
from ..tokens.tenants import find_tenant
from .authorization_response import refuse
from .interaction import begin

_CHALLENGE = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_MODES = ("query", "fragment", "form_post")
_PROMPTS = ("", "none", "login", "select_account", "consent", "create")
_MAX_QUERY = 16_000


def authorize(world: World, request: Request, segment: str, *, version: int = 2) -> Response:
    """Begin a sign-in: straight through, a page, or an error where Entra shows it."""
    parameters = request.form() if request.method == "POST" else request.query
    occurred = correlation_id(request)
    to: ReturnAddress | None = None
    silent = parameters.get("prompt") == "none"
    errors_return = parameters.get("_emulator_errors") == "redirect"
    try:
        tenant, client, to = _trusted_part(world, parameters, segment)
        missing = next((name for name in ("nonce",) if not parameters.get(name)), "")
        switch = world.faults.take(("aadsts",), "authorize", missing=missing)
        if switch is not None:
            raise switched_error(switch.parameters)
        checked = _rest(world, request, parameters, segment, tenant, client, to, occurred, version)
    except EntraError as error:
        return refuse(
            world,
            error,
            to=to,
            correlation_id=occurred,
            silent=silent,
            errors_return=errors_return,
        )
    return begin(world, request, checked)


def _trusted_part(
    world: World, parameters: Parameters, segment: str
) -> tuple[Tenant | None, App, ReturnAddress]:
    """Tenant, client and redirect URI; until they fit, no answer may leave this page."""
    if parameters.length > _MAX_QUERY:
        raise EntraError(90015)
    if parameters.repeated:
        raise EntraError(9000411, f"The parameter was '{parameters.repeated[0][:50]}'.")
    tenant = find_tenant(world, segment)
    where = tenant.domain if tenant else segment
    client = find_application(world, parameters.get("client_id"), where=where)
    redirect_uri = checked_redirect_uri(client, parameters.get("redirect_uri"))
    check_application(client, tenant)
    kinds = parameters.get("response_type").split()
    mode = parameters.get("response_mode") or ("fragment" if set(kinds) - {"code"} else "query")
    state = parameters.get("state") if "state" in parameters else None
    to = ReturnAddress(
        redirect_uri=redirect_uri, response_mode=mode if mode in _MODES else "query", state=state
    )
    return tenant, client, to


def _rest(
    world: World,
    request: Request,
    parameters: Parameters,
    segment: str,
    tenant: Tenant | None,
    client: App,
    to: ReturnAddress,
    occurred: str,
    version: int,
) -> AuthorizeRequest:
    response_type = _response_type(parameters, client)
    if parameters.get("response_mode") and parameters.get("response_mode") not in _MODES:
        raise EntraError(90023, "The parameter is 'response_mode'.", shown="redirect")
    if response_type != {"code"} and parameters.get("response_mode") == "query":
        raise EntraError(
            70011, "Tokens cannot be returned in a query.", error="invalid_request", shown="redirect"
        )
    scope_text = parameters.get("scope")
    if version == 1:
        scope_text = " ".join(dict.fromkeys(["openid", "profile", "email", *scope_text.split()]))
    if not scope_text.strip():
        raise EntraError(900144, "The parameter is 'scope'.", shown="redirect")
    if parameters.get("prompt") not in _PROMPTS:
        raise EntraError(90023, "The parameter is 'prompt'.", shown="redirect")
    if "id_token" in response_type and not parameters.get("nonce"):
        raise EntraError(900144, "The parameter is 'nonce'.", shown="redirect")
    max_age = parameters.get("max_age")
    if max_age and not (max_age.isascii() and max_age.isdigit() and len(max_age) < 10):
        raise EntraError(90023, "The parameter is 'max_age'.", shown="redirect")
    challenge, method = _code_challenge(parameters)
    return AuthorizeRequest(
        tenant=tenant,
        segment=segment,
        client=client,
        to=to,
        platform=platform_of(client, to.redirect_uri),
        response_type=response_type,
        scope=read_scope(
            scope_text,
            world.directory,
            world.own_urls,
            resource=parameters.get("resource") if version == 2 else "",
        ),
        scope_text=scope_text,
        nonce=parameters.get("nonce"),
        prompt=parameters.get("prompt"),
        login_hint=parameters.get("_emulator_as") or parameters.get("login_hint"),
        domain_hint=parameters.get("domain_hint"),
        max_age=int(max_age) if max_age else None,
        challenge=challenge,
        challenge_method=method,
        claims=parameters.get("claims"),
        client_info=parameters.get("client_info") == "1",
        resource=parameters.get("resource"),
        base_url=request.base_url,
        correlation_id=occurred,
        version=version,
        errors_return=parameters.get("_emulator_errors") == "redirect",
        approve=parameters.get("_emulator_approve") == "1",
        decline=parameters.get("_emulator_decline") == "1",
    )


def _response_type(parameters: Parameters, client: App) -> frozenset[str]:
    kinds = frozenset(parameters.get("response_type").split())
    if not kinds:
        raise EntraError(900144, "The parameter is 'response_type'.", shown="redirect")
    if kinds - {"code", "id_token", "token"}:
        raise EntraError(
            90023, "The parameter is 'response_type'.", shown="redirect", error="unsupported_response_type"
        )
    if "token" in kinds:
        raise EntraError(700051)
    if "id_token" in kinds and not client.id_token_issuance:
        raise EntraError(700054, f"The application is '{client.client_id}'.")
    return kinds


def _code_challenge(parameters: Parameters) -> tuple[str, str]:
    challenge = parameters.get("code_challenge")
    method = parameters.get("code_challenge_method") or "plain"
    if not challenge:
        if "code_challenge" in parameters or "code_challenge_method" in parameters:
            raise EntraError(501491, "The parameter 'code_challenge' is empty.")
        return "", ""
    if method not in ("plain", "S256"):
        raise EntraError(501491, "The parameter is 'code_challenge_method'.")
    if not _CHALLENGE.fullmatch(challenge):
        raise EntraError(501491)
    return challenge, method
