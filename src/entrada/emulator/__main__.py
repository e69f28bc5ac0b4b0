"""The emulator as a process of its own, for tests: it stops when its standard input closes.

    python -m entrada.emulator [STATE_DIR]

The first line of its output is JSON: `http_url`, `https_url`, `ca_file`.  People use `entrada emulator`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from .starting import start


def main() -> None:
    """Run until whoever started this process closes the pipe or ends."""
    state_dir = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with start(state_dir=state_dir) as emulator:
        where = {
            "http_url": emulator.http_url,
            "https_url": emulator.https_url,
            "ca_file": str(emulator.ca_file),
        }
        print(json.dumps(where), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
