"""What importing costs: the library goes into other people's programs, so it may not drag a server along."""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import entrada
from entrada.compatibility import tomllib

FRAMEWORKS = {"starlette", "fastapi", "flask", "django", "tornado", "uvicorn", "sqlalchemy", "alembic"}
HEAVY = FRAMEWORKS | {"msal", "requests", "jinja2", "pydantic", "jwt", "cryptography", "asyncio"}


def modules_after(statement: str) -> set[str]:
    """The names of all modules that a fresh Python has loaded after `statement`."""
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return set(answer.stdout.split())


@pytest.mark.parametrize("module", ["entrada", "entrada.errors"])
def test_the_root_is_light(module: str) -> None:
    """`import entrada` loads no MSAL, framework, database or cryptography."""
    loaded = {name.partition(".")[0] for name in modules_after(f"import {module}")}
    assert loaded & HEAVY == set()


@pytest.mark.parametrize("part", ["entra", "accounts", "sessions", "flows", "web"])
def test_the_core_loads_no_framework_and_no_database(part: str) -> None:
    """No module below the core brings in a framework or a database, at run time as in .importlinter."""
    names = [f"entrada.{part}", *submodules(f"entrada.{part}")]
    loaded = {name.partition(".")[0] for name in modules_after("import " + ", ".join(names))}
    assert loaded & FRAMEWORKS == set()


def test_the_emulator_stands_alone() -> None:
    """Loading all of the emulator loads nothing else of entrada, and no MSAL: a second reading, unaided."""
    loaded = modules_after("import " + ", ".join(["entrada.emulator", *submodules("entrada.emulator")]))
    ours = {f"{name}." for name in loaded if name.startswith("entrada.")}
    assert {name for name in ours if not name.startswith("entrada.emulator.")} == set()
    assert "msal" not in loaded


def test_no_module_draws_from_the_numbers_that_an_application_may_seed() -> None:
    """Those of `random` itself: seeded or forked, every process would wait as long as its neighbours."""
    files = sorted(Path(entrada.__file__).parent.rglob("*.py"))
    assert {
        str(file)
        for file in files
        for line in file.read_text("utf-8").splitlines()
        if re.match(r"\s*(import random\b|from random import (?!(System)?Random$))", line)
    } == set()


@pytest.mark.parametrize(
    ("file", "line"),
    [
        pytest.param("errors.py", "from entrada.entra import clouds", id="two parts"),
        pytest.param("emulator/clock.py", "from .state.world import World", id="two folders of the emulator"),
        pytest.param("emulator/tokens/opaque.py", "from . import access_token", id="two files of one folder"),
    ],
)
def test_a_circle_of_imports_fails_the_check(tmp_path: Path, file: str, line: str) -> None:
    """One import that closes a circle, between files or folders, and import-linter names it."""
    root = Path(__file__).parents[2]
    shutil.copytree(root / "src" / "entrada", tmp_path / "entrada")
    spoiled = tmp_path / "entrada" / file
    spoiled.write_text(f"{spoiled.read_text(encoding='utf-8')}\n{line}\n", encoding="utf-8")
    run = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--config", root / ".importlinter", "--no-cache"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 1
    assert "No circles, anywhere BROKEN" in run.stdout


def submodules(package: str) -> list[str]:
    """Every module below `package`, except those that do something when imported."""
    found = importlib.import_module(package)
    return [
        module.name
        for module in pkgutil.walk_packages(found.__path__, f"{package}.")
        if not module.name.endswith("__main__") and ".migrations." not in module.name
    ]


def test_all_names_exist() -> None:
    """Each name in an `__all__` is there, and stands in it once."""
    for name in ["entrada", *submodules("entrada")]:
        try:
            module = importlib.import_module(name)
            public = getattr(module, "__all__", [])
            absent = [entry for entry in public if not hasattr(module, entry)]
        except ModuleNotFoundError as error:
            if error.name and not error.name.startswith("entrada"):
                continue  # an extra that this environment does not have
            raise
        except Exception as error:
            if type(error).__name__ == "ImproperlyConfigured":
                continue  # Django's models are imported inside a Django project alone
            raise
        assert len(set(public)) == len(public), name
        assert absent == [], name


def test_the_version_is_that_of_the_project(project_root: Path) -> None:
    """`entrada.__version__` and pyproject.toml say the same."""
    project = tomllib.loads((project_root / "pyproject.toml").read_text("utf-8"))["project"]
    assert entrada.__version__ == project["version"]
