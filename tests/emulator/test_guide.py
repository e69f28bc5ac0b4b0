"""docs/how-to/emulator.md: its code runs, its ids are right, its lists are complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from emulator.relying_party import Entra
from entrada.emulator import start
from entrada.emulator.faults.catalogue import ENDPOINTS, MEANING_FAULTS, WIRE_FAULTS
from entrada.emulator.faults.conformance import NOT_AT_ENTRA, PLAIN
from entrada.emulator.faults.tampering import SIGNATURES
from entrada.emulator.seed import CLIENT_SECRET, CONTOSO_ID, FABRIKAM_ID, SECOND_CLIENT_SECRET

pytest_plugins = ["pytester"]


@pytest.fixture(scope="module")
def guide(project_root: Path) -> str:
    return (project_root / "docs/how-to/emulator.md").read_text("utf-8")


def _blocks(guide: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", guide, re.DOTALL)


def test_the_python_examples_run(guide: str) -> None:
    """Every example that is not a test file runs as it stands."""
    examples = [block for block in _blocks(guide, "python") if "def test_" not in block]
    assert len(examples) == 2
    for example in examples:
        exec(compile(example, "guide", "exec"), {})


def test_the_test_examples_pass(guide: str, pytester: pytest.Pytester) -> None:
    """The example tests pass as they stand, in one file."""
    examples = [block for block in _blocks(guide, "python") if "def test_" in block]
    pytester.makepyfile("\n".join(examples))
    pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider").assert_outcomes(passed=3)


def test_the_directory_example_loads(guide: str, tmp_path: Path) -> None:
    """The TOML example is a directory file."""
    file = tmp_path / "directory.toml"
    file.write_text(_blocks(guide, "toml")[0], "utf-8")
    with start(directory=file) as emulator:
        assert emulator.person("wile@acme.test").display_name == "Wile E."


def test_the_tables_are_complete(guide: str, entra: Entra) -> None:
    """Every seeded person, id, secret, redirect URI, fault, endpoint and signature is in the guide."""
    for word in (CONTOSO_ID, FABRIKAM_ID, CLIENT_SECRET, SECOND_CLIENT_SECRET):
        assert word in guide
    for person in entra.emulator.people:
        assert f"`{person.sign_in_name}` | `{person.object_id[-2:]}`" in guide
    paths = {
        uri.removeprefix("http://localhost") for uri in entra.emulator.app("Entrada (emulated)").redirect_uris
    }
    for name in (*paths, *WIRE_FAULTS, *MEANING_FAULTS, *ENDPOINTS, *SIGNATURES):
        assert f"`{name}`" in guide, name


def test_K40_the_guide_says_which_modules_do_not_apply_and_why(guide: str) -> None:
    """Each module that cannot be at Entra stands in the table with the reason the emulator gives."""
    for suffix, reason in NOT_AT_ENTRA.items():
        family = "-rp-backchannel-rpinitlogout" if "backchannel" in suffix else suffix
        assert any(
            f"`{family}`" in line and reason in line.replace("`", "") for line in guide.splitlines()
        ), suffix
    for suffix in PLAIN:
        assert f"`{suffix}`" in guide or not suffix
