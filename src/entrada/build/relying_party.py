"""From settings to a relying party: the only place that chooses implementations.

Everything that can be wrong about settings together with files and databases is found here, before the first
visitor is. Entra itself is not asked: a start must not depend on it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from entrada.accounts.admission import AdmissionPolicy, GuestRule
from entrada.accounts.roles import RoleMapping, role_mapping
from entrada.accounts.store import AccountStore
from entrada.clock import Clock, SystemClock
from entrada.entra.application import EntraApplication
from entrada.entra.authority import Authority
from entrada.entra.clouds import PUBLIC, Cloud, cloud_named, cloud_of_graph_host, cloud_of_login_host
from entrada.entra.credential import ClientCertificate, ClientCredential, ClientSecret, FederatedCredential
from entrada.entra.pooled_transport import PooledTransport
from entrada.entra.transport import HttpTransport
from entrada.errors import ConfigurationError
from entrada.flows.groups import GroupFinder
from entrada.flows.identification import Identification, SpentSignIns
from entrada.flows.key_file import kept_key
from entrada.flows.relying_party import RelyingParty
from entrada.flows.session_check import SessionCheck
from entrada.flows.sign_in import SignIn
from entrada.flows.sign_out import SignOut
from entrada.sealing import MAKE_KEY_COMMAND, SMALLEST_KEY_BYTES
from entrada.sessions.session import SessionPolicy
from entrada.sessions.store import SessionStore
from entrada.settings import (
    DEFAULT_CALLBACK_PATH,
    LOOPBACK_HOSTS,
    MAGE_CALLBACK_PATH,
    FoundValues,
    Settings,
    native_name,
)


@dataclass(frozen=True, kw_only=True)
class Stores:
    """Where accounts and sessions are kept, and how to let go of it."""

    accounts: AccountStore
    sessions: SessionStore
    close: Callable[[], None]


def build_relying_party(
    settings: Settings,
    *,
    found: FoundValues | None = None,
    stores: Stores | None = None,
    clock: Clock | None = None,
) -> RelyingParty:
    """The relying party these settings describe. `stores` replaces the configured database.

    `found` lets an error name the variable that the person used.

    Raises:
        ConfigurationError: a needed setting is missing, or one cannot be carried out.
    """
    clock = clock or SystemClock()
    transport = PooledTransport(ca_bundle=settings.ca_bundle)
    roles = roles_of(settings)
    stores = stores or open_stores(settings.database_url)
    identification = build_identification(
        settings, found=found, roles=roles, spent=stores.sessions, transport=transport, clock=clock
    )
    policy = session_policy_of(settings)
    session_check = SessionCheck(
        accounts=stores.accounts, sessions=stores.sessions, policy=policy, clock=clock
    )

    def close() -> None:
        transport.close()
        stores.close()

    return RelyingParty(
        sign_in=SignIn(
            identification=identification,
            accounts=stores.accounts,
            sessions=stores.sessions,
            admission=admission_of(settings, roles),
            session_policy=policy,
        ),
        session_check=session_check,
        sign_out=SignOut(
            application=identification.application, sessions=stores.sessions, session_check=session_check
        ),
        accounts=stores.accounts,
        sessions=stores.sessions,
        clock=clock,
        close=close,
    )


def build_identification(
    settings: Settings,
    *,
    found: FoundValues | None,
    roles: RoleMapping,
    spent: SpentSignIns,
    transport: HttpTransport,
    clock: Clock,
) -> Identification:
    """The walk to Entra and back these settings describe, for whoever keeps accounts of their own.

    Raises:
        ConfigurationError: a needed setting is missing, or one cannot be carried out.
    """
    authority = authority_of(settings, found)
    application = EntraApplication(
        authority=authority,
        client_id=_required(settings.client_id, "ENTRADA_CLIENT_ID", "the Application (client) ID"),
        credentials=credentials_of(settings, found),
        transport=transport,
        clock=clock.now,
        scopes=_graph_scopes(authority, ids=bool(roles.groups), names=bool(roles.group_names)),
    )
    return Identification(
        application=application,
        groups=GroupFinder(transport=transport, graph_url=authority.graph_url),
        roles=roles,
        spent=spent,
        clock=clock,
        response_mode=settings.response_mode,
        tenants=frozenset(settings.allowed_tenants) or None,
        verified_domains=frozenset(settings.verified_domains),
        setting_names={native_name(name): found.name_of(name) for name in found.origins} if found else {},
    )


def roles_of(settings: Settings) -> RoleMapping:
    return role_mapping(
        settings.roles_mapping,
        default_role=settings.default_role,
        required=settings.roles_required,
        sync=settings.roles_sync,
    )


def admission_of(settings: Settings, roles: RoleMapping) -> AdmissionPolicy:
    """Who is let in, beside what `roles` says."""
    return AdmissionPolicy(roles=roles, guests=_guest_rule(settings), link_by_email=settings.link_by_email)


def session_policy_of(settings: Settings) -> SessionPolicy:
    """The limits of sessions. The store hears of requests well within a short idle limit, too."""
    return SessionPolicy(
        idle=settings.session_idle,
        absolute=settings.session_absolute,
        touch_every=min(SessionPolicy.touch_every, settings.session_idle / 4),
    )


def authority_of(settings: Settings, found: FoundValues | None = None) -> Authority:
    """Login host, Graph host and tenant, from the cloud and what overrides it.

    Raises:
        ConfigurationError: no tenant, hosts of different clouds, or a host that is not Microsoft's.
    """
    try:
        return _authority_of(settings)
    except ConfigurationError as error:
        raise _as_the_person_named_it(error, found) from None


def _authority_of(settings: Settings) -> Authority:
    tenant = settings.tenant_id or ("organizations" if settings.allowed_tenants else None)
    cloud = cloud_named(settings.cloud) if settings.cloud else None
    login_cloud = _cloud_of(settings.authority_host, "ENTRADA_AUTHORITY_HOST", cloud_of_login_host, settings)
    graph_cloud = _cloud_of(settings.graph_host, "ENTRADA_GRAPH_HOST", cloud_of_graph_host, settings)
    if cloud and login_cloud and cloud.login_host != login_cloud.login_host:
        raise _clouds_differ("ENTRADA_CLOUD", "ENTRADA_AUTHORITY_HOST")
    effective = cloud or login_cloud or graph_cloud or PUBLIC
    if graph_cloud and graph_cloud.login_host != effective.login_host:
        raise _clouds_differ(
            "ENTRADA_GRAPH_HOST", "ENTRADA_CLOUD" if settings.cloud else "ENTRADA_AUTHORITY_HOST"
        )
    if settings.authority_host and login_cloud is None and settings.graph_host is None:
        raise ConfigurationError(
            "ENTRADA_AUTHORITY_HOST is not Microsoft's, and ENTRADA_GRAPH_HOST is not set.",
            hint="Name the Graph host that belongs to it; an emulator serves both.",
            setting="ENTRADA_GRAPH_HOST",
        )
    login_is_known = login_cloud is not None or settings.authority_host is None
    graph_is_known = graph_cloud is not None or settings.graph_host is None
    return Authority(
        login_url=f"https://{effective.login_host}" if login_is_known else settings.authority_host or "",
        graph_url=f"https://{(graph_cloud or effective).graph_host}"
        if graph_is_known
        else settings.graph_host or "",
        tenant=_required(tenant, "ENTRADA_TENANT_ID", "the Directory (tenant) ID"),
    )


def credentials_of(settings: Settings, found: FoundValues | None = None) -> Sequence[ClientCredential]:
    """Exactly one kind of credential; of secrets one or two.

    Raises:
        ConfigurationError: none, several kinds at once, or a certificate that cannot be used.
    """
    try:
        return _credentials_of(settings)
    except ConfigurationError as error:
        raise _as_the_person_named_it(error, found) from None


def _credentials_of(settings: Settings) -> Sequence[ClientCredential]:
    secret = settings.client_secret.get_secret_value() if settings.client_secret else ""
    kinds: list[Sequence[ClientCredential]] = [
        [ClientSecret(value=part.strip()) for part in secret.split(",") if part.strip()],
        [ClientCertificate(path=path) for path in [settings.client_certificate_path] if path],
        [FederatedCredential(token_file=path) for path in [settings.federated_token_file] if path],
    ]
    given = [kind for kind in kinds if kind]
    if not given:
        raise ConfigurationError(
            "ENTRADA_CLIENT_SECRET is not set.",
            hint="Put the Value of a client secret there (Entra admin center: App registrations, your app, "
            "Certificates & secrets), or use ENTRADA_CLIENT_CERTIFICATE_PATH or "
            "ENTRADA_FEDERATED_TOKEN_FILE.",
            setting="ENTRADA_CLIENT_SECRET",
        )
    if len(given) > 1:
        raise ConfigurationError(
            "Several kinds of client credential are set at once.",
            hint="Keep one of ENTRADA_CLIENT_SECRET, ENTRADA_CLIENT_CERTIFICATE_PATH and "
            "ENTRADA_FEDERATED_TOKEN_FILE.",
            setting="ENTRADA_CLIENT_SECRET",
        )
    for credential in given[0]:
        for_msal = credential.for_msal()
        if isinstance(credential, ClientCertificate):
            _check_pair(credential.path, for_msal["private_key"].encode())
    return given[0]


def _check_pair(path: Path, pem: bytes) -> None:
    """MSAL looks at key and certificate only when the first person signs in; that is too late to say so."""
    try:
        key, certificate = load_pem_private_key(pem, password=None), load_pem_x509_certificate(pem)
        wrong = "" if isinstance(key, RSAPrivateKey) else "the key is not an RSA key"
        if key.public_key() != certificate.public_key():
            wrong = "key and certificate do not belong together"
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        wrong = "the key has a password" if isinstance(error, TypeError) else "it cannot be read as PEM"
    if wrong:
        raise ConfigurationError(
            f"ENTRADA_CLIENT_CERTIFICATE_PATH names {str(path)!r}, which cannot be used: {wrong}.",
            hint="It wants one PEM file: an RSA private key without password, and its certificate.",
            setting="ENTRADA_CLIENT_CERTIFICATE_PATH",
        )


def open_stores(database_url: str) -> Stores:
    """The stores behind a database URL, brought up to date; `memory:` keeps everything in this process.

    Raises:
        ConfigurationError: SQLAlchemy is not installed, or the URL names no database Entrada knows.
        StoreUnavailable: the database does not answer.
    """
    if database_url == "memory:":
        from entrada.storage.memory import MemoryAccountStore, MemorySessionStore

        memory_sessions = MemorySessionStore()
        return Stores(
            accounts=MemoryAccountStore(sessions=memory_sessions),
            sessions=memory_sessions,
            close=lambda: None,
        )
    try:
        from entrada.storage.sql import SqlAccountStore, SqlSessionStore, connect
    except ModuleNotFoundError as missing:
        raise ConfigurationError(
            f"Keeping accounts in a database needs {missing.name}, which is not installed.",
            hint='Install it with: pip install "./entrada[server]"',
            setting="ENTRADA_DATABASE_URL",
        ) from None
    database = connect(database_url)
    database.migrate()
    return Stores(
        accounts=SqlAccountStore(database), sessions=SqlSessionStore(database), close=database.close
    )


def secret_keys_of(settings: Settings, *, key_file: Path | None = None) -> list[bytes]:
    """The keys that seal cookies: as set, or made and kept in `key_file`, or beside an SQLite database.

    Raises:
        ConfigurationError: too short, or not set where several servers must share them.
    """
    if settings.secret_keys is not None:
        keys = [part.strip().encode() for part in settings.secret_keys.get_secret_value().split(",")]
        if any(len(set(key)) < 8 for key in keys):
            raise ConfigurationError(
                "ENTRADA_SECRET_KEYS holds a key that can be guessed.",
                hint=f"Make one with: {MAKE_KEY_COMMAND}",
                setting="ENTRADA_SECRET_KEYS",
            )
        return keys
    if key_file is not None:
        return [kept_key(key_file)]
    url = settings.database_url
    path = Path(url.removeprefix("sqlite:///").partition("?")[0]) if url.startswith("sqlite:///") else Path()
    if url in ("memory:", "sqlite://", "sqlite:///:memory:"):
        return [secrets.token_bytes(SMALLEST_KEY_BYTES)]
    if not path.name:
        raise shared_key_missing()
    return [kept_key(path.with_suffix(".keys"))]


def shared_key_missing() -> ConfigurationError:
    return ConfigurationError(
        "ENTRADA_SECRET_KEYS is not set, but several servers may share this database.",
        hint=f"Give every server the same key: {MAKE_KEY_COMMAND}",
        setting="ENTRADA_SECRET_KEYS",
    )


def callback_paths_of(settings: Settings, found: FoundValues) -> list[str]:
    """The redirect URI's path first, then every other one that is answered.

    Whoever followed Mage's page has registered Mage's path, and has its variable names set.
    """
    paths = list(settings.callback_paths)
    if not paths and found.origins.get("client_id") == "ACTIVE_DIRECTORY_CLIENT_ID":
        paths = [MAGE_CALLBACK_PATH]
    return [*paths, *([] if DEFAULT_CALLBACK_PATH in paths else [DEFAULT_CALLBACK_PATH])]


def _required(value: str | None, name: str, what: str) -> str:
    if not value:
        raise ConfigurationError(
            f"{name} is not set.",
            hint=f"It is {what} on the overview page of your app registration. "
            "Without a tenant, `entrada demo` runs against the emulator.",
            setting=name,
        )
    return value


def _cloud_of(
    url: str | None, name: str, cloud_of_host: Callable[[str], Cloud | None], settings: Settings
) -> Cloud | None:
    """The cloud a configured host belongs to. A host that is not Microsoft's needs the insecure switch."""
    if url is None:
        return None
    parts = urlsplit(url)
    cloud = cloud_of_host(parts.hostname or "")
    if cloud is None and not settings.insecure_allow_emulator:
        raise ConfigurationError(
            f"{name} is {url}, which is not one of Microsoft's hosts.",
            hint="For an emulator set ENTRADA_INSECURE_ALLOW_EMULATOR=true; never do that in production.",
            setting=name,
        )
    if parts.scheme != "https":
        where = "Use the emulator's https address." if parts.hostname in LOOPBACK_HOSTS else "Use https."
        raise ConfigurationError(
            f"{name} is {url}, which is not https.",
            hint=f"Secrets and tokens travel there. {where}",
            setting=name,
        )
    return cloud


def _as_the_person_named_it(error: ConfigurationError, found: FoundValues | None) -> ConfigurationError:
    """The same error about AZURE_HOST, if that is what was set, rather than about its native name."""
    sentence, setting = error.sentence, error.setting
    for field_name in found.origins if found else ():
        native, used = native_name(field_name), found.name_of(field_name) if found else ""
        sentence = sentence.replace(native, used)
        setting = used if setting == native else setting
    return ConfigurationError(sentence, hint=error.hint, setting=setting)


def _clouds_differ(one: str, other: str) -> ConfigurationError:
    return ConfigurationError(
        f"{one} and {other} name different clouds.",
        hint="A tenant lives in one cloud: set ENTRADA_CLOUD alone, or hosts of the same cloud.",
        setting=other,
    )


def _guest_rule(settings: Settings) -> GuestRule:
    if settings.guests == "allow":
        return GuestRule(homes=None)
    return GuestRule(homes=frozenset(() if settings.guests == "deny" else settings.guests))


def _graph_scopes(authority: Authority, *, ids: bool, names: bool) -> list[str]:
    """What Graph must allow so that groups can be found: nothing where no groups are mapped."""
    if names:
        return [f"{authority.graph_url}/GroupMember.Read.All"]
    return [f"{authority.graph_url}/User.Read"] if ids else []
