"""Waiting for what the background check does."""

from __future__ import annotations

import time
from collections.abc import Callable

from clients.dstack import Dstack
from entrada.emulator import RunningEmulator

_SOON_SECONDS = 30


def soon(happened: Callable[[], bool], what: str, dstack: Dstack) -> None:
    """Waits until it happened."""
    deadline = time.monotonic() + _SOON_SECONDS
    while not happened():
        assert time.monotonic() < deadline, f"not within {_SOON_SECONDS} s: {what}\n{dstack.log[-3000:]}"
        time.sleep(0.1)


def refreshed(emulator: RunningEmulator) -> int:
    """How often Entra was asked again."""
    return sum(one.form.get("grant_type") == "refresh_token" for one in emulator.requests)
