"""Starting: beside Mage's own packages, quickly, and not at all when something does not fit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from clients.mage import entrada_mage, mage_commands, running_mage, start_seconds
from entrada.emulator import RunningEmulator
from integrations.mage.conftest import WITH_ENTRADA

pytestmark = [pytest.mark.heavy, pytest.mark.browser, pytest.mark.timeout(300)]


def test_one_environment_holds_both() -> None:
    """`pip check` finds nothing: entrada's requirements and Mage's pins agree."""
    python = mage_commands(with_entrada=True) / "python"
    told = subprocess.run(
        [sys.executable, "-m", "uv", "pip", "check", "--python", python],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr


def test_this_mage_fits(entra: RunningEmulator, tmp_path: Path) -> None:
    """`entrada mage check` looks at every hook, and says so to people and to scripts."""
    told = entrada_mage(entra, tmp_path, "check", "--json")
    assert told.returncode == 0, told.stdout + told.stderr
    found = json.loads(told.stdout)
    assert found["fits"] is True
    assert found["mage_version"] == "0.9.80"
    assert found["findings"]
    assert all(one["problem"] is None for one in found["findings"])


def changed_mage(folder: Path, module: str, statement: str) -> dict[str, str]:
    """Variables with which Mage's module has something done to it, as a later version might."""
    (folder / "sitecustomize.py").write_text(
        f"import wrapt\n\n\n@wrapt.when_imported({module!r})\ndef changed(module):\n    {statement}\n",
        "utf-8",
    )
    return {"PYTHONPATH": str(folder), "ENTRADA_PUBLIC_URL": "http://localhost:6789"}


def test_check_names_the_hook_that_no_longer_fits(entra: RunningEmulator, tmp_path: Path) -> None:
    """A Mage without a function that we call: status 1; that one does not fit, most others do."""
    settings = changed_mage(tmp_path, "mage_ai.authentication.oauth2", "del module.encode_token")
    told = entrada_mage(entra, tmp_path, "check", "--json", settings=settings)
    assert told.returncode == 1
    found = json.loads(told.stdout)
    assert found["fits"] is False
    wrong = [one["hook"] for one in found["findings"] if one["problem"]]
    assert "mage_ai.authentication.oauth2.encode_token" in wrong
    assert len(wrong) < len(found["findings"]) / 2


def test_a_mage_that_changed_does_not_start_half_hooked(entra: RunningEmulator, tmp_path: Path) -> None:
    """A Mage whose table of providers moved: start refuses before there is a project or a server."""
    settings = changed_mage(
        tmp_path, "mage_ai.authentication.providers.constants", "del module.NAME_TO_PROVIDER"
    )
    refused = entrada_mage(entra, tmp_path, "start", tmp_path / "project", settings=settings)
    assert refused.returncode == 1, refused.stdout
    assert "entrada mage check" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "project").exists()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"ACTIVE_DIRECTORY_CLIENT_SECRET": ""}, "CLIENT_SECRET"),
        ({"ACTIVE_DIRECTORY_CLIENT_ID": "", "ACTIVE_DIRECTORY_CLIENT_SECRET": ""}, "CLIENT_ID"),
        ({"ACTIVE_DIRECTORY_DIRECTORY_ID": "common"}, "DIRECTORY_ID"),
        ({"ACTIVE_DIRECTORY_ROLES_MAPPING": "{'Admin': 'Admin'}"}, "ROLES_MAPPING"),
        ({"ENTRADA_PUBLIC_URL": "http://mage.example.com"}, "ENTRADA_PUBLIC_URL"),
        ({"ENTRADA_RECHECK_EVERY": "soon"}, "ENTRADA_RECHECK_EVERY"),
        ({"REQUIRE_USER_AUTHENTICATION": "0"}, "REQUIRE_USER_AUTHENTICATION"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_wrong_setting_stops_the_start(
    entra: RunningEmulator, tmp_path: Path, settings: dict[str, str], named: str
) -> None:
    """One sentence that names the variable, a hint, no traceback, and no Mage."""
    told = entrada_mage(entra, tmp_path, "start", tmp_path / "project", settings=settings)
    assert told.returncode == 1
    assert named in told.stderr
    assert "Traceback" not in told.stderr + told.stdout
    assert not (tmp_path / "project").exists()


def test_it_adds_less_than_a_second_to_the_start(entra: RunningEmulator) -> None:
    """The best of at least two starts of each, on an empty project and SQLite, side by side."""
    while min(len(start_seconds(with_entrada=ours)) for ours in (False, True)) < 2:
        for ours in (False, True):
            if len(start_seconds(with_entrada=ours)) < 2:
                with running_mage(entra, with_entrada=ours, settings=WITH_ENTRADA if ours else {}):
                    pass
    assert min(start_seconds(with_entrada=True)) - min(start_seconds(with_entrada=False)) < 1
