"""Refusals are entered beside the walks: bounded, soon, and never in anybody's way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from threading import Event

import pytest

from entrada.audit.acts import Act, Action, Subject
from entrada.audit.chain import read_object
from entrada.audit.refusals import ANYBODYS, ONE_PERSONS, PEOPLES, Refusals
from entrada.audit.trail import AuditTrail
from entrada.clock import SystemClock
from entrada.errors import StoreUnavailable
from entrada.storage.memory_audit import MemoryAuditTrail


class Clock(SystemClock):
    at = 1000.0

    def now(self) -> datetime:
        return super().now()

    def monotonic(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def trail() -> MemoryAuditTrail:
    return MemoryAuditTrail()


@pytest.fixture
def refusals(trail: AuditTrail, clock: Clock) -> Iterator[Refusals]:
    made = Refusals(trail, clock)
    yield made
    made.close()


def refusal(who: str | None = None) -> Act:
    return Act(action=Action.SIGN_IN_REFUSED, subject=Subject(object_id=who), details={"code": "x"})


def actions(trail: AuditTrail) -> list[str]:
    return [each.action for each in trail.following(0)]


def omitted(trail: AuditTrail) -> list[object]:
    return [read_object(e.details)["count"] for e in trail.following(0) if e.action == "refusals_omitted"]


def test_fault_23_a_flood_is_a_bounded_number_of_entries(
    refusals: Refusals, trail: MemoryAuditTrail, clock: Clock
) -> None:
    """Of strangers so many in a minute; what exceeds it is one entry that says how many."""
    for _ in range(10_000):
        refusals.enter(refusal())
    refusals.settle()
    assert actions(trail) == ["sign_in_refused"] * ANYBODYS
    clock.at += 60
    refusals.enter(refusal())
    refusals.settle()
    assert actions(trail)[ANYBODYS:] == ["refusals_omitted", "sign_in_refused"]
    assert omitted(trail) == [10_000 - ANYBODYS]


def test_a_flood_of_strangers_hides_nobody_whom_entra_vouched_for(
    refusals: Refusals, trail: MemoryAuditTrail
) -> None:
    """People have room of their own; one of them cannot fill it, and all of them together not the disk."""
    for _ in range(1000):
        refusals.enter(refusal())
        refusals.enter(refusal("mallory"))
    refusals.enter(refusal("nora"))
    for number in range(1000):
        refusals.enter(refusal(f"person {number}"))
    refusals.settle()
    people = [each.object_id for each in trail.following(0) if each.object_id is not None]
    assert people.count("mallory") == ONE_PERSONS
    assert people.count("nora") == 1
    assert len(people) == PEOPLES
    assert len(trail.following(0)) == ANYBODYS + PEOPLES


def test_at_a_clean_stop_everything_is_entered(trail: MemoryAuditTrail, clock: Clock) -> None:
    """What waits, and how many were left out; what comes later is taken by nobody."""
    refusals = Refusals(trail, clock)
    for _ in range(ANYBODYS + 7):
        refusals.enter(refusal())
    refusals.close()
    assert actions(trail) == ["sign_in_refused"] * ANYBODYS + ["refusals_omitted"]
    assert omitted(trail) == [7]
    refusals.enter(refusal())
    refusals.settle()
    assert len(actions(trail)) == ANYBODYS + 1


def test_nobody_waits_for_a_slow_trail(clock: Clock) -> None:
    """`enter` comes back while the trail is still writing the one before."""
    may_go_on = Event()

    class Slow(MemoryAuditTrail):
        def record(self, *acts: Act) -> None:
            may_go_on.wait(10)
            super().record(*acts)

    trail = Slow()
    refusals = Refusals(trail, clock)
    for _ in range(5):
        refusals.enter(refusal())
    assert actions(trail) == []
    may_go_on.set()
    refusals.close()
    assert actions(trail) == ["sign_in_refused"] * 5


def test_fault_23_refusals_that_could_not_be_written_are_said_and_counted(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """On a full disk the log says so, and once there is room again an entry says how many are missing."""

    class Full(MemoryAuditTrail):
        is_full = True

        def record(self, *acts: Act) -> None:
            if self.is_full:
                raise StoreUnavailable("The database of this application did not answer: its disk is full.")
            super().record(*acts)

    trail = Full()
    refusals = Refusals(trail, clock)
    for _ in range(3):
        refusals.enter(refusal())
        refusals.settle()
    assert "not in the audit trail: The database of this application did not answer" in caplog.text
    trail.is_full = False
    clock.at += 60
    refusals.enter(refusal())
    refusals.close()
    assert actions(trail) == ["refusals_omitted", "sign_in_refused"]
    assert omitted(trail) == [3]
