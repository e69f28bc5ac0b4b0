"""A WebSocket client of a few lines: what a handshake is answered, what comes in, and how it is closed.

Source: RFC 6455, sections 4.1, 5.2 and 7.4.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


@dataclass
class Socket:
    """`status` is what the handshake was answered: 101, or the socket did not open.

    `closed` is the code of a close frame; 1006 where the connection went without one.
    """

    status: int
    connection: socket.socket = field(repr=False)
    buffer: bytearray = field(default_factory=bytearray, repr=False)
    closed: int | None = None

    def say(self, message: Mapping[str, Any]) -> None:
        self._send(_TEXT, json.dumps(message).encode())

    def hears(self, text: str, *, seconds: float) -> bool:
        """Whether a message with that text comes in that time."""
        return any(text in message for message in iter(lambda: self.next(seconds=seconds), None))

    def next(self, *, seconds: float) -> str | None:
        """The next message; None if none came in that time, or the socket is closed."""
        self.connection.settimeout(seconds)
        while self.closed is None:
            try:
                kind, payload = self._frame()
            except TimeoutError:
                return None
            except (ConnectionError, EOFError):
                self.closed = 1006
                return None
            if kind == _CLOSE:
                self.closed = struct.unpack(">H", payload[:2])[0] if len(payload) > 1 else 1005
            elif kind == _PING:
                self._send(_PONG, payload)
            elif kind == _TEXT:
                return payload.decode()
        return None

    def is_closed_within(self, seconds: float) -> bool:
        """Whether the server closes it in that time, whatever else it says meanwhile."""
        while self.next(seconds=seconds) is not None:
            pass
        return self.closed is not None

    def close(self) -> None:
        self.connection.close()

    def _frame(self) -> tuple[int, bytes]:
        first, second = self._read(2)
        length = second & 127
        if length == 126:
            (length,) = struct.unpack(">H", self._read(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self._read(8))
        return first & 15, self._read(length)

    def _read(self, count: int) -> bytes:
        while len(self.buffer) < count:
            received = self.connection.recv(65536)
            if not received:
                raise EOFError
            self.buffer += received
        taken = bytes(self.buffer[:count])
        del self.buffer[:count]
        return taken

    def _send(self, kind: int, payload: bytes) -> None:
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        size = len(payload)
        head = bytes([128 | kind, 128 | (size if size < 126 else 126)])
        if size >= 126:
            head += struct.pack(">H", size)
        self.connection.sendall(head + mask + masked)


def opened(url: str, headers: Mapping[str, str] | None = None) -> Socket:
    """The socket at an http address, or the answer in its place."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = socket.create_connection((parts.hostname, parts.port or 80), timeout=30)
    lines = [
        f"GET {parts.path}{'?' + parts.query if parts.query else ''} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {b64encode(os.urandom(16)).decode()}",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    buffer = bytearray()
    while b"\r\n\r\n" not in buffer:
        received = connection.recv(65536)
        if not received:
            break
        buffer += received
    head, _, rest = bytes(buffer).partition(b"\r\n\r\n")
    return Socket(status=int(head.split()[1]), connection=connection, buffer=bytearray(rest))
