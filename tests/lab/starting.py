"""Entrada and the proxies in front, as people run them: `entrada serve`, the documented configurations.

Everything here makes a `Subject`; whoever tries another server makes one in another way.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import httpx

from entrada.emulator import RunningEmulator
from gateway.operation import serving
from gateway.proxies import STARTS
from house import tools
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
        toml = 'trusted_proxies = ["127.0.0.1"]\n' + in_entrada_s_form()
        server = stack.enter_context(
            serving(emulator, folder, "--upstream", f"http://{application}", toml=toml)
        )
        host, port = urlsplit(server.public_url).netloc, urlsplit(server.address).port or 0
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
