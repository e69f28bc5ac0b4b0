"""Where values come from: ranks of names, files for secrets, and conflicts that are told."""

from __future__ import annotations

import logging
from itertools import combinations
from pathlib import Path

import pytest

from entrada.errors import ConfigurationError
from entrada.settings import FoundValues, Settings, aliases_of, default_file, load_settings, native_name

GUID = "aaaabbbb-0000-cccc-1111-dddd2222eeee"
SECOND = "99998888-7777-6666-5555-444433332222"

VALUES = {
    "public_url": ("https://a.test", "https://b.test"),
    "extra_urls": ("https://a.test", "https://b.test"),
    "tenant_id": (GUID, SECOND),
    "client_id": (GUID, SECOND),
    "client_secret": ("secret number one", "secret number two"),
    "client_certificate_path": ("/a.pem", "/b.pem"),
    "federated_token_file": ("/a", "/b"),
    "authority_host": ("https://login.microsoftonline.com", "https://login.microsoftonline.us"),
    "graph_host": ("https://graph.microsoft.com", "https://graph.microsoft.us"),
    "roles_mapping": ('{"a": "A"}', '{"b": "B"}'),
}
ALIASED = {name: aliases_of(info) for name, info in Settings.model_fields.items() if aliases_of(info)}
MAGES_OWN = {"AZURE_HOST"}


def rank(alias: str) -> int:
    return 2 if alias.startswith("AZURE_") and alias not in MAGES_OWN else 1


PAIRS = [
    (name, one, other)
    for name, aliases in ALIASED.items()
    for one, other in combinations(sorted(aliases, key=rank), 2)
]


def found(environ: dict[str, str], *, file: Path | None = None) -> FoundValues:
    return load_settings(environ, file=file)[1]


def refused(environ: dict[str, str]) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as refusal:
        load_settings(environ)
    return refusal.value


def test_the_values_of_this_module_cover_every_alias() -> None:
    """No setting with aliases is left out below."""
    assert VALUES.keys() == ALIASED.keys()


@pytest.mark.parametrize(("name", "alias"), [(name, alias) for name in ALIASED for alias in ALIASED[name]])
def test_an_alias_is_read(name: str, alias: str) -> None:
    """Each alias alone sets its setting, and is named as where the value came from."""
    values = found({alias: VALUES[name][0]})
    assert values.values[name] == VALUES[name][0]
    assert values.origins[name] == alias


@pytest.mark.parametrize(("name", "alias"), [(name, alias) for name in ALIASED for alias in ALIASED[name]])
def test_the_native_name_beats_an_alias(name: str, alias: str) -> None:
    """ENTRADA_… decides, whatever an alias says, without an error."""
    native, other = VALUES[name]
    values = found({alias: other, native_name(name): native})
    assert values.values[name] == native
    assert values.origins[name] == native_name(name)


@pytest.mark.parametrize(("name", "one", "other"), [pair for pair in PAIRS if rank(pair[1]) != rank(pair[2])])
def test_a_products_own_name_beats_the_azure_one(name: str, one: str, other: str) -> None:
    """Mage's and dstack's names win over AZURE_*, which often mean something else on an Azure machine."""
    first, second = VALUES[name]
    assert found({one: first, other: second}).values[name] == first


@pytest.mark.parametrize(("name", "one", "other"), [pair for pair in PAIRS if rank(pair[1]) == rank(pair[2])])
def test_two_names_of_one_rank_that_differ_are_refused_by_both_names(name: str, one: str, other: str) -> None:
    """A contradiction between equals is an error that names both and repeats neither value."""
    refusal = refused({one: VALUES[name][0], other: VALUES[name][1]})
    assert one in refusal.sentence
    assert other in refusal.sentence
    assert VALUES[name][0] not in refusal.sentence + refusal.hint


@pytest.mark.parametrize(("name", "one", "other"), PAIRS)
def test_two_names_that_agree_are_fine(name: str, one: str, other: str) -> None:
    """The same value under two names is no contradiction."""
    assert found({one: VALUES[name][0], other: VALUES[name][0]}).values[name] == VALUES[name][0]


def test_AZURE_HOST_has_the_rank_of_mages_names() -> None:
    """AZURE_HOST is Mage's own name for the login host, so it beats AZURE_AUTHORITY_HOST."""
    values = found({"AZURE_HOST": "https://one.test", "AZURE_AUTHORITY_HOST": "https://two.test"})
    assert values.origins["authority_host"] == "AZURE_HOST"


def test_a_conflict_below_the_native_name_does_not_matter() -> None:
    """Where the native name decides, aliases may differ among themselves."""
    environ = {
        "ENTRADA_TENANT_ID": GUID,
        "ACTIVE_DIRECTORY_DIRECTORY_ID": SECOND,
        "DSTACK_ENTRA_TENANT_ID": "contoso.com",
    }
    assert found(environ).values["tenant_id"] == GUID


def test_an_empty_alias_takes_part_in_nothing() -> None:
    """An empty variable neither wins nor contradicts."""
    environ = {"ENTRADA_TENANT_ID": "", "ACTIVE_DIRECTORY_DIRECTORY_ID": " ", "AZURE_TENANT_ID": GUID}
    assert found(environ).origins["tenant_id"] == "AZURE_TENANT_ID"


@pytest.mark.parametrize("name", ["ENTRADA_TENANT_ID", "ACTIVE_DIRECTORY_DIRECTORY_ID", "AZURE_TENANT_ID"])
def test_the_environment_beats_the_file(tmp_path: Path, name: str) -> None:
    """Any variable of the environment, an alias too, wins over entrada.toml."""
    file = tmp_path / "entrada.toml"
    file.write_text(f'tenant_id = "{SECOND}"')
    assert found({name: GUID}, file=file).values["tenant_id"] == GUID


SECRETS = [
    ("client_secret", "ENTRADA_CLIENT_SECRET"),
    ("client_secret", "ACTIVE_DIRECTORY_CLIENT_SECRET"),
    ("client_secret", "AZURE_CLIENT_SECRET"),
    ("secret_keys", "ENTRADA_SECRET_KEYS"),
    ("database_url", "ENTRADA_DATABASE_URL"),
]


@pytest.mark.parametrize(("name", "variable"), SECRETS)
def test_a_secret_can_come_from_a_file(tmp_path: Path, name: str, variable: str) -> None:
    """NAME_FILE names a file with the secret; the line end that editors add is not part of it."""
    secret = tmp_path / "secret"
    secret.write_text("from the file\n")
    assert found({f"{variable}_FILE": str(secret)}).values[name] == "from the file"


def test_a_secret_both_ways_is_refused(tmp_path: Path) -> None:
    """NAME and NAME_FILE at once leave open which is meant."""
    refusal = refused({"ENTRADA_CLIENT_SECRET": "one", "ENTRADA_CLIENT_SECRET_FILE": str(tmp_path)})
    assert "ENTRADA_CLIENT_SECRET_FILE" in refusal.sentence


def test_a_secret_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A missing file is a sentence with the variable and the path."""
    refusal = refused({"ENTRADA_CLIENT_SECRET_FILE": str(tmp_path / "absent")})
    assert refusal.setting == "ENTRADA_CLIENT_SECRET_FILE"
    assert "absent" in refusal.sentence


def test_a_secret_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    """A binary file is refused without showing a byte of it."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00hush")
    refusal = refused({"ENTRADA_CLIENT_SECRET_FILE": str(tmp_path / "binary")})
    assert "hush" not in refusal.sentence + refusal.hint


def test_an_empty_secret_file_is_refused(tmp_path: Path) -> None:
    """A file that was named and is empty is a mistake, not an unset secret."""
    (tmp_path / "empty").write_text("\n")
    refusal = refused({"ENTRADA_SECRET_KEYS_FILE": str(tmp_path / "empty")})
    assert refusal.setting == "ENTRADA_SECRET_KEYS_FILE"


def test_what_is_no_secret_has_no_file_form(caplog: pytest.LogCaptureFixture) -> None:
    """ENTRADA_TENANT_ID_FILE is not read; the log says that it was ignored."""
    settings, _ = load_settings({"ENTRADA_TENANT_ID_FILE": "/does/not/exist"})
    assert settings.tenant_id is None


def test_a_misspelt_variable_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """A variable that resembles a setting is named in a warning, without its value."""
    with caplog.at_level(logging.WARNING, logger="entrada.settings"):
        load_settings({"ENTRADA_CLIENT_SECRETS": "hush-hush"})
    assert "ENTRADA_CLIENT_SECRETS is no setting" in caplog.text
    assert "ENTRADA_CLIENT_SECRET?" in caplog.text
    assert "hush" not in caplog.text


def test_the_redis_url_of_old_is_ignored_with_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Set in the environment or in the file, a warning says what to do instead, without its password."""
    file = tmp_path / "entrada.toml"
    file.write_text('redis_url = "redis://:hush-hush@host/0"\n')
    with caplog.at_level(logging.WARNING, logger="entrada.settings"):
        load_settings({"ENTRADA_REDIS_URL": "redis://:hush-hush@host/0"}, file=file)
    for called in ("ENTRADA_REDIS_URL", "redis_url in entrada.toml"):
        assert f"{called} is no setting any more and is ignored. Leave it out" in caplog.text
    assert "one PostgreSQL, in ENTRADA_DATABASE_URL" in caplog.text
    assert "hush" not in caplog.text


def test_the_default_file_is_the_one_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """entrada.toml is found where the program runs, and its absence is no error."""
    monkeypatch.chdir(tmp_path)
    assert default_file() is None
    (tmp_path / "entrada.toml").write_text("")
    assert default_file() == Path("entrada.toml")
