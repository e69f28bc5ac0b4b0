"""The gateway beside what one would use instead, a table for each question."""

from __future__ import annotations

from collections.abc import Callable

from bench.figures import Report
from bench.gateway.bearer import bearer
from bench.gateway.bearer_over_http import bearer_over_http
from bench.gateway.behind_nginx import behind_nginx
from bench.gateway.checks import checks
from bench.gateway.disturbed import disturbed
from bench.gateway.proxying import proxying
from bench.gateway.sessions import sessions
from bench.gateway.upstream_clients import upstream_clients

GATEWAY: dict[str, Callable[..., Report]] = {
    "gateway-checks": checks,
    "gateway-disturbed": disturbed,
    "gateway-nginx": behind_nginx,
    "gateway-proxy": proxying,
    "gateway-sessions": sessions,
    "gateway-bearer": bearer,
    "gateway-bearer-http": bearer_over_http,
    "gateway-clients": upstream_clients,
}
