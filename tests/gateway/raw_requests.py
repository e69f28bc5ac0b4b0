"""Requests whose bytes no client library would write, and what arrived of them."""

from __future__ import annotations

import http.client
import re
import socket
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from walks.site import Site
from walks.visitor import Visitor


def fields_of(request: dict[str, Any]) -> dict[str, str]:
    return {name.lower(): value for name, value in request["fields"]}


def cookie_of(visitor: Visitor) -> str:
    return visitor.jar.header("localhost", secure=False, from_another_site=False)


def head_of(site: Site, line: str, *fields: str, cookie: str = "") -> bytes:
    host = urlsplit(site.public_url).netloc
    lines = [line, f"Host: {host}", *fields, *([f"Cookie: {cookie}"] if cookie else []), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def connected(site: Site) -> socket.socket:
    parts = urlsplit(site.address)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20)


def raw_request(site: Site, line: str, *fields: str, cookie: str = "") -> int:
    """The status of a request whose bytes no client library would write."""
    with connected(site) as link:
        link.sendall(
            head_of(site, line, "Accept: application/json", "Sec-Fetch-Mode: cors", *fields, cookie=cookie)
        )
        response = http.client.HTTPResponse(link)
        response.begin()
        return response.status


def sent_raw(
    site: Site, request: bytes, *, patience: float = 10.0, locations: list[str] | None = None
) -> int:
    """The status of the first answer to these bytes; 0 where there was none but the connection's end."""
    received = b""
    with suppress(OSError), connected(site) as link:
        link.settimeout(patience)
        link.sendall(request)
        while b"\r\n\r\n" not in received and (chunk := link.recv(65_536)):
            received += chunk
    if locations is not None:
        found = re.findall(rb"(?im)^location: *([^\r\n]*)", received.partition(b"\r\n\r\n")[0])
        locations += [one.decode("latin-1") for one in found]
    status = re.match(rb"HTTP/1\.[01] (\d{3})", received)
    return int(status[1]) if status else 0
