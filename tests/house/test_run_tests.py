"""scripts/run_tests.py: two suites beside each other, and what failed once more by itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PASSES, FAILS, STOPS = "pass", "raise ValueError", "raise KeyboardInterrupt"
FAILS_ONCE = """
    tried = pathlib.Path(__file__).with_suffix(".tried")
    was_tried = tried.exists()
    tried.touch()
    assert was_tried
"""


@pytest.mark.parametrize(
    ("quick", "heavy", "status", "run_again"),
    [
        (PASSES, PASSES, 0, 0),
        (FAILS_ONCE, FAILS_ONCE, 0, 2),
        (FAILS_ONCE, FAILS, 1, 2),
        (STOPS, PASSES, 2, 0),
    ],
)
def test_what_failed_beside_the_others_is_run_once_more_by_itself(
    quick: str, heavy: str, status: int, run_again: int, project_root: Path, tmp_path: Path
) -> None:
    """Said in so many words; what fails again fails, and what could not be run is not tried again."""
    (tmp_path / "scripts").mkdir()
    script = shutil.copy(project_root / "scripts" / "run_tests.py", tmp_path / "scripts")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = heavy\naddopts = -p pytest_timeout\n")
    for name, mark, does in (("quick", "usefixtures()", quick), ("heavy", "heavy", heavy)):
        text = f"import pathlib, pytest\n@pytest.mark.{mark}\ndef test_{name}():\n    {does}\n"
        (tmp_path / f"test_{name}.py").write_text(text)
    answer = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.returncode == status, answer.stdout
    assert answer.stdout.count("by itself:") == run_again
