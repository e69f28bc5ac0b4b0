"""gateway-sessions: what the number of live sessions does to a check over HTTP, and what each takes.

The fast path over a table of 1,000 sessions and one of 1,000,000, asked about sessions drawn over all of it.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from bench.figures import Report, alternate
from bench.gateway.shown import COLUMNS, by_cpu, columns
from bench.gateway.subjects import SECONDS, check_headers
from bench.load import CONNECTIONS, Load, load
from bench.processes import Server, free_port, start
from bench.provider import SERVERS

ROUNDS, FEW, MANY = 15, 1_000, 1_000_000
MOST_TIMES, MOST_BYTES = 1.15, 500

SCRIPT = """
local requests, turn = {{}}, 0
function init()
    for cookie in io.lines("{cookies}") do
        wrk.headers["cookie"] = cookie
        requests[#requests + 1] = wrk.format("GET", "/auth/nginx")
    end
end
function request()
    turn = turn % #requests + 1
    return requests[turn]
end
"""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A running server with so many sessions. `bytes_each`: its memory for each beyond what few take."""

    server: Server
    url: str
    script: Path
    rss_bytes: int

    def load(self, folder: Path) -> Load:
        headers = {
            name: value
            for name, value in check_headers(self.url.removesuffix("/auth/nginx"), "").items()
            if name != "cookie"
        }
        return load(
            self.server, self.url, seconds=SECONDS, headers=headers, script=self.script, folder=folder
        )


def sessions(folder: Path, *, smoke: bool) -> Report:
    """CPU for one request, and bytes."""
    sizes = (100, 1_000) if smoke else (FEW, MANY)
    with ExitStack() as stack:
        tables = {f"{number:,} live sessions": _start(number, folder, stack) for number in sizes}
        few, many = tables
        found = alternate(
            {name: partial(table.load, folder) for name, table in tables.items()},
            rounds=1 if smoke else ROUNDS,
            most_seconds=60,
        )
        asked = (tables[many].server.rss_bytes() - tables[many].rss_bytes) / min(20_000, sizes[1])
    bytes_each = (tables[many].rss_bytes - tables[few].rss_bytes) / (sizes[1] - sizes[0])
    times = 1 / by_cpu(found[many], found[few])
    return Report(
        name="gateway-sessions",
        title=f"the fast path, {CONNECTIONS} connections, medians of {len(found[few])} alternating rounds of"
        f" {SECONDS:g} s",
        columns=("", *COLUMNS, ""),
        rows=[(name, *columns(loads, found[few]), "") for name, loads in found.items()],
        remarks=[
            f"a check costs {times:.2f} times as much",
            f"a live session of a person of their own takes {bytes_each:.0f} bytes,"
            f" once a proxy has asked about it {asked:.0f} more",
        ],
        figures={
            "loads": {name: [asdict(one) for one in loads] for name, loads in found.items()},
            "bytes_each": bytes_each,
            "bytes_once_asked": asked,
        },
        goals={}
        if smoke
        else {
            f"at most {MOST_TIMES} times as much for {MANY:,}": times <= MOST_TIMES,
            f"at most {MOST_BYTES} bytes a live session": bytes_each <= MOST_BYTES,
        },
    )


def _start(number: int, folder: Path, stack: ExitStack) -> Table:
    port, cookies, script = free_port(), folder / f"cookies-{number}", folder / f"{number}.lua"
    command: list[str | Path] = [
        sys.executable,
        SERVERS / "live_sessions.py",
        str(port),
        str(number),
        cookies,
    ]
    server = stack.enter_context(start(command, environment={}, folder=folder, name=f"sessions-{number}"))
    server.wait_for_port(port, seconds=400)
    script.write_text(SCRIPT.format(cookies=cookies))
    return Table(
        server=server, url=f"http://127.0.0.1:{port}/auth/nginx", script=script, rss_bytes=server.rss_bytes()
    )
