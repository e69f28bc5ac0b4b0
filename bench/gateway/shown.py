"""How loads are compared: by CPU for one request, which a busy machine moves least, and by the clock."""

from __future__ import annotations

from collections.abc import Sequence

from bench.figures import median, median_ratio
from bench.load import Load

COLUMNS = ("CPU µs", "by CPU", "by requests/s", "p99 ms", "p99 to its", "requests/s now")
"""Of one, and as a share of another."""


def columns(loads: Sequence[Load], to: Sequence[Load]) -> tuple[str, ...]:
    return (
        f"{median([one.cpu_us for one in loads]):.1f}",
        f"{by_cpu(loads, to):.3f}",
        f"{by_clock(loads, to):.3f}",
        f"{median([one.p99_ms for one in loads]):.2f}",
        f"{p99(loads, to):.1f}",
        f"{median([one.per_second for one in loads]):,.0f}",
    )


def by_cpu(loads: Sequence[Load], to: Sequence[Load]) -> float:
    """How much is answered for a second of CPU, to what the other answers."""
    return median_ratio([one.per_cpu_second for one in loads], [one.per_cpu_second for one in to])


def by_clock(loads: Sequence[Load], to: Sequence[Load]) -> float:
    return median_ratio([one.per_second for one in loads], [one.per_second for one in to])


def p99(loads: Sequence[Load], to: Sequence[Load]) -> float:
    """The latency that one request in a hundred exceeds, in the other's."""
    return median_ratio([one.p99_ms for one in loads], [one.p99_ms for one in to])
