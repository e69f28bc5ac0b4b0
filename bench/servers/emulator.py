"""The emulator in a process of its own, which also tells how many TLS connections were made to it.

Prints one line of JSON when it is ready; answers each line of input with the number so far.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from entrada.emulator import start
from entrada.emulator.server.connection import Connection

made = 0


def count_connections() -> None:
    """A protocol's `connection_made` is called once for each TLS handshake that succeeded."""
    original = Connection.connection_made

    def counted(self: Connection, transport: asyncio.BaseTransport) -> None:
        global made
        if transport.get_extra_info("sslcontext") is not None:
            made += 1
        original(self, transport)

    Connection.connection_made = counted  # type: ignore[method-assign]


if __name__ == "__main__":
    count_connections()
    with start(state_dir=Path(sys.argv[1])) as emulator:
        emulator.allow_password_grant()
        for number in range(int(sys.argv[2])):
            emulator.add_person(
                f"person{number}@contoso.test", display_name=f"Person {number}", roles=["Editor"]
            )
        ready = {
            "http_url": emulator.http_url,
            "https_url": emulator.https_url,
            "ca_file": str(emulator.ca_file),
            "entrada": emulator.env("entrada"),
        }
        print(json.dumps(ready), flush=True)
        for _ in sys.stdin:
            print(made, flush=True)
