"""What a benchmark runs in: this machine, and a virtual environment for the peers.

The peers' packages (Flask, identity, gunicorn and what they need) are pinned in requirements/bench.txt and
installed into bench/.cache/venv, so that none of them enters the environment Entrada is developed in.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from bench.processes import CLIENT_CORE, SERVER_CORE, CannotRun
from entrada.compatibility import UTC

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(__file__).resolve().parent / ".cache"
_VENV = CACHE / "venv"
_REQUIREMENTS = ROOT / "requirements" / "bench.txt"


def peer_python() -> Path:
    """The interpreter that has the peers' packages; installs them when requirements/bench.txt has changed.

    Raises:
        CannotRun: they cannot be installed.
    """
    python, stamp = _VENV / "bin" / "python", _VENV / ".installed"
    wanted = f"{_VENV}\n{_REQUIREMENTS.read_text('utf-8')}"
    if stamp.exists() and stamp.read_text("utf-8") == wanted:
        return python
    print("Installing the peers' packages into bench/.cache/venv ...", file=sys.stderr, flush=True)
    venv.create(_VENV, with_pip=True, clear=True)
    install: list[str | Path] = [python, "-m", "pip", "install", "--quiet"]
    install += ["--require-hashes", "--requirement", _REQUIREMENTS]
    try:
        subprocess.run(install, check=True, capture_output=True, text=True, timeout=300)
    except subprocess.CalledProcessError as failure:
        raise CannotRun(f"its packages could not be installed: {failure.stderr.strip()[-200:]}") from None
    except subprocess.TimeoutExpired:
        raise CannotRun("installing its packages took longer than five minutes") from None
    stamp.write_text(wanted, "utf-8")
    return python


def go_program(module: str, name: str) -> Path:
    """A program of a Go module (`address@version`), built into bench/.cache/go unless it is there.

    Raises:
        CannotRun: there is no Go, or it cannot be built.
    """
    folder = CACHE / "go" / module.rpartition("@")[2]
    program = folder / name
    if program.exists():
        return program
    go = shutil.which("go", path=f"{os.environ.get('PATH', '')}:/usr/local/go/bin")
    if go is None:
        raise CannotRun("Go, which it is built with, is not installed")
    print(f"Building {module} into bench/.cache/go ...", file=sys.stderr, flush=True)
    install = [go, "install", "-ldflags=-s -w", module]
    try:
        subprocess.run(
            install,
            env={**os.environ, "GOBIN": str(folder)},
            check=True,
            capture_output=True,
            text=True,
            timeout=600,
        )
    except subprocess.CalledProcessError as failure:
        raise CannotRun(f"it could not be built: {failure.stderr.strip()[-200:]}") from None
    except subprocess.TimeoutExpired:
        raise CannotRun("building it took longer than ten minutes") from None
    return program


def peer_version(*packages: str) -> Callable[[], str]:
    """Asks for the versions of packages in the peers' environment."""
    program = (
        "import sys, importlib.metadata as m; print(*(f'{n} {m.version(n)}' for n in sys.argv[1:]), sep=', ')"
    )
    return lambda: output_of([str(peer_python()), "-c", program, *packages])


def output_of(command: Sequence[str]) -> str:
    """What a command prints, or that it says nothing."""
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown version"


def machine() -> dict[str, str]:
    """What to know about this run before comparing its absolute figures with another's."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": _processor(),
        "cores": f"{os.cpu_count()}, servers on {SERVER_CORE}, clients and provider on {CLIENT_CORE}",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )
