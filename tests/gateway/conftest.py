"""An application to protect, and Entrada in front of it: behind each proxy as documented, and by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from docs.pages import blocks
from entrada.accounts.roles import RoleMapping
from entrada.compatibility import tomllib
from entrada.emulator import RunningEmulator
from entrada.gateway.app import create_gateway
from entrada.gateway.bearer_callers import bearer_callers
from entrada.gateway.hops import parse_trusted_hops
from entrada.gateway.tables import read_rule_book
from entrada.settings.tables import SettingsFile
from entrada.web.auth_routes import AuthRoutes
from house import tools
from walks.conftest import emulator, entra, http  # noqa: F401  # fixtures
from walks.site import Site, served
from walks.visitor import Visitor

from .proxies import NGINX_PAGE, STARTS
from .upstream import Upstream, running_upstream


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with running_upstream() as running:
        yield running


SCOPE = "access_as_user"
ALONE = "entrada serve"
"""Not behind anything: the reverse proxy itself."""


@pytest.fixture(
    scope="module",
    params=[
        "nginx",
        "caddy",
        "haproxy",
        pytest.param("envoy", marks=[pytest.mark.heavy, pytest.mark.timeout(300)]),
        ALONE,
    ],
)
def behind_proxy(
    request: pytest.FixtureRequest,
    emulator: RunningEmulator,  # noqa: F811
    upstream: Upstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """Entrada and an application behind a real proxy, configured as the documentation shows."""
    folder = tmp_path_factory.mktemp("behind")
    port = tools.free_port()
    application = f"127.0.0.1:{upstream.port}"
    with ExitStack() as stack:
        site = stack.enter_context(entrada_behind(emulator, folder, port, application))
        if request.param == ALONE:
            yield site
            return
        STARTS[request.param](stack, folder, port, site.address.removeprefix("http://"), application)
        yield replace(site, address=f"http://127.0.0.1:{port}")


@pytest.fixture
def visitor(behind_proxy: Site, http: httpx.Client, upstream: Upstream) -> Visitor:  # noqa: F811
    upstream.requests.clear()
    return Visitor(behind_proxy, http)


@pytest.fixture
def ada(visitor: Visitor, emulator: RunningEmulator) -> Visitor:  # noqa: F811
    assert visitor.sign_in_as("ada@contoso.test", "/reports").headers["location"] == "/reports"
    return visitor


@pytest.fixture
def vi(visitor: Visitor, emulator: RunningEmulator) -> Visitor:  # noqa: F811
    visitor.sign_in_as("vi@contoso.test")
    return visitor


@contextmanager
def entrada_behind(
    emulator: RunningEmulator,  # noqa: F811
    folder: Path,
    port: int,
    application: str = "127.0.0.1:5000",
) -> Iterator[Site]:
    """Entrada with the settings that nginx's page shows; the proxy's port is the public one.

    The public path is another than the page's: by itself Entrada would answer /healthz.
    """
    (toml,) = (block.text for block in blocks(NGINX_PAGE, "toml"))
    assert 'path = "/healthz"' in toml
    toml = toml.replace("127.0.0.1:5000", application).replace('path = "/healthz"', 'path = "/status"')
    entries = tomllib.loads(toml)
    book = read_rule_book(SettingsFile(name="entrada.toml", entries=entries, text=toml))
    hops = parse_trusted_hops(entries["trusted_proxies"])

    def app_of(auth: AuthRoutes) -> object:
        bearer = bearer_callers(auth.relying_party, scopes=[SCOPE], mapping=RoleMapping())
        return create_gateway(auth, hops=hops, book=book, bearer=bearer)

    with served(
        emulator,
        database=folder / "entrada.db",
        public_url=f"http://localhost:{port}",
        app_of=app_of,
    ) as site:
        yield site
