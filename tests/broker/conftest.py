"""A real broker before the emulator, and real installations behind it: uvicorn on free ports."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from broker.tls import nginx_ends_tls
from clients.plain_browser import Page, PlainBrowser
from entrada.broker.installations import installation_at
from entrada.broker.routes import BrokerRoutes
from entrada.broker.running import in_background
from entrada.broker.start import build_broker
from entrada.build import build_auth_routes
from entrada.cli.serve import listen, server_config
from entrada.clock import Clock
from entrada.emulator import RunningEmulator, start
from entrada.emulator.seed import CLIENT_ID, CONTOSO_ID, FABRIKAM_ID
from entrada.entra.authority import TenantId
from entrada.gateway.app import create_app
from entrada.settings import load_settings
from entrada.web.auth_routes import AuthRoutes
from house import tools
from walks.site import PROTECTED, wait_until


@contextmanager
def on_the_air(app: Any, listener: Any) -> Iterator[None]:
    server = uvicorn.Server(server_config(app))
    thread = threading.Thread(target=server.run, args=([listener],), name="served")
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield
    finally:
        server.should_exit = True
        thread.join(timeout=30)


@dataclass
class Standing:
    """An installation that runs: its address, and its sign-in."""

    url: str
    auth: AuthRoutes


@dataclass
class BehindBroker:
    """The emulator, the broker, and as many installations as a test starts."""

    entra: RunningEmulator
    folder: Path
    stack: ExitStack
    broker: BrokerRoutes
    clock: Clock | None = None
    started: dict[str, Standing] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.broker.broker.provider.issuer

    def installation(self, *, tenant: str = CONTOSO_ID, listed: bool = True, **settings: str) -> Standing:
        """An `entrada serve` that knows nothing but its tenant, the broker's address and its own."""
        listener = listen("127.0.0.1", 0)
        url = f"http://localhost:{listener.getsockname()[1]}"
        if listed:
            provider = self.broker.broker.provider
            provider.store.save_installation(installation_at(url, tenant_id=TenantId(tenant)))
        environment = {
            "ENTRADA_BROKER_URL": self.url,
            "ENTRADA_TENANT_ID": tenant,
            "ENTRADA_PUBLIC_URL": url,
            "ENTRADA_DATABASE_URL": f"sqlite:///{self.folder}/{listener.getsockname()[1]}.db",
            **settings,
        }
        auth = build_auth_routes(*load_settings(environment), clock=self.clock)
        self.stack.callback(auth.relying_party.close)
        self.stack.enter_context(on_the_air(create_app(auth, routes=PROTECTED), listener))
        return Standing(url, auth)

    def sign_in(self, browser: PlainBrowser, where: Standing, who: str, path: str = "/") -> Page:
        """The button at that installation, the account at Entra, and back."""
        page = browser.sign_in(f"{where.url}/auth/entra/start?next={path}", who)
        return browser.press("Accept") if "Permissions requested" in page.text else page


@contextmanager
def broker_before(
    emulator: RunningEmulator, folder: Path, *, tls: bool = False, clock: Clock | None = None, **settings: str
) -> Iterator[BehindBroker]:
    """With `tls`, nginx stands before it, as before one that people use. `clock` is everybody's."""
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    tls_port = tools.free_port() if tls else 0
    url = f"https://localhost:{tls_port}" if tls else f"http://localhost:{port}"
    environment = {
        **emulator.env("entrada"),
        "ENTRADA_TENANT_ID": "organizations",
        "ENTRADA_ALLOWED_TENANTS": f"{CONTOSO_ID},{FABRIKAM_ID}",
        "ENTRADA_PUBLIC_URL": url,
        "ENTRADA_DATABASE_URL": f"sqlite:///{folder}/broker.db",
        "ENTRADA_ROLES_MAPPING": '{"Admin": "Operator"}',
        "ENTRADA_ADMIN_ROLES": "Operator",
        **settings,
    }
    emulator.change_app(
        CLIENT_ID,
        audience="AzureADMultipleOrgs",
        logout_url=f"{url}/auth/entra/logout",
        web_redirect_uris=[f"{url}/auth/entra/callback", f"{url}/auth/signed-out"],
    )
    broker = build_broker(*load_settings(environment), listed=(), clock=clock)
    with ExitStack() as stack:
        stack.callback(broker.relying_party.close)
        stack.enter_context(on_the_air(create_app(broker), listener))
        if tls:
            stack.enter_context(nginx_ends_tls(emulator, port=tls_port, upstream=port))
        stack.enter_context(in_background(broker))
        yield BehindBroker(emulator, folder, stack, broker, clock)


@pytest.fixture(scope="session")
def running_entra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    with start(state_dir=tmp_path_factory.mktemp("entra")) as emulator:
        yield emulator


@pytest.fixture
def behind_broker(running_entra: RunningEmulator, tmp_path: Path) -> Iterator[BehindBroker]:
    running_entra.reset()
    with broker_before(running_entra, tmp_path) as world:
        yield world


@pytest.fixture
def new_browser(running_entra: RunningEmulator) -> Iterator[Callable[[], PlainBrowser]]:
    """Somebody's browser, with cookies of its own."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(PlainBrowser(Path(running_entra.ca_file)))
