"""`entrada broker installations ...` beside a broker that runs: what they say, and that it counts at once."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import pytest

from broker.processes import BrokerProcesses, brokers
from broker.world import open_grant
from clients.plain_browser import PlainBrowser
from entrada.broker.installations import installation_at
from entrada.broker.provider import Addresses, Provider
from entrada.cli import main
from entrada.cli.serve import listen
from entrada.clock import SystemClock
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CONTOSO_ID
from entrada.entra.authority import TenantId
from entrada.sealing import Sealer
from walks.nursery import until

SETTINGS = {
    "ENTRADA_PUBLIC_URL": "https://login.example.test",
    "ENTRADA_TENANT_ID": "organizations",
    "ENTRADA_ALLOWED_TENANTS": CONTOSO_ID,
    "ENTRADA_CLIENT_ID": "b0000000-0000-4000-8000-000000000001",
    "ENTRADA_CLIENT_SECRET": "aB8~Q.abcdefghijklmnopqrstuvwxyz0123456",
    "ENTRADA_LOG_LEVEL": "info",
}


def test_the_life_of_an_installation_by_command(running_entra: RunningEmulator, tmp_path: Path) -> None:
    """Added, it signs people in; given a secret, only with it; removed, its people are out within seconds."""
    running_entra.reset()
    with brokers(running_entra, tmp_path) as world, PlainBrowser(running_entra.ca_file) as browser:
        world.start()
        listener = listen("127.0.0.1", 0)
        url = f"http://localhost:{listener.getsockname()[1]}"
        said = world.command("installations", "add", url, "--tenant", CONTOSO_ID)
        for line in (f"ENTRADA_BROKER_URL={world.url}", f"ENTRADA_TENANT_ID={CONTOSO_ID}", "/adminconsent?"):
            assert line in said
        app = world.installation(listener=listener, added=False)
        assert world.sign_in(browser, app, "ada@contoso.test", "/private").url == f"{app.url}/private"

        said = world.command("installations", "rotate", url)
        secret = re.search(r"ENTRADA_CLIENT_SECRET=(\S+)", said)
        assert secret is not None
        assert without_secret(world, url) == "invalid_client"
        (shown,) = json.loads(world.command("installations", "list", "--json"))
        assert (shown["client_id"], shown["proof"], shown["standing"]) == (url, "secret", "approved")
        assert secret[1] not in world.command("installations", "list", "--json")

        assert "is told so" in world.command("installations", "remove", url)
        until(lambda: browser.open(f"{app.url}/auth/me").status == 401, seconds=20)
        assert "No installation is listed" in world.command("installations", "list")


def without_secret(world: BrokerProcesses, client_id: str) -> str:
    form = {"grant_type": "refresh_token", "client_id": client_id, "refresh_token": "x"}
    return str(httpx.post(f"{world.url}/auth/broker/token", data=form, trust_env=False).json()["error"])


def test_sign_outs_that_were_not_taken_are_listed(running_entra: RunningEmulator, tmp_path: Path) -> None:
    """How many, and since when, for people and for scripts."""
    running_entra.reset()
    with brokers(running_entra, tmp_path) as world:
        world.start()
        url = "http://localhost:9"
        store = world.store
        store.save_installation(installation_at(url, tenant_id=TenantId(CONTOSO_ID)))
        provider = Provider(
            addresses=Addresses(issuer=world.url),
            store=store,
            clock=SystemClock(),
            refresh_person=lambda grant: grant,
            hint_sealer=Sealer([b"k" * 32], purpose="hint"),
        )
        for _ in range(2):
            grant, _ = open_grant(provider, client_id=url)
            store.end_grants(now=provider.now(), grant_id=grant.id)
        until(lambda: len(store.undelivered(limit=9)) == 2, seconds=20)
        assert "2 sign-outs not taken, since 20" in world.command("installations", "list")
        (shown,) = json.loads(world.command("installations", "list", "--json"))
        assert shown["sign_outs_not_taken"] == 2
        assert shown["not_taken_since"].endswith("+00:00")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("add", "http://app.example.test", "--tenant", CONTOSO_ID), "is no public URL"),
        (("add", "https://app.example.test", "--tenant", "contoso.test"), "is no tenant"),
        (
            ("add", "https://app.example.test", "--tenant", "99999999-9999-4999-8999-999999999999"),
            "is not one of those that may sign in here",
        ),
        (("remove", "https://nobody.example.test"), "There is no"),
        (("rotate", "https://nobody.example.test"), "There is no"),
        (("approve", "https://nobody.example.test"), "There is no"),
    ],
)
def test_a_wrong_command_is_a_sentence(
    words: tuple[str, ...],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Status 1, the sentence and a hint on standard error, no traceback."""
    monkeypatch.chdir(tmp_path)
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    assert main(["broker", "installations", *words]) == 1
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 2
