"""The sign-out endpoint: end the account here, tell the applications, go back.

Every application the account entered is told by a GET of its registered front-channel address in a frame,
with `sid` and nothing else.  The browser goes back only to a registered redirect URI.
Source: OpenID Connect RP-Initiated Logout 1.0; Front-Channel Logout 1.0; Microsoft, "Single sign-out".
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from urllib.parse import quote, urlencode

from ..directory.records import App
from ..faults.tampering import tamper_document
from ..protocol.errors import EntraError, correlation_id
from ..protocol.http import Parameters, Request, Response, redirect
from ..protocol.redirect_uris import is_registered
from ..state.sessions import Browser
from ..state.world import World
from ..tokens.identity_claims import by_login_hint
from ..tokens.tenants import find_tenant
from . import pages
from .authorization_response import refuse


def logout(world: World, request: Request, segment: str) -> Response:
    """End a session and go back, or say that it ended."""
    parameters = request.form() if request.method == "POST" else request.query
    try:
        find_tenant(world, segment)
    except EntraError as error:
        return refuse(world, error, to=None, correlation_id=correlation_id(request))
    browser = world.sessions.find(request.cookie(world.cookie_name))
    go_on = _return_address(world, parameters, browser)
    leaving = _accounts_leaving(world, parameters, browser)
    if browser and len(leaving) > 1 and not parameters.get("pick"):
        people = [world.directory.people[oid] for oid in leaving if oid in world.directory.people]
        hidden = {
            name: parameters.get(name)
            for name in ("post_logout_redirect_uri", "state", "client_id")
            if name in parameters
        }
        return pages.choose_sign_out(f"/{quote(segment, safe='')}/oauth2/v2.0/logout", people, hidden)
    frames = [url for object_id in leaving for url in (browser.leave(object_id) if browser else ())]
    response = redirect(go_on) if go_on and not frames else pages.signed_out(frames, go_on=go_on)
    if browser and not browser.accounts:
        response.with_header("set-cookie", f"{world.cookie_name}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax")
    return response


def _accounts_leaving(world: World, parameters: Parameters, browser: Browser | None) -> list[str]:
    """The accounts to sign out: the one hinted at, the one picked, or all that are signed in."""
    if browser is None:
        return []
    hint = parameters.get("logout_hint") or parameters.get("login_hint")
    person = by_login_hint(world, hint) if hint else None
    wanted = person.object_id if person else parameters.get("pick")
    hinted_sid = _claim(parameters.get("id_token_hint"), "sid")
    if not wanted and hinted_sid:
        wanted = next((a.object_id for a in browser.accounts.values() if a.sid == hinted_sid), "")
    if wanted:
        return [wanted] if wanted in browser.accounts else []
    return list(browser.accounts)


def _return_address(world: World, parameters: Parameters, browser: Browser | None) -> str:
    """The checked address to go back to, with `state`; empty unless an application registered it."""
    address = parameters.get("post_logout_redirect_uri")
    if not address or not any(
        is_registered(address, app.redirect_uris) for app in _apps(world, parameters, browser)
    ):
        return ""
    answer: dict[str, str] = {}
    if "state" in parameters:
        answer["state"] = parameters.get("state")
    answer = {
        name: str(value) for name, value in tamper_document(world, "logout_response", dict(answer)).items()
    }
    if not answer:
        return address
    return f"{address}{'&' if '?' in address else '?'}{urlencode(answer, quote_via=quote)}"


def _apps(world: World, parameters: Parameters, browser: Browser | None) -> list[App]:
    """The applications whose registrations count: the one named, else those entered, else all."""
    named = parameters.get("client_id") or _claim(parameters.get("id_token_hint"), "aud")
    apps = world.directory.apps
    if named:
        return [apps[named]] if named in apps else []
    entered = {client_id for seen in (browser.applications.values() if browser else ()) for client_id in seen}
    return [apps[client_id] for client_id in entered if client_id in apps] or list(apps.values())


def _claim(token: str, name: str) -> str:
    """A claim of a token that is only a hint, so its signature is not checked."""
    parts = token.split(".")
    if len(parts) != 3:
        return ""
    try:
        claims = json.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return ""
    value = claims.get(name, "") if isinstance(claims, dict) else ""
    return value if isinstance(value, str) else ""
