"""A broker's key changes while installations run: none of them is restarted."""

from __future__ import annotations

from pathlib import Path

from broker.processes import brokers
from clients.plain_browser import PlainBrowser
from entrada.emulator import RunningEmulator


def test_a_new_key_is_found_at_its_first_signature(running_entra: RunningEmulator, tmp_path: Path) -> None:
    """An installation meets an id it does not know and asks again at once; sessions go on meanwhile."""
    running_entra.reset()
    with brokers(running_entra, tmp_path) as world:
        world.start()
        app = world.installation()
        with PlainBrowser(running_entra.ca_file) as ada, PlainBrowser(running_entra.ca_file) as vi:
            world.sign_in(ada, app, "ada@contoso.test")
            assert "signs from now on" in world.command("rotate-keys", "--stolen")
            assert ada.open(f"{app.url}/auth/me").status == 200
            assert world.sign_in(vi, app, "vi@contoso.test", "/private").url == f"{app.url}/private"


def test_a_roll_is_seen_by_nobody(running_entra: RunningEmulator, tmp_path: Path) -> None:
    """The old key signs on while the new one is published already; a restart in between changes nothing."""
    running_entra.reset()
    with brokers(running_entra, tmp_path) as world:
        broker = world.start()
        app = world.installation()
        with PlainBrowser(running_entra.ca_file) as ada, PlainBrowser(running_entra.ca_file) as vi:
            world.sign_in(ada, app, "ada@contoso.test")
            assert "signs in 5 minutes" in world.command("rotate-keys")
            broker.kill()
            world.start()
            assert ada.open(f"{app.url}/auth/me").status == 200
            assert world.sign_in(vi, app, "vi@contoso.test", "/private").url == f"{app.url}/private"
