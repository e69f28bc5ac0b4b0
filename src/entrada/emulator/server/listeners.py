"""The two listeners, http and https, on one event loop in a thread of their own.

Binds loopback addresses only unless it is told twice.  When the IPv6 loopback address can be had at the same
port it is bound too, because browsers may try it first for `localhost`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ..compatibility import run_on_a_loop
from .application import Application
from .connection import Connection

_BACKLOG = 1_024
_STOP_SECONDS = 10


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
    """Both listeners of one application, running until `stop`.

    `http` and `https` are the bound sockets with the address that the application is to know each by.
    """

    def __init__(
        self,
        application: Application,
        http: tuple[list[socket.socket], str],
        https: tuple[list[socket.socket], str],
        tls_file: Path,
    ) -> None:
        self._application = application
        self._http, self._https = http, https
        self._tls_file = tls_file
        self._open: set[Connection] = set()
        self._decided = threading.Event()
        self._failure: OSError | None = None
        self._stop: Callable[[], object] = lambda: None
        self._thread = threading.Thread(target=self._run, name="entra-emulator", daemon=True)

    def start(self) -> None:
        """Run, and return when both listeners accept connections.

        Raises:
            OSError: they cannot; damaged certificates are the usual reason.
        """
        self._thread.start()
        self._decided.wait()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Stop accepting, cut what is open, and wait for the thread."""
        self._stop()
        self._thread.join(timeout=_STOP_SECONDS)

    def _run(self) -> None:
        try:
            run_on_a_loop(self._serve(), loop_factory=_loop_factory())
        except OSError as failure:
            self._failure = failure
        finally:
            self._decided.set()

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()
        self._stop = partial(loop.call_soon_threadsafe, stopping.set)
        servers = []
        for (sockets, base_url), tls in ((self._http, None), (self._https, _tls(self._tls_file))):
            accept = partial(Connection, self._application, base_url, self._open)
            for bound in sockets:
                servers.append(await loop.create_server(accept, sock=bound, ssl=tls, backlog=_BACKLOG))
        self._decided.set()
        await stopping.wait()
        for server in servers:
            server.close()
        # An idle or hanging client must not hold up the end of a test.
        for connection in list(self._open):
            connection.cut()


def _tls(file: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(file)
    return context


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where it can be had; None is asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
