"""`entrada settings`: every setting with its value and where it came from, and no secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entrada.cli import main
from entrada.cli.settings import MASK, _masked, _shown, reference
from entrada.settings import Settings, aliases_of, load_settings, native_name

SECRET = "hush~hush.hush-hush_hush"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty directory, and no setting in the environment."""
    monkeypatch.chdir(tmp_path)
    for name, info in Settings.model_fields.items():
        for variable in (native_name(name), *aliases_of(info)):
            monkeypatch.delenv(variable, raising=False)
            monkeypatch.delenv(f"{variable}_FILE", raising=False)


def rows(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    assert main(["settings", "--format", "json"]) == 0
    return {row["name"]: row for row in json.loads(capsys.readouterr().out)}


def test_every_setting_is_listed_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    """One entry a setting, each with name, value, source, default, unit and help."""
    listed = rows(capsys)
    assert set(listed) == {native_name(name) for name in Settings.model_fields}
    for row in listed.values():
        assert set(row) == {"name", "value", "source", "default", "unit", "help"}


def test_a_value_says_where_it_came_from(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A variable, an alias, the file and the default are each named as the source."""
    (tmp_path / "entrada.toml").write_text('guests = "allow"\n')
    monkeypatch.setenv("ENTRADA_SESSION_IDLE", "30m")
    monkeypatch.setenv("ACTIVE_DIRECTORY_DIRECTORY_ID", "contoso.com")
    listed = rows(capsys)
    assert (listed["ENTRADA_SESSION_IDLE"]["value"], listed["ENTRADA_SESSION_IDLE"]["source"]) == (
        "30m",
        "ENTRADA_SESSION_IDLE",
    )
    assert listed["ENTRADA_TENANT_ID"]["source"] == "ACTIVE_DIRECTORY_DIRECTORY_ID"
    assert listed["ENTRADA_GUESTS"]["source"] == "entrada.toml (guests)"
    assert listed["ENTRADA_CLOUD"]["source"] == "default"


SECRETS = {
    "ENTRADA_CLIENT_SECRET": SECRET,
    "ENTRADA_SECRET_KEYS": SECRET * 3,
    "ENTRADA_DATABASE_URL": f"postgresql://entrada:{SECRET}@db.test:5432/entrada",
}


@pytest.mark.parametrize("shape", ["table", "json"])
def test_J1_no_format_shows_a_secret(
    shape: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Secrets are masked, and of a URL only the password."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    assert main(["settings", "--format", shape]) == 0
    got = capsys.readouterr()
    assert SECRET not in got.out + got.err
    assert f"postgresql://entrada:{MASK}@db.test:5432/entrada" in got.out


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:{}@h/db",
        "postgresql://u:x@{}@h/db",
        "postgresql://u:{}/x@h/db",
        "postgresql+psycopg://u:{}@h/db?sslmode=require",
        "postgresql://h/db?user=u&password={}",
        "postgresql://h/db?PASSWORD={}&x=1",
        "postgresql://h/db?sslpassword={}",
    ],
)
def test_J1_a_password_is_masked_wherever_it_stands_in_a_url(url: str) -> None:
    """In the authority or the query, with an @ or a slash in it: the password is not shown, the host is."""
    shown = _masked("database_url", url.format(SECRET))
    assert SECRET not in shown
    assert MASK in shown
    assert "h" in shown


@settings(deadline=None)
@given(st.text(st.characters(exclude_characters="\r\n"), min_size=1, max_size=30).map("hush-{}-hush".format))
def test_J1_no_password_of_a_url_is_shown(password: str) -> None:
    """Whatever characters a password has, it is masked."""
    assert "hush" not in _masked("database_url", f"postgresql://u:{password}@host/0")


def test_a_url_without_a_password_is_shown_whole() -> None:
    """Masking takes nothing away where there is nothing to hide."""
    assert _masked("database_url", "sqlite:///entrada.db") == "sqlite:///entrada.db"
    assert _masked("public_url", "https://app.contoso.test:8443") == "https://app.contoso.test:8443"


def test_the_table_has_one_line_a_setting(capsys: pytest.CaptureFixture[str]) -> None:
    """Name first, help last, nothing in between lost."""
    assert main(["settings"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [native_name(name) for name in Settings.model_fields]


def test_a_malformed_setting_is_a_sentence_and_status_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No traceback: the variable, what is wrong, and a hint, on stderr."""
    monkeypatch.setenv("ENTRADA_SESSION_IDLE", "soon")
    assert main(["settings"]) == 1
    got = capsys.readouterr()
    assert got.err.startswith("entrada: ENTRADA_SESSION_IDLE cannot be used")
    assert len(got.err.splitlines()) == 2
    assert got.out == ""


def test_a_named_file_is_read(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """--settings FILE reads that file."""
    (tmp_path / "other.toml").write_text('guests = "allow"\n')
    assert main(["settings", "--format", "json", "--settings", str(tmp_path / "other.toml")]) == 0
    assert '"allow"' in capsys.readouterr().out


def test_a_named_file_that_is_missing_is_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    """A file that was asked for and is not there is a sentence."""
    assert main(["settings", "--settings", "absent.toml"]) == 1
    assert "absent.toml" in capsys.readouterr().err


def test_the_reference_shows_no_value(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page is the same on every machine: what there is to set, not what is set."""
    plain = reference()
    for name, value in {**SECRETS, "ENTRADA_SESSION_IDLE": "soon"}.items():
        monkeypatch.setenv(name, value)
    assert main(["settings", "--format", "markdown"]) == 0
    assert capsys.readouterr().out == plain + "\n"
    assert SECRET not in plain


def test_the_reference_names_every_setting_and_alias() -> None:
    """Each setting has a row with its aliases, and the row is a row of the table."""
    page = reference().splitlines()
    for name, info in Settings.model_fields.items():
        (row,) = [line for line in page if line.startswith(f"| `{native_name(name)}` |")]
        assert all(f"`{alias}`" in row for alias in aliases_of(info))
        assert row.replace("\\|", "").count("|") == 5


def test_the_reference_page_is_what_the_code_says(project_root: Path) -> None:
    """docs/reference/settings.md holds exactly this table."""
    assert reference() in (project_root / "docs/reference/settings.md").read_text("utf-8")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(1, 999_999), unit=st.sampled_from("smhd"))
def test_a_duration_is_shown_as_it_could_be_written(count: int, unit: str) -> None:
    """What is shown for a duration, written into the variable, means the same."""
    name = "ENTRADA_SESSION_ABSOLUTE"
    idle = {"ENTRADA_SESSION_IDLE": "1s"}
    meant = load_settings({name: f"{count}{unit}", **idle})[0].session_absolute
    shown = _shown(meant)
    assert len(shown) > 7 or load_settings({name: shown, **idle})[0].session_absolute == meant


@pytest.mark.parametrize("value", ["none", "easy-auth", "easy-auth,oauth2-proxy"])
def test_habits_are_printed_as_they_can_be_written(
    value: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also none, which is something else than nothing."""
    monkeypatch.setenv("ENTRADA_HABITS", value)
    assert main(["settings", "--format", "json"]) == 0
    found = {one["name"]: one["value"] for one in json.loads(capsys.readouterr().out)}
    assert found["ENTRADA_HABITS"] == value
