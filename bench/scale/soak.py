"""scale-soak: a million checks by one server, and its memory and descriptors all the while (fault 28)."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from bench.figures import Report
from bench.gateway.subjects import entrada_check
from bench.load import load
from bench.processes import Server
from bench.provider import start_provider

CHECKS, WARM = 1_000_000, 100_000
SECONDS = 5.0
MOST_MEGABYTES, MOST_DESCRIPTORS = 8.0, 4


def soak(folder: Path, *, smoke: bool) -> Report:
    """Memory and open descriptors after the first hundred thousand checks, and after a million."""
    checks, warm, seconds = (2_000, 500, 1.0) if smoke else (CHECKS, WARM, SECONDS)
    with ExitStack() as stack:
        provider = start_provider(folder, people=1)
        stack.enter_context(provider.server)
        subject = entrada_check(provider, folder, stack)
        server = subject.server
        assert isinstance(server, Server)
        done, held = 0, []
        while done < checks:
            round_of = load(server, subject.url, seconds=seconds, headers=subject.headers, folder=folder)
            done += round(round_of.per_second * seconds)
            descriptors = len(os.listdir(f"/proc/{server.pid}/fd"))
            held.append((done, server.rss_bytes() / 2**20, descriptors))
    first = next(each for each in held if each[0] >= warm)
    last = held[-1]
    grown, more = last[1] - first[1], last[2] - first[2]
    return Report(
        name="scale-soak",
        title="checks of one session over sixteen connections that come and go",
        columns=("checks", "memory, MB", "descriptors"),
        rows=[(f"{number:,}", f"{memory:.1f}", str(open_)) for number, memory, open_ in (first, last)],
        remarks=[f"{grown:+.1f} MB, {more:+d} descriptors"],
        figures={"held": held},
        goals={}
        if smoke
        else {
            f"at most {MOST_MEGABYTES:g} MB more": grown <= MOST_MEGABYTES,
            f"at most {MOST_DESCRIPTORS} descriptors more": more <= MOST_DESCRIPTORS,
        },
    )
