"""scale-leaving: fifty people of a thousand are disabled at Entra at one moment, on three servers.

Three `entrada serve` over one PostgreSQL. Everybody is asked about once a minute, the shortest interval there
may be. How long each of the fifty still got an answer at any of the three, whether anybody else was touched,
and what checks of a good session keep of their rate meanwhile.
"""

from __future__ import annotations

import http.client
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

from bench.browser import Browser
from bench.figures import Report, median
from bench.gateway.subjects import check_headers
from bench.load import Load, load
from bench.peers import entrada_environment
from bench.processes import Server, free_port, start
from bench.provider import Provider, start_provider
from bench.scale.postgres import create_database, running_postgres
from entrada.emulator.remote import RemoteEmulator

SERVERS, PEOPLE, LEAVERS, EVERY_SECONDS, ROUNDS = 3, 1_000, 50, 60, 30
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
        gone, stay = cookies[:leavers], cookies[leavers:]

        def checks() -> Load:
            where = f"{origins[0]}/auth/nginx"
            return load(servers[0], where, seconds=1.0, headers=headers, folder=folder)

        # Everybody is asked about all the while: what differs is that people leave.
        before = [checks() for _ in range(rounds)]
        entra = RemoteEmulator(provider.http_url)
        for number in range(leavers):
            entra.person(f"person{number}@contoso.test", enabled=False)
        disabled_at = time.monotonic()
        watch = Watch(origins, public, gone, since=disabled_at)
        watch.start()
        during: list[Load] = []
        while watch.is_alive() and len(during) < 4 * rounds and time.monotonic() - disabled_at < 2 * every:
            during.append(checks())
        watch.join(timeout=2 * every)
        quiet = [*before, *(checks() for _ in range(rounds))]
        touched = sum(status != 200 for origin in origins for status in _statuses(origin, public, stay))
    out = sorted(watch.out_after)
    kept = median([one.per_cpu_second for one in during]) / median([one.per_cpu_second for one in quiet])
    by_clock = median([one.per_second for one in during]) / median([one.per_second for one in quiet])
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
            ("checks keep, by CPU", f"{kept:.3f} of their rate"),
            ("checks keep, by the clock", f"{by_clock:.3f} of their rate"),
        ],
        figures={"out_after_s": out, "touched": touched, "kept": kept, "kept_by_clock": by_clock},
        goals={}
        if smoke
        else {
            f"all out within {bound} s": len(out) == leavers and out[-1] <= bound,
            "nobody else touched": touched == 0,
            f"good checks keep {KEPT_AT_LEAST} of their rate": kept >= KEPT_AT_LEAST,
        },
    )


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
