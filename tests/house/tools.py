"""What lies on this machine for the tests to use, and the one way to say that something does not.

A test that cannot run says so with `could_not_run`; the summary at the end of the run lists it with
its reason, and where ENTRADA_TESTS_REQUIRE_ALL=1 (`make test` in CI) it counts as a failure.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[2]
COULD_NOT_RUN = "could not run: "

_CHROMIUM_COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_CHROMIUM_FILES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)


def could_not_run(reason: str) -> NoReturn:
    """Ends the test, neither passed nor failed; `reason` names what is missing and how to get it."""
    pytest.skip(COULD_NOT_RUN + reason)


def end(process: subprocess.Popen[Any], *, seconds: float = 15) -> None:
    """As an operator would; what has not ended in that time is killed."""
    process.terminate()
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=seconds)


def command_path(command: str) -> str:
    """The path of `command`, or the end of the test. Debian keeps servers in /usr/sbin: searched, too."""
    search = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which(command, path=search)
    if found is None:
        could_not_run(f"{command} is not installed (scripts/system-packages.txt names its package)")
    return found


def find_chromium() -> str | None:
    """A Chrome or Chromium that starts: ENTRADA_CHROMIUM, the system's, or playwright's own; else None."""
    if named := os.environ.get("ENTRADA_CHROMIUM"):
        return named
    candidates = [shutil.which(command) for command in _CHROMIUM_COMMANDS]
    candidates += [path for path in _CHROMIUM_FILES if Path(path).is_file()]
    if not any(candidates):
        candidates.append(_playwright_chromium())
    # Ubuntu's package is a stub that only says to install a snap: a browser that has no version is none.
    return next((path for path in candidates if path and _prints_version(path)), None)


def find_node(minimum_major: int = 18) -> str | None:
    """A Node.js of at least that major version, else None."""
    node = shutil.which("node")
    if node is None:
        return None
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=False)
    major = answer.stdout.strip().removeprefix("v").partition(".")[0]
    return node if major.isdigit() and int(major) >= minimum_major else None


def find_python(version: str) -> str | None:
    """A Python of that version, such as "3.10": on PATH, uv's own, or one that pyenv has without showing."""
    names = [shutil.which(f"python{version}")]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    names += [str(path) for path in sorted(pyenv.glob(f"versions/{version}*/bin/python"))]
    uv = [sys.executable, "-m", "uv", "--quiet", "python", "find", "--no-project", version]
    found = subprocess.run(
        uv,
        env={**os.environ, "UV_PYTHON_DOWNLOADS": "never"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    names.append(found.stdout.strip() or None)
    return next((name for name in names if name and _is_python(name, version)), None)


def _is_python(name: str, version: str) -> bool:
    says = [name, "-c", "import sys, venv; print('%d.%d' % sys.version_info[:2])"]
    try:
        answer = subprocess.run(says, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.stdout.strip() == version


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _prints_version(browser: str) -> bool:
    try:
        answer = subprocess.run(
            [browser, "--version", "--no-sandbox"], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0 and "Chrom" in answer.stdout


def _playwright_chromium() -> str | None:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).is_file() else None


if __name__ == "__main__":  # scripts/setup-tests asks: tools.py chromium
    answer = {"chromium": find_chromium, "node": find_node}[sys.argv[1]]()
    print(answer or "")
    sys.exit(0 if answer else 1)
