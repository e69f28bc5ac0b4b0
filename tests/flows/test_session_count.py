"""How many sessions there are: what asking again and again costs, and how old the answer may be."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from entrada.errors import StoreUnavailable
from entrada.flows.session_count import SessionCount
from entrada.sessions.revocation import LogPosition, Revocations
from entrada.storage.memory_sessions import MemorySessionStore
from flows.world import NOW, SetClock


@dataclass
class Slow(MemorySessionStore):
    """A store in which counting takes a while."""

    clock: SetClock
    takes: float
    is_down: bool = False
    counted: list[datetime] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def count(self, *, now: datetime) -> int:
        if self.is_down:
            raise StoreUnavailable("down", hint="wait")
        self.counted.append(now)
        self.clock.advance(seconds=self.takes)
        return len(self.counted)

    def revocations(self, since: LogPosition | None) -> Revocations:
        if self.is_down:
            raise StoreUnavailable("down", hint="wait")
        return super().revocations(since)


@pytest.mark.parametrize(
    ("takes", "told_for"), [(0.0, 1.0), (0.001, 1.0), (0.2, 20.0), (2.0, 200.0), (60.0, 300.0)]
)
def test_a_count_is_told_for_a_hundred_times_what_it_cost(takes: float, told_for: float) -> None:
    """A second at least and five minutes at most, however often it is asked for meanwhile."""
    clock = SetClock(wall=NOW)
    store = Slow(clock, takes)
    count = SessionCount(sessions=store, clock=clock)
    for _ in range(20):
        assert count.read() == 1
        clock.advance(seconds=told_for / 20 - 0.001)
    assert count.read() == 1
    clock.advance(seconds=0.03)
    assert count.read() == 2


def test_a_store_that_is_gone_is_not_hidden_by_a_count_from_before() -> None:
    """Each look asks it something, and an answer after all is counted afresh or told as it was."""
    clock = SetClock(wall=NOW)
    store = Slow(clock, 0.2)
    count = SessionCount(sessions=store, clock=clock)
    assert count.read() == 1
    store.is_down = True
    with pytest.raises(StoreUnavailable):
        count.read()
    clock.advance(seconds=timedelta(minutes=1).total_seconds())
    with pytest.raises(StoreUnavailable):
        count.read()
    store.is_down = False
    assert count.read() == 2
