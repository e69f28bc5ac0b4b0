"""The directory: tenants, people, groups, applications and what they were granted.

Owns the records and the look-ups between them.  Every record is frozen; a change replaces it, so a
request that began with a record ends with it.
Refuses nothing about policy: who may sign in is decided in `admission`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

GRAPH_APP_ID = "00000003-0000-0000-c000-000000000000"
PERSONAL_TENANT_ID = "9188040d-6c67-4c5b-b112-36a304b66dad"
"""The tenant of personal Microsoft accounts, the same everywhere."""

DEFAULT_PASSWORD = "Emulated-1"  # noqa: S105 public by design

SINGLE_TENANT = "AzureADMyOrg"
MULTI_TENANT = "AzureADMultipleOrgs"


def new_id() -> str:
    """A fresh object id."""
    return str(uuid.uuid4())


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """A directory of one organisation.  `cloud` other than `public` means: not served by this login host."""

    tenant_id: str
    domain: str
    display_name: str = ""
    cloud: str = "public"
    blocks_foreign_apps: bool = False


@dataclass(frozen=True, kw_only=True)
class Person:
    """One user object of one tenant; a guest names the home tenant and the name used there.

    `conditional_access` is empty, `block` or `mfa`.  `error` is an AADSTS number that every sign-in of
    this person ends in.  `sessions_valid_from` is the moment before which no session or refresh token counts.
    """

    tenant_id: str
    user_principal_name: str
    object_id: str = field(default_factory=new_id)
    display_name: str = ""
    given_name: str = ""
    surname: str = ""
    mail: str = ""
    mail_verified: bool = True
    job_title: str = ""
    enabled: bool = True
    password: str = DEFAULT_PASSWORD
    password_expired: bool = False
    home_tenant_id: str = ""
    home_user_principal_name: str = ""
    groups: tuple[str, ...] = ()
    conditional_access: str = ""
    sign_in_frequency_seconds: int = 0
    error: int = 0
    sessions_valid_from: float = 0.0
    photo: bool = False
    administrator: bool = False

    @property
    def guest(self) -> bool:
        """Whether the account's home is another tenant."""
        return bool(self.home_tenant_id)

    @property
    def sign_in_name(self) -> str:
        """The name the person types: of the home tenant for a guest."""
        return self.home_user_principal_name or self.user_principal_name


@dataclass(frozen=True, kw_only=True)
class Group:
    """A group; `member_of` names the groups it is nested in."""

    tenant_id: str
    display_name: str
    object_id: str = field(default_factory=new_id)
    description: str = ""
    security_enabled: bool = True
    member_of: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class AppRole:
    """A role that an application defines."""

    value: str
    role_id: str = field(default_factory=new_id)
    display_name: str = ""
    description: str = ""
    allowed_member_types: tuple[str, ...] = ("User", "Application")
    enabled: bool = True


@dataclass(frozen=True, kw_only=True)
class Secret:
    """A client secret; `expires` in seconds since the epoch, 0 for never."""

    value: str
    key_id: str = field(default_factory=new_id)
    display_name: str = ""
    starts: float = 0.0
    expires: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """A certificate that may sign client assertions."""

    pem: str
    key_id: str = field(default_factory=new_id)
    display_name: str = ""


@dataclass(frozen=True, kw_only=True)
class FederatedCredential:
    """A foreign issuer whose token stands in for a secret.

    `jwks` is the issuer's key set as JSON text: the emulator never fetches anything.
    """

    issuer: str
    subject: str
    name: str = ""
    audiences: tuple[str, ...] = ("api://AzureADTokenExchange",)
    jwks: str = ""


@dataclass(frozen=True, kw_only=True)
class App:
    """An application registration together with its enterprise application (service principal).

    `admin_consented` lists delegated permissions granted for everybody in the home tenant and
    `application_permissions` those granted to the application itself, as `resource/Permission`; a bare
    name means Graph.  `group_claims` is `None`, `SecurityGroup` or `ApplicationGroup`.
    """

    tenant_id: str
    client_id: str = field(default_factory=new_id)
    object_id: str = field(default_factory=new_id)
    service_principal_id: str = field(default_factory=new_id)
    display_name: str = ""
    audience: str = SINGLE_TENANT
    enabled: bool = True
    secrets: tuple[Secret, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    federated_credentials: tuple[FederatedCredential, ...] = ()
    web_redirect_uris: tuple[str, ...] = ()
    spa_redirect_uris: tuple[str, ...] = ()
    public_redirect_uris: tuple[str, ...] = ()
    logout_url: str = ""
    identifier_uris: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    app_roles: tuple[AppRole, ...] = ()
    optional_claims: tuple[str, ...] = ()
    group_claims: str = "None"
    access_token_version: int = 2
    assignment_required: bool = False
    id_token_issuance: bool = False
    public_client: bool = False
    admin_consented: tuple[str, ...] = ()
    application_permissions: tuple[str, ...] = ()

    @property
    def multi_tenant(self) -> bool:
        """Whether people of other tenants may sign in."""
        return self.audience != SINGLE_TENANT

    @property
    def redirect_uris(self) -> tuple[str, ...]:
        """All registered redirect URIs, whatever the platform."""
        return self.web_redirect_uris + self.spa_redirect_uris + self.public_redirect_uris


@dataclass(frozen=True, kw_only=True)
class RoleAssignment:
    """A role of an application given to a person, a group or another application's service principal."""

    client_id: str
    principal_id: str
    role_id: str
    assignment_id: str = field(default_factory=new_id)


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A Conditional Access policy: `control` is `block` or `mfa`; whom and what it concerns is told by id.

    Empty `people` and `groups` mean everybody of the tenant, empty `apps` every application.
    """

    tenant_id: str
    control: str
    policy_id: str = field(default_factory=new_id)
    display_name: str = ""
    enabled: bool = True
    people: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    excluded_people: tuple[str, ...] = ()
    apps: tuple[str, ...] = ()


Record = Tenant | Person | Group | App | RoleAssignment | Policy


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

    def revoke_consent(self, app: App) -> None:
        """Forget every consent given to the app by people and administrators at run time."""
        for key in [key for key in self.consents if key[1] == app.client_id]:
            del self.consents[key]
        self.changes += 1


@lru_cache(maxsize=256)
def _all_qualified(permissions: tuple[str, ...]) -> frozenset[str]:
    return frozenset(qualified(permission) for permission in permissions)


def qualified(permission: str) -> str:
    """`resource id/Permission`; a bare name is one of Graph's."""
    return permission if "/" in permission else f"{GRAPH_APP_ID}/{permission}"
