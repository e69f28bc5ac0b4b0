"""A job that one of several servers does, as each of them sees it."""

from __future__ import annotations

import os
from datetime import datetime, timedelta

import pytest

from entrada.compatibility import UTC
from entrada.errors import StoreUnavailable
from entrada.flows.leased_job import LIFE, REPLACED_WITHIN, LeasedJob
from entrada.leases import Lease, LeaseStore
from entrada.storage.memory_leases import MemoryLeases
from storage.forked import in_child, said_by

ONE_SECOND = timedelta(seconds=1)


class SteppedClock:
    def __init__(self) -> None:
        self.passed = timedelta(0)

    def now(self) -> datetime:
        return datetime(2026, 5, 4, tzinfo=UTC) + self.passed

    def monotonic(self) -> float:
        return self.passed.total_seconds()


class Counted(LeaseStore):
    """A store that counts how often it is asked, and can be cut off."""

    def __init__(self, clock: SteppedClock) -> None:
        self.store, self.asked, self.is_gone = MemoryLeases(monotonic=clock.monotonic), 0, False

    def take(self, name: str, *, holder: str, life: timedelta) -> Lease | None:
        self.asked += 1
        if self.is_gone:
            raise StoreUnavailable("gone", hint="wait")
        return self.store.take(name, holder=holder, life=life)

    def release(self, lease: Lease) -> bool:
        return self.store.release(lease)

    def holder(self, name: str) -> Lease | None:
        return self.store.holder(name)


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def leases(clock: SteppedClock) -> Counted:
    return Counted(clock)


def job(leases: Counted, clock: SteppedClock) -> LeasedJob:
    return LeasedJob(name="job", leases=leases, clock=clock)


def test_one_server_does_it_and_the_store_is_rarely_asked(leases: Counted, clock: SteppedClock) -> None:
    """Three servers with a beat of 0.1 s for a minute: the same one throughout, and few questions."""
    servers = [job(leases, clock) for _ in range(3)]
    fences = set()
    for _ in range(600):
        held = [each.hold() for each in servers]
        assert [lease is not None for lease in held] == [True, False, False]
        fences.add(held[0])
        clock.passed += ONE_SECOND / 10
    assert len(fences) == 1
    assert leases.asked < 100


def test_who_was_killed_is_replaced_in_the_stated_time(leases: Counted, clock: SteppedClock) -> None:
    """Nobody released it: another server has it once it is over, and not before."""
    killed, other = job(leases, clock), job(leases, clock)
    first = killed.hold()
    began = clock.passed
    while (second := other.hold()) is None:
        clock.passed += ONE_SECOND
    assert LIFE <= clock.passed - began <= REPLACED_WITHIN
    assert first is not None
    assert second.fence == first.fence + 1
    assert killed.hold() is None
    assert not leases.release(first)


def test_a_clean_stop_hands_over(leases: Counted, clock: SteppedClock) -> None:
    """Released, it is the next one's that asks, without waiting for the end; releasing twice is once."""
    stopping, other = job(leases, clock), job(leases, clock)
    assert stopping.hold() is not None
    stopping.release()
    stopping.release()
    assert other.hold() is not None
    assert stopping.hold() is None


def test_without_the_store_it_is_over_at_its_end(leases: Counted, clock: SteppedClock) -> None:
    """Cut off from the store, a server goes on as long as its lease is certain, and no longer."""
    server = job(leases, clock)
    assert server.hold() is not None
    leases.is_gone = True
    clock.passed += LIFE - ONE_SECOND
    assert server.hold() is not None
    clock.passed += ONE_SECOND
    assert server.hold() is None
    leases.is_gone = False
    clock.passed += LIFE
    assert server.hold() is not None


def test_fault_32_a_child_does_not_hold_what_its_parent_holds(leases: Counted, clock: SteppedClock) -> None:
    """After a fork the child is another holder, and releases nothing of the parent's."""
    server = job(leases, clock)
    assert server.hold() is not None

    def child() -> str:
        server.release()
        return f"{server.hold()} {os.getpid() != 0}"

    assert said_by(in_child(child)) == "None True"
    assert server.hold() is not None
