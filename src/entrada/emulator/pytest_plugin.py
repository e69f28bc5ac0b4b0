"""pytest fixtures: `entra`, an emulator that is as new for every test.

    def test_a_disabled_colleague(entra):
        entra.person("sam@contoso.test", roles=["Editor"], enabled=False)
        ...

One emulator serves the whole run, on free ports, in a thread of this process; `--entra-process`, or
`entra_process = true` in the pytest configuration, gives it a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .remote import RemoteEmulator

_STOP_SECONDS = 10


def pytest_addoption(parser: pytest.Parser) -> None:
    """The switch for a process of its own."""
    text = "run the Entra emulator in a process of its own"
    parser.getgroup("entrada").addoption("--entra-process", action="store_true", help=text)
    parser.addini("entra_process", text, type="bool", default=False)


@pytest.fixture(scope="session")
def entra_emulator(pytestconfig: pytest.Config) -> Iterator[RemoteEmulator]:
    """The emulator of this run; `entra` is the same, cleaned before each test."""
    if pytestconfig.getoption("--entra-process") or pytestconfig.getini("entra_process"):
        yield from _in_a_process()
    else:
        from .starting import start

        with start() as running:
            yield RemoteEmulator(running.http_url)


def _in_a_process() -> Iterator[RemoteEmulator]:
    with subprocess.Popen(
        [sys.executable, "-m", "entrada.emulator"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield RemoteEmulator(json.loads(process.stdout.readline())["http_url"])
        finally:
            process.stdin.close()
            process.wait(timeout=_STOP_SECONDS)


@pytest.fixture
def entra(entra_emulator: RemoteEmulator) -> RemoteEmulator:
    """The emulator with the seeded directory, no faults, nobody signed in and no requests remembered."""
    entra_emulator.reset()
    return entra_emulator


@pytest.fixture
def entra_env(entra: RemoteEmulator, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment variables of entrada, set for this test."""
    values = entra.env("entrada")
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return values


@pytest.fixture
def entra_sign_in(entra: RemoteEmulator) -> Callable[..., Any]:
    """`entra_sign_in(client, "ed@contoso.test", start="/login")` signs a test client in."""
    from .clients import sign_in

    def signed_in(client: Any, who: str = "ada@contoso.test", *, start: str = "/auth/entra/start") -> Any:
        return sign_in(client, entra, who, start=start)

    return signed_in
