"""Our middleware around dstack: what it refuses before anybody looks at it."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from entrada.integrations.dstack.middleware import DstackMiddleware


class NoRoutes:
    def handlers(self) -> dict[Any, Any]:
        return {}


async def _dstack(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        ([(b"a", b"b")] * 200_000, b"", 431),
        ([(b"a", b"b" * 70_000)], b"", 431),
        ([], b"q" * 62_000, 414),
        ([(b"a", b"b")] * 1000, b"", 204),
    ],
    ids=["K4-repeated", "K4-long", "K4-target", "K4-just-many"],
)
def test_K4_a_head_over_the_limit_never_reaches_dstack(
    headers: list[tuple[bytes, bytes]], query: bytes, status: int
) -> None:
    """On dstack's own paths, too."""
    middleware = DstackMiddleware(inner=_dstack, routes=cast(Any, NoRoutes()), scripts={})
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    path = "/api/server/get_info"
    scope = {"type": "http", "method": "GET", "path": path, "query_string": query, "headers": headers}
    asyncio.run(middleware(scope, receive, send))
    assert sent[0]["status"] == status
