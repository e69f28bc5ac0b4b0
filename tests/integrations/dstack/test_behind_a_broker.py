"""dstack with a tenant, its own address and a broker: no registration of its own, no secret."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from broker.conftest import BehindBroker, broker_before
from clients.dstack import Dstack, running_dstack
from clients.plain_browser import PlainBrowser
from entrada.broker.installations import installation_at
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CONTOSO_ID
from entrada.entra.authority import TenantId
from integrations.dstack.command_line import command_line

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def broker(
    started_emulator: RunningEmulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BehindBroker]:
    started_emulator.reset()
    with broker_before(started_emulator, tmp_path_factory.mktemp("broker")) as world:
        yield world


@pytest.fixture(scope="module")
def behind(broker: BehindBroker) -> Iterator[Dstack]:
    """A dstack that knows DSTACK_ENTRA_TENANT_ID, ENTRADA_BROKER_URL and DSTACK_SERVER_URL."""
    settings = {
        "DSTACK_ENTRA_TENANT_ID": CONTOSO_ID,
        "ENTRADA_BROKER_URL": broker.url,
        "ENTRADA_ROLES_MAPPING": '{"Admin": "admin"}',
    }
    with running_dstack(None, **settings) as dstack:
        store = broker.broker.broker.provider.store
        store.save_installation(installation_at(dstack.address, tenant_id=TenantId(CONTOSO_ID)))
        yield dstack


@pytest.fixture
def browser(started_emulator: RunningEmulator) -> Iterator[PlainBrowser]:
    with PlainBrowser(Path(started_emulator.ca_file)) as browser:
        yield browser


def signed_in(behind: Dstack, browser: PlainBrowser, who: str) -> httpx.Response:
    """The button's address, the account, and what the callback page's script then asks for."""
    page = browser.sign_in(f"{behind.address}/auth/entra/start", who)
    if "Permissions requested" in page.text:
        page = browser.press("Accept")
    assert page.url.startswith(f"{behind.address}/auth/entra/callback"), page.text
    body = {name: page.parameters[name] for name in ("code", "state")}
    return browser._http.post(
        f"{behind.address}/api/auth/entra/callback", json=body, headers={"origin": behind.address}
    )


@pytest.mark.parametrize(("who", "role"), [("ada", "admin"), ("ed", "user")])
def test_a_person_signs_in(behind: Dstack, browser: PlainBrowser, who: str, role: str) -> None:
    """dstack's button, the broker, the account at Entra, and dstack's own token; admin by the mapping."""
    answer = signed_in(behind, browser, f"{who}@contoso.test")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["username"], told["email"], told["global_role"]) == (who, f"{who}@contoso.test", role)
    me = behind.api.post(
        "/api/users/get_my_user", headers={"authorization": f"Bearer {told['creds']['token']}"}
    )
    assert me.json()["username"] == who


def test_dstack_login(behind: Dstack, browser: PlainBrowser, home: Path) -> None:
    """The command line, too: the broker asks Entra which account it shall be, and the code comes home."""
    with command_line(behind, home, "-n") as login:
        page = browser.sign_in(login.address, "ed@contoso.test")
        if "Permissions requested" in page.text:
            page = browser.press("Accept")
        status, words = login.end()
    assert "CLI authenticated" in page.text
    assert status == 0, words
    assert "Logged in as ed" in words


def test_the_back_channel_is_answered(behind: Dstack) -> None:
    """A made-up word gets 400, from us and not from dstack."""
    answer = httpx.post(
        f"{behind.address}/auth/broker/backchannel-logout", data={"logout_token": "a.b.c"}, trust_env=False
    )
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_request"
