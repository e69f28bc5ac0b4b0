"""HTTP with kept-alive connections: our own exchange on them, through a proxy urllib3's.

Owns time-outs, size limits, certificate authorities and proxies. Follows no redirect, retries no POST:
a code that was sent once may have been redeemed. Asks for unencoded bodies and refuses encoded ones, so a
compression bomb has nothing to unfold in.

Why not `requests`: it costs more than the rest of a sign-in together, and its environment variable
REQUESTS_CA_BUNDLE silently replaces the authorities a program asked for (docs/adr/0003, 0012).
"""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import SplitResult, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from entrada.entra.http_exchange import (
    AnswerBroken,
    AnswerTooLarge,
    AnswerTooSlow,
    KeptConnection,
    Limits,
    request_bytes,
)
from entrada.entra.transport import HttpAnswer
from entrada.errors import ConfigurationError, EntraUnavailable

CONNECT_SECONDS = 5.0
READ_SECONDS = 10.0
WHOLE_ANSWER_SECONDS = 15.0
LARGEST_ANSWER_BYTES = 1_000_000
_CHUNK_BYTES = 65_536
MOST_KEPT = 32
_NO_RETRIES = urllib3.Retry(total=False, redirect=False)


class _Road(Protocol):
    """The way to one origin."""

    def send(
        self, method: str, parts: SplitResult, headers: Mapping[str, str], body: bytes | None
    ) -> HttpAnswer: ...

    def close(self) -> None: ...


class PooledTransport:
    """Runs `HttpTransport`. Threads share it; after a fork the child opens connections of its own.

    `ca_bundle` is a PEM file of authorities trusted besides the system's.
    """

    def __init__(self, *, ca_bundle: Path | None = None) -> None:
        self._tls = _tls_context(ca_bundle)
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._roads: dict[tuple[str, str], _Road] = {}

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> HttpAnswer:
        parts = urlsplit(url)
        sent = {"accept": "application/json", "accept-encoding": "identity", **(headers or {})}
        answer = self._road(parts).send(method, parts, sent, body)
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise EntraUnavailable(reason="the answer was compressed unasked", answered=True)
        return answer

    def close(self) -> None:
        with self._lock:
            roads, self._roads = self._roads, {}
        for road in roads.values():
            road.close()

    def _road(self, parts: SplitResult) -> _Road:
        """Made at the origin's first request: to look for a proxy costs as much as a request."""
        if self._owner != os.getpid():
            self._begin_afresh_in_child()
        origin = (parts.scheme, parts.netloc)
        road = self._roads.get(origin)
        if road is None:
            with self._lock:
                road = self._roads.setdefault(origin, self._new_road(parts))
        return road

    def _new_road(self, parts: SplitResult) -> _Road:
        proxy = getproxies().get(parts.scheme) if parts.hostname else None
        if not proxy or _is_loopback(parts.hostname) or proxy_bypass(parts.netloc):
            return _DirectRoad(self._tls)
        return _ProxiedRoad(self._tls, proxy)

    def _begin_afresh_in_child(self) -> None:
        """Sockets inherited through a fork are the parent's: two processes must not talk on one."""
        self._lock = threading.Lock()
        self._roads = {}
        self._owner = os.getpid()


class _DirectRoad:
    """The connections at rest, the one used last in front."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._resting: list[KeptConnection] = []

    def send(
        self, method: str, parts: SplitResult, headers: Mapping[str, str], body: bytes | None
    ) -> HttpAnswer:
        limits = Limits(
            deadline=time.monotonic() + WHOLE_ANSWER_SECONDS,
            read_seconds=READ_SECONDS,
            body_bytes=LARGEST_ANSWER_BYTES,
        )
        target = urlunsplit(("", "", parts.path or "/", parts.query, ""))
        request = request_bytes(method, target, {"host": parts.netloc, **headers}, body)
        connection = self._rested() or self._connected(parts)
        try:
            answer = connection.exchange(request, limits)
        except BaseException as error:
            connection.close()
            if isinstance(error, OSError | AnswerBroken | AnswerTooLarge | AnswerTooSlow):
                raise _unusable(error, parts.netloc) from None
            raise
        self._rest(connection)
        return answer

    def close(self) -> None:
        while self._resting:
            self._resting.pop().close()

    def _rested(self) -> KeptConnection | None:
        """One that the other side has not closed meanwhile."""
        while self._resting:
            try:
                connection = self._resting.pop()
            except IndexError:  # another thread was faster
                return None
            if not connection.has_ended:
                return connection
            connection.close()
        return None

    def _rest(self, connection: KeptConnection) -> None:
        if len(self._resting) < MOST_KEPT and connection.may_rest:
            self._resting.append(connection)
        else:
            connection.close()

    def _connected(self, parts: SplitResult) -> KeptConnection:
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        try:
            connected = socket.create_connection((host, port), timeout=CONNECT_SECONDS)
        except OSError as error:
            raise _not_connected(error, parts.netloc) from None
        try:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if parts.scheme == "https":
                connected = self._tls.wrap_socket(connected, server_hostname=host)
        except OSError as error:
            connected.close()
            raise _not_connected(error, parts.netloc) from None
        return KeptConnection(connected)


class _ProxiedRoad:
    """Through the proxy that the environment names. urllib3 knows them: CONNECT, passwords, TLS in TLS."""

    def __init__(self, tls: ssl.SSLContext, proxy: str) -> None:
        self._pools = urllib3.ProxyManager(
            proxy,
            ssl_context=tls,
            maxsize=MOST_KEPT,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
        )

    def send(
        self, method: str, parts: SplitResult, headers: Mapping[str, str], body: bytes | None
    ) -> HttpAnswer:
        deadline = time.monotonic() + WHOLE_ANSWER_SECONDS
        try:
            response = self._pools.urlopen(
                method,
                parts.geturl(),
                headers=headers,
                body=body,
                redirect=False,
                retries=_NO_RETRIES,
                preload_content=False,
                decode_content=False,
            )
            answer = HttpAnswer(
                status=response.status,
                headers={name.lower(): value for name, value in response.headers.items()},
                body=_read_bounded(response, deadline),
            )
            response.release_conn()
        except HTTPError as error:
            raise _unavailable(error, parts.netloc) from None
        return answer

    def close(self) -> None:
        self._pools.clear()


def _tls_context(ca_bundle: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if ca_bundle is not None:
        try:
            context.load_verify_locations(cafile=ca_bundle)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                f"ENTRADA_CA_BUNDLE names {str(ca_bundle)!r}, which cannot be read as PEM certificates "
                f"({type(error).__name__}).",
                hint="Point it at a file with one or more BEGIN CERTIFICATE blocks.",
                setting="ENTRADA_CA_BUNDLE",
            ) from None
    return context


def _read_bounded(response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
    chunks: list[bytes] = []
    size = 0
    # read1 gives what is there; read would wait for a full chunk, past any deadline. urllib3 1.26 lacks it.
    read_some = getattr(response, "read1", response.read)
    while chunk := read_some(_CHUNK_BYTES):
        size += len(chunk)
        if size > LARGEST_ANSWER_BYTES:
            response.close()
            raise _too_large()
        if time.monotonic() > deadline:
            response.close()
            raise _too_slow()
        chunks.append(chunk)
    return b"".join(chunks)


def _is_loopback(hostname: str | None) -> bool:
    return hostname in ("localhost", "127.0.0.1", "::1")


def _not_connected(error: OSError, host: str) -> EntraUnavailable:
    """A named cause and, where an administrator can mend it, how."""
    if isinstance(error, ssl.SSLError):
        return _not_trusted(host)
    if isinstance(error, socket.gaierror):
        return _not_resolved(host)
    if isinstance(error, TimeoutError):
        return EntraUnavailable(reason=f"{host}: {_NO_CONNECTION}")
    return EntraUnavailable(reason=f"{host}: {_REFUSED}")


def _unusable(error: Exception, host: str) -> EntraUnavailable:
    if isinstance(error, AnswerTooLarge):
        return _too_large()
    if isinstance(error, AnswerTooSlow):
        return _too_slow()
    return EntraUnavailable(reason=f"{host}: {_NO_ANSWER if isinstance(error, TimeoutError) else _LOST}")


def _unavailable(error: HTTPError, host: str) -> EntraUnavailable:
    """The same for urllib3's errors."""
    if isinstance(error, SSLError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
        return _not_trusted(host)
    if isinstance(error, ProxyError):
        return EntraUnavailable(
            reason=f"the proxy on the way to {host} refused the connection",
            hint="Check HTTPS_PROXY and NO_PROXY.",
        )
    if isinstance(error.__cause__, socket.gaierror):
        return _not_resolved(host)
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return EntraUnavailable(reason=f"{host}: {reason}")
    return EntraUnavailable(reason=f"{host}: {type(error).__name__}")


def _not_trusted(host: str) -> EntraUnavailable:
    return EntraUnavailable(
        reason=f"TLS to {host} failed: its certificate is not trusted",
        hint="If a proxy inspects TLS here, name its authority in ENTRADA_CA_BUNDLE. Check the clock.",
    )


def _not_resolved(host: str) -> EntraUnavailable:
    return EntraUnavailable(reason=f"{host}: the name could not be resolved", hint="Check DNS and the proxy.")


def _too_large() -> EntraUnavailable:
    return EntraUnavailable(reason=f"the answer was larger than {LARGEST_ANSWER_BYTES} bytes", answered=True)


def _too_slow() -> EntraUnavailable:
    return EntraUnavailable(reason=f"the answer took longer than {WHOLE_ANSWER_SECONDS:g} s")


_REFUSED = "the connection was refused"
_NO_CONNECTION = f"no connection within {CONNECT_SECONDS:g} s"
_NO_ANSWER = f"no answer within {READ_SECONDS:g} s"
_LOST = "the connection was lost in the middle of the answer"

_REASONS: tuple[tuple[type[HTTPError], str], ...] = (
    # Before the time-out: urllib3 has counted a refused connection among them.
    (NewConnectionError, _REFUSED),
    (ConnectTimeoutError, _NO_CONNECTION),
    (ReadTimeoutError, _NO_ANSWER),
    (ProtocolError, _LOST),
)
