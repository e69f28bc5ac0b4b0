"""Values as people really paste them: K31 and K32, with their siblings."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from entrada.entra.credential import ClientSecret, secrets_in
from entrada.errors import ConfigurationError
from entrada.settings import load_settings

TENANT = "aaaabbbb-0000-cccc-1111-dddd2222eeee"
CLIENT_ID = "00001111-aaaa-2222-bbbb-3333cccc4444"
SECRET = "8nQ8Q~a-secret-of-today_0123456789.abcd"
OLD_SECRET = "k7@Q:uPgR[3,wX/=9s?Lz*]t.v8Yb1_c"
OLD_LEFT, OLD_RIGHT = OLD_SECRET.split(",")
IDS = {"ENTRADA_TENANT_ID": TENANT, "ENTRADA_CLIENT_ID": CLIENT_ID, "ENTRADA_CLIENT_SECRET": SECRET}

SPOILT = {
    "double quotes": '"{}"',
    "single quotes": "'{}'",
    "smart quotes": "“{}”",
    "single smart quotes": "‘{}’",
    "backticks": "`{}`",
    "guillemets": "«{}»",
    "a quote in front": '"{}',
    "a quote behind": "{}'",
    "a smart quote in front": "“{}",
    "braces": "{{{}}}",
    "brackets": "[{}]",
    "angle brackets": "<{}>",
    "BOM": "\ufeff{}",
    "BOM behind": "{}\ufeff",
    "zero-width space": "\u200b{}",
    "zero-width space behind": "{}\u200b",
    "zero-width joiner": "{}\u200d",
    "word joiner": "\u2060{}",
    "soft hyphen": "{}\xad",
    "left-to-right mark": "\u200e{}",
    "a control character": "{}\x1b",
    "its own name": "CLIENT_SETTING={}",
    "export": "export CLIENT_SETTING={}",
}


def refused(environ: dict[str, str], file: Path | None = None) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as refusal:
        load_settings(environ, file=file)
    return refusal.value


@pytest.mark.parametrize("spoilt", SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize("name", IDS)
def test_k31_what_copying_leaves_on_an_id_or_a_secret_stops_the_start(name: str, spoilt: str) -> None:
    """K31: Entra would refuse the first person, over a value that looks right; the value is not repeated."""
    refusal = refused({**IDS, name: spoilt.format(IDS[name])})
    assert refusal.setting == name
    assert IDS[name] not in str(refusal)


@pytest.mark.parametrize("spoilt", ["\u200b", "\ufeff", "\xa0", "\t", "\n", "\x00", "\x7f"])
@pytest.mark.parametrize("name", IDS)
def test_k31_an_invisible_character_inside(name: str, spoilt: str) -> None:
    """K31: also in the middle, where no stripping finds it."""
    assert refused({**IDS, name: f"{IDS[name][:9]}{spoilt}{IDS[name][9:]}"}).setting == name


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r", " ", "\t", "\u3000"])
@pytest.mark.parametrize("name", IDS)
def test_k31_white_space_at_an_end_is_dropped(name: str, ending: str) -> None:
    """The line end of a file with Windows' lines, or a space, belongs to no id and no secret."""
    settings, _ = load_settings({**IDS, name: f"{IDS[name]}{ending}"})
    assert (settings.tenant_id, settings.client_id) == (TENANT, CLIENT_ID)
    assert settings.credentials == [ClientSecret(value=SECRET)]


@pytest.mark.parametrize(
    "value",
    [
        "<your-client-id>", "<client secret>", "your-client-secret", "YOUR_CLIENT_ID", "changeme", "xxxx",
        "****", "...", "…", "${CLIENT_SECRET}", "{{ client_secret }}", "%CLIENT_SECRET%", "$CLIENT_SECRET",
        "$(cat secret)", "00000000-0000-0000-0000-000000000000", "TODO",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", IDS)
def test_k31_a_placeholder_stops_the_start(name: str, value: str) -> None:
    """K31: the example of a page, or a variable that nobody filled in."""
    assert refused({**IDS, name: value}).setting == name


@pytest.mark.parametrize("value", ["Bearer " + SECRET, "bearer " + SECRET, "Basic " + SECRET])
def test_k31_a_header_is_no_secret(value: str) -> None:
    """The word of an HTTP header came along."""
    assert "header" in refused({**IDS, "ENTRADA_CLIENT_SECRET": value}).sentence


def test_k31_a_client_id_is_a_guid() -> None:
    """K31: the name or the URI of an application is not its ID."""
    assert "Application (client) ID" in refused({**IDS, "ENTRADA_CLIENT_ID": "api://wiki"}).sentence


def test_k31_id_and_secret_in_each_others_place() -> None:
    """K31: said as what it is, under both names."""
    refusal = refused({**IDS, "ENTRADA_CLIENT_ID": SECRET, "ENTRADA_CLIENT_SECRET": CLIENT_ID})
    assert refusal.sentence == "ENTRADA_CLIENT_ID and ENTRADA_CLIENT_SECRET hold each other's value."


def test_k31_the_client_id_twice() -> None:
    """K31: as secret, or as tenant."""
    assert "same GUID" in refused({**IDS, "ENTRADA_CLIENT_SECRET": CLIENT_ID.upper()}).sentence
    assert "same GUID" in refused({**IDS, "ENTRADA_TENANT_ID": CLIENT_ID}).sentence


def test_k31_a_guid_as_secret_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """K31: most likely the Secret ID; tools of long ago made such secrets, so it starts."""
    load_settings({**IDS, "ENTRADA_CLIENT_SECRET": "12345678-aaaa-4bbb-8ccc-123456789012"})
    assert ["Secret ID" in message for message in caplog.messages] == [True]
    assert "12345678" not in caplog.text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENTRADA_PUBLIC_URL", '"https://app.contoso.com"'),
        ("ENTRADA_DATABASE_URL", "'sqlite:///entrada.db'"),
        ("ENTRADA_ROLES_MAPPING", '\'{"Admin": "Admin"}\''),
        ("ENTRADA_SESSION_IDLE", '"8h"'),
        ("ENTRADA_CA_BUNDLE", "“/etc/ca.pem”"),
        ("ENTRADA_SECRET_KEYS", '"Zx8-0kq3_VbTm41yRcW7uPaLsN9eHdGfJ2oI6tQ5"'),
        ("ENTRADA_CLOUD", "\ufeffpublic"),
    ],
)
def test_k31_quotation_marks_that_an_env_file_keeps(name: str, value: str) -> None:
    """K31's kind: an env file of a container keeps the quotation marks that a shell takes away."""
    refusal = refused({name: value})
    assert refusal.setting == name
    assert "quotation marks" in refusal.sentence or "invisible" in refusal.sentence


@pytest.mark.parametrize("value", ['Log in to the "Wiki"', "“Wiki”", "'n Huis"])
def test_lines_for_people_may_hold_quotation_marks(value: str) -> None:
    """The label of the button is read, not compared."""
    settings, _ = load_settings({"ENTRADA_SIGN_IN_LABEL": value, "ENTRADA_APPLICATION_NAME": value})
    assert (settings.sign_in_label, settings.application_name) == (value, value)


@pytest.mark.parametrize("name", ["ENTRADA_SIGN_IN_LABEL", "ENTRADA_APPLICATION_NAME"])
def test_lines_for_people_are_one_line(name: str) -> None:
    """A line end or a control character on a button is a mistake."""
    assert "one line" in refused({name: "two\nlines"}).sentence


# --- files ---


def test_k31_a_settings_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    """K31: Windows' editors write one in front of UTF-8."""
    file = tmp_path / "entrada.toml"
    file.write_bytes(codecs.BOM_UTF8 + f'client_id = "{CLIENT_ID}"\r\n'.encode())
    assert load_settings({}, file=file)[0].client_id == CLIENT_ID


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_k31_utf_16_is_named(tmp_path: Path, encoding: str) -> None:
    """K31: PowerShell's `>` writes it, with or without a mark; settings and secrets alike."""
    file = tmp_path / "entrada.toml"
    file.write_bytes(f'client_id = "{CLIENT_ID}"'.encode(encoding))
    assert "UTF-16" in refused({}, file).sentence
    assert "UTF-16" in refused({"ENTRADA_CLIENT_SECRET_FILE": str(file)}).sentence


@pytest.mark.parametrize("text", [SECRET, f"{SECRET}\n", f"{SECRET}\r\n", f"\ufeff{SECRET}\n"])
def test_k31_a_secrets_file_as_editors_write_it(tmp_path: Path, text: str) -> None:
    """The line end and the byte order mark are the file's, not the secret's."""
    file = tmp_path / "secret"
    file.write_bytes(text.encode())
    settings, _ = load_settings({**IDS, "ENTRADA_CLIENT_SECRET": "", "ENTRADA_CLIENT_SECRET_FILE": str(file)})
    assert settings.credentials == [ClientSecret(value=SECRET)]


@pytest.mark.parametrize("text", [f"{SECRET}\n{SECRET}\n", f"{SECRET}\0", f'"{SECRET}"\n'])
def test_k31_a_secrets_file_with_more_in_it(tmp_path: Path, text: str) -> None:
    """Two lines, a NUL or quotation marks are refused, and not shown."""
    file = tmp_path / "secret"
    file.write_text(text, "utf-8")
    refusal = refused({**IDS, "ENTRADA_CLIENT_SECRET": "", "ENTRADA_CLIENT_SECRET_FILE": str(file)})
    assert refusal.setting in ("ENTRADA_CLIENT_SECRET", "ENTRADA_CLIENT_SECRET_FILE")
    assert SECRET not in str(refusal)


# --- K32 ---


@pytest.mark.parametrize(
    ("text", "tried"),
    [
        (SECRET, [SECRET]),
        (OLD_SECRET, [OLD_SECRET, OLD_LEFT, OLD_RIGHT]),
        (f"{SECRET},{SECRET[::-1]}", [SECRET, SECRET[::-1]]),
        (f"{SECRET}, {SECRET[::-1]}", [SECRET, SECRET[::-1]]),
        (f"{SECRET},", [SECRET]),
        (f",{SECRET}", [SECRET]),
        (
            f"{OLD_SECRET},{SECRET}",
            [f"{OLD_SECRET},{SECRET}", OLD_LEFT, f"{OLD_RIGHT},{SECRET}", OLD_SECRET, SECRET],
        ),
        ("", []),
        (" , ", []),
    ],
)
def test_k32_a_comma_may_belong_to_an_old_secret(text: str, tried: list[str]) -> None:
    """K32: the whole is tried first, unless both sides are what Entra makes today."""
    assert secrets_in(text) == tried
