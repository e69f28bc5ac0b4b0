"""Who may read `/metrics`: whoever can open its own address, and while trying things out this machine.

    $[metrics_address]       a listener of its own, at which nothing else is answered: no proxy leads there
    the server's own port    answers only where every public URL is on loopback, to a peer on loopback that
                             asks for a loopback host and bears no sign of a proxy; others find no such page

A proxy on the same machine is a peer on loopback, too, and what strangers send through it may look like a
request of this machine's own. So where people come through a proxy the server's own port never answers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from anyio import to_thread
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from entrada.gateway.asgi import peer_of, target_of
from entrada.gateway.metrics import Metrics
from entrada.settings import LOOPBACK_HOSTS

METRICS_PATH = "/metrics"

_HOST = re.compile(r"(\[[0-9a-f:]+\]|[^:\[\]]+)(?::\d+)?", re.IGNORECASE)
_SIGNS_OF_A_PROXY = frozenset({b"forwarded", b"via", b"true-client-ip", b"cf-connecting-ip"})
_OF_PROMETHEUS = b"x-prometheus-"


class MetricsAddress:
    """The application behind the address of its own."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        response = Response("Here is /metrics, and nothing else.\n", 404, media_type="text/plain")
        if scope["method"] in ("GET", "HEAD") and scope["path"] == METRICS_PATH:
            accept = b", ".join(value for name, value in scope["headers"] if name == b"accept")
            body, media_type = await to_thread.run_sync(self._metrics.exposition, accept.decode("latin-1"))
            response = Response(body, headers={"content-type": media_type, "cache-control": "no-store"})
        await response(scope, receive, send)


class MetricsOnLoopback:
    """An application around another, for the server's own port."""

    def __init__(self, app: ASGIApp, metrics: Metrics, *, public_urls: Sequence[str]) -> None:
        self._app = app
        self._answers = MetricsAddress(metrics)
        self._is_local = all(urlsplit(url).hostname in LOOPBACK_HOSTS for url in public_urls)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_asked = scope["type"] == "http" and target_of(scope) == METRICS_PATH.encode()
        if is_asked and self._is_local and _is_of_this_machine(scope):
            await self._answers(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _is_of_this_machine(scope: Scope) -> bool:
    if peer_of(scope) not in LOOPBACK_HOSTS:
        return False
    hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    match = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
    if match is None or match[1].strip("[]").lower() not in LOOPBACK_HOSTS:
        return False
    return not any(
        name in _SIGNS_OF_A_PROXY or (name.startswith(b"x-") and not name.startswith(_OF_PROMETHEUS))
        for name, _ in scope["headers"]
    )
