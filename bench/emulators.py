"""Emulators of an OpenID provider: tokens a second, CPU of a code flow, time from start to ready.

Each runs alone on the server's core. Tokens are RS256 with a 2,048-bit key, so the core's own limit of such
signatures is the yardstick; both are counted for a second of CPU, whatever else the core has to do.
"""

from __future__ import annotations

import http.client
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from bench.emulator_peers import CLIENT, EMULATORS, Emulator, code_flow
from bench.figures import Report, median, ratio
from bench.load import load
from bench.processes import SERVER_CORE, CannotRun, Server, free_port, on_core


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is done; the smoke test does just enough to see that everything runs."""

    rounds: int = 3
    flows: int = 100
    seconds: float = 2.0
    limit_seconds: float = 1.0


SMOKE = Size(rounds=1, flows=3, seconds=1.0, limit_seconds=0.2)


@dataclass(kw_only=True)
class Measured:
    """One figure a round. `reason` says why there are none."""

    tokens_per_cpu_second: list[float] = field(default_factory=list)
    code_flow_ms: list[float] = field(default_factory=list)
    start_seconds: list[float] = field(default_factory=list)
    reason: str | None = None


def emulators(folder: Path, *, smoke: bool) -> Report:
    """The table of all emulators that run."""
    size = SMOKE if smoke else Size()
    found = {one.name: Measured() for one in EMULATORS}
    limits = []
    for number in range(size.rounds):
        limits.append(signing_limit(size.limit_seconds))
        for one in (one for one in EMULATORS if found[one.name].reason is None):
            own = folder / f"{number}-{one.name}".replace(" ", "-")
            own.mkdir()
            try:
                _measure(one, own, size, found[one.name])
            except (CannotRun, OSError, http.client.HTTPException) as reason:
                found[one.name].reason = f"did not run: {reason}"
    limit, ours = median(limits), found[EMULATORS[0].name]
    ran = ours.reason is None
    return Report(
        name="emulators",
        title=f"medians of {size.rounds} rounds; this core makes {limit:,.0f} RSA-2048 signatures a second",
        columns=("", "tokens/s", "of the limit", "code flow CPU ms", "start ms", ""),
        rows=[_row(one, found[one.name], limit) for one in EMULATORS],
        remarks=[
            "tokens/s: client_credentials for a second of CPU; code flow: authorize and token;",
            "start: from nothing until it answers, making its key included;",
            f"one signature costs {1000 / limit:.2f} ms",
        ],
        figures={"limits": limits, **{name: asdict(measured) for name, measured in found.items()}},
        goals={
            "tokens/s at least 0.70 of the limit": ran and median(ours.tokens_per_cpu_second) / limit >= 0.70,
            "a code flow costs at most 2.5 signatures (0.6 ms where one is 0.24)": ran
            and median(ours.code_flow_ms) <= 2.5 * 1000 / limit,
            "ready in under 400 ms": ran and median(ours.start_seconds) < 0.4,
        },
    )


def signing_limit(seconds: float) -> float:
    """RSA-2048 signatures for a second of CPU on the server's core, with nothing around them."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    count = 0
    with on_core(SERVER_CORE):
        began = time.process_time()
        while time.process_time() - began < seconds:
            for _ in range(20):
                key.sign(b"header.payload", padding.PKCS1v15(), SHA256())
            count += 20
        return count / (time.process_time() - began)


def _measure(one: Emulator, folder: Path, size: Size, found: Measured) -> None:
    port = free_port()
    with one.start(folder, port) as server:
        found.start_seconds.append(server.wait_for_port(port))
        if one.serves_machines:
            found.tokens_per_cpu_second.append(_tokens(one, server, port, folder, size))
        if one.authorize is not None:
            found.code_flow_ms.append(_code_flow_ms(one, server, port, size))


def _tokens(one: Emulator, server: Server, port: int, folder: Path, size: Size) -> float:
    form = urlencode({**CLIENT, "grant_type": "client_credentials", "scope": one.machine_scope})
    url = f"http://127.0.0.1:{port}{one.token}"
    load(server, url, seconds=1, form=form, folder=folder)
    return load(server, url, seconds=size.seconds, form=form, folder=folder).per_cpu_second


def _code_flow_ms(one: Emulator, server: Server, port: int, size: Size) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    for _ in range(10):
        code_flow(one, connection)
    before = server.cpu_seconds()
    for _ in range(size.flows):
        code_flow(one, connection)
    spent = server.cpu_seconds() - before
    connection.close()
    return spent / size.flows * 1000


def _row(one: Emulator, found: Measured, limit: float) -> tuple[str, ...]:
    if found.reason is not None:
        return (one.name, "–", "–", "–", "–", found.reason)
    tokens = median(found.tokens_per_cpu_second) if found.tokens_per_cpu_second else None
    return (
        one.name,
        "–" if tokens is None else f"{tokens:,.0f}",
        "–" if tokens is None else ratio(tokens, limit),
        f"{median(found.code_flow_ms):.2f}" if found.code_flow_ms else "–",
        f"{median(found.start_seconds) * 1000:.0f}",
        one.version(),
    )
