"""The check of a live session, over HTTP: Entrada's answers beside nginx answering an empty 200.

Sixteen kept-alive connections, one session, headers as a browser sends them: the general path, through the
framework. `bench.gateway.checks` has the fast one.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

from bench.browser import PAGE_VISIT
from bench.figures import Report, median, ratio
from bench.load import Load, load
from bench.nginx import start_nginx
from bench.peers import ENTRADA, run
from bench.processes import Server
from bench.provider import start_provider
from bench.sign_in import Crowd

SECONDS = 2.0


def session_check(folder: Path, *, smoke: bool) -> Report:
    """Requests a second and CPU a request, medians of alternating rounds."""
    rounds = 1 if smoke else 5
    found: dict[str, list[Load]] = defaultdict(list)
    with ExitStack() as stack:
        provider = start_provider(folder, people=1)
        stack.enter_context(provider.server)
        entrada = run(ENTRADA, provider, folder)
        stack.enter_context(entrada.server)
        cookie = Crowd(provider, size=1).sign_in(entrada, 1)
        nginx, port = start_nginx(folder)
        stack.enter_context(nginx)
        origin = entrada.start_url.partition("/auth/")[0].replace("localhost", "127.0.0.1")
        headers = {**PAGE_VISIT, "cookie": cookie}
        asked: list[tuple[str, Server, str]] = [
            ("nginx, empty 200", nginx, f"http://127.0.0.1:{port}/"),
            ("GET /auth/me", entrada.server, f"{origin}/auth/me"),
            ("a protected page", entrada.server, f"{origin}/"),
        ]
        for _ in range(rounds):
            for name, server, url in asked:
                found[name].append(load(server, url, seconds=SECONDS, headers=headers, folder=folder))
    wall = {name: median([one.per_second for one in loads]) for name, loads in found.items()}
    rates = {name: median([one.per_cpu_second for one in loads]) for name, loads in found.items()}
    limit = rates["nginx, empty 200"]
    return Report(
        name="session-check",
        title=f"a live session checked over HTTP, medians of {rounds} alternating rounds of {SECONDS:g} s",
        columns=("", "CPU µs", "for a second of CPU", "to nginx", "requests/s now"),
        rows=[
            (name, f"{1e6 / rate:.1f}", f"{rate:,.0f}", ratio(rate, limit, digits=3), f"{wall[name]:,.0f}")
            for name, rate in rates.items()
        ],
        remarks=["the protected page is the front page of `entrada serve`: a redirect to /auth/account"],
        figures={"per_cpu_second": rates, "per_second": wall},
    )
