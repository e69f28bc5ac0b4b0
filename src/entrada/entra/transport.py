"""The one way out: HTTP to Entra and Graph.

Owns the seam `HttpTransport`; `entrada.entra.pooled_transport` is what runs.
A transport follows no redirect (a secret must not be re-sent elsewhere), bounds time and size,
verifies TLS, and turns every network failure into `EntraUnavailable` with a named cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class HttpResponse:
    """A whole HTTP response. Header names are lower case; `body` is decompressed and bounded."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


RETRY_AFTER_LIMIT_SECONDS = 3600


def read_retry_after(response: HttpResponse) -> int | None:
    """The seconds to wait that a response names, at most an hour; None for a date or anything else.

    A date would need a clock, and "try again later" is right without it.
    """
    text = response.headers.get("retry-after", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        return None
    return min(int(text), RETRY_AFTER_LIMIT_SECONDS)


class HttpTransport(Protocol):
    """Sends one request and gives the whole response, whatever its status.

    Raises:
        EntraUnavailable: no usable response (DNS, TLS, timeout, too large, connection lost).
    """

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> HttpResponse: ...

    def close(self) -> None: ...
