"""gateway-clients: what it costs the reverse proxy to ask an upstream, by its own client and by aiohttp's.

1 kB from nginx on sixteen kept connections; each client alone in a process, on one core, in turns (ADR 23).
"""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench.environment import peer_python
from bench.figures import Report, alternate, median, median_ratio
from bench.nginx import start_nginx
from bench.processes import SERVER_CORE, CannotRun, start
from bench.provider import SERVERS

SECONDS = 2.0
ROUNDS = 9
OURS, PEER = "Entrada's, on httptools", "aiohttp"
MOST_OF_PEER = 0.5
ONE_KB = 'location / {{ return 200 "{body}"; }}'.format(body="x" * 1024)


def upstream_clients(folder: Path, *, smoke: bool) -> Report:
    """CPU for one request of each client."""
    with ExitStack() as stack:
        nginx, port = start_nginx(folder, locations=ONE_KB)
        stack.enter_context(nginx)
        clients = {OURS: ("entrada", Path(sys.executable)), PEER: ("aiohttp", peer_python())}
        found = alternate(
            {
                name: partial(_cpu_us, python, kind, port, 0.2 if smoke else SECONDS, folder)
                for name, (kind, python) in clients.items()
            },
            rounds=1 if smoke else ROUNDS,
            most_seconds=90,
        )
    share = median_ratio(found[OURS], found[PEER])
    return Report(
        name="gateway-clients",
        title=f"1 kB from nginx, 16 connections, medians of {len(found[OURS])} alternating rounds",
        columns=("", "CPU µs", "to aiohttp", ""),
        rows=[
            (name, f"{median(each):.1f}", f"{median_ratio(each, found[PEER]):.2f}", "")
            for name, each in found.items()
        ],
        figures={name: list(each) for name, each in found.items()},
        goals={} if smoke else {f"at most {MOST_OF_PEER} of aiohttp's": share <= MOST_OF_PEER},
    )


def _cpu_us(python: Path, kind: str, port: int, seconds: float, folder: Path) -> float:
    """
    Raises:
        CannotRun: the client ended without a figure.
    """
    command: list[str | Path] = [python, SERVERS / "upstream_client.py", kind, str(port), str(seconds)]
    with start(command, environment={}, folder=folder, name=kind, core=SERVER_CORE, talks=True) as client:
        line = client.read_line()
        if not line:
            raise CannotRun(f"{kind}: {client.last_words()}")
    return float(json.loads(line)["cpu_us"])
