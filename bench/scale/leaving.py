"""scale-leaving: fifty people of a thousand are disabled at Entra at one moment, on three servers.

Three `entrada serve` over one PostgreSQL. Everybody is asked about once a minute, the shortest interval there
may be. How long each of the fifty still got an answer at any of the three, whether anybody else was touched,
and what checks of a good session keep of their rate meanwhile.

The rate: in three more minutes fifty others each are disabled, and one server answers checks in windows of a
second. Between them stand windows in which somebody's access ended, at whichever server, and windows in which
nobody's did; the database says when. Both kinds lie in the same minutes, at the same processes with the same
re-check under way, and nothing else asks: whatever else the machine does falls on both alike. The share comes
with the range that drawing the windows again gives nine times of ten; where the goal lies inside of it, the
machine was too busy to tell, and no goal is said to be met or missed.
"""

from __future__ import annotations

import http.client
import random
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import select

from bench.browser import Browser
from bench.figures import Report, median
from bench.gateway.subjects import check_headers
from bench.load import Load, load
from bench.peers import entrada_environment
from bench.processes import Server, free_port, start
from bench.provider import Provider, start_provider
from bench.scale.postgres import create_database, running_postgres
from entrada.emulator.remote import RemoteEmulator
from entrada.storage.sql import connect
from entrada.storage.sql.tables import sealed_sign_ins

SERVERS, PEOPLE, LEAVERS, EVERY_SECONDS, ROUNDS = 3, 1_000, 50, 60, 3
AFTERWARDS = timedelta(milliseconds=200)
"""How long the end of somebody's access may still cost something."""
DRAWS = 2_000
KEPT_AT_LEAST = 0.95
SECRET_KEY = "three-servers-of-one-benchmark-share-this-key-of-sixty-letters"
POLL_SECONDS = 0.5


def leaving(folder: Path, *, smoke: bool) -> Report:
    """Seconds from "disabled" to the last answer, and the share of the rate."""
    people, leavers, every, rounds = (12, 2, 3, 1) if smoke else (PEOPLE, LEAVERS, EVERY_SECONDS, ROUNDS)
    with ExitStack() as stack:
        address = stack.enter_context(running_postgres())
        provider = start_provider(folder, people=people)
        stack.enter_context(provider.server)
        url = create_database(address, "leaving")
        servers, origins = _start(provider, folder, url, every, stack)
        browser = Browser((provider.https_url, provider.http_url))
        stack.callback(browser.close)
        public = origins[0].replace("127.0.0.1", "localhost")
        cookies = [
            browser.sign_in(f"{public}/auth/entra/start?next=/", f"person{number}@contoso.test")
            for number in range(people)
        ]
        for origin in origins:
            assert all(status == 200 for status in _statuses(origin, public, cookies))
        headers = check_headers(public, cookies[-1])
        gone, stay = cookies[:leavers], cookies[(1 + rounds) * leavers :]
        entra = RemoteEmulator(provider.http_url)
        _disable(entra, range(leavers))
        watch = Watch(origins, public, gone, since=time.monotonic())
        watch.start()
        watch.join(timeout=2 * every)
        windows: list[Window] = []
        for number in range(1, rounds + 1):
            _disable(entra, range(number * leavers, (number + 1) * leavers))
            until = time.monotonic() + every
            while time.monotonic() < until:
                began = datetime.now(timezone.utc)
                where = f"{origins[0]}/auth/nginx"
                done = load(servers[0], where, seconds=1.0, headers=headers, folder=folder)
                windows.append(Window(began=began, ended=datetime.now(timezone.utc), load=done))
        endings = _endings(url)
        touched = sum(status != 200 for origin in origins for status in _statuses(origin, public, stay))
    out = sorted(watch.out_after)
    disturbed = [one.load for one in windows if one.is_disturbed(endings)]
    quiet = [one.load for one in windows if not one.is_disturbed(endings)]
    kept = Share.of([one.per_cpu_second for one in disturbed], [one.per_cpu_second for one in quiet])
    by_clock = Share.of([one.per_second for one in disturbed], [one.per_second for one in quiet])
    bound = every + 1
    return Report(
        name="scale-leaving",
        title=f"{leavers} of {people:,} disabled at once, {SERVERS} servers, asked every {every} s",
        columns=("", ""),
        rows=[
            ("out at all three", f"{len(out)} of {leavers}"),
            ("the first after", f"{out[0]:.1f} s" if out else "never"),
            ("half of them after", f"{median(out):.1f} s" if out else "never"),
            ("the last after", f"{out[-1]:.1f} s" if out else "never"),
            ("refusals of others", str(touched)),
            ("windows, disturbed and quiet", f"{len(disturbed)} and {len(quiet)}"),
            ("checks keep, by CPU", str(kept)),
            ("checks keep, by the clock", str(by_clock)),
        ],
        figures={
            "out_after_s": out,
            "touched": touched,
            "windows": [len(disturbed), len(quiet)],
            "kept": [kept.least, kept.middle, kept.most],
            "kept_by_clock": [by_clock.least, by_clock.middle, by_clock.most],
        },
        goals={}
        if smoke
        else {
            f"all out within {bound} s": len(out) == leavers and out[-1] <= bound,
            "nobody else touched": touched == 0,
            **kept.goal(f"good checks keep {KEPT_AT_LEAST} of their rate"),
        },
    )


@dataclass(frozen=True, kw_only=True)
class Window:
    """A second of checks, and when it was."""

    began: datetime
    ended: datetime
    load: Load

    def is_disturbed(self, endings: Sequence[datetime]) -> bool:
        return any(self.began - AFTERWARDS <= ending <= self.ended for ending in endings)


@dataclass(frozen=True, kw_only=True)
class Share:
    """What is kept of a rate; nine times of ten it is between `least` and `most`. 0: nothing to compare."""

    least: float
    middle: float
    most: float

    @staticmethod
    def of(disturbed: Sequence[float], quiet: Sequence[float]) -> Share:
        if not disturbed or not quiet:
            return Share(least=0.0, middle=0.0, most=0.0)
        chance = random.Random(7)
        drawn = sorted(
            median(chance.choices(disturbed, k=len(disturbed))) / median(chance.choices(quiet, k=len(quiet)))
            for _ in range(DRAWS)
        )
        middle = median(disturbed) / median(quiet)
        return Share(least=drawn[DRAWS // 20], middle=middle, most=drawn[-DRAWS // 20])

    def goal(self, name: str) -> dict[str, bool]:
        """Met or missed, where the range tells; else nothing is said."""
        if self.least >= KEPT_AT_LEAST or self.most < KEPT_AT_LEAST:
            return {name: self.least >= KEPT_AT_LEAST}
        return {}

    def __str__(self) -> str:
        return f"{self.middle:.3f} of their rate ({self.least:.3f} to {self.most:.3f})"


def _disable(entra: RemoteEmulator, numbers: range) -> None:
    for number in numbers:
        entra.person(f"person{number}@contoso.test", enabled=False)


def _endings(url: str) -> list[datetime]:
    """When anybody's access ended, as the database has it."""
    database = connect(url)
    try:
        with database.reading() as connection:
            ended_at = sealed_sign_ins.c.ended_at
            return list(connection.execute(select(ended_at).where(ended_at.is_not(None))).scalars())
    finally:
        database.close()


class Watch(threading.Thread):
    """Asks for each leaver at each server, twice a second, until all are refused everywhere."""

    def __init__(self, origins: Sequence[str], public: str, cookies: Sequence[str], *, since: float) -> None:
        super().__init__(daemon=True)
        self._origins, self._public, self._since = origins, public, since
        self._inside = {cookie: set(origins) for cookie in cookies}
        self.out_after: list[float] = []

    def run(self) -> None:
        while self._inside:
            for origin in self._origins:
                asked = [cookie for cookie, places in self._inside.items() if origin in places]
                for cookie, status in zip(asked, _statuses(origin, self._public, asked), strict=True):
                    if status == 401:
                        self._inside[cookie].discard(origin)
            for cookie in [cookie for cookie, places in self._inside.items() if not places]:
                del self._inside[cookie]
                self.out_after.append(time.monotonic() - self._since)
            time.sleep(POLL_SECONDS)


def _start(
    provider: Provider, folder: Path, url: str, every: int, stack: ExitStack
) -> tuple[list[Server], list[str]]:
    ports = [free_port() for _ in range(SERVERS)]
    servers = []
    for number, port in enumerate(ports):
        own = folder / f"server{number}"
        own.mkdir()
        settings = entrada_environment(provider, own, ports[0]) | {
            "ENTRADA_DATABASE_URL": url,
            "ENTRADA_SECRET_KEYS": SECRET_KEY,
            "ENTRADA_TRUSTED_PROXIES": "127.0.0.1",
            "ENTRADA_RECHECK_EVERY": f"{every}s",
        }
        command = [sys.executable, "-m", "entrada.cli", "serve", "--port", str(port)]
        server = stack.enter_context(start(command, environment=settings, folder=own, name="entrada"))
        server.wait_for_port(port)
        servers.append(server)
    return servers, [f"http://127.0.0.1:{port}" for port in ports]


def _statuses(origin: str, public: str, cookies: Sequence[str]) -> list[int]:
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(origin).port, timeout=20)
    found = []
    try:
        for cookie in cookies:
            connection.request("GET", "/auth/nginx", headers=check_headers(public, cookie))
            answer = connection.getresponse()
            answer.read()
            found.append(answer.status)
    finally:
        connection.close()
    return found
