"""The proxy lab by itself; `make lab` runs it, from the folder of the tests.

    python -m lab                                   100,000 requests over every documented proxy
    python -m lab --requests 5000 --only nginx caddy --seed 7
    python -m lab --only haproxy --replay hole.bin  the bytes of a hole that a run has written down
    python -m lab --subject other.toml              another authorization server; what it needs stands there:

        name = "other"                    # where it or the proxy before it listens,
        port = 4180                       # and what clients write into Host
        host = "tool.test"
        upstream_port = 5000              # where it finds its application: there the lab listens
        told = ["X_FORWARDED_EMAIL"]      # what it tells of everybody, folded as CGI does
        believed = ["X_AUTH_REQUEST_*"]   # what else no client may write
        [people.ada]                      # `ada` and `vi`, one of them with the role Admin
        cookie = "_session=..."
        roles = ["Admin"]
        facts = { EMAIL = "ada@contoso.test" }
        [[rules]]                         # as written down there; without them those of the lab
        path = "/status"
        whom = "anybody"
        below = false

Ends with 1 when there is a hole; each is printed, and its bytes are written to a file.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from entrada.compatibility import tomllib
from entrada.emulator import start

from .harness import Failure, Lab, Report
from .readers import Reader, reading
from .recorder import recording
from .starting import ITSELF, PROXIES, lab_for
from .subject import RULES, LabRule, Person, Subject


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="lab", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=100_000, help="in all (default %(default)s)")
    parser.add_argument("--seed", type=int, default=20_261_127)
    parser.add_argument("--first", type=int, default=0, help="the number to begin with")
    parser.add_argument("--only", nargs="+", choices=[*PROXIES, ITSELF], default=[*PROXIES, ITSELF])
    parser.add_argument("--subject", type=Path, metavar="FILE", help="another authorization server")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="send these bytes, and say what arrives")
    parser.add_argument("--holes", type=Path, default=Path(tempfile.gettempdir()), metavar="FOLDER")
    args = parser.parse_args(words)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        try:
            readers = stack.enter_context(reading("wsgi", "asgi", "php"))
            labs = _labs(args, stack, folder, readers)
        except pytest.skip.Exception as missing:
            print(missing, file=sys.stderr)
            return 2
        if args.replay is not None:
            return _replay(labs, args.replay.read_bytes())
        numbers = range(args.first, args.first + -(-args.requests // len(labs)))
        with ThreadPoolExecutor(len(labs)) as pool:
            reports = list(pool.map(lambda lab: lab.run(args.seed, numbers), labs))
    for report in reports:
        _print(report, args.holes)
    failed = sum(len(report.failures) for report in reports)
    print(f"{sum(report.sent for report in reports)} requests, {failed} holes")
    return 1 if failed else 0


def _labs(args: argparse.Namespace, stack: ExitStack, folder: Path, readers: list[Reader]) -> list[Lab]:
    if args.subject is not None:
        subject = subject_of(args.subject.read_text("utf-8"))
        recorder = stack.enter_context(recording(subject.upstream_port))
        return [Lab(subject=subject, recorder=recorder, readers=readers)]
    emulator = stack.enter_context(start())
    return [stack.enter_context(lab_for(name, emulator, folder / name, readers)) for name in args.only]


def subject_of(text: str) -> Subject:
    """The subject that a file describes."""
    told = tomllib.loads(text)
    people = {
        name: Person(
            name=name,
            cookie=one["cookie"].encode("latin-1"),
            roles=frozenset(one.get("roles", ())),
            facts=one["facts"],
        )
        for name, one in told["people"].items()
    }
    rules = tuple(
        LabRule(**{**rule, "methods": frozenset(rule["methods"]) if "methods" in rule else None})
        for rule in told.get("rules", ())
    )
    return Subject(
        name=told["name"],
        port=told["port"],
        host=told["host"],
        upstream_port=told["upstream_port"],
        people=people,
        told=tuple(told["told"]),
        believed=tuple(told.get("believed", ())),
        rules=rules or RULES,
        keeps_cookie=told.get("keeps_cookie", True),
    )


def _replay(labs: list[Lab], template: bytes) -> int:
    found = False
    for lab in labs:
        holes, status, arrived = lab.replayed(template)
        found = found or bool(holes)
        print(f"{lab.subject.name}: answered {status}, {arrived} arrived, {len(holes)} holes")
        for hole in holes:
            print(f"      {hole}")
    return 1 if found else 0


def _print(report: Report, folder: Path) -> None:
    print(report)
    for failure in report.failures:
        print(failure, end="")
        print(f"      replay:  make lab ARGS='--only \"{report.subject}\" --replay {_kept(failure, folder)}'")


def _kept(failure: Failure, folder: Path) -> Path:
    file = folder / f"hole-{failure.subject.replace(' ', '-')}-{failure.seed}-{failure.attempt.number}.bin"
    file.write_bytes(failure.attempt.template())
    return file


if __name__ == "__main__":
    sys.exit(main())
