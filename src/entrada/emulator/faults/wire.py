"""What a fault of the wire does to one answer.

Source for the list: the fault scenarios that clients of Entra meet, from slow answers to hostile bodies.
"""

from __future__ import annotations

import asyncio
import zlib
from functools import lru_cache
from typing import Any

from ..protocol.http import Response
from ..state.switched_faults import Fault

OVERSIZED_BYTES = 5_000_000
BOMB_BYTES = 256_000_000


class DropConnection(Exception):
    """Close the connection without an answer."""


async def before(fault: Fault, endpoint: str) -> Response | None:
    """What the fault does instead of the endpoint; None lets the endpoint answer.

    Raises:
        DropConnection: the connection is to be cut.
    """
    given = fault.parameters
    match fault.name:
        case "delay":
            await asyncio.sleep(float(given.get("seconds", 1.0)))
            return None
        case "hang":
            # Until the client gives up or the emulator stops.
            await asyncio.Event().wait()
        case "drop":
            raise DropConnection
        case "half_json":
            return None
    return _replacement(fault.name, given, graph=endpoint.startswith("graph"))


def after(fault: Fault, response: Response) -> Response:
    """What the fault does to the endpoint's own answer."""
    if fault.name == "half_json":
        response.body = response.body[: len(response.body) // 2]
    return response


def _replacement(name: str, given: dict[str, Any], *, graph: bool) -> Response:
    json_type = "application/json; charset=utf-8"
    match name:
        case "server_error":
            page = b"<html><title>Unavailable</title><body>The service is not available.</body></html>"
            return Response(status=int(given.get("status", 500)), body=page, content_type="text/html")
        case "too_many_requests":
            body = b'{"error":"temporarily_unavailable","error_description":"Too many requests."}'
            if graph:
                body = b'{"error":{"code":"TooManyRequests","message":"Too many requests."}}'
            return Response(
                status=429,
                body=body,
                content_type=json_type,
                headers=[("retry-after", str(given.get("retry_after", 2)))],
            )
        case "html":
            page = b"<html><body><h1>Proxy sign-in</h1></body></html>"
            return Response(body=page, content_type="text/html")
        case "null":
            return Response(body=b"null", content_type=json_type)
        case "array":
            return Response(body=b"[]", content_type=json_type)
        case "empty":
            return Response(content_type=json_type)
        case "oversized":
            return Response(body=b'{"padding":"' + b"x" * OVERSIZED_BYTES + b'"}', content_type=json_type)
        case "gzip_bomb":
            return Response(body=_bomb(), content_type=json_type, headers=[("content-encoding", "gzip")])
        case "redirect":
            return Response(status=307, headers=[("location", str(given.get("to", "/_emulator/redirected")))])
        case "body":
            return Response(
                status=int(given.get("status", 200)),
                body=str(given.get("text", "")).encode("utf-8", "surrogatepass"),
                content_type=str(given.get("content_type", json_type)),
            )
    raise AssertionError(name)


@lru_cache(maxsize=1)
def _bomb() -> bytes:
    """Gzip put together by hand: a full flush makes one packed block repeatable.  Source: RFC 1951, 1952."""
    block = b" " * 1_000_000
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    last = zlib.compressobj(9, zlib.DEFLATED, -15)
    end = last.compress(b"{}") + last.flush()
    checksum = 0
    for _ in range(BOMB_BYTES // len(block)):
        checksum = zlib.crc32(block, checksum)
    checksum = zlib.crc32(b"{}", checksum)
    head = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    tail = checksum.to_bytes(4, "little") + (BOMB_BYTES + 2).to_bytes(4, "little")
    return head + packed * (BOMB_BYTES // len(block)) + end + tail
