"""python -m bench [NAME ...] [--smoke] [--json FILE]: runs the benchmarks and prints their tables."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.breakdown import breakdown
from bench.broker import broker
from bench.emulators import emulators
from bench.environment import machine
from bench.figures import Report
from bench.gateway import GATEWAY
from bench.guarded import guarded
from bench.leaving import leaving
from bench.processes import CLIENT_CORE, CannotRun
from bench.revocation import revocation
from bench.scale import SCALE
from bench.session_check import session_check
from bench.sign_in import sign_in

BENCHMARKS: dict[str, Callable[..., Report]] = {
    "sign-in": sign_in,
    "breakdown": breakdown,
    "session-check": session_check,
    "revocation": revocation,
    "leaving": leaving,
    "broker": broker,
    "emulators": emulators,
    "guarded": guarded,
    **GATEWAY,
    **SCALE,
}
GROUPS = {"gateway": tuple(GATEWAY), "scale": tuple(SCALE)}
"""Names that stand for several."""
EVERYTHING = [name for name in BENCHMARKS if name not in SCALE]


def main() -> int:
    names = [*BENCHMARKS, *GROUPS]
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"which: {', '.join(names)}; default all but scale"
    )
    parser.add_argument(
        "--smoke", action="store_true", help="only see that everything runs; figures mean nothing"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep every round's figures there, too")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(names)
    if unknown:
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    wanted = [one for name in arguments.names or EVERYTHING for one in GROUPS.get(name, (name,))]
    os.sched_setaffinity(0, {CLIENT_CORE})
    about = machine()
    print("\n".join(f"{name:<10} {value}" for name, value in about.items()) + "\n", flush=True)
    reports = []
    for name in wanted:
        with tempfile.TemporaryDirectory(prefix="entrada-bench-") as folder:
            try:
                report = BENCHMARKS[name](Path(folder), smoke=arguments.smoke)
            except CannotRun as reason:
                print(f"{name} did not run: {reason}", file=sys.stderr)
                return 1
        print(report.text(), flush=True)
        reports.append(report)
    if arguments.json:
        document = {"machine": about, "benchmarks": [report.as_dict() for report in reports]}
        arguments.json.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
