"""The gateway beside what one would use instead, a table for each question."""

from __future__ import annotations

from collections.abc import Callable

from bench.figures import Report
from bench.gateway.checks import checks

GATEWAY: dict[str, Callable[..., Report]] = {
    "gateway-checks": checks,
}
