"""The records of the directory: tenants, people, groups, applications, assignments and policies.

Every record is frozen; a change replaces it, so a request that began with a record ends with it.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

GRAPH_APP_ID = "00000003-0000-0000-c000-000000000000"
PERSONAL_TENANT_ID = "9188040d-6c67-4c5b-b112-36a304b66dad"
"""The tenant of personal Microsoft accounts, the same everywhere."""
DEFAULT_PASSWORD = "Emulated-1"  # noqa: S105 public by design
SINGLE_TENANT = "AzureADMyOrg"


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
