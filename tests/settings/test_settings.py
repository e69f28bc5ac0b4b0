"""Every setting: what it accepts, what it refuses, and that a refusal helps without telling a secret."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrada.accounts.admission import GuestRule
from entrada.accounts.roles import role_mapping
from entrada.entra.authority import TenantId
from entrada.errors import ConfigurationError
from entrada.settings import Settings, aliases_of, is_secret, load_settings, native_name

GUID = "aaaabbbb-0000-cccc-1111-dddd2222eeee"
OTHER_GUID = "99998888-7777-6666-5555-444433332222"
LONG_KEY = "Zx8-0kq3_VbTm41yRcW7uPaLsN9eHdGfJ2oI6tQ5"


def loaded(**environ: str) -> Settings:
    settings, _ = load_settings(environ)
    return settings


def refused(*, file: Path | None = None, **environ: str) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as refusal:
        load_settings(environ, file=file)
    return refusal.value


def refusal_of(environ: dict[str, str], *, file: Path | None = None) -> ConfigurationError | None:
    """The refusal, if these settings are refused. Any other exception is a failure of the test."""
    try:
        load_settings(environ, file=file)
    except ConfigurationError as refusal:
        return refusal
    return None


def toml(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "entrada.toml"
    file.write_text(text, "utf-8")
    return file


# --- what there is ---

PROMISED = {
    "ENTRADA_PUBLIC_URL": {"DSTACK_SERVER_URL"},
    "ENTRADA_EXTRA_URLS": {"DSTACK_ENTRA_EXTRA_URLS"},
    "ENTRADA_TENANT_ID": {"AZURE_TENANT_ID", "ACTIVE_DIRECTORY_DIRECTORY_ID", "DSTACK_ENTRA_TENANT_ID"},
    "ENTRADA_ALLOWED_TENANTS": set(),
    "ENTRADA_CLIENT_ID": {"AZURE_CLIENT_ID", "ACTIVE_DIRECTORY_CLIENT_ID", "DSTACK_ENTRA_CLIENT_ID"},
    "ENTRADA_CLIENT_SECRET": {
        "AZURE_CLIENT_SECRET",
        "ACTIVE_DIRECTORY_CLIENT_SECRET",
        "DSTACK_ENTRA_CLIENT_SECRET",
    },
    "ENTRADA_CLIENT_CERTIFICATE_PATH": {"AZURE_CLIENT_CERTIFICATE_PATH"},
    "ENTRADA_FEDERATED_TOKEN_FILE": {"AZURE_FEDERATED_TOKEN_FILE"},
    "ENTRADA_CLOUD": set(),
    "ENTRADA_AUTHORITY_HOST": {"AZURE_HOST", "AZURE_AUTHORITY_HOST"},
    "ENTRADA_GRAPH_HOST": {"MICROSOFT_GRAPH_API_HOST"},
    "ENTRADA_CA_BUNDLE": set(),
    "ENTRADA_RESPONSE_MODE": set(),
    "ENTRADA_CALLBACK_PATHS": set(),
    "ENTRADA_ROLES_MAPPING": {"ACTIVE_DIRECTORY_ROLES_MAPPING"},
    "ENTRADA_GROUPS": set(),
    "ENTRADA_DEFAULT_ROLE": set(),
    "ENTRADA_ROLES_REQUIRED": set(),
    "ENTRADA_ROLES_SYNC": set(),
    "ENTRADA_GUESTS": set(),
    "ENTRADA_LINK_BY_EMAIL": set(),
    "ENTRADA_VERIFIED_DOMAINS": set(),
    "ENTRADA_APPLICATION_NAME": set(),
    "ENTRADA_SIGN_IN_LIFE": set(),
    "ENTRADA_LOG_LEVEL": set(),
    "ENTRADA_DATABASE_URL": set(),
    "ENTRADA_SECRET_KEYS": set(),
    "ENTRADA_SESSION_IDLE": set(),
    "ENTRADA_SESSION_ABSOLUTE": set(),
    "ENTRADA_ADMIN_ROLES": set(),
    "ENTRADA_BEARER_SCOPES": set(),
    "ENTRADA_BEARER_CALLERS": set(),
    "ENTRADA_ASSERTION_ALGORITHM": set(),
    "ENTRADA_ASSERTION_AUDIENCES": set(),
    "ENTRADA_METRICS_ADDRESS": set(),
    "ENTRADA_BROKER": set(),
    "ENTRADA_ACCESS_LOG": set(),
    "ENTRADA_BROKER_URL": set(),
    "ENTRADA_HABITS": set(),
    "ENTRADA_RECHECK_EVERY": set(),
    "ENTRADA_DELTA_EVERY": set(),
    "ENTRADA_DSTACK_END_WITH_ACCESS": set(),
    "ENTRADA_AUDIT_KEEP": set(),
    "ENTRADA_AUDIT_LOG": set(),
    "ENTRADA_ENTRA_ONLY": set(),
    "ENTRADA_BREAK_GLASS_USERS": set(),
    "ENTRADA_DSTACK_PROJECTS": set(),
    "ENTRADA_SIGN_IN_LABEL": set(),
    "ENTRADA_TRUSTED_PROXIES": set(),
    "ENTRADA_INSECURE_ALLOW_EMULATOR": set(),
}


def test_every_promised_setting_is_there_with_its_aliases() -> None:
    """The settings and their other names are exactly those that the project has promised."""
    declared = {native_name(name): set(aliases_of(info)) for name, info in Settings.model_fields.items()}
    assert declared == PROMISED


def test_every_setting_says_what_it_means() -> None:
    """Each setting has a help text that is a sentence."""
    unexplained = [
        n for n, info in Settings.model_fields.items() if not (info.description or "").endswith(".")
    ]
    assert unexplained == []


def test_everything_that_is_secret_is_declared_so() -> None:
    """Secrets, and URLs that may hold a password, can come as NAME_FILE and are masked."""
    secret = {native_name(name) for name, info in Settings.model_fields.items() if is_secret(info)}
    assert secret == {
        "ENTRADA_CLIENT_SECRET",
        "ENTRADA_SECRET_KEYS",
        "ENTRADA_DATABASE_URL",
    }


def test_nothing_set_gives_the_documented_defaults() -> None:
    """Without any variable the defaults hold, and they are the safe ones."""
    settings = loaded()
    assert settings.guests == GuestRule()
    assert settings.link_by_email == "never"
    assert settings.roles_sync == "every_sign_in"
    assert settings.response_mode == "query"
    assert settings.insecure_allow_emulator is False
    assert settings.database_url == "sqlite:///entrada.db"
    assert settings.session_idle == timedelta(hours=8)
    assert settings.session_absolute == timedelta(hours=24)
    assert settings.sign_in_label == "Sign in with Microsoft Entra ID"
    assert settings.default_role is None
    assert settings.client_secret is None


# --- what is understood ---

UNDERSTOOD: list[tuple[str, str, Any]] = [
    ("ENTRADA_PUBLIC_URL", "https://app.contoso.com", "https://app.contoso.com"),
    ("ENTRADA_PUBLIC_URL", "HTTPS://App.Contoso.Com:443/", "https://app.contoso.com"),
    ("ENTRADA_PUBLIC_URL", "http://localhost:8000", "http://localhost:8000"),
    ("ENTRADA_PUBLIC_URL", "http://127.0.0.1:80", "http://127.0.0.1"),
    ("ENTRADA_PUBLIC_URL", "http://[::1]:8000/", "http://[::1]:8000"),
    ("ENTRADA_PUBLIC_URL", "https://my_host.internal:8443", "https://my_host.internal:8443"),
    ("ENTRADA_EXTRA_URLS", "https://a.test, https://b.test/,", ["https://a.test", "https://b.test"]),
    ("ENTRADA_TENANT_ID", GUID.upper(), GUID),
    ("ENTRADA_TENANT_ID", "Contoso.onmicrosoft.com", "contoso.onmicrosoft.com"),
    ("ENTRADA_CLIENT_ID", GUID.upper(), GUID),
    ("ENTRADA_CLIENT_ID", f" {GUID} ", GUID),
    ("ENTRADA_ALLOWED_TENANTS", f"{GUID.upper()},{OTHER_GUID}", [GUID, OTHER_GUID]),
    ("ENTRADA_AUTHORITY_HOST", "login.microsoftonline.us", "https://login.microsoftonline.us"),
    ("ENTRADA_GRAPH_HOST", "https://graph.microsoft.us/", "https://graph.microsoft.us"),
    ("ENTRADA_CA_BUNDLE", "/etc/ssl/corporate.pem", Path("/etc/ssl/corporate.pem")),
    ("ENTRADA_RESPONSE_MODE", "form_post", "form_post"),
    ("ENTRADA_CALLBACK_PATHS", "/oauth,/signin-oidc", ["/oauth", "/signin-oidc"]),
    ("ENTRADA_ROLES_MAPPING", '{"Mage.Edit": "Editor"}', role_mapping({"Mage.Edit": "Editor"})),
    ("ENTRADA_DSTACK_PROJECTS", '{"Dev": {"main": "manager"}}', {"Dev": {"main": "manager"}}),
    ("ENTRADA_DEFAULT_ROLE", "Viewer", "Viewer"),
    ("ENTRADA_ROLES_REQUIRED", "true", True),
    ("ENTRADA_ROLES_REQUIRED", "0", False),
    ("ENTRADA_ROLES_SYNC", "first_sign_in", "first_sign_in"),
    ("ENTRADA_GUESTS", "allow", GuestRule(homes=None)),
    ("ENTRADA_GUESTS", OTHER_GUID, GuestRule(homes=frozenset({TenantId(OTHER_GUID)}))),
    ("ENTRADA_LINK_BY_EMAIL", "verified", "verified"),
    ("ENTRADA_VERIFIED_DOMAINS", "Contoso.com,fabrikam.com", ["contoso.com", "fabrikam.com"]),
    ("ENTRADA_SESSION_IDLE", "30m", timedelta(minutes=30)),
    ("ENTRADA_SESSION_ABSOLUTE", "7d", timedelta(days=7)),
    ("ENTRADA_SESSION_IDLE", "45s", timedelta(seconds=45)),
    ("ENTRADA_SIGN_IN_LABEL", "Mit Microsoft anmelden", "Mit Microsoft anmelden"),
]


@pytest.mark.parametrize(("name", "value", "meant"), UNDERSTOOD, ids=lambda part: str(part)[:40])
def test_a_value_is_understood(name: str, value: str, meant: object) -> None:
    """A well-formed value becomes what it means, in its one spelling."""
    assert getattr(loaded(**{name: value}), name.removeprefix("ENTRADA_").lower()) == meant


@pytest.mark.parametrize("name", PROMISED)
def test_an_empty_variable_counts_as_unset(name: str) -> None:
    """Every variable that is empty, or only spaces, leaves its default in place."""
    field = name.removeprefix("ENTRADA_").lower()
    default = getattr(loaded(), field)
    assert getattr(loaded(**{name: ""}), field) == default
    assert getattr(loaded(**{name: "  "}), field) == default


# --- what is refused ---

MALFORMED = [
    ("ENTRADA_PUBLIC_URL", "app.contoso.com"),
    ("ENTRADA_PUBLIC_URL", "ftp://app.contoso.com"),
    ("ENTRADA_PUBLIC_URL", "https://app.contoso.com/app"),
    ("ENTRADA_PUBLIC_URL", "https://app.contoso.com/?x=1"),
    ("ENTRADA_PUBLIC_URL", "https://user:word@app.contoso.com"),
    ("ENTRADA_PUBLIC_URL", "https://app.contoso.com:99999"),
    ("ENTRADA_PUBLIC_URL", "https://app.contoso.com:0"),
    ("ENTRADA_PUBLIC_URL", "https://app contoso"),
    ("ENTRADA_PUBLIC_URL", "https://app\\contoso"),
    ("ENTRADA_PUBLIC_URL", "https://app\tcontoso.com"),
    ("ENTRADA_PUBLIC_URL", "https://äpp.contoso.com"),
    ("ENTRADA_PUBLIC_URL", "https://*"),
    ("ENTRADA_PUBLIC_URL", "https://[::1"),
    ("ENTRADA_PUBLIC_URL", "http://app.contoso.com"),
    ("ENTRADA_EXTRA_URLS", "https://a.test,b.test"),
    ("ENTRADA_EXTRA_URLS", "http://b.test"),
    ("ENTRADA_TENANT_ID", "Contoso Ltd"),
    ("ENTRADA_TENANT_ID", "consumers"),
    ("ENTRADA_TENANT_ID", f"{GUID}x"),
    ("ENTRADA_ALLOWED_TENANTS", "contoso.com"),
    ("ENTRADA_AUTHORITY_HOST", "https://login.microsoftonline.com/common"),
    ("ENTRADA_GRAPH_HOST", "https://graph.microsoft.com/v1.0"),
    ("ENTRADA_INSECURE_ALLOW_EMULATOR", "maybe"),
    ("ENTRADA_RESPONSE_MODE", "fragment"),
    ("ENTRADA_CALLBACK_PATHS", "oauth"),
    ("ENTRADA_CALLBACK_PATHS", "//oauth"),
    ("ENTRADA_CALLBACK_PATHS", "/oauth?x"),
    ("ENTRADA_DSTACK_PROJECTS", "Dev=main"),
    ("ENTRADA_DSTACK_PROJECTS", '["Dev"]'),
    ("ENTRADA_DSTACK_PROJECTS", '{"Dev": "main"}'),
    ("ENTRADA_DSTACK_PROJECTS", '{"Dev": {"main": ""}}'),
    ("ENTRADA_DSTACK_PROJECTS", '{"Dev": {"main": "owner"}}'),
    ("ENTRADA_ROLES_MAPPING", "Mage.Edit=Editor"),
    ("ENTRADA_ROLES_MAPPING", '["Editor"]'),
    ("ENTRADA_ROLES_MAPPING", '{"Mage.Edit": 1}'),
    ("ENTRADA_ROLES_MAPPING", '{"Mage.Edit": ""}'),
    ("ENTRADA_ROLES_MAPPING", '{"": "Editor"}'),
    ("ENTRADA_ROLES_REQUIRED", "sometimes"),
    ("ENTRADA_ROLES_SYNC", "never"),
    ("ENTRADA_GUESTS", "some"),
    ("ENTRADA_GUESTS", "fabrikam.com"),
    ("ENTRADA_LINK_BY_EMAIL", "always"),
    ("ENTRADA_VERIFIED_DOMAINS", "@contoso.com"),
    ("ENTRADA_VERIFIED_DOMAINS", "*.contoso.com"),
    ("ENTRADA_SESSION_IDLE", "8"),
    ("ENTRADA_SESSION_IDLE", "8 hours"),
    ("ENTRADA_SESSION_IDLE", "-1h"),
    ("ENTRADA_SESSION_IDLE", "0s"),
    ("ENTRADA_SESSION_ABSOLUTE", "1.5d"),
    ("ENTRADA_SESSION_ABSOLUTE", "٣h"),
]


@pytest.mark.parametrize(("name", "value"), MALFORMED)
def test_a_malformed_value_is_refused_by_name_and_with_a_hint(name: str, value: str) -> None:
    """A value that cannot be used stops the start, naming the variable and saying what to write."""
    refusal = refused(**{name: value})
    assert refusal.setting == name
    assert refusal.sentence.startswith(name)
    assert refusal.hint.endswith(".")


@pytest.mark.parametrize(
    ("alias", "value"),
    [
        (alias, value)
        for native, value in [
            ("ENTRADA_PUBLIC_URL", "no url"),
            ("ENTRADA_EXTRA_URLS", "no url"),
            ("ENTRADA_TENANT_ID", "no tenant"),
            ("ENTRADA_AUTHORITY_HOST", "no host/x"),
            ("ENTRADA_GRAPH_HOST", "no host/x"),
            ("ENTRADA_ROLES_MAPPING", "no json"),
        ]
        for alias in sorted(PROMISED[native])
    ],
)
def test_an_error_names_the_variable_that_the_person_used(alias: str, value: str) -> None:
    """Whoever set a product's own name is told about that name, not about ours."""
    refusal = refused(**{alias: value})
    assert refusal.setting == alias
    assert refusal.sentence.startswith(alias)


TOGETHER = [
    ("ENTRADA_TENANT_ID", {"ENTRADA_TENANT_ID": "common"}),
    ("ENTRADA_TENANT_ID", {"ENTRADA_TENANT_ID": "organizations"}),
    ("AZURE_TENANT_ID", {"AZURE_TENANT_ID": "organizations"}),
    ("ENTRADA_ALLOWED_TENANTS", {"ENTRADA_TENANT_ID": GUID, "ENTRADA_ALLOWED_TENANTS": OTHER_GUID}),
    (
        "ENTRADA_RESPONSE_MODE",
        {"ENTRADA_RESPONSE_MODE": "form_post", "ENTRADA_PUBLIC_URL": "http://localhost:8000"},
    ),
    (
        "ENTRADA_RESPONSE_MODE",
        {
            "ENTRADA_RESPONSE_MODE": "form_post",
            "ENTRADA_PUBLIC_URL": "https://a.test",
            "ENTRADA_EXTRA_URLS": "http://localhost:8000",
        },
    ),
    ("ENTRADA_ROLES_REQUIRED", {"ENTRADA_ROLES_REQUIRED": "1", "ENTRADA_DEFAULT_ROLE": "Viewer"}),
    ("ENTRADA_SESSION_IDLE", {"ENTRADA_SESSION_IDLE": "2d", "ENTRADA_SESSION_ABSOLUTE": "1d"}),
    ("ENTRADA_SESSION_IDLE", {"ENTRADA_SESSION_IDLE": "25h"}),
]


@pytest.mark.parametrize(("name", "environ"), TOGETHER)
def test_settings_that_contradict_each_other_are_refused(name: str, environ: dict[str, str]) -> None:
    """Two settings that cannot both be meant stop the start, and one of them is named."""
    refusal = refused(**environ)
    assert refusal.setting == name
    assert refusal.hint


@pytest.mark.parametrize("tenant", ["", "organizations", "common"])
def test_C4_owned_domains_are_refused_where_several_tenants_sign_in(tenant: str) -> None:
    """A list of owned e-mail domains speaks for one tenant only: with several, any could claim them."""
    refusal = refused(
        ENTRADA_TENANT_ID=tenant,
        ENTRADA_ALLOWED_TENANTS=f"{GUID},{OTHER_GUID}",
        ENTRADA_VERIFIED_DOMAINS="contoso.com",
    )
    assert refusal.setting == "ENTRADA_VERIFIED_DOMAINS"


def test_several_tenants_are_allowed_only_by_name() -> None:
    """`organizations` together with a list of tenants is a configuration that works."""
    settings = loaded(ENTRADA_TENANT_ID="organizations", ENTRADA_ALLOWED_TENANTS=f"{GUID},{OTHER_GUID}")
    assert settings.allowed_tenants == [GUID, OTHER_GUID]


@settings(deadline=None)
@given(
    secret=st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40).map("hush-{}-hush".format),
    broken=st.sampled_from(MALFORMED),
)
def test_no_error_about_settings_repeats_a_secret(secret: str, broken: tuple[str, str]) -> None:
    """Whatever is wrong with the settings, no part of the error holds the value of a secret."""
    name, value = broken
    refusal = refused(
        **{name: value, "ENTRADA_CLIENT_SECRET": secret, "ENTRADA_SECRET_KEYS": secret + LONG_KEY}
    )
    said = [repr(refusal), *refusal.args, refusal.sentence, refusal.hint, str(refusal.__cause__)]
    assert [text for text in said if "hush-" in text] == []


@settings(deadline=None)
@given(
    value=st.text(min_size=1, max_size=80).filter(lambda text: "\0" not in text),
    name=st.sampled_from(sorted(PROMISED)),
)
def test_no_value_makes_anything_but_settings_or_a_sentence(name: str, value: str) -> None:
    """Any text in any variable either works or is refused with a sentence, a hint and the variable's name."""
    refusal = refusal_of({name: value})
    assert refusal is None or (refusal.setting == name and refusal.sentence.endswith(".") and refusal.hint)


def test_a_secret_does_not_show_when_settings_are_printed() -> None:
    """Settings and found values can be printed without telling a secret."""
    environ = {"ENTRADA_CLIENT_SECRET": "hush-hush-hush", "ENTRADA_SECRET_KEYS": LONG_KEY}
    settings, found = load_settings(environ)
    shown = f"{settings!r} {settings} {found!r}"
    assert "hush" not in shown
    assert LONG_KEY not in shown


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:hush-hush@db.test/entrada",
        "postgresql://db.test/entrada?user=ada&password=hush-hush",
        "postgresql://ada:hush@hush@db.test/entrada",
    ],
)
def test_k49_a_password_in_a_url_does_not_show_either(url: str) -> None:
    """K49: neither in the settings, nor in what was found, nor in a part of either."""
    settings, found = load_settings({"ENTRADA_DATABASE_URL": url, "ENTRADA_CLIENT_SECRET": "hush-hush-hush"})
    shown = [repr(settings), str(settings), f"{settings}", repr(found), repr(list(vars(found).values())[1:])]
    assert [text for text in shown if "hush" in text] == []


@pytest.mark.parametrize(("value", "fine"), [("59s", False), ("1s", False), ("1m", True), ("60s", True)])
def test_k42_the_recheck_has_a_lower_bound(value: str, fine: bool) -> None:
    """K42: below one minute Entra would throttle everybody; an emulator throttles nobody."""
    refusal = refusal_of({"ENTRADA_RECHECK_EVERY": value})
    assert (refusal is None) is fine
    assert refusal is None or (refusal.setting == "ENTRADA_RECHECK_EVERY" and "1m" in refusal.sentence)
    assert refusal_of({"ENTRADA_RECHECK_EVERY": value, "ENTRADA_INSECURE_ALLOW_EMULATOR": "true"}) is None


# --- the file ---

WRONG_TYPES = ["5", "true", "1.5", "1979-05-27", "07:32:00", "[[1]]", "[5]", "{a = 1}"]


@pytest.mark.parametrize("value", WRONG_TYPES)
@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_an_entry_of_another_type_is_a_sentence(tmp_path: Path, name: str, value: str) -> None:
    """A number, a date or a table where it does not belong never makes a traceback."""
    refusal = refusal_of({}, file=toml(tmp_path, f"{name} = {value}"))
    assert refusal is None or (refusal.setting == f"{name} in entrada.toml" and refusal.hint)


@pytest.mark.parametrize(("name", "value", "meant"), UNDERSTOOD, ids=lambda part: str(part)[:40])
def test_a_setting_can_stand_in_the_file(tmp_path: Path, name: str, value: str, meant: object) -> None:
    """Every setting can be an entry of entrada.toml, in lower case and without the prefix."""
    field = name.removeprefix("ENTRADA_").lower()
    settings, found = load_settings({}, file=toml(tmp_path, f"{field} = {value.strip()!r}"))
    assert getattr(settings, field) == meant
    assert found.origins[field] == f"{tmp_path / 'entrada.toml'} ({field})"


def test_toml_forms_are_understood(tmp_path: Path) -> None:
    """Lists, tables and truth values may be written as TOML has them."""
    text = f"""
    extra_urls = ["https://a.test", "https://b.test"]
    guests = ["{GUID}"]
    roles_required = true
    [roles_mapping]
    "Mage.Edit" = "Editor"
    """
    settings, _ = load_settings({}, file=toml(tmp_path, text))
    assert settings.extra_urls == ["https://a.test", "https://b.test"]
    assert settings.guests == GuestRule(homes=frozenset({TenantId(GUID)}))
    assert settings.roles_required is True
    assert settings.roles_mapping == role_mapping({"Mage.Edit": "Editor"})


def test_an_empty_entry_counts_as_unset(tmp_path: Path) -> None:
    """`default_role = ""` gives nobody a role without a name."""
    settings, _ = load_settings({}, file=toml(tmp_path, 'default_role = ""\ntenant_id = ""'))
    assert settings.default_role is None
    assert settings.tenant_id is None


@pytest.mark.parametrize(
    ("entry", "suggestion"),
    [
        ("tenant", "tenant_id"),
        ("sesion_idle", "session_idle"),
        ("ENTRADA_TENANT_ID", "tenant_id"),
        ("Public_Url", "public_url"),
    ],
)
def test_an_unknown_entry_is_refused_with_a_suggestion(tmp_path: Path, entry: str, suggestion: str) -> None:
    """A misspelt entry stops the start and is told the name it resembles."""
    refusal = refused(file=toml(tmp_path, f'{entry} = "x"'))
    assert entry in refusal.sentence
    assert refusal.hint == f"Did you mean {suggestion}?"


def test_an_unknown_entry_that_resembles_nothing_is_refused_too(tmp_path: Path) -> None:
    """An entry of another program is refused, with where to look."""
    refusal = refused(file=toml(tmp_path, 'qqq = "x"'))
    assert "entrada settings" in refusal.hint


@pytest.mark.parametrize("text", ["tenant_id = nothing", "x", 'a = "b', "\x00", 'tenant_id = "a\\u0000b"'])
def test_a_broken_file_is_a_sentence(tmp_path: Path, text: str) -> None:
    """A file that is not TOML, or holds what no setting can hold, is refused with a hint."""
    assert refused(file=toml(tmp_path, text)).hint


def test_a_file_in_another_encoding_is_a_sentence(tmp_path: Path) -> None:
    """A file that is not UTF-8 is refused."""
    file = tmp_path / "entrada.toml"
    file.write_bytes('sign_in_label = "Ünser"'.encode("latin-1"))
    assert "cannot be read" in refused(file=file).sentence


def test_a_named_file_that_is_missing_is_a_sentence(tmp_path: Path) -> None:
    """A settings file that was asked for and is not there stops the start."""
    assert "absent.toml" in refused(file=tmp_path / "absent.toml").sentence


def test_errors_about_the_file_do_not_repeat_a_secret(tmp_path: Path) -> None:
    """A secret of the wrong type in the file is refused without being shown."""
    refusal = refused(file=toml(tmp_path, 'client_secret = ["hush-hush"]'))
    assert refusal.setting == "client_secret in entrada.toml"
    assert "hush" not in f"{refusal.sentence}{refusal.hint}"


def test_sentences_of_errors_are_made_for_people(tmp_path: Path) -> None:
    """No error shows the validator's own way of speaking: its classes, its inputs, its addresses."""
    sentences = [refused(**{name: value}).sentence for name, value in MALFORMED]
    wrong_types = ("ca_bundle", "client_secret", "cloud", "roles_required")
    sentences += [refused(file=toml(tmp_path, f"{name} = 5")).sentence for name in wrong_types]
    foreign = re.compile(r"pydantic|type=|[Ii]nput|Value error|<class|https://errors")
    assert [sentence for sentence in sentences if foreign.search(sentence)] == []


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("oauth2-proxy", {"oauth2-proxy"}),
        (" oauth2-proxy , easy-auth ", {"oauth2-proxy", "easy-auth"}),
        ("none", set()),
        ("", None),
    ],
)
def test_habits_are_named_or_none(text: str, meant: set[str] | None) -> None:
    """Unset and empty leave it to `entrada serve`; the word none means none."""
    settings, _ = load_settings({"ENTRADA_HABITS": text})
    assert settings.habits == meant


@pytest.mark.parametrize("text", ["oauth2_proxy", "none,easy-auth", "easyauth"])
def test_other_habits_are_refused(text: str) -> None:
    """With the words there are."""
    with pytest.raises(ConfigurationError, match="ENTRADA_HABITS cannot be used: write some of oauth2-proxy"):
        load_settings({"ENTRADA_HABITS": text})


@pytest.mark.parametrize(
    ("more", "about"),
    [
        ({"ENTRADA_DELTA_EVERY": "20m"}, "ENTRADA_RECHECK_EVERY"),
        (
            {"ENTRADA_DELTA_EVERY": "5s", "ENTRADA_BROKER_URL": "https://sso.contoso.test"},
            "ENTRADA_BROKER_URL",
        ),
        ({"ENTRADA_DELTA_EVERY": "0s"}, "longer than nothing"),
    ],
)
def test_a_watch_of_the_directory_that_would_find_nothing_is_refused(
    more: dict[str, str], about: str
) -> None:
    """One that is slower than the re-check, and one by whom Graph may not be asked."""
    refusal = refusal_of(more)
    assert refusal is not None
    assert refusal.setting == "ENTRADA_DELTA_EVERY"
    assert about in refusal.sentence
    assert refusal_of({"ENTRADA_DELTA_EVERY": "5s"}) is None


@pytest.mark.parametrize(("value", "kept"), [("90d", 90), (" Forever ", None), (None, 400), ("12h", 0.5)])
def test_entries_are_kept_for_so_long(value: str | None, kept: float | None) -> None:
    """A duration, or forever; 400 days where nothing is said."""
    given = {} if value is None else {"ENTRADA_AUDIT_KEEP": value}
    settings, _ = load_settings(given)
    assert settings.audit_keep == (None if kept is None else timedelta(days=kept))


@pytest.mark.parametrize("value", ["0d", "a year", "-1d", "400", "never"])
def test_what_is_no_time_to_keep_entries_stops_the_start(value: str) -> None:
    """With a sentence that says how to write it."""
    refusal = refused(ENTRADA_AUDIT_KEEP=value)
    assert "forever" in refusal.sentence + refusal.hint
