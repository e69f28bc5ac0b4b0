"""An application to protect: it tells what reached it, echoes upgraded connections, streams events."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

_WEBSOCKET = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""Source: RFC 6455, section 1.3."""


@dataclass
class Upstream:
    port: int
    requests: list[dict[str, Any]] = field(default_factory=list)


async def _serve(upstream: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await _read_head(reader):
            line, *rest = head.decode("latin-1").split("\r\n")
            method, target, _ = line.split(" ", 2)
            fields = [tuple(part.split(": ", 1)) for part in rest if ": " in part]
            by_name = {name.lower(): value for name, value in fields}
            if by_name.get("transfer-encoding") == "chunked":
                body = await _read_chunks(reader)
            else:
                body = await reader.readexactly(int(by_name.get("content-length", "0")))
            told = {"method": method, "target": target, "fields": fields, "body": body.decode("latin-1")}
            upstream.requests.append(told)
            if by_name.get("upgrade"):
                accept = b""
                if key := by_name.get("sec-websocket-key"):
                    digest = hashlib.sha1(key.encode() + _WEBSOCKET).digest()
                    accept = b"Sec-WebSocket-Accept: %s\r\n" % base64.b64encode(digest)
                writer.write(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: %s\r\nConnection: Upgrade\r\n%s\r\n"
                    % (by_name["upgrade"].encode("latin-1"), accept)
                )
                while chunk := await reader.read(65_536):
                    writer.write(chunk)
                return
            if target in ("/events", "/endless"):
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
                )
                for number in range(10_000 if target == "/endless" else 3):
                    writer.write(f"data: {number}\n\n".encode())
                    await writer.drain()
                    await reader.read(0)
                    await asyncio.sleep(0.05)
                return
            answer = json.dumps(told).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer))
            writer.write(b"" if method == "HEAD" else answer)
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    while await reader.readuntil(b"\r\n") != b"\r\n":
        body += b"(a trailer)"
    return body


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    try:
        return (await reader.readuntil(b"\r\n\r\n"))[:-4]
    except asyncio.IncompleteReadError:
        return b""


async def _end(server: asyncio.Server) -> None:
    server.close()
    under_way = asyncio.all_tasks() - {asyncio.current_task()}
    for task in under_way:
        task.cancel()
    await asyncio.gather(*under_way, return_exceptions=True)


@contextmanager
def running_upstream() -> Iterator[Upstream]:
    """One for as long as the block runs, on a port of its own."""
    loop = asyncio.new_event_loop()
    upstream = Upstream(port=0)
    server = loop.run_until_complete(
        asyncio.start_server(lambda r, w: _serve(upstream, r, w), "127.0.0.1", 0, limit=1 << 20)
    )
    upstream.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, name="upstream")
    thread.start()
    try:
        yield upstream
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)
        loop.run_until_complete(_end(server))
        loop.close()
