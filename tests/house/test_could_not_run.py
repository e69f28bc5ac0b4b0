"""The end of a test run: nothing that was left out goes unsaid."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = """
import pytest
from house.tools import could_not_run

def test_passes():
    pass

def test_wants_a_tool():
    could_not_run("frobnicator is not installed")

def test_wants_chromium():
    pytest.skip("no chromium here")

def test_wants_a_package():
    pytest.importorskip("no_such_package_anywhere")

def test_elsewhere():
    pytest.skip("only on another planet")
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A test module outside the project, run with the project's conftest."""
    path = tmp_path / "test_suite.py"
    path.write_text(SUITE, "utf-8")
    return path


def run_pytest(suite: Path, project_root: Path, *, require_all: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "-p", "no:cacheprovider", "--rootdir"]
    return subprocess.run(
        [*command, str(suite.parent), "-c", os.devnull, str(suite)],
        cwd=suite.parent,
        env={
            **os.environ,
            "PYTHONPATH": str(project_root / "tests"),
            "ENTRADA_TESTS_REQUIRE_ALL": require_all,
            "PYTEST_ADDOPTS": "",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_reasons_are_listed_at_the_end(suite: Path, project_root: Path) -> None:
    """On a desk a missing tool does not fail the run, and each reason is listed."""
    answer = run_pytest(suite, project_root, require_all="")
    assert answer.returncode == 0, answer.stdout
    end = answer.stdout.partition("could not run, and why")[2]
    assert "frobnicator is not installed" in end
    assert "no chromium here" in end
    assert "no_such_package_anywhere" in end
    assert "another planet" in end


def test_where_every_test_must_run_a_missing_tool_is_a_failure(suite: Path, project_root: Path) -> None:
    """With ENTRADA_TESTS_REQUIRE_ALL=1 the three without their tool fail; a plain skip does not."""
    answer = run_pytest(suite, project_root, require_all="1")
    assert answer.returncode == 1, answer.stdout
    assert "3 failed, 1 passed, 1 skipped" in answer.stdout
    assert "frobnicator is not installed" in answer.stdout.partition("could not run, and why")[2]
