"""Half an hour without Entra, behind a broker."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from broker.conftest import broker_before
from clients.plain_browser import PlainBrowser
from entrada.broker.recheck import GrantRecheck
from entrada.emulator import RunningEmulator
from entrada.flows.recheck_pace import Pace
from walks.site import ShiftedClock


def test_half_an_hour_without_entra(
    running_entra: RunningEmulator, tmp_path: Path, new_browser: Callable[[], PlainBrowser]
) -> None:
    """Whoever is signed in stays so; a newcomer reads whose turn it is; then it goes on by itself."""
    running_entra.reset()
    clock = ShiftedClock()
    with broker_before(running_entra, tmp_path, clock=clock) as world:
        app, ada, vi = world.installation(), new_browser(), new_browser()
        world.sign_in(ada, app, "ada@contoso.test")
        world.sign_in(vi, app, "vi@contoso.test")
        vi.open(f"{app.url}/auth/logout")
        vi.press("Sign out")
        installation, provider = app.auth.relying_party, world.broker.broker.provider
        own = GrantRecheck(
            provider, seen_within=timedelta(days=1), pace=Pace(per_second=1e6, monotonic=clock.monotonic)
        )
        for endpoint in ("token", "keys", "discovery", "graph"):
            running_entra.fail("server_error", endpoint=endpoint, status=503, times=None)
        looks = 0
        for minute in range(1, 31):
            clock.pass_by(minutes=1)
            running_entra.clock(60 * minute)
            looks += installation.recheck.look() + own.look()
            assert ada.open(f"{app.url}/auth/me").status == 200, minute
        assert looks >= 3
        page = vi.open(f"{app.url}/auth/entra/start?next=/private")
        page = vi.press("Next", name="vi@contoso.test") if "Pick an account" in page.text else page
        assert page.status == 503
        assert page.url.startswith(world.url)
        assert "Microsoft cannot be reached" in page.text
        assert "Nothing to fix: waiting helps" in page.text
        running_entra.clear_faults()
        page = vi.open(page.links["Try again"])
        page = vi.press("Next", name="vi@contoso.test") if "Pick an account" in page.text else page
        assert page.url == f"{app.url}/private", page.text
        clock.pass_by(minutes=16)
        running_entra.clock(60 * 46)
        assert (own.look(), installation.recheck.look()) == (2, 2)
        assert ada.open(f"{app.url}/auth/me").status == 200
