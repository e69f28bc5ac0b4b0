"""Real products that the tests start, each in a virtual environment of its own under .venvs.

They are not the project's dependencies, and pin what it must not: so they live beside .venv. Each is
installed once; a stamp says of what and where, and a lock keeps two runs from installing together.

    installed("mage-ai==0.9.80")                                                  # the product alone
    installed("dstack[server]==0.22.5", name="dstack-0.22.5", with_project="dstack")

The second holds this checkout beside the product, as `pip install "./entrada[dstack]"` would, but editable:
a change of the source is seen at the product's next start. `name` keeps several versions side by side.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from entrada.compatibility import tomllib
from house import tools

ENVIRONMENTS = tools.ROOT / ".venvs"
_INSTALL_SECONDS = 150
_NO_BUILD = ("--only-binary", "sqlglotc")
"""Where it has no wheel for a Python, building it takes longer than everything else; older ones have."""


def installed(
    requirement: str,
    *,
    name: str = "",
    with_project: str = "",
    beside: tuple[str, ...] = (),
    python: str = "3.11",
) -> Path:
    """The folder of the commands of a product, such as `mage-ai==0.9.80`, installed if need be.

    `name` is the environment's, by default the product's; `with_project` is the extra with which this
    checkout is installed beside it, `beside` what else is. `python` is the version the product is known to
    run on; without it this run's own is tried. Ends the test when it cannot be installed.
    """
    folder = ENVIRONMENTS / (name or _product(requirement))
    lines = [str(folder), requirement, *beside]
    stamp, made_of = folder / ".installed", "\n".join(lines) + f"\n{_project(with_project)}"
    ENVIRONMENTS.mkdir(exist_ok=True)
    (ENVIRONMENTS / ".gitignore").write_text("*\n", "utf-8")
    with (ENVIRONMENTS / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.is_file() or stamp.read_text("utf-8") != made_of:
            _install([requirement, *beside], with_project, folder, python)
            stamp.write_text(made_of, "utf-8")
    return folder / "bin"


def _product(requirement: str) -> str:
    return re.split(r"[\[=<>~!; ]", requirement, maxsplit=1)[0]


def _project(extra: str) -> str:
    """What of pyproject.toml an installation of this checkout holds; the source it reads afresh."""
    if not extra:
        return ""
    declared = tomllib.loads((tools.ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    held = {
        "extra": extra,
        "dependencies": [declared["dependencies"], declared["optional-dependencies"].get(extra)],
        "commands": [declared.get("scripts"), declared.get("entry-points")],
    }
    return json.dumps(held, sort_keys=True) + "\n"


def _install(requirements: list[str], extra: str, folder: Path, python: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    uv = [sys.executable, "-m", "uv", "--quiet"]
    python = tools.find_python(python) or sys.executable
    wanted = [*requirements, *(["--editable", f"{tools.ROOT}[{extra}]"] if extra else [])]
    for command in (
        [*uv, "venv", "--no-project", "--python", python, str(folder)],
        [*uv, "pip", "install", *_NO_BUILD, "--python", str(folder / "bin/python"), *wanted],
    ):
        problem = _problem(command)
        if problem:
            shutil.rmtree(folder, ignore_errors=True)
            tools.could_not_run(f"{requirements[0]} cannot be installed: {problem}")


def _problem(command: list[str]) -> str:
    """Nothing when the command worked, else its last words."""
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    try:
        answer = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"not done after {_INSTALL_SECONDS} s"
    lines = (answer.stderr.strip() or f"status {answer.returncode}").splitlines()
    return "" if answer.returncode == 0 else lines[-1].strip()
