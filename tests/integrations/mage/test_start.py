"""Starting: beside Mage's own packages, quickly, and not at all when something does not fit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clients import websocket
from clients.mage import entrada_mage, mage_commands, running_mage, start_seconds
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CONTOSO_ID
from integrations.mage.conftest import WITH_ENTRADA
from integrations.mage.desk import Desk

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


def test_k70_a_signal_ends_all_of_mages_processes(entra: RunningEmulator) -> None:
    """K70: SIGTERM to the server alone: scheduler, kernels, and a shell that somebody opened end with it."""
    with running_mage(entra, with_entrada=True, settings=WITH_ENTRADA) as mage:
        desk = Desk(mage=mage, entra=entra)
        session = desk.password_session()
        shell = websocket.opened(f"{mage.site}/websocket/terminal", {"Cookie": f"oauth_token={session}"})
        command = ["stdin", "nohup sleep 300 & echo be''gun\r"]
        shell.say({"api_key": mage.api_key, "token": desk.token_in(session), "command": command})
        assert shell.hears("begun", seconds=20)
        with desk.api() as api:
            server = int(api.get("/api/status").json()["statuses"][0]["server_process_id"])
        began = descendants(server)
        assert len(began) >= 4, began
        os.kill(server, signal.SIGTERM)
        deadline = time.monotonic() + 20
        while left := {pid: name for pid, name in began.items() if is_running(pid, name)}:
            assert time.monotonic() < deadline, left
        shell.close()


def descendants(pid: int) -> dict[int, str]:
    """This process and all that came of it, with their command lines."""
    parents: dict[int, int] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(status.parent.name)] = int(status.read_text("utf-8").rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended meanwhile
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return {one: command_line(one) for one in found}


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace")
    except OSError:
        return ""


def is_running(pid: int, name: str) -> bool:
    """Whether that same process runs; one that its parent has not asked about any more has ended."""
    return bool(name) and command_line(pid) == name


def test_a_server_that_nothing_guards_is_not_started(entra: RunningEmulator, tmp_path: Path) -> None:
    """Mage's server for dbt's documentation has no handlers to guard: a sentence, and nothing runs."""
    told = entrada_mage(entra, tmp_path, "start", tmp_path / "project", "--dbt-docs-instance", "1")
    assert told.returncode == 1
    assert "asks nobody" in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize("command", ["links", "adopt", "link", "unlink"])
@pytest.mark.parametrize("metadata", ["", "project_type: standalone\n"], ids=["no project", "never started"])
def test_k58_commands_about_users_make_no_database(
    entra: RunningEmulator, tmp_path: Path, command: str, metadata: str
) -> None:
    """K58: outside a project, or where Mage has never run: a sentence, status 1, and no file more."""
    words: dict[str, list[str]] = {
        "links": [],
        "adopt": ["--entra-users", "users.csv", "--tenant-id", CONTOSO_ID],
        "link": ["a@b.c", "--tenant-id", CONTOSO_ID, "--object-id", CONTOSO_ID],
        "unlink": ["--tenant-id", CONTOSO_ID, "--object-id", CONTOSO_ID],
    }
    (tmp_path / "users.csv").write_text(f"id,userPrincipalName\n{CONTOSO_ID},a@b.c\n", "utf-8")
    if metadata:
        (tmp_path / "metadata.yaml").write_text(metadata, "utf-8")
    told = entrada_mage(entra, tmp_path, command, *words[command], "--project", tmp_path)
    assert told.returncode == 1, told.stdout
    assert ("no project of Mage's" if not metadata else "has no database") in told.stderr
    assert "Traceback" not in told.stderr
    assert "Nobody" not in told.stdout
    assert not list(tmp_path.rglob("*.db"))


def test_it_adds_less_than_a_second_to_the_start(entra: RunningEmulator) -> None:
    """The best of at least two starts of each, on an empty project and SQLite, side by side."""
    while min(len(start_seconds(with_entrada=ours)) for ours in (False, True)) < 2:
        for ours in (False, True):
            if len(start_seconds(with_entrada=ours)) < 2:
                with running_mage(entra, with_entrada=ours, settings=WITH_ENTRADA if ours else {}):
                    pass
    assert min(start_seconds(with_entrada=True)) - min(start_seconds(with_entrada=False)) < 1
