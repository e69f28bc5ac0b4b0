"""Tokens in which a page of Bokeh and Panel carries who opened it, and that its socket sends back.

The application believes what such a token holds: it is signed, and good for minutes. So one that says
anything else about the caller than we say now opens no socket: it is somebody else's, of before they signed
out, or of before their roles changed. Who has it loads the page again.

Only what we say is compared. Whether the token is genuine, Bokeh finds out.

Source: Bokeh 3.9, bokeh/util/token.py and bokeh/server/views/ws.py.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from entrada.errors import RequestRefused
from entrada.gateway.caller import Caller
from entrada.gateway.fields import Field
from entrada.gateway.identity import identity_fields
from entrada.strict_json import JsonRefused, read_json_object

LARGEST_TOKEN_BYTES = 256 * 1024
_PROTOCOL, _PACKED = b"sec-websocket-protocol", "__bk__zlib_"


def check_page_token(fields: Iterable[Field], styles: Iterable[str], caller: Caller | None) -> None:
    """
    Raises:
        RequestRefused: the token of this socket is missing, unreadable, or was made for somebody else.
    """
    said = _headers_in(b",".join(value for name, value in fields if name.lower() == _PROTOCOL))
    for name, value in identity_fields(styles, caller):
        if said is None or said.get(name.lower()) != value:
            raise RequestRefused(
                "This page was opened by somebody else, or with other roles.", hint="Load it again."
            )


def _headers_in(protocols: bytes) -> Mapping[str, Any] | None:
    """The fields of the request for the page, by lower-case name; None: there is no such token."""
    _, _, token = protocols.partition(b",")
    if b"," in token:
        return None
    try:
        payload = read_json_object(_decoded(token.strip(b" \t").partition(b".")[0]))
        packed = payload.get(_PACKED)
        unpacking = zlib.decompressobj()
        unpacked = unpacking.decompress(_decoded(str(packed).encode()), LARGEST_TOKEN_BYTES)
        headers = read_json_object(unpacked).get("headers")
    except (ValueError, zlib.error, JsonRefused):
        return None
    if not isinstance(headers, dict):
        return None
    found = {name.lower(): value for name, value in headers.items()}
    return found if len(found) == len(headers) else None


def _decoded(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
