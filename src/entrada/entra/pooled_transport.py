"""HTTP with kept-alive connections, through urllib3.

Owns time-outs, size limits, certificate authorities and proxies. Follows no redirect, retries no POST:
a code that was sent once may have been redeemed. Asks for unencoded bodies and refuses encoded ones, so a
compression bomb has nothing to unfold in.

Why not `requests`: it costs more than the rest of a sign-in together, and its environment variable
REQUESTS_CA_BUNDLE silently replaces the authorities a program asked for (docs/adr/0003).
"""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from pathlib import Path
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

from entrada.entra.transport import HttpAnswer
from entrada.errors import ConfigurationError, EntraUnavailable

CONNECT_SECONDS = 5.0
READ_SECONDS = 10.0
WHOLE_ANSWER_SECONDS = 15.0
LARGEST_ANSWER_BYTES = 1_000_000
_CHUNK_BYTES = 65_536
_NO_RETRIES = urllib3.Retry(total=False, redirect=False)

_Pool = urllib3.HTTPConnectionPool


class PooledTransport:
    """Runs `HttpTransport`. Threads share it; after a fork the child opens connections of its own.

    `ca_bundle` is a PEM file of authorities trusted besides the system's.
    """

    def __init__(self, *, ca_bundle: Path | None = None) -> None:
        self._tls = _tls_context(ca_bundle)
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._pools: dict[tuple[str, str], _Pool] = {}

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> HttpAnswer:
        sent = {"accept": "application/json", "accept-encoding": "identity", **(headers or {})}
        deadline = time.monotonic() + WHOLE_ANSWER_SECONDS
        try:
            pool, target = self._pool_and_target(url)
            response = pool.urlopen(
                method,
                target,
                headers=sent,
                body=body,
                redirect=False,
                retries=_NO_RETRIES,
                assert_same_host=False,
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
            raise _unavailable(error, url) from None
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise EntraUnavailable(reason="the answer was compressed unasked", answered=True)
        return answer

    def close(self) -> None:
        with self._lock:
            pools, self._pools = self._pools, {}
        for pool in pools.values():
            pool.close()

    def _pool_and_target(self, url: str) -> tuple[_Pool, str]:
        """The connections to the URL's origin, made at its first request, and what to ask for on them."""
        if self._owner != os.getpid():
            self._begin_afresh_in_child()
        parts = urlsplit(url)
        origin = (parts.scheme, parts.netloc)
        pool = self._pools.get(origin)
        if pool is None:
            with self._lock:
                pool = self._pools.setdefault(origin, self._new_pool(parts))
        if pool.proxy is not None and parts.scheme == "http":
            return pool, url
        return pool, urlunsplit(("", "", parts.path or "/", parts.query, ""))

    def _begin_afresh_in_child(self) -> None:
        """Sockets inherited through a fork are the parent's: two processes must not talk on one."""
        self._lock = threading.Lock()
        self._pools = {}
        self._owner = os.getpid()

    def _new_pool(self, parts: SplitResult) -> _Pool:
        """Asks the environment for a proxy: once an origin, because that costs as much as a request."""
        options = {
            "ssl_context": self._tls,
            "maxsize": 32,
            "timeout": urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
        }
        proxy = getproxies().get(parts.scheme) if parts.hostname else None
        if not proxy or _is_loopback(parts.hostname) or proxy_bypass(parts.netloc):
            manager = urllib3.PoolManager(**options)  # type: ignore[arg-type]  # options by keyword
        else:
            manager = urllib3.ProxyManager(proxy, **options)  # type: ignore[arg-type]  # as above
        return manager.connection_from_url(f"{parts.scheme}://{parts.netloc}")


def _tls_context(ca_bundle: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
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
            reason = f"the answer was larger than {LARGEST_ANSWER_BYTES} bytes"
            raise EntraUnavailable(reason=reason, answered=True)
        if time.monotonic() > deadline:
            response.close()
            raise EntraUnavailable(reason=f"the answer took longer than {WHOLE_ANSWER_SECONDS:g} s")
        chunks.append(chunk)
    return b"".join(chunks)


def _is_loopback(hostname: str | None) -> bool:
    return hostname in ("localhost", "127.0.0.1", "::1")


def _unavailable(error: HTTPError, url: str) -> EntraUnavailable:
    """A named cause and, where an administrator can mend it, how. The URL's query is never repeated."""
    host = urlsplit(url).netloc
    if isinstance(error, SSLError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
        return EntraUnavailable(
            reason=f"TLS to {host} failed: its certificate is not trusted",
            hint="If a proxy inspects TLS here, name its authority in ENTRADA_CA_BUNDLE. Check the clock.",
        )
    if isinstance(error, ProxyError):
        return EntraUnavailable(
            reason=f"the proxy on the way to {host} refused the connection",
            hint="Check HTTPS_PROXY and NO_PROXY.",
        )
    if isinstance(error.__cause__, socket.gaierror):
        return EntraUnavailable(
            reason=f"{host}: the name could not be resolved", hint="Check DNS and the proxy."
        )
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return EntraUnavailable(reason=f"{host}: {reason}")
    return EntraUnavailable(reason=f"{host}: {type(error).__name__}")


_REASONS: tuple[tuple[type[HTTPError], str], ...] = (
    # Before the time-out: urllib3 has counted a refused connection among them.
    (NewConnectionError, "the connection was refused"),
    (ConnectTimeoutError, f"no connection within {CONNECT_SECONDS:g} s"),
    (ReadTimeoutError, f"no answer within {READ_SECONDS:g} s"),
    (ProtocolError, "the connection was lost in the middle of the answer"),
)
