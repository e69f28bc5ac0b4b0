"""Every test, bounded: three minutes a test, seventy-five in all. Arguments go to pytest (-k, -x, a path).

Without arguments, and with two cores, what starts real products (`heavy`) runs beside the rest; what it said
comes after the rest has ended. Many tests hold a promise to the second ("signed out everywhere within one"),
and two suites on two cores can keep what is tested from running at all: what failed is run once more, by
itself, and named as such. What fails then is a failure.
In CI a test that could not run for want of a tool is one, too: setup-tests should have brought it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTEST = [sys.executable, "-m", "pytest", "--timeout=180"]
MOST_SECONDS = 4500.0
FAST, HEAVY = "not heavy", "heavy"
FAILED = 1
"""What pytest ends with where tests failed; with anything else it could not do its work."""
MOST_FAILURES = 20
"""Of what is run again, so many that fail are enough to know."""


def main(arguments: list[str]) -> int:
    deadline = time.monotonic() + MOST_SECONDS
    environ = dict(os.environ)
    if environ.get("CI", "") not in ("", "0", "false"):
        environ.setdefault("ENTRADA_TESTS_REQUIRE_ALL", "1")
    if arguments or (os.cpu_count() or 1) < 2:
        return _ended(subprocess.Popen([*PYTEST, *arguments], cwd=ROOT, env=environ), deadline)
    with tempfile.TemporaryFile() as said:
        beside = subprocess.Popen(_suite(HEAVY), cwd=ROOT, env=environ, stdout=said, stderr=subprocess.STDOUT)
        rest = subprocess.Popen(_suite(FAST), cwd=ROOT, env=environ)
        statuses = {FAST: _ended(rest, deadline), HEAVY: _ended(beside, deadline)}
        print("\nWhat starts real products:", flush=True)
        said.seek(0)
        sys.stdout.buffer.write(said.read())
    for suite in (suite for suite, status in statuses.items() if status == FAILED):
        print(f"\nWhat failed of {suite!r} beside the others, by itself:", flush=True)
        again = [
            *_suite(suite),
            "--verbose",
            "--last-failed",
            "--last-failed-no-failures=none",
            f"--maxfail={MOST_FAILURES}",
        ]
        statuses[suite] = _ended(subprocess.Popen(again, cwd=ROOT, env=environ), deadline)
    return next((status for status in statuses.values() if status), 0)


def _suite(marked: str) -> list[str]:
    """The two remember their failures apart."""
    cache = ROOT / ".pytest_cache" / marked.replace(" ", "-")
    return [*PYTEST, "-m", marked, "-o", f"cache_dir={cache}"]


def _ended(tests: subprocess.Popen[bytes], deadline: float) -> int:
    """Their status, once they have ended; 124 if that was our doing."""
    while True:
        try:
            return tests.wait(timeout=max(deadline - time.monotonic(), 0))
        except KeyboardInterrupt:
            continue  # pytest has heard it, too, and stops its servers
        except subprocess.TimeoutExpired:
            tests.terminate()
            tests.wait()
            return 124


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
