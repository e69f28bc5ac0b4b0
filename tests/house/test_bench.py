"""The benchmarks reach into the house by name, and stand outside of what the other tests import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from house import tools

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks read Linux's clocks")


def test_benchmarks_without_peers_run(tmp_path: Path) -> None:
    """Those that need nothing but the development environment run to their end, every figure in place."""
    kept = tmp_path / "figures.json"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "bench",
            "breakdown",
            "revocation",
            "gateway-bearer",
            "scale-sqlite",
            "--smoke",
            "--json",
            kept,
        ],
        cwd=tools.ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    breakdown, revocation, bearer, scale = json.loads(kept.read_text("utf-8"))["benchmarks"]
    assert all(spent > 0 for spent in breakdown["figures"]["steps_us"].values())
    assert revocation["rows"]
    assert all(min(rates) > 0 for rates in bearer["figures"]["rates"].values())
    assert all(times > 0 for times in scale["figures"]["times"].values())


def test_the_broker_s_benchmark_runs(tmp_path: Path) -> None:
    """A sign-in through a broker and a token response, its peer only where it is installed already."""
    kept = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, "-m", "bench", "broker", "--smoke", "--json", kept],
        cwd=tools.ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (broker,) = json.loads(kept.read_text("utf-8"))["benchmarks"]
    assert broker["figures"]["sign_in_ms"]["through a broker"]
    assert broker["figures"]["token_ms"]["Entrada"]


def test_all_benchmarks_load() -> None:
    """Whatever a benchmark imports is where it looks for it (`make check` types them, too)."""
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--help"], cwd=tools.ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for name in (
        "sign-in",
        "breakdown",
        "session-check",
        "revocation",
        "leaving",
        "broker",
        "emulators",
        "guarded",
        "gateway",
        "gateway-proxy",
        "scale-postgresql",
    ):
        assert name in "".join(done.stdout.split()), "argparse breaks lines at hyphens, too"
