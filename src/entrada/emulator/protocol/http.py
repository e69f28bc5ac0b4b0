"""HTTP as the emulator sees it: a parsed request, an answer, and nothing of any framework.

Owns reading parameters, cookies and bodies, and writing JSON, HTML and redirects.
Refuses nothing by itself: a malformed value reads as absent, and the endpoint says what is missing.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

_ENCODE = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_PRINTABLE = re.compile(r"[!-~]*")
MAX_BODY_BYTES = 1_000_000
_MAX_PARAMETERS = 200


def _decoded(text: str) -> str:
    """Form decoding; bytes that are no UTF-8 are replaced.  `unquote_plus` says the same more slowly."""
    if "+" in text:
        text = text.replace("+", " ")
    return unquote_to_bytes(text).decode("utf-8", "replace") if "%" in text else text


class Parameters:
    """Decoded `application/x-www-form-urlencoded` pairs, first value wins; repeats are remembered by name.

    `length` is that of the encoded text.
    """

    __slots__ = ("_values", "length", "repeated")

    def __init__(self, encoded: str) -> None:
        values: dict[str, str] = {}
        repeated: list[str] = []
        # By hand, because the token endpoint's time is to go into signing.
        for pair in encoded.split("&", _MAX_PARAMETERS)[:_MAX_PARAMETERS] if encoded else ():
            name, _, value = pair.partition("=")
            if not name:
                continue
            if "%" in pair or "+" in pair:
                name, value = _decoded(name), _decoded(value)
            if name in values:
                repeated.append(name)
            else:
                values[name] = value
        self._values = values
        self.length = len(encoded)
        self.repeated = tuple(repeated)

    def get(self, name: str, default: str = "") -> str:
        """The parameter's value, or `default` when it was not sent."""
        return self._values.get(name, default)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def as_dict(self) -> dict[str, str]:
        """A copy of all parameters."""
        return dict(self._values)


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request, already read to its end.

    `base_url` is the configured address of the listener it came in by; the Host header is never used,
    so a visitor cannot choose what the emulator writes into its documents and tokens.
    """

    method: str
    path: str
    query: Parameters
    headers: dict[str, str]
    body: bytes
    base_url: str

    def form(self) -> Parameters:
        """The body's parameters; none unless the body is a form."""
        if not self.headers.get("content-type", "").lower().startswith("application/x-www-form-urlencoded"):
            return Parameters("")
        return Parameters(self.body.decode("utf-8", "replace"))

    def cookie(self, name: str) -> str:
        """The first cookie of that name, or an empty string."""
        for pair in self.headers.get("cookie", "").split(";"):
            key, _, value = pair.strip().partition("=")
            if key == name:
                return value
        return ""

    def json(self) -> Any:
        """The body as JSON; None when it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


@dataclass(kw_only=True, slots=True)
class Response:
    """An answer: status, body, its media type and further headers."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: list[tuple[str, str]] = field(default_factory=list)

    def with_header(self, name: str, value: str) -> Response:
        """The same answer with one more header."""
        self.headers.append((name, value))
        return self


def json_response(value: object, *, status: int = 200) -> Response:
    """`value` as JSON, not to be stored by any cache."""
    return Response(
        status=status,
        body=_ENCODE(value).encode(),
        content_type="application/json; charset=utf-8",
        headers=[("cache-control", "no-store, no-cache"), ("pragma", "no-cache")],
    )


def redirect(location: str, *, status: int = 302) -> Response:
    """A redirect to `location`, which the caller has checked; not stored, and naming no referrer."""
    return Response(
        status=status,
        headers=[
            ("location", _header_safe(location)),
            ("cache-control", "no-store, no-cache"),
            ("referrer-policy", "no-referrer"),
        ],
    )


def _header_safe(value: str) -> str:
    """`value` with everything outside printable ASCII percent-encoded, so no header can be split."""
    if _PRINTABLE.fullmatch(value):
        return value
    return "".join(
        char if "!" <= char <= "~" else "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "replace"))
        for char in value
    )
