"""An adapter is imported by every process that starts: it brings nothing that is needed only later."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("msal", "requests", "urllib3", "sqlalchemy", "alembic", "jinja2.environment", "cryptography")
FRAMEWORKS = {
    "asgi": "asyncio",
    "starlette": "starlette.applications",
    "fastapi": "fastapi",
    "wsgi": "wsgiref.simple_server",
    "flask": "flask",
    "quart": "quart",
    "tornado": "tornado.websocket",
}


@pytest.mark.parametrize("adapter", FRAMEWORKS)
def test_importing_an_adapter_loads_nothing_heavy(adapter: str) -> None:
    """MSAL, the database and the pages come with the first `Entrada`."""
    program = (
        f"import sys, {FRAMEWORKS[adapter]}; before = set(sys.modules); import entrada.adapters.{adapter}; "
        f"print([name for name in {HEAVY!r} if name in sys.modules and name not in before])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
