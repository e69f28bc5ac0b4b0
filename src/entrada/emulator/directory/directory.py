"""The directory: tenants, people, groups, applications and what they were granted.

Owns the look-ups between the records, and every change of them.
Refuses nothing about policy: who may sign in is decided in `tokens.admission`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from .records import GRAPH_APP_ID, App, Group, Person, Policy, Record, RoleAssignment, Tenant


class Directory:
    """All records, by id."""

    def __init__(self) -> None:
        self.tenants: dict[str, Tenant] = {}
        self.people: dict[str, Person] = {}
        self.groups: dict[str, Group] = {}
        self.apps: dict[str, App] = {}
        self.assignments: dict[str, RoleAssignment] = {}
        self.policies: dict[str, Policy] = {}
        self.consents: dict[tuple[str, str, str], set[str]] = {}
        self.changes = 0

    def put(self, *records: Record) -> None:
        """Add records, or replace those with the same id."""
        for record in records:
            match record:
                case Tenant():
                    self.tenants[record.tenant_id] = record
                case Person():
                    self.people[record.object_id] = record
                case Group():
                    self.groups[record.object_id] = record
                case App():
                    self.apps[record.client_id] = record
                case RoleAssignment():
                    self.assignments[record.assignment_id] = record
                case Policy():
                    self.policies[record.policy_id] = record
        self.changes += 1

    def remove_person(self, object_id: str) -> None:
        """Delete a person and what the person was assigned."""
        self.people.pop(object_id, None)
        for assignment in [a for a in self.assignments.values() if a.principal_id == object_id]:
            del self.assignments[assignment.assignment_id]
        self.changes += 1

    def remove_policy(self, policy_id: str) -> None:
        """Delete a Conditional Access policy."""
        self.policies.pop(policy_id, None)
        self.changes += 1

    def tenant(self, name: str) -> Tenant | None:
        """The tenant with that GUID or domain, in any case."""
        name = name.lower()
        found = self.tenants.get(name)
        return found or next((t for t in self.tenants.values() if t.domain == name), None)

    def person(self, name: str, *, tenant_id: str = "") -> Person | None:
        """The person with that object id, user principal name, home name or mail, in any case.

        Names beat mail addresses, because anyone may carry anybody's address.
        """
        name = name.lower()
        people = [p for p in list(self.people.values()) if not tenant_id or p.tenant_id == tenant_id]
        for key in ("user_principal_name", "object_id", "home_user_principal_name", "mail"):
            for person in people:
                if getattr(person, key).lower() == name:
                    return person
        return None

    def people_of(self, tenant_id: str) -> list[Person]:
        """The people of a tenant in the order they were added."""
        return [person for person in list(self.people.values()) if person.tenant_id == tenant_id]

    def app_by_resource(self, identifier: str) -> App | None:
        """The application that answers to an App ID URI, `api://` client id or bare client id."""
        bare = identifier.removeprefix("api://").rstrip("/").lower()
        if bare in self.apps:
            return self.apps[bare]
        wanted = identifier.rstrip("/")
        return next((a for a in list(self.apps.values()) if wanted in a.identifier_uris), None)

    def group_ids_of(self, person: Person) -> list[str]:
        """All groups the person is in, nested ones included, direct ones first."""
        return list(self._closure(person.groups))

    def _closure(self, group_ids: Iterable[str]) -> Iterator[str]:
        seen: set[str] = set()
        waiting = list(group_ids)
        while waiting:
            group_id = waiting.pop(0)
            group = self.groups.get(group_id)
            if group is None or group_id in seen:
                continue
            seen.add(group_id)
            waiting.extend(group.member_of)
            yield group_id

    def roles_of(self, app: App, principal_id: str, group_ids: Iterable[str] = ()) -> list[str]:
        """Values of the app's enabled roles held by a principal directly or, for people, by direct groups."""
        principals = {principal_id, *group_ids}
        held = {
            a.role_id
            for a in list(self.assignments.values())
            if a.client_id == app.client_id and a.principal_id in principals
        }
        return [role.value for role in app.app_roles if role.role_id in held and role.enabled and role.value]

    def assigned(self, app: App, person: Person) -> bool:
        """Whether the person, or one of the person's direct groups, is assigned to the app."""
        principals = {person.object_id, *person.groups}
        return any(
            a.client_id == app.client_id and a.principal_id in principals
            for a in list(self.assignments.values())
        )

    def assign(self, app: App, principal_id: str, role_value: str) -> RoleAssignment:
        """Give a role of the app to a principal.

        Raises:
            KeyError: the app defines no such role.
        """
        role = next((role for role in app.app_roles if role.value == role_value), None)
        if role is None:
            raise KeyError(role_value)
        assignment = RoleAssignment(client_id=app.client_id, principal_id=principal_id, role_id=role.role_id)
        self.put(assignment)
        return assignment

    def unassign(self, app: App, principal_id: str) -> None:
        """Take all roles of the app from a principal."""
        for assignment in list(self.assignments.values()):
            if assignment.client_id == app.client_id and assignment.principal_id == principal_id:
                del self.assignments[assignment.assignment_id]
        self.changes += 1

    def consented(self, app: App, tenant_id: str, object_id: str = "") -> set[str]:
        """Delegated permissions (`resource id/Permission`) granted to the app for this person."""
        granted: set[str] = set()
        if tenant_id == app.tenant_id:
            granted |= _all_qualified(app.admin_consented)
        granted |= self.consents.get((tenant_id, app.client_id, ""), set())
        if object_id:
            granted |= self.consents.get((tenant_id, app.client_id, object_id), set())
        return granted

    def consent(self, app: App, tenant_id: str, object_id: str, permissions: Iterable[str]) -> None:
        """Record a consent; an empty object id grants it for the whole tenant."""
        key = (tenant_id, app.client_id, object_id)
        self.consents[key] = self.consents.get(key, set()) | {qualified(p) for p in permissions}
        self.changes += 1


@lru_cache(maxsize=256)
def _all_qualified(permissions: tuple[str, ...]) -> frozenset[str]:
    return frozenset(qualified(permission) for permission in permissions)


def qualified(permission: str) -> str:
    """`resource id/Permission`; a bare name is one of Graph's."""
    return permission if "/" in permission else f"{GRAPH_APP_ID}/{permission}"
