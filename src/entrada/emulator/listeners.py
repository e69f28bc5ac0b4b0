"""The two listeners, http and https, on one event loop in a thread of their own.

Binds loopback addresses only unless it is told twice.  When the IPv6 loopback address can be had at the same
port it is bound too, because browsers may try it first for `localhost`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .application import ABORT, Application

_CLOSE_SECONDS = 1


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol, which also lets the application cut the connection."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]  # a member of our own is added
        scope[ABORT] = self.transport.abort


class _Server(uvicorn.Server):
    """A server that says when it accepts connections."""

    def __init__(self, config: uvicorn.Config, started: threading.Event) -> None:
        super().__init__(config)
        self._says_started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._says_started.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Cut what is open: an idle or hanging client must not hold up the end of a test."""
        for task in list(self.server_state.tasks):
            task.cancel()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets=sockets)


def bind(host: str, port: int) -> list[socket.socket]:
    """Sockets for the host and port, 0 for a free one.

    Raises:
        OSError: the port is taken or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sockets = [_bound(family, host, port)]
    if host in ("127.0.0.1", "localhost"):
        with contextlib.suppress(OSError):
            sockets.append(_bound(socket.AF_INET6, "::1", sockets[0].getsockname()[1]))
    return sockets


def _bound(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
    except BaseException:
        bound.close()
        raise
    return bound


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener on this address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Listeners:
    """Both listeners of one application, running until `stop`."""

    def __init__(
        self, application: Application, http: list[socket.socket], https: list[socket.socket], tls_file: Path
    ) -> None:
        self._sockets = (http, https)
        self._started = (threading.Event(), threading.Event())
        common: dict[str, Any] = {
            "http": _Protocol,
            "ws": "none",
            "lifespan": "off",
            "log_config": None,
            "access_log": False,
            "server_header": False,
            "proxy_headers": False,
            "timeout_graceful_shutdown": _CLOSE_SECONDS,
        }
        self._servers = (
            _Server(uvicorn.Config(application, **common), self._started[0]),
            _Server(
                uvicorn.Config(application, ssl_certfile=tls_file, ssl_keyfile=tls_file, **common),
                self._started[1],
            ),
        )
        self._thread = threading.Thread(target=self._run, name="entra-emulator", daemon=True)

    def start(self) -> None:
        """Run, and return when both listeners accept connections."""
        self._thread.start()
        for started in self._started:
            started.wait()
        if not all(server.started for server in self._servers):
            raise OSError("the listeners did not start; are the certificates damaged?")

    def stop(self) -> None:
        """Stop accepting, let running answers end for a moment, and wait for the thread."""
        for server in self._servers:
            server.should_exit = True
        self._thread.join(timeout=10)

    def _run(self) -> None:
        factory = self._servers[0].config.get_loop_factory()
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        try:
            await asyncio.gather(
                *(
                    server.serve(sockets=sockets)
                    for server, sockets in zip(self._servers, self._sockets, strict=True)
                )
            )
        finally:
            for started in self._started:
                started.set()
