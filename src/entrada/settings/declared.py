"""Every setting, declared once.

The loader, the error texts, `entrada settings` and the reference page all read `Settings` below.
`entrada.settings` finds the values; this module says what they are and refuses what cannot be.
An error names the variable and the fix, never the value of a secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from entrada.accounts.admission import GuestRule, LinkByEmail
from entrada.accounts.groups import WantedGroups
from entrada.accounts.roles import RoleMapping, RolesSync
from entrada.entra.authority import Authority, TenantId
from entrada.entra.callers import USUAL_CALLERS, CallerKind
from entrada.entra.clouds import Cloud
from entrada.entra.credential import ClientCredential, credentials_for
from entrada.entra.hosts import authority_for, required
from entrada.entra.registration import Registration, registration_at_broker
from entrada.settings.values import (
    read_client_id,
    read_cloud,
    read_domains,
    read_duration,
    read_guests,
    read_habits,
    read_host_origin,
    read_items,
    read_keep,
    read_line,
    read_listen_address,
    read_origin,
    read_paths,
    read_projects,
    read_role,
    read_roles_mapping,
    read_secret,
    read_tenant,
    read_tenant_ids,
    read_wanted_groups,
)

DEFAULT_CALLBACK_PATH = "/auth/entra/callback"
MAGE_CALLBACK_PATH = "/oauth"
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})

Duration = Annotated[timedelta, BeforeValidator(read_duration)]
Origin = Annotated[str, BeforeValidator(read_origin)]
HostOrigin = Annotated[str, BeforeValidator(read_host_origin)]


def _declare(default: Any, help_text: str, *aliases: str, secret: bool = False, unit: str = "") -> Any:
    """A setting. `aliases` are other products' names for it; AZURE_* ones rank lowest."""
    return Field(
        default=default,
        description=help_text,
        validate_default=False,
        repr=not secret,
        json_schema_extra={"aliases": list(aliases), "secret": secret, "unit": unit},
    )


class Settings(BaseModel):
    """All settings, of their final types. Made by `load_settings`; a repr shows no secret."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, arbitrary_types_allowed=True
    )

    public_url: Origin | None = _declare(
        None,
        "The one URL people use; redirect URIs and cookies derive from it, never from request headers.",
        "DSTACK_SERVER_URL",
    )
    extra_urls: Annotated[list[Origin], BeforeValidator(read_items)] = _declare(
        [], "Further URLs, comma-separated, each with a redirect URI of its own.", "DSTACK_ENTRA_EXTRA_URLS"
    )
    tenant_id: Annotated[str, BeforeValidator(read_tenant)] | None = _declare(
        None,
        "The tenant's GUID or domain; 'organizations' or 'common' only with $[allowed_tenants].",
        "ACTIVE_DIRECTORY_DIRECTORY_ID",
        "DSTACK_ENTRA_TENANT_ID",
        "AZURE_TENANT_ID",
    )
    allowed_tenants: Annotated[list[TenantId], BeforeValidator(read_tenant_ids)] = _declare(
        [], "GUIDs of the tenants that may sign in, comma-separated."
    )
    client_id: Annotated[str, BeforeValidator(read_client_id)] | None = _declare(
        None,
        "The application (client) ID of the registration.",
        "ACTIVE_DIRECTORY_CLIENT_ID",
        "DSTACK_ENTRA_CLIENT_ID",
        "AZURE_CLIENT_ID",
    )
    client_secret: Annotated[SecretStr, BeforeValidator(read_secret)] | None = _declare(
        None,
        "The client secret's value; two, comma-separated, while you change it.",
        "ACTIVE_DIRECTORY_CLIENT_SECRET",
        "DSTACK_ENTRA_CLIENT_SECRET",
        "AZURE_CLIENT_SECRET",
        secret=True,
    )
    client_certificate_path: Path | None = _declare(
        None, "PEM file with the private key and the certificate.", "AZURE_CLIENT_CERTIFICATE_PATH"
    )
    federated_token_file: Path | None = _declare(
        None, "File with a token for workload identity federation.", "AZURE_FEDERATED_TOKEN_FILE"
    )
    cloud: Annotated[Cloud, BeforeValidator(read_cloud)] | None = _declare(
        None, "The national cloud: public (default), usgov, usgov-dod or china."
    )
    authority_host: HostOrigin | None = _declare(
        None, "The login host, if it is not the cloud's own.", "AZURE_HOST", "AZURE_AUTHORITY_HOST"
    )
    graph_host: HostOrigin | None = _declare(
        None, "The Graph host, if it is not the cloud's own.", "MICROSOFT_GRAPH_API_HOST"
    )
    ca_bundle: Path | None = _declare(None, "PEM file of authorities trusted besides the system's.")
    insecure_allow_emulator: bool = _declare(
        False, "Accept a login host that is not Microsoft's, such as an emulator. Never in production."
    )
    response_mode: Literal["query", "form_post"] = _declare(
        "query", "How Entra answers: query, or form_post (https only)."
    )
    callback_paths: Annotated[list[str], BeforeValidator(read_paths)] = _declare(
        [],
        f"Paths of the redirect URI; the first is the one sent to Entra (default {DEFAULT_CALLBACK_PATH}).",
    )
    roles_mapping: Annotated[RoleMapping, BeforeValidator(read_roles_mapping)] = _declare(
        RoleMapping(),
        "JSON object: app role value, group object id or group:NAME → the application's role.",
        "ACTIVE_DIRECTORY_ROLES_MAPPING",
    )
    groups: Annotated[WantedGroups, BeforeValidator(read_wanted_groups)] = _declare(
        WantedGroups(),
        "Groups that people's sessions carry besides those that rules and the roles mapping name, for "
        "identity fields and ?allowed_groups=: object ids or group:NAME, comma-separated; or all.",
    )
    default_role: Annotated[str, BeforeValidator(read_role)] | None = _declare(
        None, "The role of a person with no mapped role; empty: none."
    )
    roles_required: bool = _declare(False, "Refuse people with no mapped role.")
    roles_sync: RolesSync = _declare(
        RolesSync.EVERY_SIGN_IN, "When roles follow Entra: every_sign_in or first_sign_in."
    )
    guests: Annotated[GuestRule, BeforeValidator(read_guests)] = _declare(
        GuestRule(), "Guests: allow, deny, or the GUIDs of their home tenants, comma-separated."
    )
    link_by_email: LinkByEmail = _declare(
        LinkByEmail.NEVER, "Link to an existing account by e-mail: never, or verified."
    )
    verified_domains: Annotated[list[str], BeforeValidator(read_domains)] = _declare(
        [], "E-mail domains that the single configured tenant owns, comma-separated."
    )
    database_url: str = _declare(
        "sqlite:///entrada.db", "Where accounts and sessions are stored.", secret=True
    )
    secret_keys: SecretStr | None = _declare(
        None,
        "Keys that seal cookies, comma-separated: the first seals, all open; at least 32 bytes each.",
        secret=True,
    )
    session_idle: Duration = _declare(
        timedelta(hours=8), "How long a session lives without a request.", unit="duration (30m, 8h, 7d)"
    )
    session_absolute: Duration = _declare(
        timedelta(hours=24), "How long a session lives at most.", unit="duration (30m, 8h, 7d)"
    )
    sign_in_life: Duration = _declare(
        timedelta(hours=1),
        "How long a person may take at Microsoft before the sign-in begins anew.",
        unit="duration (30m, 8h, 7d)",
    )
    recheck_every: Duration = _declare(
        timedelta(minutes=15),
        "How often Entra is asked again about whoever is signed in, which is how long a leaver stays; "
        "not below 1m.",
        unit="duration (30m, 8h, 7d)",
    )
    delta_every: Duration | None = _declare(
        None,
        "How often Microsoft Graph is asked who was disabled, deleted or changed groups (delta queries), "
        "such as 5s: a leaver is out within seconds of Graph's knowing. Needs the application permissions "
        "User.Read.All and, for groups, GroupMember.Read.All of Microsoft Graph. Not set: "
        "$[recheck_every] alone.",
        unit="duration (30m, 8h, 7d)",
    )
    audit_keep: Annotated[timedelta | None, BeforeValidator(read_keep)] = _declare(
        timedelta(days=400),
        "How long entries of the audit trail are kept: a duration, or forever.",
        unit="duration (90d, 400d) or forever",
    )
    audit_log: Annotated[str, BeforeValidator(read_line)] | None = _declare(
        None, "Where entries of the audit trail go as well, as JSON lines: a file, stdout or syslog."
    )
    entra_only: bool = _declare(
        False, "Mage and dstack: no other way to sign in, but for $[break_glass_users] and admins."
    )
    break_glass_users: Annotated[list[str], BeforeValidator(read_items)] = _declare(
        [],
        "Who gets in without Entra though $[entra_only] is true. Mage: e-mail addresses of owners, with "
        "their password; dstack: user names or e-mail addresses, with their token.",
    )
    dstack_projects: Annotated[dict[str, dict[str, str]], BeforeValidator(read_projects)] = _declare(
        {}, "JSON object: app role, group object id or group:NAME → {dstack project: admin, manager or user}."
    )
    dstack_end_with_access: Annotated[list[Literal["keys", "runs"]], BeforeValidator(read_items)] = _declare(
        [],
        "dstack: what of a leaver's ends with their access, besides the token: keys (uploaded SSH keys are "
        "deleted, the user's own pair is replaced), runs (stopped). Comma-separated; empty: neither.",
    )
    application_name: Annotated[str, BeforeValidator(read_line)] | None = _declare(
        None, "The name of the application on the pages (default: the public URL's host)."
    )
    sign_in_label: Annotated[str, BeforeValidator(read_line)] = _declare(
        "Sign in with Microsoft Entra ID", "The text on the button, one line."
    )
    trusted_proxies: Annotated[list[str], BeforeValidator(read_items)] = _declare(
        [], "Addresses, networks or unix: the hops in front whose word about a request is believed."
    )
    access_log: Annotated[str, BeforeValidator(read_line)] | None = _declare(
        None,
        "stdout, or a file that `entrada serve` appends a line of JSON to for each request. Not set: none.",
    )
    metrics_address: Annotated[str, BeforeValidator(read_listen_address)] | None = _declare(
        None,
        "host:port at which `entrada serve` answers /metrics, and nothing else. Not set: only a machine "
        "whose public URL is on loopback reads them, at the server's own port.",
    )
    admin_roles: Annotated[list[str], BeforeValidator(read_items)] = _declare(
        [],
        "Roles whose holders administer people at /auth/admin, and at a broker let installations in. "
        "Comma-separated.",
    )
    bearer_scopes: Annotated[list[str], BeforeValidator(read_items)] = _declare(
        [],
        "Scopes of this registration's API: `entrada serve` lets in access tokens with one of them, and "
        "applications' tokens by their app roles. Empty: no token is looked at.",
    )
    habits: Annotated[frozenset[str], BeforeValidator(read_habits)] | None = _declare(
        None,
        "Whose addresses `entrada serve` answers besides its own: oauth2-proxy (/oauth2/start ..., /ping, "
        "/ready), easy-auth (/.auth/...), or none (default: both, and none before an upstream, whose own "
        "addresses they could be).",
    )
    broker: bool = _declare(
        False, "Whether `entrada serve` is a broker, too: installations sign people in through it."
    )
    assertion_algorithm: Literal["ES256", "RS256"] = _declare(
        "ES256", "What signs X-Entrada-Assertion: ES256, or RS256 for applications that know no other."
    )
    assertion_audiences: Annotated[list[str], BeforeValidator(read_items)] = _declare(
        [],
        "Audiences for which a proxy may ask for X-Entrada-Assertion (?audience=), besides those of routes. "
        "Comma-separated.",
    )
    bearer_callers: Annotated[list[CallerKind], BeforeValidator(read_items)] = _declare(
        sorted(USUAL_CALLERS),
        "Which callers with an access token are let in where a rule does not say: person, application, "
        "agent, agent_for_person, agent_user. Comma-separated.",
    )
    broker_url: Origin | None = _declare(
        None,
        "Sign in through the registration of this broker; then only $[tenant_id] is needed besides.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = _declare(
        "info", "How much `entrada serve` logs: debug, info, warning or error."
    )

    @property
    def urls(self) -> list[str]:
        """Every address people use, the public one first."""
        return [url for url in (self.public_url, *self.extra_urls) if url]

    @cached_property
    def authority(self) -> Authority:
        """Login host, Graph host and tenant.

        Raises:
            ConfigurationError: see `authority_for`.
        """
        return authority_for(
            tenant=self.tenant_id or ("organizations" if self.allowed_tenants else None),
            cloud=self.cloud,
            authority_host=self.authority_host,
            graph_host=self.graph_host,
            insecure_allow_emulator=self.insecure_allow_emulator,
        )

    @cached_property
    def credentials(self) -> Sequence[ClientCredential]:
        """How the application proves itself.

        Raises:
            ConfigurationError: see `credentials_for`.
        """
        return credentials_for(
            secret=self.client_secret.get_secret_value() if self.client_secret else None,
            certificate_path=self.client_certificate_path,
            token_file=self.federated_token_file,
        )

    @cached_property
    def registration(self) -> Registration:
        """Everything without which nobody can sign in.

        Raises:
            ConfigurationError: a part of it is missing, or cannot be used.
        """
        if self.broker_url is not None:
            return registration_at_broker(
                broker_url=self.broker_url,
                tenant=self.tenant_id,
                public_url=self.public_url,
                client_id=self.client_id,
                secret=self.client_secret.get_secret_value() if self.client_secret else None,
            )
        return Registration(
            authority=self.authority,
            client_id=required(self.client_id, "client_id", "the Application (client) ID"),
            credentials=self.credentials,
        )

    @property
    def roles(self) -> RoleMapping:
        """The roles mapping with everything that is said about roles."""
        return replace(
            self.roles_mapping,
            default_role=self.default_role,
            required=self.roles_required,
            sync=self.roles_sync,
        )
