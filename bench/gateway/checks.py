"""gateway-checks: a proxy asks about a live session, over and over, on sixteen kept-alive connections.

Entrada on its fast path, with all that a check means (rules, hash, constant-time comparison, both limits, an
account that is enabled, an ending seen within a second), beside nginx, its floor and what one would use
instead. All get the same headers: a browser's, its cookie, and the three that nginx adds.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from bench.apache import start_apache
from bench.figures import Report, alternate
from bench.gateway.shown import COLUMNS, by_cpu, columns, p99
from bench.gateway.subjects import (
    SECONDS,
    Subject,
    check_headers,
    entrada_check,
    fixed_bytes,
    signed_in,
)
from bench.load import CONNECTIONS, Load
from bench.nginx import start_nginx
from bench.oauth2_proxy import VERSION, start_oauth2_proxy
from bench.peers import Contestant
from bench.processes import CannotRun
from bench.provider import Provider, start_provider

ROUNDS = 15
NGINX, FLOOR, ENTRADA = "nginx, empty 200", "the floor: fixed bytes", "Entrada, fast path"
MODULE, OAUTH2_PROXY = "mod_auth_openidc", "oauth2-proxy"
OF_NGINX, OF_FLOOR, MOST_P99 = 0.55, 0.85, 2
TIMES = {MODULE: 10, OAUTH2_PROXY: 7}

PEERS = (
    Contestant(name=MODULE, version=str, start=start_apache, path="/index.html", does="a page of one line"),
    Contestant(
        name=OAUTH2_PROXY,
        version=lambda: VERSION,
        start=start_oauth2_proxy,
        path="/oauth2/start?rd=/",
        does="202",
    ),
)
CHECKED_AT = {MODULE: "/index.html", OAUTH2_PROXY: "/oauth2/auth"}


def checks(folder: Path, *, smoke: bool) -> Report:
    """CPU for one request, and its latency."""
    with ExitStack() as stack:
        provider = start_provider(folder, people=1)
        stack.enter_context(provider.server)
        subjects, reasons = _start_all(provider, folder, stack)
        found = alternate(
            {name: partial(one.load, folder) for name, one in subjects.items()},
            rounds=1 if smoke else ROUNDS,
            most_seconds=150,
        )
    return Report(
        name="gateway-checks",
        title=f"a live session, {CONNECTIONS} connections, medians of {len(found[NGINX])} alternating rounds"
        f" of {SECONDS:g} s",
        columns=("", *COLUMNS, "of the floor", ""),
        rows=[
            *((name, *_row(found[name], found), "") for name in found),
            *((name, *("–" for _ in COLUMNS), "–", reason) for name, reason in reasons.items()),
        ],
        remarks=[f"{OAUTH2_PROXY}: {VERSION}"],
        figures={name: [asdict(one) for one in loads] for name, loads in found.items()},
        goals={} if smoke else _goals(found),
    )


def _start_all(
    provider: Provider, folder: Path, stack: ExitStack
) -> tuple[dict[str, Subject], dict[str, str]]:
    """Those who run, and why others do not."""
    nginx, port = start_nginx(folder)
    stack.enter_context(nginx)
    entrada = entrada_check(provider, folder, stack)
    subjects = {
        NGINX: replace(entrada, server=nginx, url=f"http://127.0.0.1:{port}/auth/nginx"),
        FLOOR: fixed_bytes(entrada, folder, stack),
        ENTRADA: entrada,
    }
    reasons = {}
    for peer in PEERS:
        try:
            server, origin, cookie = signed_in(peer, provider, folder, stack)
        except CannotRun as reason:
            reasons[peer.name] = f"did not run: {reason}"
        else:
            url = origin + CHECKED_AT[peer.name]
            subjects[peer.name] = Subject(server=server, url=url, headers=check_headers(origin, cookie))
    for subject in subjects.values():
        subject.answer()
    return subjects, reasons


def _row(loads: list[Load], found: dict[str, list[Load]]) -> tuple[str, ...]:
    return *columns(loads, found[NGINX]), f"{by_cpu(loads, found[FLOOR]):.2f}"


def _goals(found: dict[str, list[Load]]) -> dict[str, bool]:
    ours, nginx = found[ENTRADA], found[NGINX]
    goals = {
        f"{OF_NGINX} of nginx": by_cpu(ours, nginx) >= OF_NGINX,
        f"{OF_FLOOR} of the floor": by_cpu(ours, found[FLOOR]) >= OF_FLOOR,
        f"p99 at most {MOST_P99} times nginx's": p99(ours, nginx) <= MOST_P99,
    }
    for name, times in TIMES.items():
        if name in found:
            goals[f"{times} times {name}"] = by_cpu(ours, found[name]) >= times
    return goals
