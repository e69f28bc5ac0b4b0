"""A body that is made piece by piece ends with what let its reader in: for servers that wait for each piece.

Looked at before a piece is sent, once a second at most; most bodies are over before. A body that makes no
piece is looked at with its next one. Where a loop serves, `entrada.adapters.response_watch` does the same.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from typing import TypeVar

from entrada.web.guards import Visitor

MOMENT_SECONDS = 1.0
"""How often the reader of a long body is looked at, and how long a response takes that is never watched."""

PieceT = TypeVar("PieceT")


class StreamEnded(ConnectionResetError):
    """Raised into the server, which closes the connection: half of a download is not the whole.

    Of a kind that servers know, and log as a connection that is gone.
    """

    def __init__(self) -> None:
        super().__init__(errno.ECONNRESET, "what let the reader of this response in is over")


def watched_pieces(body: Iterable[PieceT], visitor: Visitor) -> Iterator[PieceT]:
    """
    Raises:
        StreamEnded: in the place of the next piece.
    """
    clock = visitor.auth.relying_party.clock
    looked_at = clock.monotonic()
    for piece in body:
        if clock.monotonic() - looked_at >= MOMENT_SECONDS:
            if not visitor.still_stands():
                raise StreamEnded
            looked_at = clock.monotonic()
        yield piece
