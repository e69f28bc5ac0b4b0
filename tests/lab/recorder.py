"""The application's place behind a subject: keeps every request to the byte, and answers with its marker."""

from __future__ import annotations

import base64
import hashlib
import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from .attempts import MARKER

_WEBSOCKET = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""Source: RFC 6455, section 1.3."""
_LARGEST_HEAD = 1 << 18


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """One request as it came. `fields` are lines as they stand, split at the first colon."""

    raw: bytes
    method: bytes
    target: bytes
    fields: tuple[tuple[bytes, bytes], ...]

    def values(self, name: bytes) -> list[bytes]:
        return [value.strip() for found, value in self.fields if found.lower() == name]


@dataclass
class Recorder:
    port: int
    _arrivals: deque[Arrival] = field(default_factory=deque)

    def taken(self) -> list[Arrival]:
        """What has arrived since the last time."""
        found = []
        while self._arrivals:
            found.append(self._arrivals.popleft())
        return found

    def serve(self, link: socket.socket) -> None:
        """One connection, kept alive."""
        link.settimeout(60)
        received = bytearray()
        with link, suppress(OSError):
            while arrival := _read(link, received):
                self._arrivals.append(arrival)
                if not self._answer(link, arrival):
                    return

    def _answer(self, link: socket.socket, arrival: Arrival) -> bool:
        key = arrival.values(b"sec-websocket-key")
        if arrival.values(b"upgrade") == [b"websocket"] and arrival.values(b"connection") and key:
            accept = base64.b64encode(hashlib.sha1(key[0] + _WEBSOCKET).digest())
            link.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: %s\r\n\r\n" % accept
            )
            while chunk := link.recv(65_536):
                link.sendall(chunk)
            return False
        body = b" ".join([b"seen", *(match[0] for match in MARKER.finditer(arrival.raw))])
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(body)
        link.sendall(head if arrival.method == b"HEAD" else head + body)
        return b"close" not in b",".join(arrival.values(b"connection")).lower()


def _read(link: socket.socket, received: bytearray) -> Arrival | None:
    """The next request, framed as RFC 9112 says; None at the end."""
    while (end := received.find(b"\r\n\r\n")) < 0:
        if not _more(link, received) or len(received) > _LARGEST_HEAD:
            return None
    head = bytes(received[:end])
    line, *lines = head.split(b"\r\n")
    fields = tuple((name, value) for name, _, value in (one.partition(b":") for one in lines))
    at = end + 4
    parts = line.split(b" ")
    named = Arrival(raw=head, method=parts[0], target=b" ".join(parts[1:-1]) or parts[-1], fields=fields)
    if any(b"chunked" in value.lower() for value in named.values(b"transfer-encoding")):
        while True:
            while (stop := received.find(b"\r\n", at)) < 0:
                if not _more(link, received):
                    return None
            size = int(received[at:stop].split(b";")[0].strip() or b"0", 16)
            at = stop + 2
            if size == 0:
                break
            while len(received) < at + size + 2:
                if not _more(link, received):
                    return None
            at += size + 2
        while True:
            while (stop := received.find(b"\r\n", at)) < 0:
                if not _more(link, received):
                    return None
            at, was_last = stop + 2, stop == at
            if was_last:
                break
    elif lengths := named.values(b"content-length"):
        at += int(lengths[0])
        while len(received) < at:
            if not _more(link, received):
                return None
    raw = bytes(received[:at])
    del received[:at]
    return Arrival(raw=raw, method=named.method, target=named.target, fields=fields)


def _more(link: socket.socket, received: bytearray) -> bool:
    chunk = link.recv(65_536)
    received += chunk
    return bool(chunk)


@contextmanager
def recording(port: int = 0) -> Iterator[Recorder]:
    """A recorder on that port, or on one of its own, until the end of the block."""
    with socket.create_server(("127.0.0.1", port), backlog=512) as listener:
        recorder = Recorder(port=listener.getsockname()[1])
        links: list[socket.socket] = []

        def accept() -> None:
            with suppress(OSError):
                while True:
                    link, _ = listener.accept()
                    links.append(link)
                    threading.Thread(target=_serve, args=(recorder, link), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield recorder
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            for link in links:
                with suppress(OSError):
                    link.shutdown(socket.SHUT_RDWR)
            thread.join(timeout=10)


def _serve(recorder: Recorder, link: socket.socket) -> None:
    with suppress(ValueError):
        recorder.serve(link)
