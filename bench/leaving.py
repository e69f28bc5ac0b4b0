"""leaving: from "disabled at Entra" to "the last access ended", by the re-check alone and with Graph's delta.

Two `entrada serve` over one SQLite file. People are disabled one by one at moments spread over an interval,
and each is asked for at both servers until both refuse: that is when they are out. The re-check's interval is
scaled down, as is said; the delta's is as one would set it. An emulator knows of a change at once, and Graph
after seconds to minutes, which Microsoft does not promise: that time is not in these figures.
"""

from __future__ import annotations

import http.client
import random
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench.browser import Browser
from bench.figures import Report, median
from bench.gateway.subjects import check_headers
from bench.peers import entrada_environment
from bench.processes import Server, free_port, start
from bench.provider import Provider, start_provider
from entrada.emulator.remote import RemoteEmulator

PEOPLE = 60
POLL_SECONDS = 0.05
EDGES = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 90.0)
"""Of the histogram, in seconds."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """How leavers are found: what is set, what happens at Entra, and the bound that is promised."""

    name: str
    settings: Mapping[str, str]
    is_revoked: bool = False
    spread_over: float
    bound: float


WAYS = (
    Way(
        name="re-check alone, every 30 s",
        settings={"ENTRADA_RECHECK_EVERY": "30s"},
        spread_over=30,
        bound=31,
    ),
    Way(
        name="delta every 5 s",
        settings={"ENTRADA_RECHECK_EVERY": "15m", "ENTRADA_DELTA_EVERY": "5s"},
        spread_over=30,
        bound=6,
    ),
    Way(
        name="delta every 5 s, sessions revoked",
        settings={"ENTRADA_RECHECK_EVERY": "15m", "ENTRADA_DELTA_EVERY": "5s"},
        is_revoked=True,
        spread_over=60,
        bound=67,
    ),
)
SMOKE = (
    Way(name="re-check alone", settings={"ENTRADA_RECHECK_EVERY": "2s"}, spread_over=1, bound=20),
    Way(
        name="delta",
        settings={"ENTRADA_RECHECK_EVERY": "15m", "ENTRADA_DELTA_EVERY": "1s"},
        spread_over=1,
        bound=20,
    ),
)


def leaving(folder: Path, *, smoke: bool) -> Report:
    """Seconds until somebody is out, as a histogram, for each way."""
    ways, people = (SMOKE, 3) if smoke else (WAYS, PEOPLE)
    found: dict[str, list[float]] = {}
    with ExitStack() as stack:
        provider = start_provider(folder, people=people * len(ways) + 1)
        stack.enter_context(provider.server)
        entra = RemoteEmulator(provider.http_url)
        entra.app(application_permissions=["User.Read.All", "GroupMember.Read.All"])
        for number, way in enumerate(ways):
            own = folder / f"way{number}"
            own.mkdir()
            names = [f"person{number * people + one}@contoso.test" for one in range(people)]
            found[way.name] = sorted(_seconds_until_out(way, names, provider, entra, own))
    edges = [edge for edge in EDGES if edge < 1.5 * max(way.bound for way in ways)]
    return Report(
        name="leaving",
        title=f"{people} people leave one by one; seconds from Entra's knowing to the last of two servers",
        columns=("", "half", "90 %", "longest", *(f"≤ {edge:g} s" for edge in edges)),
        rows=[
            (
                name,
                f"{median(times):.1f}",
                f"{times[int(len(times) * 0.9)]:.1f}",
                f"{times[-1]:.1f}",
                *(str(sum(one <= edge for one in times)) for edge in edges),
            )
            for name, times in found.items()
        ],
        remarks=["how late Graph itself knows of a change is not in it"],
        figures={"seconds": found},
        goals={}
        if smoke
        else {
            f"{way.name}: all out within {way.bound:g} s": found[way.name][-1] <= way.bound for way in ways
        },
    )


def _seconds_until_out(
    way: Way, names: Sequence[str], provider: Provider, entra: RemoteEmulator, folder: Path
) -> list[float]:
    with ExitStack() as stack:
        origins = _start(way, provider, folder, stack)
        public = origins[0].replace("127.0.0.1", "localhost")
        browser = Browser((provider.https_url, provider.http_url))
        stack.callback(browser.close)
        cookies = [browser.sign_in(f"{public}/auth/entra/start?next=/", name) for name in names]
        time.sleep(1.5)  # what a sign-in wrote is a second old, as what Entra revokes is told by the second
        watches = []
        chance = random.Random(7)
        due = sorted(chance.uniform(0, way.spread_over) for _ in names)
        begun_at = time.monotonic()
        for after, name, cookie in zip(due, names, cookies, strict=True):
            time.sleep(max(0.0, begun_at + after - time.monotonic()))
            if way.is_revoked:
                entra.revoke_sessions(name)
            else:
                entra.person(name, enabled=False)
            watch = Leaver(origins, lambda cookie=cookie: check_headers(public, cookie))  # type: ignore[misc]
            watch.start()
            watches.append(watch)
        for watch in watches:
            watch.join(timeout=3 * way.bound)
    missing = sum(watch.out_after is None for watch in watches)
    if missing:
        raise AssertionError(f"{way.name}: {missing} people are still in")
    return [watch.out_after for watch in watches if watch.out_after is not None]


class Leaver(threading.Thread):
    """Asks at each server until all refuse."""

    def __init__(self, origins: Sequence[str], headers: Callable[[], Mapping[str, str]]) -> None:
        super().__init__(daemon=True)
        self._origins, self._headers, self._since = list(origins), headers, time.monotonic()
        self.out_after: float | None = None

    def run(self) -> None:
        for origin in self._origins:
            while _status(origin, self._headers()) != 401:
                time.sleep(POLL_SECONDS)
        self.out_after = time.monotonic() - self._since


def _status(origin: str, headers: Mapping[str, str]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(origin).port, timeout=20)
    try:
        connection.request("GET", "/auth/nginx", headers=dict(headers))
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def _start(way: Way, provider: Provider, folder: Path, stack: ExitStack) -> list[str]:
    ports = [free_port() for _ in range(2)]
    servers: list[Server] = []
    for number, port in enumerate(ports):
        own = folder / f"server{number}"
        own.mkdir()
        settings = entrada_environment(provider, own, ports[0]) | {
            "ENTRADA_DATABASE_URL": f"sqlite:///{folder / 'entrada.db'}",
            "ENTRADA_TRUSTED_PROXIES": "127.0.0.1",
            **way.settings,
        }
        command = [sys.executable, "-m", "entrada.cli", "serve", "--port", str(port)]
        server = stack.enter_context(start(command, environment=settings, folder=own, name="entrada"))
        server.wait_for_port(port)
        servers.append(server)
    return [f"http://127.0.0.1:{port}" for port in ports]
