"""Faults 30 and 31: a storm of sign-outs at Entra, and Graph gone where it is needed."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from conformance.samples import session
from entrada.accounts.identity import EntraIdentity
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CLIENT_ID, CONTOSO_ID
from entrada.entra.authority import ObjectId, TenantId
from walks.conftest import NewVisitor, Serve

SIDS = 1_000


def test_fault_30_a_thousand_sids_end_by_the_front_channel_and_nobody_waits(
    serve: Serve, new_visitor: NewVisitor, http: httpx.Client, pat: Any
) -> None:
    """Every session that Entra names ends, twice named or not; who is not named stays, and is answered."""
    site = serve()
    visitor = new_visitor(site)
    visitor.sign_in_as(pat)
    account = site.account_of(pat)
    assert account is not None
    party, now = site.auth.relying_party, site.clock.now()
    identity = EntraIdentity(tenant_id=TenantId(CONTOSO_ID), object_id=ObjectId(pat.object_id))
    for number in range(SIDS):
        party.sessions.open(
            session(
                account.id,
                identity=identity,
                created_at=now,
                last_seen_at=now,
                idle_expires_at=now.replace(year=2100),
                absolute_expires_at=now.replace(year=2100),
                entra_session_id=f"sid-{number}",
            )
        )

    def sign_out(number: int) -> int:
        url = f"{site.address}/auth/entra/logout?sid=sid-{number % SIDS}"
        return http.get(url, headers={"host": site.public_url.removeprefix("http://")}).status_code

    longest = 0.0
    with ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(sign_out, number) for number in range(SIDS + 50)]
        while not all(call.done() for call in calls):
            begun_at = time.monotonic()
            assert visitor.whoami() is not None
            longest = max(longest, time.monotonic() - begun_at)
        assert {call.result() for call in calls} == {200}
    assert longest < 5
    assert party.sessions.count(now=now) == 1
    assert visitor.whoami() is not None


def test_fault_31_with_graph_gone_only_who_needs_it_waits(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator
) -> None:
    """Whose groups do not fit a token cannot come in meanwhile; whoever is in stays, watched or not."""
    emulator.change_app(CLIENT_ID, application_permissions=["User.Read.All", "GroupMember.Read.All"])
    groups = '{"90000000-0000-4000-8000-000000000217": "Editor", "Viewer": "Viewer"}'
    site = serve(ENTRADA_ROLES_MAPPING=groups, ENTRADA_RECHECK_EVERY="1h", ENTRADA_DELTA_EVERY="1h")
    watch, recheck = site.auth.relying_party.watch, site.auth.relying_party.recheck
    assert watch is not None
    assert recheck is not None
    olga, again, vi = new_visitor(site), new_visitor(site), new_visitor(site)
    olga.sign_in_as("olga@contoso.test")
    assert (olga.whoami() or {})["roles"] == ["Editor", "Viewer"]
    emulator.fail("drop", endpoint="graph", times=None)
    response = again.sign_in_as("olga@contoso.test")
    assert response.status_code == 503
    assert again.whoami() is None
    vi.sign_in_as("vi@contoso.test")
    assert (vi.whoami() or {})["roles"] == ["Viewer"]
    watch.watch.store.hasten(TenantId(CONTOSO_ID), None, now=site.clock.now())
    watch.look()
    assert recheck.look() == 2
    assert (olga.whoami() or {})["roles"] == ["Editor", "Viewer"]
    assert vi.whoami() is not None
    emulator.clear_faults()
    again.sign_in_as("olga@contoso.test")
    assert (again.whoami() or {})["roles"] == ["Editor", "Viewer"]
