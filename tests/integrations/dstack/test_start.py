"""Starting dstack with the plug-in: what stops it, what says so, and the other way in."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from clients.dstack import VERSIONS, commands_of, environment_of, refused_start, running_dstack
from entrada.emulator import RunningEmulator
from integrations.dstack.conftest import SHARED_SETTINGS, NewPerson, NewVisitor

pytestmark = [pytest.mark.heavy, pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"DSTACK_ENTRA_CLIENT_SECRET": ""}, "DSTACK_ENTRA_CLIENT_SECRET"),
        ({"DSTACK_SERVER_URL": "http://127.0.0.1:3000"}, "localhost"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_setting_stops_the_server(
    settings: dict[str, str], words: str, emulator: RunningEmulator, tmp_path: Path
) -> None:
    """dstack does not start without the sign-in that was asked for, and says in words what is wrong."""
    status, said = refused_start(emulator, tmp_path, **{**SHARED_SETTINGS, **settings})
    assert status != 0
    assert words in said.replace("\n", " ")
    assert "Traceback" not in said, said
    assert emulator.env("dstack")["DSTACK_ENTRA_CLIENT_SECRET"] not in said


@pytest.mark.parametrize("version", VERSIONS[1:])
def test_a_wrong_setting_stops_older_versions_too(
    version: str, emulator: RunningEmulator, tmp_path: Path
) -> None:
    """The same in every supported version: none starts and lacks the button."""
    status, said = refused_start(emulator, tmp_path, version=version, DSTACK_ENTRA_CLIENT_ID="")
    assert status != 0
    assert "DSTACK_ENTRA_CLIENT_ID" in said
    assert "Traceback" not in said, said


@pytest.mark.parametrize("version", VERSIONS)
def test_check_says_that_it_fits(version: str, tmp_path: Path) -> None:
    """`entrada dstack check` names the version, and every hook as found."""
    commands = commands_of(version)
    command = [commands / "entrada", "dstack", "check", "--json"]
    answer = subprocess.run(
        command,
        env=environment_of(tmp_path, commands),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout)
    assert told["version"] == version


def test_check_without_dstack(tmp_path: Path) -> None:
    """Where dstack is not installed it says so, in a sentence, and fails."""
    command = [Path(sys.executable).parent / "entrada", "dstack", "check"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert answer.returncode == 1
    assert "dstack is not installed" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_under_an_own_uvicorn(
    emulator: RunningEmulator, new_visitor: NewVisitor, new_person: NewPerson
) -> None:
    """`uvicorn entrada.integrations.dstack:app` is the same server; no config.yml names the plug-in."""
    with running_dstack(emulator, under_uvicorn=True, configuration="", **SHARED_SETTINGS) as dstack:
        assert dstack.api.post("/api/auth/list_providers").json() == [{"name": "entra", "enabled": True}]
        assert new_visitor(dstack).sign_in_as(new_person("Viewer"))["active"]
