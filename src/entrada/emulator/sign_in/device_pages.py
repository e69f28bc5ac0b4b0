"""The page where a person types the code that a device shows, and signs in for it."""

from __future__ import annotations

from ..protocol.authorize_request import AuthorizeRequest
from ..protocol.errors import correlation_id
from ..protocol.http import Request, Response
from ..protocol.return_address import ReturnAddress
from ..protocol.scopes import read_scope
from ..state.device_codes import DeviceCode
from ..state.world import World
from ..tokens.tenants import find_tenant
from . import pages
from .interaction import begin_for_device

_PATH = "/devicelogin"


def device_login(world: World, request: Request) -> Response:
    """Ask for the code, then walk the ordinary sign-in on the device's behalf.

    `otc` may stand in the query; with `login_hint` and `_emulator_approve=1` no page is shown.
    """
    given = request.form() if request.method == "POST" else request.query
    typed = given.get("otc")
    if not typed or (request.method != "POST" and given.get("_emulator_approve") != "1"):
        return pages.device_code(_PATH, code=typed)
    code = world.device_codes.shown(typed, now=world.clock.now())
    if code is None:
        return pages.device_code(_PATH, problem="That code did not work. Check it and try again.", code=typed)
    asked = _as_request(world, request, code)
    return begin_for_device(world, request, asked, code.device_code)


def _as_request(world: World, request: Request, code: DeviceCode) -> AuthorizeRequest:
    given = request.form() if request.method == "POST" else request.query
    return AuthorizeRequest(
        tenant=find_tenant(world, code.segment),
        segment=code.segment,
        client=world.directory.apps[code.client_id],
        to=ReturnAddress(redirect_uri="", response_mode="query", state=None),
        platform="public",
        response_type=frozenset({"code"}),
        scope=read_scope(code.scope, world.directory, world.own_urls),
        scope_text=code.scope,
        nonce="",
        prompt="select_account",
        login_hint=given.get("login_hint"),
        domain_hint="",
        max_age=None,
        challenge="",
        challenge_method="",
        claims="",
        client_info=False,
        resource="",
        base_url=request.base_url,
        correlation_id=correlation_id(request),
        version=2,
        errors_return=False,
        approve=given.get("_emulator_approve") == "1",
        decline=given.get("_emulator_decline") == "1",
    )
