"""gateway-disturbed: the fast path over HTTP while twenty other sessions end every second.

The others are live in this server, too: each has been asked about. Another process ends them in the database.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from bench.figures import Report, alternate
from bench.gateway.shown import COLUMNS, by_cpu, columns
from bench.gateway.subjects import SECONDS, Subject, check_headers, entrada_check
from bench.load import CONNECTIONS, Load
from bench.provider import start_provider
from bench.revocation import ENDING_EACH_SECOND, KEPT_AT_LEAST, ending, fill

ROUNDS = 15
ALONE, DISTURBED = "undisturbed", f"{ENDING_EACH_SECOND} others end each second"


def disturbed(folder: Path, *, smoke: bool) -> Report:
    """The share of its rate that a check keeps."""
    rounds = 1 if smoke else ROUNDS
    with ExitStack() as stack:
        provider = start_provider(folder, people=1)
        stack.enter_context(provider.server)
        entrada = entrada_check(provider, folder, stack)
        url = f"sqlite:///{folder / 'Entrada' / 'entrada.db'}"
        others = fill(url, round((SECONDS + 1) * ENDING_EACH_SECOND) * rounds)
        name = entrada.headers["cookie"].partition("=")[0]
        for other in others:
            _asked(entrada, f"{name}={other}").answer()
        switch = stack.enter_context(ending(url, others))

        def while_others_end() -> Load:
            switch.send(True)
            try:
                return entrada.load(folder)
            finally:
                switch.send(False)

        measures: dict[str, Callable[[], Load]] = {
            ALONE: partial(entrada.load, folder),
            DISTURBED: while_others_end,
        }
        found = alternate(measures, rounds=rounds, most_seconds=60)
        switch.send(None)
        ended = switch.recv()
    kept = by_cpu(found[DISTURBED], found[ALONE])
    return Report(
        name="gateway-disturbed",
        title=f"the fast path, {CONNECTIONS} connections, medians of {len(found[ALONE])} alternating rounds"
        f" of {SECONDS:g} s",
        columns=("", *COLUMNS, ""),
        rows=[(name, *columns(loads, found[ALONE]), "") for name, loads in found.items()],
        remarks=[f"{ended} sessions ended, by another process"],
        figures={name: [asdict(one) for one in loads] for name, loads in found.items()},
        goals={} if smoke else {f"the check keeps {KEPT_AT_LEAST:.2f} of its rate": kept >= KEPT_AT_LEAST},
    )


def _asked(entrada: Subject, cookie: str) -> Subject:
    origin = entrada.url.removesuffix("/auth/nginx")
    return replace(entrada, headers=check_headers(origin, cookie))
