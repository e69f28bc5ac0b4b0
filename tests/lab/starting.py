"""Entrada and the proxies in front, as people run them: `entrada serve`, the documented configurations.

Everything here makes a `Subject`; whoever tries another server makes one in another way.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx

from entrada.emulator import RunningEmulator
from gateway.proxies import STARTS, running
from house import tools
from walks.site import ROLES
from walks.visitor import Visitor, new_http

from .harness import Lab
from .readers import Reader
from .recorder import recording
from .subject import Person, Subject, in_entrada_s_form

ITSELF = "entrada serve"
PROXIES = tuple(STARTS)
TOLD = ("X_FORWARDED_USER", "X_FORWARDED_EMAIL", "X_FORWARDED_PREFERRED_USERNAME", "X_FORWARDED_GROUPS")
"""What the documented configurations tell an application."""
BELIEVED = ("X_AUTH_REQUEST_*", "REMOTE_USER", "REMOTE_GROUPS", "REMOTE_EMAIL", "REMOTE_NAME", "X_ENTRADA_*",
            "X_MS_CLIENT_PRINCIPAL*")  # fmt: skip
"""What other applications believe."""


@contextmanager
def entrada_serve(
    emulator: RunningEmulator, folder: Path, *arguments: str, toml: str = in_entrada_s_form()
) -> Iterator[tuple[int, str]]:
    """`entrada serve` in a process of its own: its port, and the host of its public URL."""
    port = tools.free_port()
    (folder / "entrada.toml").write_text(toml)
    environment = {
        **os.environ,
        **emulator.env("entrada"),
        "ENTRADA_PUBLIC_URL": f"http://localhost:{port}",
        "ENTRADA_DATABASE_URL": f"sqlite:///{folder}/entrada.db",
        "ENTRADA_ROLES_MAPPING": ROLES,
        "ENTRADA_TRUSTED_PROXIES": "127.0.0.1",
        "ENTRADA_LOG_LEVEL": "error",
    }
    command = [sys.executable, "-m", "entrada.cli", "serve", "--port", str(port)]
    command += ["--settings", str(folder / "entrada.toml"), *arguments]
    with ExitStack() as stack:
        running(stack, command, folder, port, environment=environment)
        yield port, f"localhost:{port}"


def signed_in(port: int, host: str) -> dict[str, Person]:
    """Two people of the emulator's directory, one an administrator, with their cookies."""
    people = {}
    site: Any = SimpleNamespace(public_url=f"http://{host}", address=f"http://127.0.0.1:{port}")
    with new_http() as http:
        for name, roles in (("ada", {"Admin"}), ("vi", {"Viewer"})):
            visitor = Visitor(site, http)
            visitor.sign_in_as(f"{name}@contoso.test")
            session = visitor.session_cookie
            assert session is not None
            cookie = f"{visitor.cookie_name('entrada_session')}={session.value}"
            told = httpx.get(
                f"http://127.0.0.1:{port}/auth/verify",
                headers={
                    "host": host,
                    "cookie": cookie,
                    "x-forwarded-method": "GET",
                    "x-forwarded-host": host,
                    "x-forwarded-uri": "/",
                },
                trust_env=False,
            )
            assert told.status_code == 200, told.text
            assert told.headers["x-forwarded-email"] == f"{name}@contoso.test"
            assert told.headers["x-forwarded-groups"] == ",".join(sorted(roles))
            people[name] = Person(
                name=name,
                cookie=cookie.encode(),
                roles=frozenset(roles),
                facts={
                    "USER": told.headers["x-forwarded-user"],
                    "EMAIL": told.headers["x-forwarded-email"],
                    "USERNAME": told.headers["x-forwarded-preferred-username"],
                    "NAME": told.headers["remote-name"],
                    "GROUPS": ",".join(sorted(roles)),
                },
            )
    return people


@contextmanager
def lab_for(name: str, emulator: RunningEmulator, folder: Path, readers: list[Reader]) -> Iterator[Lab]:
    """The lab for a documented proxy in front of `entrada serve`, or for `entrada serve` by itself."""
    folder.mkdir(exist_ok=True)
    with ExitStack() as stack:
        recorder = stack.enter_context(recording())
        application = f"127.0.0.1:{recorder.port}"
        port, host = stack.enter_context(
            entrada_serve(emulator, folder, "--upstream", f"http://{application}")
        )
        front = port
        if name != ITSELF:
            front = tools.free_port()
            (folder / "proxy").mkdir()
            STARTS[name](stack, folder / "proxy", front, f"127.0.0.1:{port}", application)
        subject = Subject(
            name=name,
            port=front,
            host=host,
            upstream_port=recorder.port,
            people=signed_in(port, host),
            told=TOLD,
            believed=BELIEVED,
            keeps_cookie=name != ITSELF,
        )
        recorder.taken()
        yield Lab(subject=subject, recorder=recorder, readers=readers)
