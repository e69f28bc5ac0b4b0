"""K34: what a server prints when a setting of an application is missing ends in what there is to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.serving import TESTS

SENTENCE = "ENTRADA_CLIENT_ID is not set."
FASTAPI = """
from fastapi import FastAPI
from entrada import Entrada
from entrada.adapters.fastapi import install
app = FastAPI()
install(app, Entrada.from_environment())
"""
FLASK = """
from flask import Flask
from entrada import Entrada
from entrada.adapters.flask import EntradaFlask
app = Flask(__name__)
EntradaFlask(Entrada.from_environment()).init_app(app)
"""
TORNADO = """
from tornado.web import Application
from entrada import Entrada
from entrada.adapters.tornado import install
install(Application([]), Entrada.from_environment())
"""


@pytest.mark.parametrize(
    ("program", "command"),
    [
        (FASTAPI, ["-m", "uvicorn", "app:app", "--port", "0"]),
        (FLASK, ["-m", "gunicorn", "app:app", "--bind", "127.0.0.1:0"]),
        (FLASK, ["-m", "flask", "--app", "app", "run", "--port", "0"]),
        (TORNADO, ["app.py"]),
        ("", ["-m", "django", "check", "--settings", "adapters.applications.django_settings"]),
        ("", ["-m", "gunicorn", "adapters.applications.on_django:app", "--bind", "127.0.0.1:0"]),
    ],
    ids=["uvicorn", "gunicorn", "flask-run", "tornado", "django-check", "django-gunicorn"],
)
def test_k34_the_sentence_and_the_hint_stand_at_the_end(
    program: str, command: list[str], tmp_path: Path
) -> None:
    """Whichever server starts it: it stops, and below its own frames stand our two lines and none of ours."""
    (tmp_path / "app.py").write_text(program, "utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ENTRADA_")}
    environment |= {"PYTHONPATH": f"{tmp_path}:{TESTS}", "ENTRADA_TENANT_ID": "contoso.test"}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = (done.stdout + done.stderr).rstrip()
    assert done.returncode != 0
    sentence, hint, *further = said[said.rindex(SENTENCE) :].splitlines()
    assert sentence == SENTENCE
    assert "Application (client) ID" in hint
    assert not [line for line in further if "  File " in line]
    inside = {line.split('"')[1] for line in said.splitlines() if line.strip().startswith('File "')}
    assert not [path for path in inside if "/entrada/settings/" in path or "/entrada/entra/" in path]
