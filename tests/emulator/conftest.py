"""One emulator for the whole run, as new before each test, and a client that trusts it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import httpx
import pytest

from emulator.relying_party import Entra
from entrada.emulator import RunningEmulator, start


@pytest.fixture(scope="session")
def started_emulator() -> Iterator[RunningEmulator]:
    with start() as emulator:
        yield emulator


@pytest.fixture
def emulator(started_emulator: RunningEmulator) -> RunningEmulator:
    """The emulator as it is just after starting."""
    started_emulator.reset()
    return started_emulator


@pytest.fixture(scope="session")
def trust(started_emulator: RunningEmulator) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=started_emulator.ca_file)


@pytest.fixture
def http(emulator: RunningEmulator, trust: ssl.SSLContext) -> Iterator[httpx.Client]:
    """A client that trusts the emulator, keeps cookies and follows no redirect."""
    with httpx.Client(verify=trust, trust_env=False, timeout=10) as client:
        yield client


@pytest.fixture
def entra(emulator: RunningEmulator, http: httpx.Client) -> Entra:
    return Entra(emulator, http)
