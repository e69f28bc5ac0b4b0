"""From settings to parts: clouds, credentials, keys that seal, redirect paths; what cannot be is refused."""

from __future__ import annotations

import logging
import stat
import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from entra.tokens import private_key
from entrada.build import (
    Stores,
    build_auth_routes,
    build_relying_party,
    callback_paths_of,
    open_stores,
    secret_keys_of,
    session_policy_of,
)
from entrada.compatibility import UTC
from entrada.entra.authority import Authority
from entrada.entra.credential import ClientCertificate, ClientCredential, ClientSecret, FederatedCredential
from entrada.errors import ConfigurationError, EntradaError
from entrada.flows.relying_party import RelyingParty
from entrada.settings import load_settings
from entrada.storage.memory_accounts import MemoryAccountStore
from entrada.storage.memory_directory import MemoryDirectory
from entrada.storage.memory_leases import MemoryLeases
from entrada.storage.memory_sealed_grants import MemorySealedGrants
from entrada.storage.memory_sealed_sign_ins import MemorySealedSignIns
from entrada.storage.memory_sessions import MemorySessionStore
from entrada.web.auth_routes import AuthRoutes
from flows.world import FakeEntra, application

GUID = "aaaabbbb-0000-cccc-1111-dddd2222eeee"
OTHER_GUID = "99998888-7777-6666-5555-444433332222"
CLIENT_ID = "00001111-aaaa-2222-bbbb-3333cccc4444"
GOOD_KEY = "Zx8-0kq3_VbTm41yRcW7uPaLsN9eHdGfJ2oI6tQ5"
ENOUGH = {
    "ENTRADA_PUBLIC_URL": "https://app.contoso.test",
    "ENTRADA_TENANT_ID": GUID,
    "ENTRADA_CLIENT_ID": CLIENT_ID,
    "ENTRADA_CLIENT_SECRET": "a-secret-value",
    "ENTRADA_DATABASE_URL": "memory:",
}

PUBLIC = ("https://login.microsoftonline.com", "https://graph.microsoft.com")
USGOV = ("https://login.microsoftonline.us", "https://graph.microsoft.us")
DOD = ("https://login.microsoftonline.us", "https://dod-graph.microsoft.us")
CHINA = ("https://login.partner.microsoftonline.cn", "https://microsoftgraph.chinacloudapi.cn")


def authority(**environ: str) -> Authority:
    settings, found = load_settings({"ENTRADA_TENANT_ID": GUID, **environ})
    with found.names.in_errors():
        return settings.authority


def hosts(**environ: str) -> tuple[str, str]:
    built = authority(**environ)
    return built.login_url, built.graph_url


def refused_authority(**environ: str) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as refusal:
        authority(**environ)
    return refusal.value


def memory_stores() -> Stores:
    sessions = MemorySessionStore()
    accounts = MemoryAccountStore(sessions=sessions)
    kept = MemorySealedSignIns(accounts, sessions)
    return Stores(
        accounts=accounts,
        sessions=sessions,
        sealed_sign_ins=kept,
        directory=MemoryDirectory(accounts, sessions, kept),
        sealed_grants=MemorySealedGrants(sessions),
        leases=MemoryLeases(),
        audit=sessions.audit,
        close=lambda: None,
    )


def party(**environ: str) -> RelyingParty:
    settings, found = load_settings({**ENOUGH, **environ})
    return build_relying_party(settings, names=found.names, stores=memory_stores())


def routes(environ: dict[str, str]) -> AuthRoutes:
    settings, found = load_settings(environ)
    return build_auth_routes(settings, found, stores=memory_stores())


def refused_start(environ: dict[str, str]) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as refusal:
        routes(environ)
    return refusal.value


# --- clouds ---


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, PUBLIC),
        ({"ENTRADA_CLOUD": "public"}, PUBLIC),
        ({"ENTRADA_CLOUD": "usgov"}, USGOV),
        ({"ENTRADA_CLOUD": "usgov-dod"}, DOD),
        ({"ENTRADA_CLOUD": "china"}, CHINA),
        ({"AZURE_HOST": "https://login.microsoftonline.com"}, PUBLIC),
        ({"AZURE_HOST": "https://login.microsoftonline.us"}, USGOV),
        ({"AZURE_HOST": "https://login.partner.microsoftonline.cn"}, CHINA),
        ({"AZURE_HOST": "https://login.chinacloudapi.cn"}, CHINA),
        ({"AZURE_AUTHORITY_HOST": "login.microsoftonline.us"}, USGOV),
        ({"MICROSOFT_GRAPH_API_HOST": "https://graph.microsoft.com"}, PUBLIC),
        ({"MICROSOFT_GRAPH_API_HOST": "https://graph.microsoft.us"}, USGOV),
        ({"MICROSOFT_GRAPH_API_HOST": "https://dod-graph.microsoft.us"}, DOD),
        ({"MICROSOFT_GRAPH_API_HOST": "https://microsoftgraph.chinacloudapi.cn"}, CHINA),
        (
            {
                "AZURE_HOST": "https://login.microsoftonline.us",
                "MICROSOFT_GRAPH_API_HOST": "https://dod-graph.microsoft.us",
            },
            DOD,
        ),
        ({"ENTRADA_CLOUD": "usgov-dod", "AZURE_HOST": "https://login.microsoftonline.us"}, DOD),
        ({"AZURE_HOST": "https://login.windows.net"}, PUBLIC),
    ],
)
def test_hosts_select_the_cloud(environ: dict[str, str], expected: tuple[str, str]) -> None:
    """A cloud's name, its login host or its Graph host each give the login and Graph host of that cloud."""
    assert hosts(**environ) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENTRADA_CLOUD", "germany"),
        ("AZURE_HOST", "https://login.microsoftonline.de"),
        ("AZURE_AUTHORITY_HOST", "login.microsoftonline.de"),
        ("ENTRADA_AUTHORITY_HOST", "https://login.microsoftonline.de/"),
        ("MICROSOFT_GRAPH_API_HOST", "https://graph.microsoft.de"),
        ("ENTRADA_GRAPH_HOST", "graph.microsoft.de"),
    ],
)
def test_the_german_cloud_is_refused_with_the_reason(name: str, value: str) -> None:
    """Microsoft Cloud Germany was closed: whichever variable names it, it is told so, with the date."""
    refusal = refused_authority(**{name: value})
    assert refusal.setting == name
    assert refusal.sentence == f"{name} names Microsoft Cloud Germany, which was closed on 2021-10-29."


def test_the_german_cloud_is_refused_even_with_the_insecure_switch() -> None:
    """Allowing an emulator does not open a closed cloud."""
    environ = {"AZURE_HOST": "https://login.microsoftonline.de", "ENTRADA_INSECURE_ALLOW_EMULATOR": "1"}
    assert "2021-10-29" in refused_authority(**environ).sentence


def test_an_unknown_cloud_is_refused_with_the_list() -> None:
    """A cloud that does not exist is answered with those that do."""
    refusal = refused_authority(ENTRADA_CLOUD="azure")
    assert refusal.setting == "ENTRADA_CLOUD"
    assert "usgov-dod" in refusal.hint


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        (
            {"ENTRADA_CLOUD": "china", "AZURE_HOST": "https://login.microsoftonline.com"},
            {"ENTRADA_CLOUD", "AZURE_HOST"},
        ),
        (
            {"ENTRADA_CLOUD": "usgov", "MICROSOFT_GRAPH_API_HOST": "https://graph.microsoft.com"},
            {"ENTRADA_CLOUD", "MICROSOFT_GRAPH_API_HOST"},
        ),
        (
            {
                "AZURE_HOST": "https://login.microsoftonline.com",
                "MICROSOFT_GRAPH_API_HOST": "https://graph.microsoft.us",
            },
            {"AZURE_HOST", "MICROSOFT_GRAPH_API_HOST"},
        ),
    ],
)
def test_clouds_that_contradict_are_refused_by_both_names(environ: dict[str, str], named: set[str]) -> None:
    """Two settings that point at different clouds are both named, as the person named them."""
    refusal = refused_authority(**environ)
    assert {name for name in environ if name in refusal.sentence} == named
    assert refusal.setting in named


@pytest.mark.parametrize("name", ["AZURE_HOST", "ENTRADA_AUTHORITY_HOST", "MICROSOFT_GRAPH_API_HOST"])
def test_a_host_that_is_not_microsofts_needs_the_insecure_switch(name: str) -> None:
    """Without the switch an unknown host is refused by name; a typo must not send secrets to a stranger."""
    refusal = refused_authority(**{name: "https://login.microsoftonline.com.evil.test"})
    assert refusal.setting == name
    assert "ENTRADA_INSECURE_ALLOW_EMULATOR" in refusal.hint


def test_an_emulator_is_believed_with_the_switch() -> None:
    """With the insecure switch, login and Graph host are used as given."""
    assert hosts(
        ENTRADA_AUTHORITY_HOST="https://localhost:8443",
        ENTRADA_GRAPH_HOST="https://localhost:8443",
        ENTRADA_INSECURE_ALLOW_EMULATOR="true",
    ) == ("https://localhost:8443", "https://localhost:8443")


def test_an_emulator_without_a_graph_host_is_refused() -> None:
    """A foreign login host without its Graph host would send an emulator's tokens to Microsoft."""
    environ = {"AZURE_HOST": "https://localhost:8443", "ENTRADA_INSECURE_ALLOW_EMULATOR": "1"}
    assert refused_authority(**environ).setting == "ENTRADA_GRAPH_HOST"


@pytest.mark.parametrize("host", ["http://login.microsoftonline.com", "http://localhost:8400"])
def test_an_authority_without_tls_is_refused(host: str) -> None:
    """Secrets travel to the authority: plain http is refused, with the insecure switch too."""
    refusal = refused_authority(
        AZURE_HOST=host, ENTRADA_GRAPH_HOST="https://localhost:1", ENTRADA_INSECURE_ALLOW_EMULATOR="true"
    )
    assert refusal.setting == "AZURE_HOST"
    assert "https" in refusal.hint


def test_a_graph_host_without_tls_is_refused() -> None:
    """Access tokens travel to Graph: plain http is refused."""
    assert refused_authority(ENTRADA_GRAPH_HOST="http://graph.microsoft.com").setting == "ENTRADA_GRAPH_HOST"


def test_an_allow_list_alone_means_organizations() -> None:
    """With ENTRADA_ALLOWED_TENANTS and no tenant, several organisations sign in at `organizations`."""
    settings, _ = load_settings({"ENTRADA_ALLOWED_TENANTS": f"{GUID},{OTHER_GUID}"})
    assert settings.authority.tenant == "organizations"


# --- what must be there ---


@pytest.mark.parametrize(
    "name",
    ["ENTRADA_PUBLIC_URL", "ENTRADA_TENANT_ID", "ENTRADA_CLIENT_ID", "ENTRADA_CLIENT_SECRET"],
)
def test_a_missing_setting_stops_the_start(name: str) -> None:
    """Each needed setting, when it is missing, is named with where to find its value."""
    refusal = refused_start({key: value for key, value in ENOUGH.items() if key != name})
    assert refusal.setting == name
    assert refusal.sentence == f"{name} is not set."
    assert len(refusal.hint) > 40


def test_enough_settings_make_a_relying_party() -> None:
    """The settings that are needed suffice, and Entra is not asked for anything at the start."""
    built = party()
    assert built.sign_in.application.client_id == CLIENT_ID
    built.close()


@pytest.mark.parametrize(
    ("environ", "scopes"),
    [
        ({}, set()),
        ({"ENTRADA_ROLES_MAPPING": '{"Admin": "Admin"}'}, set()),
        ({"ENTRADA_ROLES_MAPPING": f'{{"{GUID}": "Admin"}}'}, {"https://graph.microsoft.com/User.Read"}),
        (
            {"ENTRADA_ROLES_MAPPING": '{"group:Admins": "Admin"}'},
            {"https://graph.microsoft.com/GroupMember.Read.All"},
        ),
    ],
)
def test_graph_is_asked_for_no_more_than_is_needed(environ: dict[str, str], scopes: set[str]) -> None:
    """Beside e-mail, a permission at Graph is asked for only where the mapping names groups."""
    built = party(**environ)
    assert set(built.sign_in.application._scopes) == {"email"} | scopes
    built.close()


def test_settings_reach_the_walks() -> None:
    """Guests, linking, roles, tenants, domains and limits of the settings are those of the walks."""
    built = party(
        ENTRADA_GUESTS=OTHER_GUID,
        ENTRADA_LINK_BY_EMAIL="verified",
        ENTRADA_VERIFIED_DOMAINS="contoso.com",
        ENTRADA_ROLES_REQUIRED="true",
        ENTRADA_ROLES_SYNC="first_sign_in",
        ENTRADA_SESSION_IDLE="1h",
        ENTRADA_RESPONSE_MODE="form_post",
    )
    sign_in = built.sign_in
    assert sign_in.admission.guests.homes == {OTHER_GUID}
    assert sign_in.admission.link_by_email == "verified"
    assert sign_in.admission.roles.required is True
    assert sign_in.admission.roles.sync == "first_sign_in"
    assert sign_in.identification.verified_domains == {"contoso.com"}
    assert sign_in.identification.response_mode == "form_post"
    assert sign_in.identification.tenants is None
    assert built.session_check.policy.idle == timedelta(hours=1)
    built.close()


@pytest.mark.parametrize(("guests", "homes"), [("allow", None), ("deny", frozenset())])
def test_the_guest_rule_is_what_the_words_say(guests: str, homes: frozenset[str] | None) -> None:
    """`allow` lets every guest in, `deny` none."""
    built = party(ENTRADA_GUESTS=guests)
    assert built.sign_in.admission.guests.homes == homes
    built.close()


@pytest.mark.parametrize(("idle", "most"), [("1m", 15), ("8h", 120)])
def test_the_store_hears_of_requests_well_within_the_idle_limit(idle: str, most: int) -> None:
    """A short idle limit shortens how stale the stored time of the last request may become."""
    settings, _ = load_settings({"ENTRADA_SESSION_IDLE": idle})
    assert session_policy_of(settings).touch_every == timedelta(seconds=most)


# --- credentials ---


def credentials(**environ: str) -> Sequence[ClientCredential]:
    settings, found = load_settings(environ)
    with found.names.in_errors():
        return settings.credentials


def refused_credentials(**environ: str) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as refusal:
        credentials(**environ)
    return refusal.value


def test_two_secrets_are_two_credentials() -> None:
    """While a secret is being changed two can be given, and each is tried in turn."""
    given = [ClientSecret(value="old~secret"), ClientSecret(value="new.secret")]
    assert credentials(ENTRADA_CLIENT_SECRET="old~secret, new.secret") == given


def test_a_credential_does_not_show_its_secret() -> None:
    """A secret stays out of a representation."""
    assert "hush" not in repr(ClientSecret(value="hush"))


def test_several_kinds_of_credential_are_refused(tmp_path: Path) -> None:
    """A secret and a federated token at once leave open which is meant."""
    refusal = refused_credentials(
        ENTRADA_CLIENT_SECRET="hush-hush", AZURE_FEDERATED_TOKEN_FILE=str(tmp_path / "token")
    )
    assert "hush" not in refusal.sentence + refusal.hint


@cache
def key_pem(number: int = 1, *, password: bytes | None = None) -> str:
    lock = BestAvailableEncryption(password) if password else NoEncryption()
    return private_key(f"app {number}").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock).decode()


@cache
def certificate_pem(number: int = 1) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "entrada test")])
    key, now = private_key(f"app {number}"), datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, SHA256())
    )
    return certificate.public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize("order", [1, -1])
def test_a_certificate_is_a_credential(tmp_path: Path, order: int) -> None:
    """A PEM file with key and certificate, in any order, becomes a credential that MSAL accepts."""
    path = tmp_path / "app.pem"
    path.write_text("".join([key_pem(), certificate_pem()][::order]))
    (credential,) = credentials(AZURE_CLIENT_CERTIFICATE_PATH=str(path))
    assert credential == ClientCertificate(path=path)
    entra = FakeEntra()
    assert application(entra, credentials=[credential]).metadata().tenant_id == GUID


GARBAGE = "-----BEGIN {0}-----\nbm90aGluZw==\n-----END {0}-----\n"
UNUSABLE = {
    "empty": lambda: "",
    "text": lambda: "no pem",
    "key only": key_pem,
    "certificate only": certificate_pem,
    "garbage": lambda: GARBAGE.format("PRIVATE KEY") + GARBAGE.format("CERTIFICATE"),
    "bad certificate": lambda: key_pem() + GARBAGE.format("CERTIFICATE"),
    "bad key": lambda: GARBAGE.format("ENCRYPTED PRIVATE KEY") + certificate_pem(),
    "locked key": lambda: key_pem(password=b"hush") + certificate_pem(),
    "no pair": lambda: key_pem(2) + certificate_pem(),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_a_certificate_that_cannot_work_stops_the_start(tmp_path: Path, what: str) -> None:
    """A PEM file without a usable pair of key and certificate is refused at the start, not at a sign-in."""
    path = tmp_path / "app.pem"
    path.write_text(UNUSABLE[what]())
    refusal = refused_credentials(ENTRADA_CLIENT_CERTIFICATE_PATH=str(path))
    assert refusal.setting == "ENTRADA_CLIENT_CERTIFICATE_PATH"


def test_a_certificate_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A path that leads nowhere stops the start."""
    refusal = refused_credentials(ENTRADA_CLIENT_CERTIFICATE_PATH=str(tmp_path / "absent.pem"))
    assert "absent.pem" in refusal.sentence


def test_an_error_about_a_file_names_the_variable_that_the_person_used(tmp_path: Path) -> None:
    """Whoever set AZURE_CLIENT_CERTIFICATE_PATH is told about that name."""
    refusal = refused_credentials(AZURE_CLIENT_CERTIFICATE_PATH=str(tmp_path / "absent.pem"))
    assert refusal.setting == "AZURE_CLIENT_CERTIFICATE_PATH"
    assert refusal.sentence.startswith("AZURE_CLIENT_CERTIFICATE_PATH")


def test_a_federated_token_is_read_when_it_is_needed(tmp_path: Path) -> None:
    """The file of a federated token may appear and change after the start, as Kubernetes does it."""
    path = tmp_path / "token"
    (credential,) = load_settings({"AZURE_FEDERATED_TOKEN_FILE": str(path)})[0].credentials
    assert credential == FederatedCredential(token_file=path)
    path.write_text("first\n")
    assert credential.for_msal()["client_assertion"]() == "first"
    path.write_text("second\n")
    assert credential.for_msal()["client_assertion"]() == "second"


# --- keys that seal ---


def keys(**environ: str) -> list[bytes]:
    return secret_keys_of(load_settings(environ)[0])


def test_keys_are_taken_in_their_order() -> None:
    """The first key seals, so the order is the order given."""
    given = f"{GOOD_KEY}, {GOOD_KEY[::-1]}"
    assert keys(ENTRADA_SECRET_KEYS=given) == [GOOD_KEY.encode(), GOOD_KEY[::-1].encode()]


@pytest.mark.parametrize(
    "value",
    [
        "secret",
        "x",
        "changeme",
        "0" * 64,
        "ab" * 32,
        "123" * 20,
        f"{GOOD_KEY},short",
        f"{GOOD_KEY},",
        GOOD_KEY[:31],
    ],
)
def test_F9_short_or_guessable_keys_are_refused(value: str) -> None:
    """A key that is short, or repeats a few characters, stops the start and is not repeated."""
    refusal = refused_start({**ENOUGH, "ENTRADA_SECRET_KEYS": value})
    assert refusal.setting == "ENTRADA_SECRET_KEYS"
    assert "secrets.token_urlsafe" in refusal.hint
    assert GOOD_KEY not in refusal.sentence + refusal.hint


def test_F9_the_default_database_gets_a_key_of_its_own(tmp_path: Path) -> None:
    """Without keys, one is made beside an SQLite database, readable by its owner only, and kept."""
    url = f"sqlite:///{tmp_path / 'entrada.db'}"
    made = keys(ENTRADA_DATABASE_URL=url)
    file = tmp_path / "entrada.keys"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(made[0]) >= 32
    assert keys(ENTRADA_DATABASE_URL=url) == made
    assert [path.name for path in tmp_path.iterdir()] == ["entrada.keys"]


def test_F9_two_installs_have_different_keys(tmp_path: Path) -> None:
    """Nothing about a made key is the same in another place: sessions are not shared between installs."""
    (tmp_path / "b").mkdir()
    one = keys(ENTRADA_DATABASE_URL=f"sqlite:///{tmp_path / 'a.db'}")
    other = keys(ENTRADA_DATABASE_URL=f"sqlite:///{tmp_path / 'b' / 'a.db'}")
    assert one != other


def test_processes_that_start_together_agree_on_one_key(tmp_path: Path) -> None:
    """Of many that find no key at the same moment, all end with the same one."""
    settings, _ = load_settings({"ENTRADA_DATABASE_URL": f"sqlite:///{tmp_path / 'entrada.db'}"})
    gate = threading.Barrier(8)
    made: list[bytes] = []

    def start() -> None:
        gate.wait()
        made.extend(secret_keys_of(settings))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert len(set(made)) == 1


@pytest.mark.parametrize("content", [b"", b"too short", b"\xff" * 40])
def test_a_broken_key_file_stops_the_start(tmp_path: Path, content: bytes) -> None:
    """A key file that cannot be used is named, with what to do about it."""
    (tmp_path / "entrada.keys").write_bytes(content)
    with pytest.raises(ConfigurationError) as refusal:
        keys(ENTRADA_DATABASE_URL=f"sqlite:///{tmp_path / 'entrada.db'}")
    assert "entrada.keys" in refusal.value.sentence


def test_a_key_file_that_cannot_be_made_stops_the_start(tmp_path: Path) -> None:
    """A directory that is not there is a sentence."""
    with pytest.raises(ConfigurationError) as refusal:
        keys(ENTRADA_DATABASE_URL=f"sqlite:///{tmp_path / 'absent' / 'entrada.db'}")
    assert refusal.value.setting == "ENTRADA_SECRET_KEYS"


@pytest.mark.parametrize("url", ["postgresql://db.test/entrada", "sqlite:///", "sqlite:///.", "mysql://x/y"])
def test_F9_servers_that_may_be_several_need_keys(url: str) -> None:
    """Where several servers may share a database, or there is no place for a key, it must be given."""
    with pytest.raises(ConfigurationError) as refusal:
        keys(ENTRADA_DATABASE_URL=url)
    assert refusal.value.setting == "ENTRADA_SECRET_KEYS"


@pytest.mark.parametrize("url", ["memory:", "sqlite://", "sqlite:///:memory:"])
def test_a_store_in_memory_leaves_no_key_behind(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not outlive the process has a key that does not either."""
    monkeypatch.chdir(tmp_path)
    assert len(keys(ENTRADA_DATABASE_URL=url)[0]) >= 32
    assert list(tmp_path.iterdir()) == []


def test_a_database_nobody_knows_is_refused() -> None:
    """A URL of another database is a sentence that names the setting and not the password."""
    with pytest.raises(ConfigurationError) as refusal:
        open_stores("mysql://entrada:hush-hush@db.test/entrada")
    assert refusal.value.setting == "ENTRADA_DATABASE_URL"
    assert "hush" not in refusal.value.sentence + refusal.value.hint


# --- following another product's page to the letter ---

MAGE = {
    "ACTIVE_DIRECTORY_DIRECTORY_ID": GUID,
    "ACTIVE_DIRECTORY_CLIENT_ID": CLIENT_ID,
    "ACTIVE_DIRECTORY_CLIENT_SECRET": "a-secret-value",
    "ACTIVE_DIRECTORY_ROLES_MAPPING": '{"Mage.Edit": "Editor", "Mage.Admin": "Admin"}',
}
DSTACK = {
    "DSTACK_SERVER_URL": "https://dstack.contoso.test/",
    "DSTACK_ENTRA_TENANT_ID": GUID,
    "DSTACK_ENTRA_CLIENT_ID": CLIENT_ID,
    "DSTACK_ENTRA_CLIENT_SECRET": "a-secret-value",
}


def test_mages_page_to_the_letter_gives_mages_redirect_uri() -> None:
    """Whoever set only ACTIVE_DIRECTORY_* has registered /oauth: that is what is sent to Entra."""
    auth = routes({**MAGE, "ENTRADA_PUBLIC_URL": "http://localhost:6789"})
    assert auth.site.callback_paths == ["/oauth", "/auth/entra/callback"]
    roles = auth.relying_party.sign_in.admission.roles
    assert roles.app_roles == {"Mage.Edit": ["Editor"], "Mage.Admin": ["Admin"]}
    auth.relying_party.close()


def test_dstacks_page_to_the_letter_gives_dstacks_redirect_uri() -> None:
    """Whoever set only DSTACK_* has registered {server}/auth/entra/callback."""
    auth = routes(DSTACK)
    assert auth.site.urls == ["https://dstack.contoso.test"]
    assert auth.site.callback_paths == ["/auth/entra/callback"]
    auth.relying_party.close()


def test_dstacks_further_urls_have_redirect_uris_of_their_own() -> None:
    """DSTACK_ENTRA_EXTRA_URLS adds addresses by which people come."""
    auth = routes(
        {**DSTACK, "DSTACK_ENTRA_EXTRA_URLS": "https://two.contoso.test, https://three.contoso.test"}
    )
    assert auth.site.urls[1:] == ["https://two.contoso.test", "https://three.contoso.test"]
    auth.relying_party.close()


@pytest.mark.parametrize(
    ("environ", "paths"),
    [
        ({"ENTRADA_CALLBACK_PATHS": "/signin-oidc"}, ["/signin-oidc", "/auth/entra/callback"]),
        ({**MAGE, "ENTRADA_CALLBACK_PATHS": "/auth/entra/callback"}, ["/auth/entra/callback"]),
        ({**MAGE, "ENTRADA_CLIENT_ID": CLIENT_ID}, ["/auth/entra/callback"]),
        ({"ENTRADA_CLIENT_ID": CLIENT_ID}, ["/auth/entra/callback"]),
    ],
)
def test_the_redirect_path_follows_what_was_set(environ: dict[str, str], paths: list[str]) -> None:
    """A path that is set is used as it is; Mage's is guessed only from Mage's own variable."""
    assert callback_paths_of(*load_settings(environ)) == paths


# --- dangerous options ---


def test_the_insecure_switch_warns_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    """A start with the emulator allowed says so in the log, in words that frighten."""
    emulator = {
        "ENTRADA_INSECURE_ALLOW_EMULATOR": "true",
        "ENTRADA_AUTHORITY_HOST": "https://localhost:8443",
        "ENTRADA_GRAPH_HOST": "https://localhost:8443",
    }
    with caplog.at_level(logging.WARNING, logger="entrada"):
        routes({**ENOUGH, **emulator}).relying_party.close()
    assert "Anyone who runs it can sign in as anyone." in caplog.text


def test_F3_plain_http_warns_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    """An address without TLS is named in a warning."""
    with caplog.at_level(logging.WARNING, logger="entrada"):
        routes({**ENOUGH, "ENTRADA_PUBLIC_URL": "http://localhost:8000"}).relying_party.close()
    assert "http://localhost:8000 is plain http" in caplog.text


def test_a_secure_start_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is warned of where there is nothing to warn of, so that a warning is read."""
    with caplog.at_level(logging.WARNING):
        routes(ENOUGH).relying_party.close()
    assert caplog.records == []


def test_a_ca_bundle_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    """A file that is no PEM is named at the start."""
    (tmp_path / "ca.pem").write_text("nothing")
    assert (
        refused_start({**ENOUGH, "ENTRADA_CA_BUNDLE": str(tmp_path / "ca.pem")}).setting
        == "ENTRADA_CA_BUNDLE"
    )


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://u:hush@db.test/entrada", "a kind of database that Entrada does not know"),
        ("mariadb://db.test/x", "a kind of database that Entrada does not know"),
        ("entrada.db", "is not a database URL"),
        ("/var/lib/entrada/entrada.db", "is not a database URL"),
        ("C:\\entrada.db", "is not a database URL"),
        ("file:entrada.db", "is not a database URL"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("sqlite:///absent/entrada.db", "cannot be opened"),
    ],
)
def test_k33_the_first_sentence_is_about_the_database(
    url: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K33: not about keys, which are looked for beside it; and no password is repeated."""
    monkeypatch.chdir(tmp_path)
    settings, found = load_settings({**ENOUGH, "ENTRADA_DATABASE_URL": url})
    with pytest.raises(EntradaError) as refusal:
        build_auth_routes(settings, found)
    assert said in refusal.value.sentence
    assert "ENTRADA_SECRET_KEYS" not in str(refusal.value)
    assert "ENTRADA_DATABASE_URL" in str(refusal.value)
    assert "hush" not in str(refusal.value)


def test_k28_the_life_of_a_sign_in_is_a_setting() -> None:
    """K28: what is kept in the browser and what is taken from it end at the same time."""
    built = routes({**ENOUGH, "ENTRADA_SIGN_IN_LIFE": "90m"})
    assert built.pending.life == timedelta(minutes=90)
    assert built.relying_party.sign_in.identification.sign_in_life == timedelta(minutes=90)
    assert routes(ENOUGH).pending.life == timedelta(hours=1)
