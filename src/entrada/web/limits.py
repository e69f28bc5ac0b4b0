"""How large a request may be: the numbers that servers, middleware and products share.

Source: RFC 9110, section 15.5.15 (414); RFC 6585, section 5 (431).
"""

from __future__ import annotations

from collections.abc import Collection, Sized
from itertools import chain

from entrada.web.messages import SAFE_HEADERS, WebResponse

LARGEST_HEAD_BYTES = 64 * 1024
"""Request line and headers together."""

LARGEST_TARGET_BYTES = 60 * 1024
"""Path and query alone."""

REFUSALS = {
    414: "The address of this request is too long.",
    431: "The headers of this request are too large.",
}


def head_refusal(*, target_bytes: int, headers: Collection[tuple[Sized, Sized]]) -> WebResponse | None:
    """414 or 431 for a request whose head is too large, else None. Looks at lengths alone."""
    if target_bytes > LARGEST_TARGET_BYTES:
        return _refusal(414)
    # Each header line has a colon, a space and a line end besides.
    size = target_bytes + sum(map(len, chain.from_iterable(headers))) + 4 * len(headers)
    return _refusal(431) if size > LARGEST_HEAD_BYTES else None


def _refusal(status: int) -> WebResponse:
    return WebResponse(
        status=status,
        headers=[("content-type", "text/plain; charset=utf-8"), *SAFE_HEADERS],
        body=REFUSALS[status].encode(),
    )
