"""An application to protect, and Entrada behind nginx as the documentation configures it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from docs.pages import blocks
from entrada.compatibility import tomllib
from entrada.emulator import RunningEmulator
from entrada.gateway.app import create_gateway
from entrada.gateway.hops import parse_trusted_hops
from entrada.gateway.tables import read_rule_book
from entrada.settings.tables import SettingsFile
from house import tools
from walks.conftest import emulator, http  # noqa: F401  # fixtures
from walks.site import Site, served, wait_until

from .proxies import STARTS
from .upstream import Upstream, running_upstream

NGINX_PAGE = tools.ROOT / "docs/how-to/protect-an-application-behind-nginx.md"
NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log info;
events {{ worker_connections 256; }}
http {{
    access_log off; client_max_body_size 300m; proxy_buffering off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
{servers}
}}
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with running_upstream() as running:
        yield running


@pytest.fixture(scope="module")
def behind_nginx(
    emulator: RunningEmulator,  # noqa: F811
    upstream: Upstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """Entrada and an application behind a real nginx, configured as the documentation shows."""
    nginx = tools.command_path("nginx")
    folder = tmp_path_factory.mktemp("nginx")
    port = tools.free_port()
    application = f"127.0.0.1:{upstream.port}"
    with entrada_behind(emulator, folder, port, application) as site:
        servers = documented_servers(port, site.address.removeprefix("http://"), application)
        with running_nginx(nginx, folder, servers):
            yield replace(site, address=f"http://127.0.0.1:{port}")


def documented_servers(port: int, entrada: str, application: str) -> str:
    """What the documentation puts into nginx's `http` block, with addresses of this run."""
    (configuration,) = (block.text for block in blocks(NGINX_PAGE, "nginx"))
    return (
        configuration.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
        .replace("server_name tool.contoso.com;", "server_name localhost;")
        .replace("127.0.0.1:8000", entrada)
        .replace("127.0.0.1:5000", application)
    )


@pytest.fixture(
    scope="module",
    params=["caddy", "haproxy", pytest.param("envoy", marks=[pytest.mark.heavy, pytest.mark.timeout(300)])],
)
def behind_proxy(
    request: pytest.FixtureRequest,
    emulator: RunningEmulator,  # noqa: F811
    upstream: Upstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """The same behind another real proxy; the rules are those of nginx's page."""
    folder = tmp_path_factory.mktemp(request.param)
    port = tools.free_port()
    with ExitStack() as stack:
        application = f"127.0.0.1:{upstream.port}"
        site = stack.enter_context(entrada_behind(emulator, folder, port, application))
        entrada = site.address.removeprefix("http://")
        STARTS[request.param](stack, folder, port, entrada, application)
        yield replace(site, address=f"http://127.0.0.1:{port}")


@contextmanager
def entrada_behind(
    emulator: RunningEmulator,  # noqa: F811
    folder: Path,
    port: int,
    application: str = "127.0.0.1:5000",
) -> Iterator[Site]:
    """Entrada with the settings that nginx's page shows; the proxy's port is the public one."""
    (toml,) = (block.text for block in blocks(NGINX_PAGE, "toml"))
    toml = toml.replace("127.0.0.1:5000", application)
    entries = tomllib.loads(toml)
    book = read_rule_book(SettingsFile(name="entrada.toml", entries=entries, text=toml))
    hops = parse_trusted_hops(entries["trusted_proxies"])
    with served(
        emulator,
        database=folder / "entrada.db",
        public_url=f"http://localhost:{port}",
        app_of=lambda auth: create_gateway(auth, hops=hops, book=book),
    ) as site:
        yield site


def running_nginx(nginx: str, folder: Path, servers: str) -> Running:
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, servers=servers))
    return Running(
        [nginx, "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")], folder / "nginx.pid"
    )


class Running:
    """A server of the system's from its pid file's appearance to the end of the block."""

    def __init__(self, command: list[str], pid_file: Path) -> None:
        self._command, self._pid_file = command, pid_file

    def __enter__(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

        def is_up() -> bool:
            assert self._process.poll() is None, self._process.stdout and self._process.stdout.read().decode()
            return self._pid_file.exists()

        wait_until(is_up)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate(timeout=30)
