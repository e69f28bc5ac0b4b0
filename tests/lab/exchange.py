"""Sending bytes as they are, and reading until the answers are there."""

from __future__ import annotations

import re
import socket
from contextlib import suppress

PATIENCE = 5.0
_HANGS = 0.2
"""Seconds of silence after which a request that waits for more is given up."""

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked", re.IGNORECASE)


def exchange(
    port: int, sent: bytes, *, answers: int = 1, may_hang: bool = False, head: bool = False
) -> bytes:
    """What came back. Ends with the connection, with so many answers, or with silence."""
    received = b""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as link:
        if may_hang:
            link.settimeout(_HANGS)
        with suppress(OSError):
            link.sendall(sent)
        while len(statuses(received, head=head)) < answers and (chunk := link.recv(1 << 18)):
            received += chunk
    return received


def statuses(received: bytes, *, head: bool = False) -> list[int]:
    """The final answers that have come whole. `head`: they have no body, whatever they say."""
    found: list[int] = []
    at = 0
    while (end := received.find(b"\r\n\r\n", at)) >= 0:
        top = received[at : end + 2]
        line = re.match(rb"HTTP/1\.[01] (\d{3})", top)
        if line is None:
            return found
        status, at = int(line[1]), end + 4
        if status == 101:
            return [*found, status]
        if status < 200:
            continue
        if head or status in (204, 304):
            found.append(status)
        elif _CHUNKED.search(top):
            stop = received.find(b"0\r\n\r\n", at)
            if stop < 0:
                return found
            found.append(status)
            at = stop + 5
        elif length := _LENGTH.search(top):
            at += int(length[1])
            if len(received) < at:
                return found
            found.append(status)
        else:
            return found  # until the connection's end
    return found


def first_status(received: bytes) -> int:
    """0: no answer."""
    for match in re.finditer(rb"HTTP/1\.[01] (\d{3})", received):
        if match[1] not in (b"100", b"102", b"103"):
            return int(match[1])
    return 0
