"""One emulator for the suite of the adapters, and each of its applications started once."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from entrada.emulator import RunningEmulator, start
from walks.visitor import new_http


@pytest.fixture(scope="package")
def emulator() -> Iterator[RunningEmulator]:
    with start() as running:
        yield running


@pytest.fixture(scope="package")
def http() -> Iterator[httpx.Client]:
    with new_http() as client:
        yield client
