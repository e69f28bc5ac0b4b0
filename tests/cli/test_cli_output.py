"""Standard output that cannot be written: every command says so in one sentence, or nothing to nobody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ENTRADA = f"{sys.executable} -m entrada.cli"
COMMANDS = [
    "settings",
    "settings --format json",
    "--help",
    "--version",
    "users list --help",
    "mapping --help",
]
SAID = "entrada: What this command has to say could not be written"


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    database = f"sqlite:///{folder / 'entrada.db'}"
    return subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "ENTRADA_DATABASE_URL": database},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("where", [">/dev/full", ">&-"])
def test_output_that_cannot_be_written_is_one_sentence_and_status_1(
    command: str, where: str, tmp_path: Path
) -> None:
    """A full disk, or a standard output that was closed: no traceback, and no success."""
    done = run(f"{ENTRADA} {command} {where}", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(SAID)
    assert len(done.stderr.splitlines()) == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_a_reader_that_went_away_hears_nothing(command: str, tmp_path: Path) -> None:
    """`| true`: not a word, whether or not there was time to write."""
    done = run(f"( {ENTRADA} {command}; echo $? >status ) | true", tmp_path)
    assert done.stderr == ""
    assert (tmp_path / "status").read_text("utf-8").strip() in ("0", "1")


def test_a_command_with_nothing_to_say_needs_no_output(tmp_path: Path) -> None:
    """Its own mistake is what is told, not the missing output."""
    done = run(f"{ENTRADA} settings --settings nowhere.toml >&-", tmp_path)
    assert done.returncode == 1
    assert "nowhere.toml" in done.stderr
    assert SAID not in done.stderr
