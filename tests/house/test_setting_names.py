"""A setting is called by its name in the declaration everywhere but where a person reads it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import entrada
from entrada.errors import ConfigurationError
from entrada.settings import Names, Settings, load_settings

PACKAGE = Path(entrada.__file__).parent
ABOVE = {"cli", "gateway", "broker", "emulator"}
"""What stands above, or beside, everything that is handed values: it may quote a variable in a sentence."""
SOURCES = {
    path.relative_to(PACKAGE): path.read_text("utf-8")
    for path in PACKAGE.rglob("*.py")
    if path.relative_to(PACKAGE).parts[0] not in ABOVE
}
MARKER = re.compile(r"\$\[(\w+)\]")


def test_no_module_below_the_command_line_spells_a_variable() -> None:
    """ENTRADA_… is spelt once, as a prefix; write $[client_secret] in an error's sentence or hint instead."""
    spelt = {
        f"{path}:{number}": line.strip()
        for path, text in SOURCES.items()
        for number, line in enumerate(text.splitlines(), start=1)
        if "ENTRADA_" in line
    }
    assert list(spelt.values()) == ['NATIVE_PREFIX = "ENTRADA_"'], spelt


def test_every_marker_is_a_setting() -> None:
    """A misspelt marker would show a variable that does not exist."""
    named = {name for text in SOURCES.values() for name in MARKER.findall(text)}
    named |= {name for text in SOURCES.values() for name in re.findall(r'\bsetting="(\w+)"', text)}
    assert named - Settings.model_fields.keys() == set()


def test_an_error_reads_well_without_anybody_who_knows_the_names() -> None:
    """K34: `str` of an error is sentence and hint, with the native names."""
    error = ConfigurationError("$[client_id] is not set.", hint="Set $[client_id].", setting="client_id")
    assert str(error) == "ENTRADA_CLIENT_ID is not set.\n  Set ENTRADA_CLIENT_ID."
    assert error.setting == "ENTRADA_CLIENT_ID"


@pytest.mark.parametrize(
    ("environ", "entry", "called"),
    [
        ({}, "", "ENTRADA_CLOUD"),
        ({"ENTRADA_AUTHORITY_HOST": "login.microsoftonline.us"}, "", "ENTRADA_AUTHORITY_HOST"),
        ({"AZURE_HOST": "login.microsoftonline.us"}, "", "AZURE_HOST"),
        ({}, 'authority_host = "login.microsoftonline.us"', "authority_host in entrada.toml"),
    ],
)
def test_a_setting_is_called_what_the_person_called_it(
    environ: dict[str, str], entry: str, called: str, tmp_path: Path
) -> None:
    """The native variable, another product's, or the entry of the file; the native one if nobody set it."""
    file = tmp_path / "entrada.toml"
    file.write_text(entry, "utf-8")
    _, found = load_settings(environ, file=file)
    assert found.names.put_into("$[cloud] $[authority_host]").count(called) == 1


def test_text_from_outside_is_left_alone() -> None:
    """A dollar in a path, a query or a shell line is no marker."""
    text = "https://graph.test/users?$select=id&$filter=x, $HOME, ${client_id}, $client_id"
    assert Names().put_into(text) == text
