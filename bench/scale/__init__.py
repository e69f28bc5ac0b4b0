"""What a thousand times as many accounts and sessions cost, and what happens to many people at once."""

from __future__ import annotations

from collections.abc import Callable

from bench.figures import Report
from bench.scale.growth import on_postgresql, on_sqlite
from bench.scale.heard import heard
from bench.scale.leaving import leaving
from bench.scale.soak import soak

SCALE: dict[str, Callable[..., Report]] = {
    "scale-sqlite": on_sqlite,
    "scale-postgresql": on_postgresql,
    "scale-leaving": leaving,
    "scale-soak": soak,
    "scale-heard": heard,
}
"""Minutes and gigabytes: none of them runs unless it is named."""
