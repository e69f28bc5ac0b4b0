"""Medians of alternating rounds, and how they are shown."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

LEAST_ROUNDS = 5

Figure = TypeVar("Figure")


@dataclass(frozen=True, kw_only=True)
class Report:
    """One benchmark's table and remarks, ready to print or to keep as JSON."""

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    remarks: Sequence[str] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    goals: Mapping[str, bool] = field(default_factory=dict)

    def text(self) -> str:
        widths = [max(len(row[n]) for row in (self.columns, *self.rows)) for n in range(len(self.columns))]
        lines = [f"{self.name}: {self.title}", ""]
        for row in (self.columns, *self.rows):
            cells = [
                cell.ljust(width) if n in (0, len(row) - 1) else cell.rjust(width)
                for n, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  " + "  ".join(cells).rstrip())
        lines += ["", *(f"  {remark}" for remark in self.remarks)]
        lines += [f"  {'met   ' if met else 'MISSED'} {goal}" for goal, met in self.goals.items()]
        return "\n".join(lines).rstrip() + "\n"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def alternate(
    measures: Mapping[str, Callable[[], Figure]], *, rounds: int, most_seconds: float
) -> dict[str, list[Figure]]:
    """Every measure once a round, the order turned around each time, so that a slow moment hits all alike.

    On a slow machine rounds are left out, but at least five are made.
    """
    found: dict[str, list[Figure]] = {name: [] for name in measures}
    began = time.monotonic()
    for number in range(rounds):
        if number >= LEAST_ROUNDS and time.monotonic() - began > most_seconds:
            break
        for name in list(measures)[:: -1 if number % 2 else 1]:
            found[name].append(measures[name]())
    return found


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def median_ratio(values: Sequence[float], to: Sequence[float]) -> float:
    """The median of the ratios within each round: what slowed a whole round down cancels out."""
    return median([value / base for value, base in zip(values, to, strict=True)])


def spread(values: Sequence[float]) -> float:
    """Half the range between the quartiles, as a share of the median: how far rounds lay apart."""
    if len(values) < 4:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4)
    return (high - low) / 2 / median(values)


def ratio(value: float, to: float, *, digits: int = 2) -> str:
    return f"{value / to:.{digits}f}"
