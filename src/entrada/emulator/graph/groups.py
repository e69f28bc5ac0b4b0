"""Groups and the organisation at Graph."""

from __future__ import annotations

from ..directory.records import Group
from ..protocol.http import Request, Response, json_response
from ..state.world import World
from . import query, shapes
from .access import Caller, GraphError

_READ = ("GroupMember.Read.All", "Group.Read.All", "Group.ReadWrite.All")


def _found(world: World, who: Caller, name: str) -> Group:
    group = world.directory.groups.get(name.lower())
    if group is None or group.tenant_id != who.tenant_id:
        raise GraphError(404, "Request_ResourceNotFound", f"Resource '{name[:100]}' does not exist.")
    return group


def groups(world: World, request: Request, who: Caller) -> Response:
    """The tenant's groups."""
    who.need(*_READ)
    records = [shapes.group(g) for g in list(world.directory.groups.values()) if g.tenant_id == who.tenant_id]
    return json_response(
        query.collection(records, request, path=request.path, base_url=request.base_url, context="groups")
    )


def group(world: World, request: Request, who: Caller, name: str) -> Response:
    """One group."""
    who.need(*_READ)
    return json_response(query.shaped(shapes.group(_found(world, who, name)), request))


def members(world: World, request: Request, who: Caller, name: str, *, transitive: bool = False) -> Response:
    """The people in a group, and the groups nested in it."""
    who.need(*_READ)
    wanted = _found(world, who, name).object_id
    directory = world.directory
    people = [
        {"@odata.type": "#microsoft.graph.user", **shapes.user(person)}
        for person in directory.people_of(who.tenant_id)
        if wanted in (directory.group_ids_of(person) if transitive else person.groups)
    ]
    nested = [shapes.group(g) for g in list(directory.groups.values()) if wanted in g.member_of]
    return json_response(
        query.collection(
            people + nested, request, path=request.path, base_url=request.base_url, context="directoryObjects"
        )
    )


def organization(world: World, request: Request, who: Caller) -> Response:
    """The tenant's name and domains."""
    who.need("Organization.Read.All", "User.Read")
    tenant = world.directory.tenants[who.tenant_id]
    record = {
        "id": tenant.tenant_id,
        "displayName": tenant.display_name,
        "verifiedDomains": [
            {
                "name": tenant.domain,
                "isDefault": True,
                "isInitial": True,
                "type": "Managed",
                "capabilities": "Email",
            }
        ],
    }
    return json_response(
        query.collection(
            [record], request, path=request.path, base_url=request.base_url, context="organization"
        )
    )
