"""Every test, bounded: three minutes a test, seventy-five in all. Arguments go to pytest (-k, -x, a path).

Without arguments, and with two cores, what starts real products (`heavy`) runs beside the rest; what it said
comes after the rest has ended. In CI a test that could not run for want of a tool is a failure:
setup-tests should have brought it.
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


def main(arguments: list[str]) -> int:
    deadline = time.monotonic() + MOST_SECONDS
    environ = dict(os.environ)
    if environ.get("CI", "") not in ("", "0", "false"):
        environ.setdefault("ENTRADA_TESTS_REQUIRE_ALL", "1")
    if arguments or (os.cpu_count() or 1) < 2:
        return _ended(subprocess.Popen([*PYTEST, *arguments], cwd=ROOT, env=environ), deadline)
    with tempfile.TemporaryFile() as said:
        beside = subprocess.Popen(
            [*PYTEST, "-m", "heavy"], cwd=ROOT, env=environ, stdout=said, stderr=subprocess.STDOUT
        )
        rest = subprocess.Popen([*PYTEST, "-m", "not heavy"], cwd=ROOT, env=environ)
        statuses = [_ended(rest, deadline), _ended(beside, deadline)]
        print("\nWhat starts real products:", flush=True)
        said.seek(0)
        sys.stdout.buffer.write(said.read())
    return 0 if statuses == [0, 0] else next(status for status in statuses if status)


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
