"""Each adapter beside the oldest of its framework, and Django's newest: installed by its extra, signed in to.

The newest of the others, and Django 5, are what the whole suite runs with.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import httpx
import pytest

from adapters.serving import Setup, serving
from clients.products import installed
from entrada.emulator import RunningEmulator
from house import tools
from walks.visitor import Visitor

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(400)]


@pytest.mark.parametrize(
    ("extra", "requirement", "application", "server", "python"),
    [
        ("starlette", "starlette==0.40.0", "on_starlette", "uvicorn", "3.11"),
        ("fastapi", "fastapi==0.115.0", "on_fastapi", "uvicorn", "3.11"),
        ("flask", "flask==3.0.0", "on_flask", "gunicorn-threads", "3.11"),
        ("quart", "quart==0.20.0", "on_quart", "uvicorn", "3.11"),
        ("django", "django==4.2.*", "on_django", "gunicorn-threads", "3.11"),
        ("django", "django==6.*", "on_django", "gunicorn-threads", "3.13"),
        ("tornado", "tornado==6.4.2", "on_tornado", "tornado", "3.11"),
    ],
)
def test_the_oldest_and_the_newest(
    extra: str,
    requirement: str,
    application: str,
    server: str,
    python: str,
    emulator: RunningEmulator,
    http: httpx.Client,
    tmp_path: Path,
) -> None:
    """Nothing is in conflict; nobody is sent to sign in, an editor comes in, a viewer does not."""
    if tools.find_python(python) is None:
        tools.could_not_run(f"no Python {python} on this machine")
    name = f"adapter-{requirement.replace('==', '-').replace('*', 'x')}"
    beside = ("pip", "uvicorn", "gunicorn", *(("djangorestframework",) if extra == "django" else ()))
    commands = installed(requirement, name=name, with_project=extra, beside=beside, python=python)
    checked = subprocess.run([commands / "pip", "check"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    setup = Setup(application=application, server=server, python=str(commands / "python"))
    emulator.reset()
    with serving(emulator, setup, tmp_path) as place:
        editor, viewer = Visitor(place, http), Visitor(place, http)
        assert editor.open("/members/a?q=1").headers["location"] == "/auth/login?next=/members/a%3Fq%3D1"
        assert editor.sign_in_as("ed@contoso.test").status_code == 303
        assert editor.fetch("/editors/all").json()["name"] == "Ed Codd"
        assert viewer.sign_in_as("vi@contoso.test").status_code == 303
        assert viewer.fetch("/editors/all").status_code == 403
        assert editor.sign_out().status_code == 303
        assert editor.fetch("/members/a").status_code == 401
