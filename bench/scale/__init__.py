"""What a thousand times as many accounts and sessions cost, and what happens to many people at once."""

from __future__ import annotations

from collections.abc import Callable

from bench.figures import Report
from bench.scale.growth import on_postgresql, on_sqlite

SCALE: dict[str, Callable[..., Report]] = {
    "scale-sqlite": on_sqlite,
    "scale-postgresql": on_postgresql,
}
"""Minutes and gigabytes: none of them runs unless it is named."""
