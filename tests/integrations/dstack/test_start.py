"""Starting dstack with the plug-in: what stops it, what says so, and the other way in."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from clients.dstack import (
    CONFIGURATION,
    NEWEST,
    VERSIONS,
    WITH_PLUGIN,
    commands_of,
    environment_of,
    refused_start,
    running_dstack,
)
from entrada.emulator import RunningEmulator
from house import tools
from integrations.dstack.administrator import may_use
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


@pytest.mark.parametrize(
    "words", [("check",), ("check", "--json"), ("links",), ("forget", "pat")], ids=" ".join
)
def test_k55_without_a_home(words: tuple[str, ...], tmp_path: Path) -> None:
    """K55: for a user id that no file knows, without HOME, each command says so and what to set."""
    script = f"import pwd, sys\npwd.getpwuid = {{}}.__getitem__\n{IN_THIS_PROCESS}"
    commands = commands_of(NEWEST)
    environment = {
        name: value for name, value in environment_of(tmp_path, commands).items() if name != "HOME"
    }
    answer = subprocess.run(
        [commands / "python", "-c", script, "dstack", *words],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.returncode == 1
    assert "There is no home directory" in answer.stderr
    assert "Set HOME" in answer.stderr
    assert "Traceback" not in answer.stderr


IN_THIS_PROCESS = "from entrada.cli import main\nsys.exit(main(sys.argv[1:]))"


def test_check_without_dstack(tmp_path: Path) -> None:
    """Where dstack is not installed it says so, in a sentence, and fails."""
    command = [Path(sys.executable).parent / "entrada", "dstack", "check"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert answer.returncode == 1
    assert "dstack is not installed" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_restart_under_an_own_uvicorn(
    emulator: RunningEmulator, new_visitor: NewVisitor, new_person: NewPerson, tmp_path: Path
) -> None:
    """`uvicorn entrada.integrations.dstack:app` is the same server, with the same database and key.

    A sign-in begun before the restart ends after it; tokens that dstack encrypts are no obstacle.
    """
    pat, port = new_person("Viewer"), tools.free_port()
    with running_dstack(
        emulator, home=tmp_path, port=port, configuration=ENCRYPTED + CONFIGURATION + WITH_PLUGIN
    ) as dstack:
        visitor = new_visitor(dstack)
        first = visitor.sign_in_as(pat)
        visitor.begin()
        visitor.approve_as(pat)
    with running_dstack(
        emulator,
        home=tmp_path,
        port=port,
        configuration=ENCRYPTED + CONFIGURATION,
        admin_token=dstack.admin_token,
        under_uvicorn=True,
    ) as dstack:
        answer = visitor.complete()
        assert answer.status_code == 200, answer.text
        assert (answer.json()["id"], answer.json()["creds"]) == (first["id"], first["creds"])
        assert may_use(dstack, first["creds"]["token"])


ENCRYPTED = f"""encryption:
  keys:
  - type: aes
    name: key1
    secret: {base64.b64encode(bytes(range(32))).decode()}
"""
