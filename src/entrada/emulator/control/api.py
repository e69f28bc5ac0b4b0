"""The control API under `/_emulator/`: look at everything, change everything, switch faults.

A change must come as JSON and, from a browser, from the emulator's own pages: a foreign site can neither
set the content type without asking first nor hide that it is foreign.  A foreign name that resolves to this
machine gets nothing.
Source: Fetch standard, "simple requests"; W3C, Fetch Metadata Request Headers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ..faults.catalogue import ENDPOINTS, MEANING_FAULTS, WIRE_FAULTS
from ..faults.conformance import module_names
from ..protocol.http import Request, Response, json_response
from ..sign_in.assets import asset
from ..state.world import World
from . import actions as actions
from . import policies as policies
from .actions import ControlError

_SAFE_SITES = ("", "same-origin", "none")


def control(world: World, request: Request, path: str) -> Response:
    """Answer one control request."""
    name, _, rest = path.strip("/").partition("/")
    if not (world.remote_allowed or _is_local_name(request.headers.get("host", ""))):
        return _error(403, "The control API answers to localhost only.")
    if request.method in ("GET", "HEAD"):
        return _look(world, name, rest)
    if request.method not in ("POST", "PATCH", "PUT", "DELETE"):
        return _error(405, "Only GET, POST, PATCH and DELETE are understood here.")
    if request.headers.get("sec-fetch-site", "") not in _SAFE_SITES:
        return _error(403, "A page of another site may not change the emulator.")
    if not request.headers.get("content-type", "").lower().startswith("application/json"):
        return _error(415, "A change must be sent with Content-Type: application/json.")
    body = request.json() if request.body else {}
    if not isinstance(body, dict):
        return _error(400, "The body must be a JSON object.")
    change = _CHANGES.get((request.method, name))
    if change is None:
        return _error(404, f"There is nothing to {request.method} at /_emulator/{path[:100]}.")
    try:
        return json_response(change(world, rest, body))
    except ControlError as error:
        return _error(error.status, str(error), hint=error.hint)


def _is_local_name(host: str) -> bool:
    """Whether the browser thinks it speaks to this machine: a foreign name that was bent here does not."""
    return re.fullmatch(r"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?", host) is not None


def _error(status: int, sentence: str, *, hint: str = "") -> Response:
    return json_response({"error": sentence, "hint": hint}, status=status)


def _look(world: World, name: str, rest: str) -> Response:
    if name == "assets":
        return asset(rest) or _error(404, "No such file.")
    if name == "ca.pem":
        return Response(body=world.ca_file.read_bytes(), content_type="application/x-pem-file")
    if not name:
        from .page import control_page

        return control_page(world)
    look = _LOOKS.get(name)
    if look is None:
        return _error(404, f"There is nothing at /_emulator/{name[:100]}.")
    try:
        return json_response(look(world, rest))
    except ControlError as error:
        return _error(error.status, str(error), hint=error.hint)


def _faults(world: World, _rest: str) -> dict[str, Any]:
    return {
        "active": [fault.as_dict() for fault in world.faults.active()],
        "wire": dict(WIRE_FAULTS),
        "meaning": dict(MEANING_FAULTS),
        "conformance": module_names(),
        "endpoints": list(ENDPOINTS),
    }


_LOOKS: dict[str, Callable[[World, str], Any]] = {
    "state": actions.state,
    "people": actions.people,
    "groups": actions.groups,
    "apps": actions.apps,
    "policies": policies.policies,
    "faults": _faults,
    "requests": actions.requests,
}

_CHANGES: dict[tuple[str, str], Callable[[World, str, dict[str, Any]], Any]] = {
    ("POST", "people"): actions.add_person,
    ("PATCH", "people"): actions.change_person,
    ("DELETE", "people"): actions.remove_person,
    ("POST", "groups"): actions.add_group,
    ("POST", "apps"): actions.add_app,
    ("PATCH", "apps"): actions.change_app,
    ("DELETE", "apps"): actions.remove_app,
    ("POST", "tenants"): actions.add_tenant,
    ("POST", "policies"): policies.add_policy,
    ("PATCH", "policies"): policies.change_policy,
    ("DELETE", "policies"): policies.remove_policy,
    ("POST", "faults"): actions.add_fault,
    ("DELETE", "faults"): actions.clear_faults,
    ("DELETE", "requests"): actions.clear_requests,
    ("POST", "keys"): actions.rotate_keys,
    ("POST", "sessions"): actions.revoke_sessions,
    ("POST", "clock"): actions.set_clock,
    ("POST", "settings"): actions.change_settings,
    ("POST", "reset"): actions.reset,
}
