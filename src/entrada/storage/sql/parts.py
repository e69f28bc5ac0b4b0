"""Many values, so many at a time as one statement may name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

NAMED_AT_ONCE = 500

Value = TypeVar("Value")


def in_parts(values: Sequence[Value]) -> Iterator[Sequence[Value]]:
    """All of them, in their order."""
    for start in range(0, len(values), NAMED_AT_ONCE):
        yield values[start : start + NAMED_AT_ONCE]
