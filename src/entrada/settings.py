"""Every setting, declared once.

The loader, the error texts, `entrada settings` and the reference page all read `Settings` below.
`entrada.settings_sources` finds the values; this module says what they are and refuses what cannot be.
An error names the variable and the fix, never the value of a secret.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from entrada.accounts.admission import LinkByEmail
from entrada.accounts.roles import RolesSync, role_mapping
from entrada.entra.authority import MULTI_TENANT_SEGMENTS, TenantId, parse_guid
from entrada.errors import ConfigurationError
from entrada.settings_sources import FoundValues, find_values

DEFAULT_CALLBACK_PATH = "/auth/entra/callback"
MAGE_CALLBACK_PATH = "/oauth"
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})

_DURATION = re.compile(r"(\d{1,6})(s|m|h|d)", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DOMAIN = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}", re.ASCII)
_PATH = re.compile(r"/(?![/\\])[A-Za-z0-9._~/-]*", re.ASCII)
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*|\[[0-9a-f:.]+\]", re.ASCII)


def _items(value: Any) -> list[Any]:
    """A comma-separated text as a list; empty items are dropped."""
    if isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    if not isinstance(value, list):
        raise ValueError("write a comma-separated text, or a list of texts")  # noqa: TRY004  # what pydantic reports
    return value


def _duration(value: Any) -> Any:
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError("write a number and a unit, such as 30m, 8h or 7d")
    if not int(match[1]):
        raise ValueError("it must be longer than nothing; write something such as 30m, 8h or 7d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _origin(value: Any) -> Any:
    """`https://host[:port]`, lower case, without a trailing slash."""
    if not isinstance(value, str):
        return value
    try:
        parts = urlsplit(value := value.strip())
        port = parts.port
    except ValueError:
        raise ValueError("this is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("write it as https://host, with the scheme")
    if parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("only scheme, host and port belong here, no path and no user")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    # urlsplit drops tabs and line ends without a word, and takes any other character for part of a host.
    if not (_HOST.fullmatch(host) and value.isprintable()) or port == 0:
        raise ValueError("this is not a host name; write one outside ASCII in its xn-- form")
    usual = {"https": 443, "http": 80}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, usual) else "")


def _host_origin(value: Any) -> Any:
    """As `_origin`, and a bare host means https, as the azure-identity libraries have it."""
    if isinstance(value, str) and "://" not in value:
        value = f"https://{value}"
    return _origin(value)


def _json_object(value: Any) -> Any:
    """A JSON object of text to text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError('this is not JSON; write an object such as {"Mage.Edit": "Editor"}') from None
    if not isinstance(value, Mapping) or not all(
        isinstance(part, str) and part for pair in value.items() for part in pair
    ):
        raise ValueError('write a JSON object of text to text, such as {"Mage.Edit": "Editor"}')
    return dict(value)


def _tenant(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    if parse_guid(text) or text in MULTI_TENANT_SEGMENTS or _DOMAIN.fullmatch(text):
        return text
    if text == "consumers":
        raise ValueError("it holds personal accounts only; use 'common' with ENTRADA_ALLOWED_TENANTS")
    raise ValueError("this is neither a GUID nor a domain name; copy the Directory (tenant) ID")


def _client_id(value: Any) -> Any:
    """In lower case, as it stands in the `aud` of a token; Entra itself takes it in either."""
    return parse_guid(value.strip()) or value.strip() if isinstance(value, str) else value


def _tenant_ids(value: Any) -> Any:
    return [_tenant_id(item) for item in _items(value)]


def _tenant_id(item: Any) -> TenantId:
    guid = parse_guid(item)
    if guid is None:
        raise ValueError("each entry must be a tenant's GUID")
    return TenantId(guid)


def _guests(value: Any) -> Any:
    """'allow', 'deny', or a list of home tenants."""
    if value in ("allow", "deny"):
        return value
    return _tenant_ids(value)


def _paths(value: Any) -> Any:
    items = _items(value)
    if not all(isinstance(item, str) and _PATH.fullmatch(item) for item in items):
        raise ValueError("each entry must be a path beginning with one slash, such as /oauth")
    return items


def _domains(value: Any) -> Any:
    items = [item.lower() if isinstance(item, str) else item for item in _items(value)]
    if not all(isinstance(item, str) and _DOMAIN.fullmatch(item) for item in items):
        raise ValueError("each entry must be a domain name such as contoso.com")
    return items


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Origin = Annotated[str, BeforeValidator(_origin)]
HostOrigin = Annotated[str, BeforeValidator(_host_origin)]


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
    extra_urls: Annotated[list[Origin], BeforeValidator(_items)] = _declare(
        [], "Further URLs, comma-separated, each with a redirect URI of its own.", "DSTACK_ENTRA_EXTRA_URLS"
    )
    tenant_id: Annotated[str, BeforeValidator(_tenant)] | None = _declare(
        None,
        "The tenant's GUID or domain; 'organizations' or 'common' only with ENTRADA_ALLOWED_TENANTS.",
        "ACTIVE_DIRECTORY_DIRECTORY_ID",
        "DSTACK_ENTRA_TENANT_ID",
        "AZURE_TENANT_ID",
    )
    allowed_tenants: Annotated[list[TenantId], BeforeValidator(_tenant_ids)] = _declare(
        [], "GUIDs of the tenants that may sign in, comma-separated."
    )
    client_id: Annotated[str, BeforeValidator(_client_id)] | None = _declare(
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
    callback_paths: Annotated[list[str], BeforeValidator(_paths)] = _declare(
        [],
        f"Paths of the redirect URI; the first is the one sent to Entra (default {DEFAULT_CALLBACK_PATH}).",
    )
    roles_mapping: Annotated[dict[str, str], BeforeValidator(_json_object)] = _declare(
        {},
        "JSON object: app role value, group object id or group:NAME → the application's role.",
        "ACTIVE_DIRECTORY_ROLES_MAPPING",
    )
    default_role: str | None = _declare(None, "The role of a person with no mapped role; empty: none.")
    roles_required: bool = _declare(False, "Refuse people with no mapped role.")
    roles_sync: RolesSync = _declare(
        RolesSync.EVERY_SIGN_IN, "When roles follow Entra: every_sign_in or first_sign_in."
    )
    guests: Annotated[Literal["allow", "deny"] | list[TenantId], BeforeValidator(_guests)] = _declare(
        "deny", "Guests: allow, deny, or the GUIDs of their home tenants, comma-separated."
    )
    link_by_email: LinkByEmail = _declare(
        LinkByEmail.NEVER, "Link to an existing account by e-mail: never, or verified."
    )
    verified_domains: Annotated[list[str], BeforeValidator(_domains)] = _declare(
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
