"""The fast tests on every Python that we say Entrada runs on, each in an environment of its own.

Mage's own image runs 3.10. What a Python of this machine cannot show is listed at the end of the run.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from clients.products import installed
from entrada.compatibility import tomllib
from house import tools

OTHERS = ("3.10", "3.12", "3.13")
FAST = ("accounts", "adapters", "entra", "flows", "sessions", "settings", "storage", "web")
GATEWAY = ("rules", "paths", "hops", "identity", "clients", "assertion", "bearer_callers", "forward_auth")
"""Of its tests those without processes and real proxies."""
TOOLS = (
    "pytest-timeout>=2.3",
    "hypothesis>=6.100",
    "httpx>=0.27",
    "pysocks>=1.7",
    "fastapi>=0.115",
    "flask>=3.0",
    "flask-login>=0.6.3",
    "quart>=0.19",
    "tornado>=6.4.2",
    "websockets>=13",
    "PyYAML>=6.0.2",
    "psycopg[binary]>=3.2",
)
IN_PROCESSES = (
    "adapters/test_conformance.py",
    "adapters/test_django.py",
    "adapters/test_typed.py",
    "adapters/test_wrong_settings.py",
)
"""Not fast: they start servers in processes. `test_framework_versions` has adapters on other Pythons."""
SECONDS = 400


@pytest.fixture(scope="module")
def runs() -> Iterator[dict[str, Future[CompletedProcess[str]]]]:
    """All of them at once: on two cores that is half of the time."""
    with ThreadPoolExecutor(len(OTHERS)) as pool:
        yield {python: pool.submit(_run, python) for python in OTHERS}


@pytest.mark.heavy
@pytest.mark.timeout(SECONDS + 170)
@pytest.mark.parametrize("python", OTHERS)
def test_K71_the_fast_tests_pass(python: str, runs: dict[str, Future[CompletedProcess[str]]]) -> None:
    """Installed as a person would, with what the newest packages for that Python are."""
    answer = runs[python].result()
    assert answer.returncode == 0, answer.stdout[-4000:] + answer.stderr[-1000:]
    assert f"Python {python}" in answer.stdout
    assert int(re.findall(r"(\d+) passed", answer.stdout)[-1]) > 2000


def _run(python: str) -> CompletedProcess[str]:
    if tools.find_python(python) is None:
        pytest.skip(f"no Python {python} on this machine")
    name = f"python-{python}"
    commands = installed("pytest>=8", name=name, with_project="server", beside=TOOLS, python=python)
    tests = [*(f"tests/{folder}" for folder in FAST), *(f"tests/gateway/test_{name}.py" for name in GATEWAY)]
    answer = subprocess.run(
        [
            *(commands / "python", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--timeout=60"),
            *("-m", "not heavy and not browser", "-k", "not postgresql", *tests),
            *(f"--ignore-glob=tests/{name}" for name in IN_PROCESSES),
        ],
        cwd=tools.ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    answer.stdout += _version(commands)
    return answer


def _version(commands: Path) -> str:
    return subprocess.run(
        [commands / "python", "--version"], capture_output=True, text=True, timeout=30, check=True
    ).stdout


def test_K71_what_is_claimed_is_what_is_tried(project_root: Path) -> None:
    """The classifiers name the Pythons of this file and the one that the tests are developed on."""
    project = tomllib.loads((project_root / "pyproject.toml").read_text("utf-8"))["project"]
    claimed = [line.rpartition(" ")[2] for line in project["classifiers"] if re.search(r":: 3\.\d+$", line)]
    assert claimed == sorted({*OTHERS, "3.11"}, key=lambda version: int(version[2:]))
    assert project["requires-python"] == f">={claimed[0]}"


def test_K71_what_newer_pythons_brought_is_used_in_one_place(project_root: Path) -> None:
    """Names that 3.10 does not have come from the compatibility modules alone."""
    newer = re.compile(
        r"^\s*(import tomllib|from datetime import .*\bUTC\b|from enum import .*\bStrEnum\b"
        r"|from typing import .*\b(Self|Never|assert_never|LiteralString|NotRequired|Required|override)\b"
        r"|except\*)|asyncio\.(Runner|TaskGroup|timeout)\b",
        re.MULTILINE,
    )
    found = [
        str(file.relative_to(project_root))
        for folder in ("src", "tests", "bench", "scripts")
        for file in (project_root / folder).rglob("*.py")
        if file.name not in ("compatibility.py", "test_pythons.py")
        and ".cache" not in file.parts
        and newer.search(file.read_text("utf-8"))
    ]
    assert found == []
