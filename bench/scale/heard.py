"""scale-heard: how long until a session that ended on one server is over on another, over one PostgreSQL.

The other server watches each session, as it does for a socket. Two databases are opened as two servers open
them; one ends the sessions, one after the other. By turns: where the other only asks, and where it listens.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from threading import Event

from bench.figures import Report, median
from bench.revocation import fill
from bench.scale.postgres import create_database, running_postgres
from entrada.clock import SystemClock
from entrada.flows.session_check import SessionCheck
from entrada.flows.session_watch import SessionWatch
from entrada.sessions.session import SessionId, SessionPolicy
from entrada.storage.sql import Database, SqlAccountStore, SqlSessionStore, connect

SESSIONS = 200
MOST_SECONDS = 1.0
HEARD_SECONDS = 0.05
REST_SECONDS = 0.03


def heard(folder: Path, *, smoke: bool) -> Report:
    """Seconds from the end on one server to the callback on the other."""
    del folder
    count = 3 if smoke else SESSIONS
    with ExitStack() as stack:
        url = create_database(stack.enter_context(running_postgres()), "heard")
        here, there = connect(url), connect(url)
        stack.callback(here.close)
        stack.callback(there.close)
        here.migrate()
        took = {
            "asking alone": _ended(here, there, fill(url, count), listens=False),
            "listening": _ended(here, there, fill(url, count), listens=True),
        }
    return Report(
        name="scale-heard",
        title=f"{count} sessions that end on one server, watched on another",
        columns=("", "median ms", "longest ms"),
        rows=[(name, f"{median(each) * 1e3:.1f}", f"{max(each) * 1e3:.1f}") for name, each in took.items()],
        figures={"seconds": took},
        goals={}
        if smoke
        else {
            f"all within {MOST_SECONDS:.0f} s": max(map(max, took.values())) <= MOST_SECONDS,
            f"heard within {HEARD_SECONDS * 1e3:.0f} ms": median(took["listening"]) <= HEARD_SECONDS,
        },
    )


def _ended(here: Database, there: Database, cookies: list[str], *, listens: bool) -> list[float]:
    check = SessionCheck(
        accounts=SqlAccountStore(there),
        sessions=SqlSessionStore(there),
        policy=SessionPolicy(),
        clock=SystemClock(),
    )
    watch, sessions = SessionWatch(check=check), SqlSessionStore(here)
    listener = there.listening(check.look) if listens else None
    if listener is not None:
        listener.start()
        _wait(lambda: listener.is_listening)
    over: dict[SessionId, tuple[Event, list[float]]] = {}
    for cookie in cookies:
        checked = check.check(cookie)
        assert checked is not None
        over[checked.session_id] = Event(), []
        watch.session(checked, on_end=_noting(*over[checked.session_id]))
    took = []
    for session_id, (event, moments) in over.items():
        time.sleep(REST_SECONDS)
        sessions.end(session_id)
        ended_at = time.monotonic()
        assert event.wait(10)
        took.append(max(0.0, moments[0] - ended_at))
    watch.close()
    if listener is not None:
        listener.close()
    return took


def _noting(event: Event, moments: list[float]) -> Callable[[], None]:
    def note() -> None:
        moments.append(time.monotonic())
        event.set()

    return note


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "nobody listens"
        time.sleep(0.01)
