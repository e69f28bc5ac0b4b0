"""Times as pages show them: the same everywhere, in UTC, which is said and stays beside the time."""

from __future__ import annotations

from datetime import datetime

from entrada.compatibility import UTC


def shown_time(at: datetime | None, *, never: str = "Never") -> str:
    return never if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M}\N{NO-BREAK SPACE}UTC"
