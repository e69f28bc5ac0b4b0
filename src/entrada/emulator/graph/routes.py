"""Graph's table of paths, and the one door through which every request comes."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote

from ..protocol.http import Request, Response
from ..state.world import World
from . import applications, delta, groups, people
from .access import Caller, GraphError, caller, graph_error_response
from .batch import batch

Answer = Callable[..., Response]

_DELTA = r"(?:microsoft\.graph\.)?delta(?:\(\))?"
_NAME = r"(?P<name>[^/()]+)"
_TABLE: list[tuple[str, str, Answer]] = [
    ("GET", r"/me", people.me),
    ("GET", r"/me/memberOf", people.member_of),
    ("GET", r"/me/transitiveMemberOf", lambda w, r, c: people.member_of(w, r, c, transitive=True)),
    (
        "GET",
        r"/me/(?:memberOf|transitiveMemberOf)/microsoft\.graph\.group",
        lambda w, r, c: people.member_of(w, r, c, transitive="/transitiveMemberOf" in r.path),
    ),
    ("POST", r"/me/checkMemberGroups", people.check_member_groups),
    ("POST", r"/me/getMember(?:Objects|Groups)", people.get_member_objects),
    ("GET", r"/me/appRoleAssignments", people.role_assignments),
    ("GET", r"/me/photo/\$value", people.photo),
    ("POST", r"/me/revokeSignInSessions", people.revoke_sign_in_sessions),
    ("GET", r"/users", people.users),
    ("GET", rf"/users/{_DELTA}", delta.users),
    ("GET", rf"/groups/{_DELTA}", delta.groups),
    ("GET", rf"/users/{_NAME}", people.user),
    ("GET", rf"/users/{_NAME}/memberOf", people.member_of),
    (
        "GET",
        rf"/users/{_NAME}/transitiveMemberOf",
        lambda w, r, c, name: people.member_of(w, r, c, name, transitive=True),
    ),
    ("POST", rf"/users/{_NAME}/checkMemberGroups", people.check_member_groups),
    ("POST", rf"/users/{_NAME}/getMember(?:Objects|Groups)", people.get_member_objects),
    ("GET", rf"/users/{_NAME}/appRoleAssignments", people.role_assignments),
    ("GET", rf"/users/{_NAME}/photo/\$value", people.photo),
    ("POST", rf"/users/{_NAME}/revokeSignInSessions", people.revoke_sign_in_sessions),
    ("GET", r"/groups", groups.groups),
    ("GET", rf"/groups/{_NAME}", groups.group),
    ("GET", rf"/groups/{_NAME}/members", groups.members),
    (
        "GET",
        rf"/groups/{_NAME}/transitiveMembers",
        lambda w, r, c, name: groups.members(w, r, c, name, transitive=True),
    ),
    ("GET", r"/organization", groups.organization),
    ("GET", r"/servicePrincipals", applications.service_principals),
    ("GET", rf"/servicePrincipals/{_NAME}", applications.service_principal),
    ("PATCH", rf"/servicePrincipals/{_NAME}", applications.update_service_principal),
    ("GET", rf"/servicePrincipals/{_NAME}/appRoles", applications.app_roles),
    ("GET", rf"/servicePrincipals/{_NAME}/appRoleAssignedTo", applications.assigned_to),
    ("POST", rf"/servicePrincipals/{_NAME}/appRoleAssignedTo", applications.assign),
    ("DELETE", rf"/servicePrincipals/{_NAME}/appRoleAssignedTo/(?P<assignment>[^/]+)", applications.unassign),
    ("GET", rf"/servicePrincipals/{_NAME}/appRoleAssignments", applications.assignments_of),
    ("GET", r"/applications", applications.applications),
    ("POST", r"/applications", applications.create),
    ("GET", rf"/applications/{_NAME}", applications.application),
    ("PATCH", rf"/applications/{_NAME}", applications.update),
    ("DELETE", rf"/applications/{_NAME}", applications.delete),
    ("POST", rf"/applications/{_NAME}/addPassword", applications.add_password),
    ("POST", rf"/applications/{_NAME}/removePassword", applications.remove_password),
    ("POST", r"/servicePrincipals", applications.create_service_principal),
]
_COMPILED = [(method, re.compile(pattern, re.IGNORECASE), answer) for method, pattern, answer in _TABLE]
_BY_APP_ID = re.compile(r"/(applications|servicePrincipals)\(appId='([^']+)'\)", re.IGNORECASE)


def graph(world: World, request: Request) -> Response:
    """Answer one request to `/v1.0` or `/beta`, or to the userinfo endpoint."""
    path = "/" + request.path.partition("/")[2].partition("/")[2]
    try:
        who = caller(world, request)
        if request.path.endswith(("/oidc/userinfo", "/openid/userinfo")):
            return people.userinfo(world, request, who)
        fault = world.faults.take(("graph_error",), f"graph:{request.path}")
        if fault is not None:
            given = fault.parameters
            raise GraphError(
                int(given.get("status", 403)),
                str(given.get("code", "Authorization_RequestDenied")),
                str(given.get("message", "Insufficient privileges to complete the operation.")),
            )
        if path.rstrip("/").lower() == "/$batch" and request.method == "POST":
            return batch(request, lambda one: graph(world, one))
        return _dispatch(world, request, who, _BY_APP_ID.sub(r"/\1/appid=\2", path))
    except GraphError as error:
        return graph_error_response(error, world, request)


def _dispatch(world: World, request: Request, who: Caller, path: str) -> Response:
    known = False
    for method, pattern, answer in _COMPILED:
        found = pattern.fullmatch(path.rstrip("/") or "/")
        if found is None:
            continue
        known = True
        if method == request.method:
            return answer(world, request, who, **{k: unquote(v) for k, v in found.groupdict().items()})
    if known:
        raise GraphError(405, "Request_BadRequest", "The method is not allowed on this resource.")
    raise GraphError(
        400, "BadRequest", f"Resource not found for the segment '{path.strip('/').partition('/')[0][:50]}'."
    )
