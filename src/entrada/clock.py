"""Time as an argument."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Protocol

from entrada.compatibility import UTC


class Clock(Protocol):
    def now(self) -> datetime:
        """Aware UTC: for what is stored and compared with Entra."""

    def monotonic(self) -> float:
        """Seconds that never step back: for limits held in memory."""


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()
