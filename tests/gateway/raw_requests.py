"""Requests whose bytes no client library would write, and what arrived of them."""

from __future__ import annotations

import http.client
import socket
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
