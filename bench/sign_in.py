"""CPU of a complete sign-in: start, redirect URI with the code, TLS to the provider.

Only the server's CPU counts, not the client's or the provider's. One person after the other signs in, from
a small crowd, so accounts exist and are brought up to date; sessions are new each time. Then: new TLS
connections for each sign-in, memory for people never seen before, and where Entrada's own CPU goes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.breakdown import CROWD, microseconds_by_step
from bench.browser import Browser, SignInFailed
from bench.figures import Report, alternate, median, median_ratio, spread
from bench.peers import CONTESTANTS, Contestant, RunningContestant, run
from bench.processes import CannotRun
from bench.provider import Provider, start_provider

GROWS = ("Entrada", "MSAL alone")
"""Whose memory is watched: the one, and the cache the other comes with."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is done; the smoke test does just enough to see that everything runs."""

    rounds: int = 24
    per_round: int = 40
    most_seconds: float = 90.0
    warm_up: int = 3
    strangers: int = 400
    walks: int = 150


SMOKE = Size(rounds=1, per_round=4, strangers=10, walks=5)


def sign_in(folder: Path, *, smoke: bool) -> Report:
    """The table, the memory, and what Entrada's own CPU goes to."""
    size = SMOKE if smoke else Size()
    with ExitStack() as stack:
        provider = start_provider(folder, people=CROWD + 2 * size.strangers)
        stack.enter_context(provider.server)
        running, reasons = _start_all(provider, folder, stack)
        crowd = Crowd(provider)
        found = alternate(
            {name: lambda one=one: crowd.milliseconds(one, size) for name, one in running.items()},  # type: ignore[misc]
            rounds=size.rounds,
            most_seconds=size.most_seconds,
        )
        handshakes = {name: crowd.handshakes(one, size) for name, one in running.items()}
        growth = {name: _growth_kib(running[name], provider, size) for name in GROWS if name in running}
        for one in running.values():
            one.server.stop()
        steps = microseconds_by_step(provider, folder, count=size.walks)
    made, ours = len(found["Entrada"]), median(found["Entrada"])
    return Report(
        name="sign-in",
        title=f"CPU of one complete sign-in, medians of {made} alternating rounds of {size.per_round}",
        columns=("", "CPU ms", "to ours", "spread", "TLS handshakes", ""),
        rows=[_row(contestant, found, handshakes, reasons) for contestant in CONTESTANTS],
        remarks=[
            *(f"{c.name}: {c.version()}" for c in CONTESTANTS if c.name not in reasons),
            "",
            *(
                f"memory for 1,000 people signed in for the first time: {n} {k:+,.0f} KiB"
                for n, k in growth.items()
            ),
            "",
            f"Entrada's {ours * 1000:,.0f} µs, by steps of the walk (in one thread, without a server):",
            *(f"  {label:<30} {microseconds:>6,.0f} µs" for label, microseconds in steps.items()),
        ],
        figures={
            "cpu_ms": found,
            "handshakes_per_sign_in": handshakes,
            "memory_kib_per_1000_people": growth,
            "steps_us": steps,
            "not_run": reasons,
        },
        goals={
            "Entrada costs at most what mod_auth_openidc does": "mod_auth_openidc" in found
            and median_ratio(found["mod_auth_openidc"], found["Entrada"]) >= 1,
            "Entrada costs at most a third of Flask + identity": "Flask + identity" in found
            and median_ratio(found["Flask + identity"], found["Entrada"]) >= 3,
            "no new TLS handshake per sign-in": handshakes["Entrada"] == 0,
        },
    )


class Crowd:
    """People who sign in one after the other, over and over."""

    def __init__(self, provider: Provider, *, first: int = 0, size: int = CROWD) -> None:
        self._provider = provider
        self._browser = Browser((provider.https_url, provider.http_url))
        self._people: Iterator[str] = itertools.cycle(
            [f"person{number}@contoso.test" for number in range(first, first + size)]
        )

    def sign_in(self, running: RunningContestant, count: int) -> str:
        """The next people sign in; the Cookie header of the last."""
        cookie = ""
        for _ in range(count):
            cookie = self._browser.sign_in(running.start_url, next(self._people))
        return cookie

    def milliseconds(self, running: RunningContestant, size: Size) -> float:
        """CPU of one sign-in, after some that do not count."""
        self.sign_in(running, size.warm_up)
        before = running.server.cpu_seconds()
        self.sign_in(running, size.per_round)
        return (running.server.cpu_seconds() - before) / size.per_round * 1000

    def handshakes(self, running: RunningContestant, size: Size) -> float:
        """New TLS connections to the provider for each sign-in, once warm."""
        self.sign_in(running, size.warm_up)
        before = self._provider.connections()
        self.sign_in(running, size.per_round)
        return (self._provider.connections() - before) / size.per_round


def _start_all(
    provider: Provider, folder: Path, stack: ExitStack
) -> tuple[dict[str, RunningContestant], dict[str, str]]:
    """Those who run, and why the others do not. Each has signed the whole crowd in once."""
    running: dict[str, RunningContestant] = {}
    reasons: dict[str, str] = {}
    crowd = Crowd(provider)
    for contestant in CONTESTANTS:
        try:
            one = run(contestant, provider, folder)
        except CannotRun as reason:
            reasons[contestant.name] = f"did not run: {reason}"
            continue
        stack.enter_context(one.server)
        try:
            crowd.sign_in(one, CROWD)
        except (SignInFailed, OSError) as failure:
            reasons[contestant.name] = f"did not sign in: {failure}"
            continue
        running[contestant.name] = one
    if "Entrada" not in running:
        raise CannotRun(f"Entrada {reasons['Entrada']}")
    return running, reasons


def _growth_kib(one: RunningContestant, provider: Provider, size: Size) -> float:
    """Resident memory for 1,000 people more: half of the strangers make room, the other half is counted."""
    Crowd(provider, first=CROWD, size=size.strangers).sign_in(one, size.strangers)
    before = one.server.rss_bytes()
    Crowd(provider, first=CROWD + size.strangers, size=size.strangers).sign_in(one, size.strangers)
    return (one.server.rss_bytes() - before) / 1024 / size.strangers * 1000


def _row(
    contestant: Contestant,
    found: Mapping[str, list[float]],
    handshakes: Mapping[str, float],
    reasons: Mapping[str, str],
) -> tuple[str, ...]:
    name = contestant.name
    if name in reasons:
        return (name, "–", "–", "–", "–", reasons[name])
    return (
        name,
        f"{median(found[name]):.2f}",
        f"{median_ratio(found[name], found['Entrada']):.2f}",
        f"±{spread(found[name]):.0%}",
        f"{handshakes[name]:.2f}",
        contestant.does,
    )
