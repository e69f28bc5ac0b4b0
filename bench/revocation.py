"""What one sign-out costs everybody else: checks in a process while another one ends other sessions.

Ten thousand people, each with a live session in memory over one SQLite file. The check goes round among them
as fast as one core does, in rounds by turns: undisturbed, and with another process ending twenty sessions a
second, which were live here, too. And what a live session takes in memory.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import secrets
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import cycle, islice
from multiprocessing.connection import Connection
from pathlib import Path

from bench.figures import Report, alternate, median, median_ratio
from bench.processes import CLIENT_CORE, SERVER_CORE
from entrada.accounts.identity import EntraIdentity, GrantSource, Profile, RoleGrant, UserId
from entrada.clock import SystemClock
from entrada.compatibility import UTC
from entrada.entra.authority import ObjectId, TenantId
from entrada.flows.session_check import SessionCheck, new_session_limits
from entrada.sessions.session import Session, SessionId, SessionPolicy
from entrada.sessions.token import new_session_token
from entrada.storage.sql import SqlAccountStore, SqlSessionStore, connect

LIVE = 10_000
ENDING_EACH_SECOND = 20
SECONDS = 1.0
ROUNDS = 15
KEPT_AT_LEAST = 0.95
MOST_BYTES = 500
POLICY = SessionPolicy()
TENANT = TenantId("c0000000-0000-4000-8000-000000000001")


def revocation(folder: Path, *, smoke: bool) -> Report:
    """The rate that the check keeps, and bytes for each live session."""
    live, rounds, seconds = (500, 1, 0.2) if smoke else (LIVE, ROUNDS, SECONDS)
    url = f"sqlite:///{folder / 'entrada.db'}"
    database = connect(url)
    database.migrate()
    cookies = fill(url, live)
    others = fill(url, round((seconds + 1) * ENDING_EACH_SECOND) * rounds)
    check = SessionCheck(
        accounts=SqlAccountStore(database),
        sessions=SqlSessionStore(database),
        policy=POLICY,
        clock=SystemClock(),
    )
    check.check(cookies[0])  # what is made once is not any session's
    bytes_each = memory(check, cookies)
    for cookie in others:
        assert check.check(cookie) is not None
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {SERVER_CORE})
    try:
        with ending(url, others) as switch:

            def disturbed() -> float:
                switch.send(True)
                rate = checks_per_cpu_second(check, cookies, seconds)
                switch.send(False)
                return rate

            rates = alternate(
                {
                    "undisturbed": lambda: checks_per_cpu_second(check, cookies, seconds),
                    "others end": disturbed,
                },
                rounds=rounds,
                most_seconds=60,
            )
            switch.send(None)
            ended = switch.recv()
    finally:
        os.sched_setaffinity(0, before)
        database.close()
    kept = median_ratio(rates["others end"], rates["undisturbed"])
    return Report(
        name="revocation",
        title=f"{live:,} live sessions of as many people, checked in turn; medians of {rounds} rounds",
        columns=("", "µs CPU", "checks a second of CPU", "of undisturbed"),
        rows=[
            (name, f"{1e6 / median(values):.2f}", f"{median(values):,.0f}", f"{share:.3f}")
            for (name, values), share in zip(rates.items(), (1.0, kept), strict=True)
        ],
        remarks=[
            f"{ended} sessions ended, {ENDING_EACH_SECOND} each second, by another process",
            f"a live session of a person of their own takes {bytes_each:.0f} bytes",
        ],
        figures={"rates": rates, "bytes_each": bytes_each, "ended": ended},
        goals={}
        if smoke
        else {
            f"the check keeps {KEPT_AT_LEAST:.2f} of its rate": kept >= KEPT_AT_LEAST,
            f"at most {MOST_BYTES} bytes a live session": bytes_each <= MOST_BYTES,
        },
    )


def checks_per_cpu_second(check: SessionCheck, cookies: list[str], seconds: float) -> float:
    """Everything the process does counts, the looks at the log too."""
    turn, done = cycle(cookies), 0
    began, ends_at = time.process_time(), time.monotonic() + seconds
    while time.monotonic() < ends_at:
        for cookie in islice(turn, 500):
            if check.check(cookie) is None:
                raise AssertionError("a session that nobody ended is over")
        done += 500
    return done / (time.process_time() - began)


def memory(check: SessionCheck, cookies: list[str]) -> float:
    """What every further session leaves allocated once it is live."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for cookie in cookies:
        check.check(cookie)
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return taken / len(cookies)


@contextmanager
def ending(url: str, cookies: list[str]) -> Iterator[Connection]:
    """Another process that ends these sessions while it is sent True; None makes it say how many, and end."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=end_sessions, args=(url, cookies, theirs))
    process.start()
    ours.recv()
    try:
        yield ours
    finally:
        process.terminate()
        process.join()


def end_sessions(url: str, cookies: list[str], told: Connection) -> None:
    os.sched_setaffinity(0, {CLIENT_CORE})
    sessions = SqlSessionStore(connect(url))
    left, is_on, ended, due_at = iter(cookies), False, 0, 0.0
    told.send("ready")
    while True:
        if told.poll(max(0.0, due_at - time.monotonic())):
            order = told.recv()
            if order is None:
                told.send(ended)
                return
            is_on = order
        due_at = max(due_at + 1 / ENDING_EACH_SECOND, time.monotonic())
        cookie = next(left, None) if is_on else None
        if cookie is not None:
            ended += sessions.end(SessionId(cookie.partition(".")[0]))


def fill(url: str, number: int) -> list[str]:
    """So many people with a session each; their cookies."""
    database = connect(url)
    accounts, sessions, cookies = SqlAccountStore(database), SqlSessionStore(database), []
    now = datetime.now(UTC)
    idle, absolute = new_session_limits(now, POLICY)
    for one in range(number):
        user, token = UserId(secrets.token_hex(16)), new_session_token()
        identity = EntraIdentity(
            tenant_id=TENANT, object_id=ObjectId(f"{secrets.token_hex(4)}-0000-4000-8000-{one:012x}")
        )
        email = f"firstname.lastname.{one}@contoso.example"
        accounts.create(
            user_id=user,
            identity=identity,
            profile=Profile(name=f"Firstname Lastname {one}", email=email, username=email),
            entra_grants=[
                RoleGrant(role="Editor", source=GrantSource.ENTRA, granted_by="Editor", granted_at=now)
            ],
            now=now,
        )
        sessions.open(
            Session(
                id=token.id,
                secret_hash=token.secret_hash,
                user_id=user,
                identity=identity,
                created_at=now,
                last_seen_at=now,
                idle_expires_at=idle,
                absolute_expires_at=absolute,
                entra_session_id=secrets.token_hex(18),
            )
        )
        cookies.append(token.cookie_value)
    database.close()
    return cookies
