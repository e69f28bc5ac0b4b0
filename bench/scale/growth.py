"""scale-sqlite, scale-postgresql: each operation over 1,000 people and over 1,000,000, by turns.

CPU is this thread's and, on PostgreSQL, that of the server's process that answers it, so that other work on
the machine hardly counts; waiting for a disk does not count either, and is in the time beside it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from bench.figures import Report
from bench.processes import cpu_seconds_of
from bench.scale.operations import OPERATIONS, Subject, Timed, subject
from bench.scale.postgres import create_database, running_postgres
from bench.scale.seeding import filled

FEW, MANY, ROUNDS = 1_000, 1_000_000, 100
MOST_SECONDS = 12.0
"""For one operation; a slow one makes fewer rounds."""
MOST_TIMES = 1.2


def on_sqlite(folder: Path, *, smoke: bool) -> Report:
    """Over one file each."""
    return _grown("scale-sqlite", lambda name: f"sqlite:///{folder / name}.db", smoke=smoke)


def on_postgresql(folder: Path, *, smoke: bool) -> Report:
    """Over two databases of one server."""
    del folder
    with running_postgres() as address:
        return _grown("scale-postgresql", lambda name: create_database(address, name), smoke=smoke)


def _grown(name: str, new_database: Callable[[str], str], *, smoke: bool) -> Report:
    sizes, rounds = ((200, 400), 2) if smoke else ((FEW, MANY), ROUNDS)
    with ExitStack() as stack:
        subjects: list[Subject] = []
        began = time.monotonic()
        for number in sizes:
            subjects.append(subject(filled(new_database(f"of{number}"), number)))
            stack.callback(subjects[-1].filled.database.close)
        filled_in = time.monotonic() - began
        clocks = [Clock(one) for one in subjects]
        measured = {}
        for operation, run in OPERATIONS.items():
            print(f"  {operation} ...", file=sys.stderr, flush=True)
            measured[operation] = _measure(run, subjects, clocks, rounds=rounds)
        ended_in = [_end_all(one) for one in subjects]
    times = {operation: _times(found) for operation, found in measured.items()}
    return Report(
        name=name,
        title=f"an operation over {sizes[0]:,} and over {sizes[1]:,} people with a session each,"
        f" medians of up to {rounds} by turns",
        columns=("", f"CPU µs, {sizes[0]:,}", f"CPU µs, {sizes[1]:,}", "times", "times, by the clock"),
        rows=[_row(operation, found) for operation, found in measured.items()],
        remarks=[
            f"both were filled in {filled_in:.0f} s",
            "ending everybody at once took "
            + " and ".join(f"{seconds * 1000:,.0f} ms" for seconds in ended_in),
        ],
        figures={"times": times, "seconds": measured, "ended_in_s": ended_in},
        goals={}
        if smoke
        else {
            f"{operation}: at most {MOST_TIMES} times": of <= MOST_TIMES for operation, of in times.items()
        },
    )


def _end_all(of: Subject) -> float:
    """Seconds until all sessions have ended, as after a restored backup."""
    began = time.perf_counter()
    of.filled.sessions.end_all()
    return time.perf_counter() - began


class Clock:
    """Notes what each timed block took: CPU seconds, and seconds."""

    def __init__(self, of: Subject) -> None:
        self.taken: list[tuple[float, float]] = []
        self._backend = _backend(of)

    @contextmanager
    def timed(self) -> Iterator[None]:
        began, cpu = time.perf_counter(), self._cpu()
        yield
        self.taken.append((self._cpu() - cpu, time.perf_counter() - began))

    def take(self) -> list[tuple[float, float]]:
        taken, self.taken = self.taken, []
        return taken

    def _cpu(self) -> float:
        other = 0.0 if self._backend is None else cpu_seconds_of(self._backend)
        return time.thread_time() + other


def _backend(of: Subject) -> int | None:
    """The process of PostgreSQL's that answers: this thread only ever has the one connection."""
    with of.filled.database.reading() as connection:
        if connection.dialect.name != "postgresql":
            return None
        return int(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())


Operation = Callable[[Subject, Timed], None]
Taken = tuple[Sequence[tuple[float, float]], Sequence[tuple[float, float]]]


def _measure(
    run: Callable[[Subject, Timed], None],
    subjects: Sequence[Subject],
    clocks: Sequence[Clock],
    *,
    rounds: int,
) -> Taken:
    began = time.monotonic()
    for number in range(rounds):
        if number >= 5 and time.monotonic() - began > MOST_SECONDS:
            break
        for place in (0, 1) if number % 2 else (1, 0):
            run(subjects[place], clocks[place].timed)
    few, many = (clock.take() for clock in clocks)
    return few, many


def _times(found: Taken, part: int = 0) -> float:
    few, many = (median(one[part] for one in taken) for taken in found)
    return many / few


def _row(operation: str, found: Taken) -> tuple[str, ...]:
    few, many = (median(one[0] for one in taken) * 1e6 for taken in found)
    return (
        operation,
        f"{few:,.1f}",
        f"{many:,.1f}",
        f"{_times(found):.2f}",
        f"{_times(found, 1):.2f}",
    )
