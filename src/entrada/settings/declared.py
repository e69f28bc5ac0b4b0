"""Every setting, declared once.

The loader, the error texts, `entrada settings` and the reference page all read `Settings` below.
`entrada.settings` finds the values; this module says what they are and refuses what cannot be.
An error names the variable and the fix, never the value of a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from entrada.accounts.admission import LinkByEmail
from entrada.accounts.roles import RolesSync, role_mapping
from entrada.entra.authority import MULTI_TENANT_SEGMENTS, TenantId
from entrada.errors import ConfigurationError
from entrada.settings.sources import FoundValues, find_values
from entrada.settings.values import (
    read_client_id,
    read_domains,
    read_duration,
    read_guests,
    read_host_origin,
    read_items,
    read_json_object,
    read_origin,
    read_paths,
    read_projects,
    read_tenant,
    read_tenant_ids,
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
        json_schema_extra={"aliases": list(aliases), "secret": secret, "unit": unit},
    )


class Settings(BaseSettings):
    """All settings, checked. Made by `load_settings`."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

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
        "The tenant's GUID or domain; 'organizations' or 'common' only with ENTRADA_ALLOWED_TENANTS.",
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
    client_secret: SecretStr | None = _declare(
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
    cloud: str | None = _declare(None, "The national cloud: public (default), usgov, usgov-dod or china.")
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
    roles_mapping: Annotated[dict[str, str], BeforeValidator(read_json_object)] = _declare(
        {},
        "JSON object: app role value, group object id or group:NAME → the application's role.",
        "ACTIVE_DIRECTORY_ROLES_MAPPING",
    )
    default_role: str | None = _declare(None, "The role of a person with no mapped role; empty: none.")
    roles_required: bool = _declare(False, "Refuse people with no mapped role.")
    roles_sync: RolesSync = _declare(
        RolesSync.EVERY_SIGN_IN, "When roles follow Entra: every_sign_in or first_sign_in."
    )
    guests: Annotated[Literal["allow", "deny"] | list[TenantId], BeforeValidator(read_guests)] = _declare(
        "deny", "Guests: allow, deny, or the GUIDs of their home tenants, comma-separated."
    )
    link_by_email: LinkByEmail = _declare(
        LinkByEmail.NEVER, "Link to an existing account by e-mail: never, or verified."
    )
    verified_domains: Annotated[list[str], BeforeValidator(read_domains)] = _declare(
        [], "E-mail domains that the single configured tenant owns, comma-separated."
    )
    database_url: str = _declare("sqlite:///entrada.db", "Where accounts and sessions are kept.", secret=True)
    redis_url: str | None = _declare(
        None, "Shared live sessions and revocation for several servers.", secret=True
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
    recheck_every: Duration = _declare(
        timedelta(minutes=15),
        "How often Entra is asked again about people who signed in to Mage or dstack.",
        unit="duration (30m, 8h, 7d)",
    )
    entra_only: bool = _declare(
        False, "Mage and dstack: no other way to sign in, but for ENTRADA_BREAK_GLASS_USERS and admins."
    )
    break_glass_users: Annotated[list[str], BeforeValidator(read_items)] = _declare(
        [],
        "Who gets in without Entra though ENTRADA_ENTRA_ONLY is true. Mage: e-mail addresses of owners, with "
        "their password; dstack: user names or e-mail addresses, with their token.",
    )
    dstack_projects: Annotated[dict[str, dict[str, str]], BeforeValidator(read_projects)] = _declare(
        {}, "JSON object: app role, group object id or group:NAME → {dstack project: admin, manager or user}."
    )
    sign_in_label: str = _declare("Sign in with Microsoft Entra ID", "The text on the button.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `find_values` found: ranks of aliases and their conflicts are decided there."""
        return (init_settings,)


def load_settings(environ: Mapping[str, str], *, file: Path | None = None) -> tuple[Settings, FoundValues]:
    """The settings, and where each value came from. `file` is an `entrada.toml`; None: no file.

    Raises:
        ConfigurationError: names the first setting that cannot be used, and the fix.
    """
    found = find_values(environ, file=file, declared=Settings.model_fields)
    try:
        settings = Settings(**found.values)
    except ValidationError as problem:
        raise _as_sentence(problem, found) from None
    _check_together(settings, found)
    return settings, found


_MESSAGES = {
    "string_type": "write it as text",
    "path_type": "write it as text",
    "bool_parsing": "write true or false",
    "bool_type": "write true or false",
}
"""Where pydantic's own words would help nobody."""


def _as_sentence(problem: ValidationError, found: FoundValues) -> ConfigurationError:
    first = problem.errors(include_url=False, include_input=False, include_context=False)[0]
    name = str(first["loc"][0])
    message = _MESSAGES.get(first["type"]) or first["msg"].removeprefix("Value error, ")
    return ConfigurationError(
        f"{found.name_of(name)} cannot be used: {message.replace('Input should be', 'it should be')}.",
        hint=f"What it means: {Settings.model_fields[name].description}",
        setting=found.name_of(name),
    )


def _check_together(settings: Settings, found: FoundValues) -> None:
    """What no single setting can get wrong."""

    def refuse(name: str, sentence: str, hint: str) -> ConfigurationError:
        return ConfigurationError(f"{found.name_of(name)} {sentence}", hint=hint, setting=found.name_of(name))

    if settings.tenant_id in MULTI_TENANT_SEGMENTS and not settings.allowed_tenants:
        raise refuse(
            "tenant_id",
            f"is {settings.tenant_id!r}, which would let every organisation in.",
            "Name the tenants that may sign in in ENTRADA_ALLOWED_TENANTS, or set a single tenant's GUID.",
        )
    if settings.allowed_tenants and settings.tenant_id not in (None, *MULTI_TENANT_SEGMENTS):
        raise refuse(
            "allowed_tenants",
            "is set although ENTRADA_TENANT_ID names a single tenant.",
            "Set ENTRADA_TENANT_ID=organizations to let several tenants sign in, or drop the list.",
        )
    if settings.allowed_tenants and (unclear := _groups_of_no_tenant(settings.roles_mapping)):
        raise refuse(
            "roles_mapping",
            f"names the group {unclear!r} without its tenant, but several tenants may sign in.",
            "Write tenant-id/group-id: a group of one tenant must not give roles in another.",
        )
    urls = [url for url in (settings.public_url, *settings.extra_urls) if url]
    if settings.response_mode == "form_post" and not all(url.startswith("https:") for url in urls):
        raise refuse(
            "response_mode",
            "is form_post, but not every URL of this application is https.",
            "Browsers send the needed cookie over https only: use https, or response mode 'query'.",
        )
    if settings.default_role and settings.roles_required:
        raise refuse(
            "roles_required",
            "and ENTRADA_DEFAULT_ROLE contradict each other.",
            "Either give people without a mapped role the default one, or refuse them.",
        )
    if settings.verified_domains and settings.allowed_tenants:
        raise refuse(
            "verified_domains",
            "speaks for one tenant, but several may sign in.",
            "With several tenants only the xms_edov claim can vouch for an address; drop the list.",
        )
    if settings.session_idle > settings.session_absolute:
        raise refuse(
            "session_idle",
            "is longer than ENTRADA_SESSION_ABSOLUTE.",
            "Make the idle limit the shorter one.",
        )
    for url in urls:
        if url.startswith("http:") and urlsplit(url).hostname not in LOOPBACK_HOSTS:
            raise refuse(
                "public_url" if url == settings.public_url else "extra_urls",
                f"holds {url}, which is plain http.",
                "Session cookies need https. Plain http works on localhost only, as Entra itself demands.",
            )


def _groups_of_no_tenant(mapping: Mapping[str, str]) -> str | None:
    """The first key that means a group but does not say of which tenant."""
    sorted_mapping = role_mapping(mapping)
    bare = [group for tenant, group in sorted_mapping.groups if tenant is None]
    return next(iter([*bare, *sorted_mapping.group_names]), None)
