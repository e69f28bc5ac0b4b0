"""What `LeaseStore` promises, of every store of our own."""

from __future__ import annotations

from datetime import timedelta

import pytest

from conformance.leases import Leases
from conformance.samples import at_once
from entrada.leases import Lease

LIFE = timedelta(minutes=1)


def taken(leases: Leases, holder: str = "a", name: str = "job") -> Lease | None:
    return leases.store.take(name, holder=holder, life=LIFE)


def test_one_has_it_and_nobody_else(leases: Leases) -> None:
    """The first who asks; another gets it neither now nor shortly before its end, in no process."""
    assert taken(leases) == Lease(name="job", holder="a", fence=1)
    assert taken(leases, "b") is None
    leases.pass_time("job", LIFE - timedelta(seconds=20))
    assert leases.another().take("job", holder="b", life=LIFE) is None
    assert leases.store.holder("job") == Lease(name="job", holder="a", fence=1)


def test_names_are_apart(leases: Leases) -> None:
    """Each name has its own holder."""
    assert taken(leases, "a", "one") is not None
    assert taken(leases, "b", "two") is not None


def test_renewing_keeps_the_fence_and_moves_the_end(leases: Leases) -> None:
    """Twice is once, for a holder whose answer was lost on the way; and the end is a life from then."""
    first = taken(leases)
    leases.pass_time("job", LIFE - timedelta(seconds=20))
    assert taken(leases) == first
    leases.pass_time("job", LIFE - timedelta(seconds=20))
    assert taken(leases, "b") is None


def test_at_its_end_the_next_has_it_with_a_higher_fence(leases: Leases) -> None:
    """A holder that was killed is replaced; when it wakes, it releases nobody else's."""
    first = taken(leases)
    assert first is not None
    leases.pass_time("job", LIFE)
    assert leases.store.holder("job") is None
    second = taken(leases, "b")
    assert second == Lease(name="job", holder="b", fence=2)
    assert taken(leases) is None
    assert not leases.store.release(first)
    assert leases.store.holder("job") == second


def test_who_comes_late_to_its_own_has_it_anew(leases: Leases) -> None:
    """Beyond its end it may have been another's in between: the fence grows."""
    taken(leases)
    leases.pass_time("job", LIFE)
    assert taken(leases) == Lease(name="job", holder="a", fence=2)


def test_what_was_released_is_free_at_once(leases: Leases) -> None:
    """At a clean stop nobody waits for the end; the fence goes on growing."""
    first = taken(leases)
    assert first is not None
    assert leases.store.release(first)
    assert leases.store.holder("job") is None
    assert taken(leases, "b") == Lease(name="job", holder="b", fence=2)


def test_nobody_has_what_was_never_taken(leases: Leases) -> None:
    """Neither held nor to be released."""
    assert leases.store.holder("job") is None
    assert not leases.store.release(Lease(name="job", holder="a", fence=1))


@pytest.mark.parametrize("is_over", [False, True])
def test_of_many_at_once_one_has_it(leases: Leases, is_over: bool) -> None:
    """The first time ever, and when a lease is over: one, and its fence is nobody else's."""
    if is_over:
        taken(leases, "before")
        leases.pass_time("job", LIFE)
    stores = [leases.another() for _ in range(3)]
    got = at_once(12, lambda each: stores[each % 3].take("job", holder=f"h{each}", life=LIFE))
    (lease,) = [each for each in got if each is not None]
    assert isinstance(lease, Lease)
    assert lease.fence == 1 + is_over
    assert leases.store.holder("job") == lease


def test_fault_19_a_clock_that_is_set_back_holds_nobody_up(leases: Leases) -> None:
    """A lease that ends an hour from now, though it is for a minute, is over: its holder may be dead."""
    taken(leases)
    leases.pass_time("job", -timedelta(hours=1))
    if leases.has_wall_clock:
        assert taken(leases, "b") == Lease(name="job", holder="b", fence=2)
    else:
        assert taken(leases, "b") is None
