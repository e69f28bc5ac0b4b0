"""The floor of the fast path: uvicorn's own protocol, answering fixed bytes without having looked at a field.

Everything uvicorn would do for a request is left out, but its parser reads every byte of it. The bytes stand
in the file that the second argument names: those that Entrada answered, so that both send the same.
"""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

ANSWER = Path(sys.argv[2]).read_bytes()


class FixedBytes(HttpToolsProtocol):
    def on_message_begin(self) -> None: ...

    def on_url(self, url: bytes) -> None: ...

    def on_header(self, name: bytes, value: bytes) -> None: ...

    def on_headers_complete(self) -> None: ...

    def on_message_complete(self) -> None:
        self.transport.write(ANSWER)


async def app(*_: object) -> None:
    """Never asked."""


if __name__ == "__main__":
    uvicorn.run(
        app,
        port=int(sys.argv[1]),
        http=FixedBytes,
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="error",
    )
