"""A socket that an access token opened closes when the token expires, and is forgotten when it closes."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from entrada.accounts.identity import EntraIdentity
from entrada.accounts.principal import AppPrincipal
from entrada.adapters.socket_watch import SocketWatch
from entrada.entra.authority import ObjectId, TenantId
from entrada.entra.callers import CallerKind
from entrada.web.guards import Visitor
from entrada.web.messages import WebRequest
from flows.world import new_browser

TENANT, OBJECT = "11111111-2222-3333-4444-555555555555", "66666666-7777-8888-9999-aaaaaaaaaaaa"
NIGHTLY = AppPrincipal(
    client_id=OBJECT,
    identity=EntraIdentity(tenant_id=TenantId(TENANT), object_id=ObjectId(OBJECT)),
    name="Nightly",
    roles=frozenset({"Importer"}),
    caller=CallerKind.APPLICATION,
)


@pytest.mark.parametrize(("left", "is_over"), [(0.05, True), (3_600.0, False), (-5.0, True)])
def test_a_token_that_expires_closes_its_socket(left: float, is_over: bool) -> None:
    """Told of it in another thread, as guards that wait for Entra are."""
    auth = new_browser().auth
    visitor = Visitor(
        auth=auth, request=WebRequest(method="GET", path="/live", query="", headers={}), session=None
    )
    expires_at = auth.relying_party.clock.now() + timedelta(seconds=left)
    checked: Any = SimpleNamespace(principal=NIGHTLY, token=SimpleNamespace(expires_at=expires_at))

    async def socket() -> tuple[bool, bool]:
        over = asyncio.Event()
        watch = SocketWatch(visitor, over.set)
        assert visitor.on_token is not None
        await asyncio.to_thread(visitor.on_token, checked)
        await asyncio.sleep(0)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(over.wait(), 0.5)
        ended = over.is_set()
        watch.over()
        late = replace(visitor, token=None)
        assert late.on_token is not None
        late.on_token(checked)  # after it has closed nothing is watched any more
        return ended, over.is_set()

    assert asyncio.run(socket()) == (is_over, is_over)
