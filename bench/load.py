"""Requests as fast as one core answers them: wrk on the client's core, the server's CPU beside it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.processes import CLIENT_CORE, CannotRun, on_core

CONNECTIONS = 16
_REQUESTS = re.compile(r"(\d+) requests in")
_PER_SECOND = re.compile(r"Requests/sec:\s+([\d.]+)")
_P99 = re.compile(r"99%\s+([\d.]+)(us|ms|s)")
_MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_REFUSED = re.compile(r"Non-2xx or 3xx responses: (\d+)")


@dataclass(frozen=True, kw_only=True)
class Load:
    """`per_second`: as the clock on the wall has it. `cpu_us`: of the server, for one request.

    `p99_ms`: the latency that one request in a hundred exceeded.
    """

    per_second: float
    cpu_us: float
    p99_ms: float

    @property
    def per_cpu_second(self) -> float:
        """What the server would answer with a core to itself, whatever else ran on it."""
        return 1e6 / self.cpu_us


class Measured(Protocol):
    """A server, or several together."""

    def cpu_seconds(self) -> float: ...


def load(
    server: Measured,
    url: str,
    *,
    seconds: float,
    headers: Mapping[str, str] | None = None,
    form: str | None = None,
    script: Path | None = None,
    folder: Path,
) -> Load:
    """What the server answers while it is asked without pause.

    `form` is posted; `script` is one of wrk's, which makes the requests.

    Raises:
        CannotRun: wrk is not installed, or the server refused.
    """
    wrk = shutil.which("wrk")
    if wrk is None:
        raise CannotRun("wrk is not installed")
    command = [wrk, "--latency", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s"]
    for name, value in (headers or {}).items():
        command += ["-H", f"{name}: {value}"]
    if form is not None and script is None:
        script = folder / "post.lua"
        script.write_text(
            'wrk.method = "POST"\n'
            'wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"\n'
            f"wrk.body = [[{form}]]\n"
        )
    if script is not None:
        command += ["-s", str(script)]
    before = server.cpu_seconds()
    with on_core(CLIENT_CORE):
        done = subprocess.run([*command, url], capture_output=True, text=True, timeout=60)
    spent = server.cpu_seconds() - before
    requests, rate, p99, refused = (
        pattern.search(done.stdout) for pattern in (_REQUESTS, _PER_SECOND, _P99, _REFUSED)
    )
    if requests is None or rate is None or p99 is None or int(requests[1]) == 0:
        raise CannotRun(f"wrk measured nothing: {(done.stderr or done.stdout).strip()[-120:]}")
    if refused is not None:
        raise CannotRun(f"{refused[1]} of {requests[1]} requests to {url} were refused")
    return Load(
        per_second=float(rate[1]),
        cpu_us=spent / int(requests[1]) * 1e6,
        p99_ms=float(p99[1]) * _MILLISECONDS[p99[2]],
    )
