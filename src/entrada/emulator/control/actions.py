"""What the control surfaces can do; the HTTP API, the running emulator and the pytest plug-in share it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..directory.mappings import RecordError, read_record, write_record
from ..directory.records import App, Group, Person, Tenant, new_id
from ..directory.registration import check_registration
from ..faults.catalogue import make_faults
from ..seed import CLIENT_ID
from ..state.switched_faults import Fault, UnknownFault
from ..state.world import World


class ControlError(Exception):
    """A control request that cannot be carried out, with the status and a hint."""

    def __init__(self, sentence: str, *, status: int = 400, hint: str = "") -> None:
        super().__init__(sentence)
        self.status = status
        self.hint = hint


def state(world: World, _rest: str = "") -> dict[str, Any]:
    """Where the emulator is and what it holds."""
    return {
        "product": "entrada-emulator",
        "http_url": world.http_url,
        "https_url": world.https_url,
        "ca_file": str(world.ca_file),
        "tenants": [write_record(tenant) for tenant in list(world.directory.tenants.values())],
        "people": len(world.directory.people),
        "apps": [
            {"client_id": a.client_id, "display_name": a.display_name}
            for a in list(world.directory.apps.values())
        ],
        "keys": [key.kid for key in world.keys.published],
        "faults": [fault.as_dict() for fault in world.faults.active()],
        "clock_offset_seconds": world.clock.offset_seconds,
        "password_grant": world.password_grant,
        "loop_limit": world.loops.limit,
    }


def find_person(world: World, name: str) -> Person:
    """The person of that id or name.

    Raises:
        ControlError: 404.
    """
    person = world.directory.person(name)
    if person is None:
        raise ControlError(
            f"Nobody is called '{name[:100]}'.", status=404, hint="GET /_emulator/people lists everybody."
        )
    return person


def person_dict(world: World, person: Person) -> dict[str, Any]:
    """A person with the app roles held, by client id."""
    roles = {
        app.client_id: world.directory.roles_of(app, person.object_id, person.groups)
        for app in list(world.directory.apps.values())
    }
    return {**write_record(person), "roles": {client_id: held for client_id, held in roles.items() if held}}


def people(world: World, rest: str = "") -> Any:
    """Everybody, or one person."""
    if rest:
        return person_dict(world, find_person(world, rest))
    return [person_dict(world, person) for person in list(world.directory.people.values())]


def add_person(world: World, _rest: str, body: dict[str, Any]) -> dict[str, Any]:
    """A new person; the tenant follows from the name's domain, `roles` are of the seeded application."""
    fields = dict(body)
    roles = fields.pop("roles", None)
    name = str(fields.get("user_principal_name", ""))
    if "tenant_id" not in fields:
        tenant = world.directory.tenant(name.rpartition("@")[2])
        if tenant is None:
            raise ControlError(
                f"No tenant has the domain of '{name[:100]}'.", hint="Name the tenant in 'tenant_id'."
            )
        fields["tenant_id"] = tenant.tenant_id
    known = world.directory.person(name)
    if known is not None and known.user_principal_name.lower() == name.lower():
        raise ControlError(f"'{name[:100]}' exists already.", status=409, hint="Change it with PATCH.")
    fields.setdefault("display_name", name.partition("@")[0].capitalize())
    fields.setdefault("mail", name)
    person = _read(Person, _group_ids(world, fields), "person")
    world.directory.put(person)
    _set_roles(world, person, roles)
    return person_dict(world, person)


def change_person(world: World, rest: str, body: dict[str, Any]) -> dict[str, Any]:
    """Change some fields of a person; `roles` replaces the roles of the seeded application.

    A new password is an administrator's reset, which ends sessions and refresh tokens.
    """
    fields = dict(body)
    roles = fields.pop("roles", None)
    known = find_person(world, rest)
    person = _read(Person, _group_ids(world, fields), "person", base=known)
    world.directory.put(person)
    if person.password != known.password:
        world.revoke_sessions(person)
    _set_roles(world, person, roles)
    return person_dict(world, person)


def remove_person(world: World, rest: str, _body: dict[str, Any]) -> dict[str, Any]:
    """Delete a person."""
    person = find_person(world, rest)
    world.directory.remove_person(person.object_id)
    world.sessions.end_person(person.object_id)
    return {"removed": person.object_id}


def _read(kind: type[Any], fields: dict[str, Any], where: str, *, base: Any = None) -> Any:
    try:
        record = read_record(kind, fields, where=where, base=base)
        return check_registration(record, where=where) if isinstance(record, App) else record
    except RecordError as error:
        raise ControlError(f"The {error}.") from None


def _group_ids(world: World, fields: dict[str, Any]) -> dict[str, Any]:
    """Groups may be given by name."""
    if "groups" not in fields:
        return fields
    by_name = {group.display_name: group.object_id for group in list(world.directory.groups.values())}
    ids = [by_name.get(name, name) for name in fields["groups"]]
    unknown = [one for one in ids if one not in world.directory.groups]
    if unknown:
        raise ControlError(f"No group is called '{unknown[0]}'.", hint="POST /_emulator/groups makes one.")
    return {**fields, "groups": ids}


def _set_roles(world: World, person: Person, roles: Any) -> None:
    if roles is None:
        return
    wanted = roles if isinstance(roles, dict) else {CLIENT_ID: roles}
    for client_id, values in wanted.items():
        app = find_app(world, client_id)
        world.directory.unassign(app, person.object_id)
        for value in values:
            try:
                world.directory.assign(app, person.object_id, value)
            except KeyError:
                defined = ", ".join(role.value for role in app.app_roles)
                raise ControlError(
                    f"The application has no role '{value}'.", hint=f"It has {defined}."
                ) from None


def add_tenant(world: World, _rest: str, body: dict[str, Any]) -> dict[str, Any]:
    """A new tenant; its id is made up unless given."""
    tenant = _read(Tenant, {"tenant_id": new_id(), **body}, "tenant")
    world.directory.put(tenant)
    return write_record(tenant)


def groups(world: World, _rest: str = "") -> Any:
    """All groups."""
    return [write_record(group) for group in list(world.directory.groups.values())]


def add_group(world: World, _rest: str, body: dict[str, Any]) -> dict[str, Any]:
    """A new group, of the first tenant unless `tenant_id` says otherwise."""
    fields = {"tenant_id": next(iter(world.directory.tenants)), **body}
    group = _read(Group, fields, "group")
    world.directory.put(group)
    return write_record(group)


def find_app(world: World, name: str) -> App:
    """The application with that client id or name.

    Raises:
        ControlError: 404.
    """
    app = world.directory.apps.get(name.lower())
    app = app or next((a for a in list(world.directory.apps.values()) if a.display_name == name), None)
    if app is None:
        raise ControlError(f"No application is called '{name[:100]}'.", status=404)
    return app


def apps(world: World, rest: str = "") -> Any:
    """All applications, or one."""
    if rest:
        return write_record(find_app(world, rest))
    return [write_record(app) for app in list(world.directory.apps.values())]


def add_app(world: World, _rest: str, body: dict[str, Any]) -> dict[str, Any]:
    """A new application, of the first tenant unless `tenant_id` says otherwise."""
    fields = {"tenant_id": next(iter(world.directory.tenants)), **body}
    app = _read(App, fields, "application")
    world.directory.put(app)
    return write_record(app)


def change_app(world: World, rest: str, body: dict[str, Any]) -> dict[str, Any]:
    """Change some fields of an application."""
    app = _read(App, body, "application", base=find_app(world, rest))
    world.directory.put(app)
    return write_record(app)


def remove_app(world: World, rest: str, _body: dict[str, Any]) -> dict[str, Any]:
    """Delete an application."""
    app = find_app(world, rest)
    del world.directory.apps[app.client_id]
    world.directory.changes += 1
    return {"removed": app.client_id}


def fail(
    world: World,
    name: str,
    *,
    endpoint: str | None = None,
    times: int | None = 1,
    for_seconds: float | None = None,
    **parameters: Any,
) -> list[Fault]:
    """Switch a fault on.

    Raises:
        ControlError: there is no such fault or endpoint.
    """
    if name == "clock":
        world.clock.offset_seconds = float(parameters.get("offset_seconds", 0.0))
        return []
    try:
        faults = make_faults(
            name, endpoint=endpoint, times=times, for_seconds=for_seconds, parameters=parameters
        )
    except UnknownFault as error:
        raise ControlError(
            f"The fault cannot be set: {error}.", hint="GET /_emulator/faults lists them."
        ) from None
    world.faults.add(faults)
    return faults


def add_fault(world: World, _rest: str, body: dict[str, Any]) -> dict[str, Any]:
    """Switch a fault on, described as `fail` takes it."""
    given = dict(body)
    name = given.pop("fault", "")
    if not isinstance(name, str) or not name:
        raise ControlError("The member 'fault' must name a fault.", hint="GET /_emulator/faults lists them.")
    return {"added": [fault.as_dict() for fault in fail(world, name, **given)]}


def clear_faults(world: World, _rest: str, _body: dict[str, Any]) -> dict[str, Any]:
    """Switch every fault off and set the clock right."""
    world.faults.clear()
    world.keys.restore()
    world.clock.offset_seconds = 0.0
    return {"active": []}


def requests(world: World, _rest: str = "") -> Any:
    """The requests received, oldest first, secrets masked, the control API's own left out."""
    return [one.as_dict() for one in world.log.shown() if one.endpoint != "control"]


def clear_requests(world: World, _rest: str, _body: dict[str, Any]) -> dict[str, Any]:
    """Forget the requests received."""
    world.log.clear()
    return {}


def rotate_keys(world: World, _rest: str, body: dict[str, Any]) -> dict[str, Any]:
    """Sign with a new key; `keep_old` false withdraws the old ones."""
    kid = world.keys.rotate(keep_old=bool(body.get("keep_old", True)))
    return {"kid": kid, "keys": [key.kid for key in world.keys.published]}


def revoke_sessions(world: World, _rest: str, body: dict[str, Any]) -> dict[str, Any]:
    """Revoke one person's sessions, or everybody's without `person`."""
    name = str(body.get("person", ""))
    people_meant = [find_person(world, name)] if name else list(world.directory.people.values())
    for person in people_meant:
        world.revoke_sessions(person)
    return {"revoked": [person.user_principal_name for person in people_meant]}


def set_clock(world: World, _rest: str, body: dict[str, Any]) -> dict[str, Any]:
    """Shift the emulator's clock by `offset_seconds`."""
    try:
        world.clock.offset_seconds = float(body.get("offset_seconds", 0.0))
    except (TypeError, ValueError):
        raise ControlError("The member 'offset_seconds' must be a number.") from None
    return {"offset_seconds": world.clock.offset_seconds}


def change_settings(world: World, _rest: str, body: dict[str, Any]) -> dict[str, Any]:
    """Switch the password grant on or off, limit loops, block foreign applications in a tenant."""
    if "password_grant" in body:
        world.password_grant = bool(body["password_grant"])
    if "loop_limit" in body:
        if not isinstance(body["loop_limit"], int) or body["loop_limit"] < 0:
            raise ControlError("The member 'loop_limit' must be a number of requests, or 0 for any number.")
        world.loops.limit = body["loop_limit"]
    for name in body.get("tenants_blocking_foreign_apps", ()):
        tenant = world.directory.tenant(str(name))
        if tenant is not None:
            world.directory.put(replace(tenant, blocks_foreign_apps=True))
    return state(world)


def reset(world: World, _rest: str, _body: dict[str, Any]) -> dict[str, Any]:
    """Back to the directory of the start: no faults, no sessions, no memory of requests."""
    world.reset()
    return state(world)
