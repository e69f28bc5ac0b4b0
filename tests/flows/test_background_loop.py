"""Work in a thread at intervals: one thread, whatever fails and whoever starts it, until it is closed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from queue import Queue
from threading import Event, current_thread

import pytest

from entrada.errors import StoreUnavailable
from entrada.flows.background_loop import BackgroundLoop
from storage.forked import in_child, said_by

SOON, NEVER = timedelta(milliseconds=1), timedelta(days=1)
PATIENCE = timedelta(seconds=20)


@contextmanager
def loop_of(
    work: Callable[[], object], *, every: timedelta = SOON, at_once: bool = False
) -> Iterator[BackgroundLoop]:
    loop = BackgroundLoop(
        name="tested",
        work=work,
        every=every,
        patience=PATIENCE,
        postponed="It is done later",
        doing="a test",
        at_once=at_once,
    )
    try:
        yield loop
    finally:
        loop.close()


def test_started_twice_it_runs_once() -> None:
    """In one thread, as long as nobody closes it; a closed one starts no more."""
    rounds: Queue[object] = Queue()
    with loop_of(lambda: rounds.put(current_thread())) as loop:
        assert not loop.is_running
        loop.start()
        first = rounds.get(timeout=20)
        loop.start()
        assert {rounds.get(timeout=20) for _ in range(5)} == {first}
    assert not loop.is_running
    loop.start()
    assert not loop.is_running


def test_the_first_round_is_at_once_or_after_the_pause() -> None:
    """As its owner says."""
    done: Queue[str] = Queue()
    with (
        loop_of(lambda: done.put("late"), every=NEVER) as late,
        loop_of(lambda: done.put("at once"), every=NEVER, at_once=True) as early,
    ):
        late.start()
        early.start()
        assert done.get(timeout=20) == "at once"
    assert done.empty()


def test_closing_waits_for_the_round_under_way() -> None:
    """Which may ask whether it should come to an end; no other one follows."""
    began, ended = Event(), Queue[bool]()

    def work() -> None:
        began.set()
        assert loop._closing.wait(20)
        ended.put(loop.is_closing())

    with loop_of(work) as loop:
        loop.start()
        assert began.wait(20)
    assert ended.get_nowait()
    assert ended.empty()


def test_a_round_that_fails_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A mistake is said with its traceback."""
    failures, done = iter([ZeroDivisionError("mistaken")]), Event()

    def work() -> None:
        for failure in failures:
            raise failure
        done.set()

    with caplog.at_level(logging.WARNING), loop_of(work) as loop:
        loop.start()
        assert done.wait(20)
    (said,) = caplog.records
    assert (said.message, said.exc_info is not None) == ("A mistake of Entrada's, in a test", True)


def test_an_outage_is_said_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """However many rounds find it; one that comes after it is over is said at once."""
    now = [0.0]

    def fail() -> None:
        raise StoreUnavailable

    def said() -> int:
        lines = [record.message for record in caplog.records]
        caplog.clear()
        assert set(lines) <= {f"It is done later: {StoreUnavailable().sentence}"}
        return len(lines)

    with loop_of(fail, every=NEVER) as loop:
        loop.monotonic = lambda: now[0]
        for _ in range(3):
            loop.attempt(fail)
        assert said() == 1
        now[0] += 60
        loop.attempt(fail)
        loop.attempt(fail)
        assert said() == 1
        loop.attempt(lambda: None)
        loop.attempt(fail)
        assert said() == 1


def test_a_forked_child_has_a_thread_of_its_own() -> None:
    """Even where a thread of the parent's held the locks; one that was closed stays closed."""
    done: Queue[str] = Queue()

    def in_the_child() -> str:
        assert not loop.is_running
        loop.start()
        said = done.get(timeout=20)
        closed.start()
        return f"{said} {closed.is_running}"

    with loop_of(lambda: done.put("done"), every=NEVER, at_once=True) as loop, loop_of(list) as closed:
        closed.close()
        loop.start()
        done.get(timeout=20)
        with loop._starting, loop._closing._cond:  # type: ignore[attr-defined]  # what a fork may find held
            child = in_child(in_the_child)
        assert said_by(child) == "done False"
