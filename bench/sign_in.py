"""CPU of a complete sign-in: start, redirect URI with the code, TLS to the provider.

Only the server's CPU counts, not the client's or the provider's. One person after the other signs in, from
a small crowd, so accounts exist and are brought up to date; sessions are new each time.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bench.browser import Browser, SignInFailed
from bench.figures import Report, alternate, median, ratio, spread
from bench.peers import CONTESTANTS, RunningContestant, run
from bench.processes import CannotRun
from bench.provider import Provider, start_provider

CROWD = 20
WARM_UP = 12


def sign_in(folder: Path, *, rounds: int, per_round: int) -> Report:
    """The table, and what Entrada's own CPU goes to."""
    with ExitStack() as stack:
        provider = start_provider(folder, people=CROWD)
        stack.enter_context(provider.server)
        running, reasons = _start_all(provider, folder, stack)
        crowd = Crowd(provider)
        found = alternate(
            {name: lambda one=one: crowd.milliseconds(one, per_round) for name, one in running.items()}, rounds
        )
        handshakes = {name: crowd.handshakes(one, per_round) for name, one in running.items()}
    ours = median(found["Entrada"])
    rows = []
    for contestant in CONTESTANTS:
        name = contestant.name
        if name in reasons:
            rows.append((name, "–", "–", "–", "–", reasons[name]))
            continue
        value = median(found[name])
        rows.append(
            (
                name,
                f"{value:.2f}",
                ratio(value, ours),
                f"±{spread(found[name]):.0%}",
                f"{handshakes[name]:.2f}",
                contestant.does,
            )
        )
    return Report(
        name="sign-in",
        title=f"CPU of one complete sign-in, medians of {rounds} alternating rounds of {per_round}",
        columns=("", "CPU ms", "to ours", "spread", "TLS handshakes", ""),
        rows=rows,
        remarks=[f"{c.name}: {c.version()}" for c in CONTESTANTS if c.name not in reasons],
        figures={"cpu_ms": found, "handshakes_per_sign_in": handshakes, "not_run": reasons},
        goals={
            "Entrada costs less than MSAL alone": "MSAL alone" in found and ours < median(found["MSAL alone"]),
            "no new TLS handshake per sign-in": handshakes["Entrada"] == 0,
        },
    )


class Crowd:
    """People who sign in one after the other."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._browser = Browser()
        self._people: Iterator[str] = itertools.cycle([f"person{n}@contoso.test" for n in range(CROWD)])

    def sign_in(self, running: RunningContestant, count: int) -> None:
        for _ in range(count):
            self._browser.sign_in(running.start_url, next(self._people))

    def milliseconds(self, running: RunningContestant, count: int) -> float:
        """CPU of one sign-in, after some that do not count."""
        self.sign_in(running, WARM_UP)
        before = running.server.cpu_seconds()
        self.sign_in(running, count)
        return (running.server.cpu_seconds() - before) / count * 1000

    def handshakes(self, running: RunningContestant, count: int) -> float:
        """New TLS connections to the provider for each sign-in, once warm."""
        self.sign_in(running, WARM_UP)
        before = self._provider.connections()
        self.sign_in(running, count)
        return (self._provider.connections() - before) / count


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
