"""HTTP to Entra and Graph through urllib3, direct and through a proxy alike, on persistent connections.

Owns time-outs, size limits, certificate authorities and proxies. Follows no redirect, retries no POST:
a code that was sent once may have been redeemed. Asks for unencoded bodies and refuses encoded ones, so a
compression bomb has nothing to unfold in. A connection with anything left over is not used again
(`strict_response`).

Why not `requests`: it costs more than the rest of a sign-in together, and its environment variable
REQUESTS_CA_BUNDLE silently replaces the authorities a program asked for (docs/adr/0003).
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import sys
import threading
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import urllib3
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from entrada.entra import strict_response
from entrada.entra.proxies import SOCKS_SCHEMES, Proxies, Proxy, read_proxies
from entrada.entra.strict_response import ResponseTooSlow, StrictHTTPConnection, StrictHTTPSConnection
from entrada.entra.transport import HttpResponse
from entrada.errors import ConfigurationError, EntraUnavailable, why_unreadable

CONNECT_SECONDS = 5.0
READ_SECONDS = 10.0
LARGEST_RESPONSE_BYTES = 1_000_000
MOST_IDLE_CONNECTIONS = 32
_CHUNK_BYTES = 65_536
_NO_RETRIES = urllib3.Retry(total=False, redirect=False)
_TUNNEL_REFUSED = re.compile(r"Tunnel connection failed: ([0-9]{3})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class PooledTransport:
    """Runs `HttpTransport`. Threads share it; after a fork the child opens connections of its own.

    `ca_bundle` is a PEM file of authorities trusted besides the system's. `proxies` are the environment's.

    Raises:
        ConfigurationError: the bundle cannot be read, or the environment names a proxy that cannot be used.
    """

    def __init__(self, *, ca_bundle: Path | None = None, proxies: Proxies | None = None) -> None:
        self._tls = _tls_context(ca_bundle)
        self._proxies = _environment() if proxies is None else proxies
        self._open_pools()

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> HttpResponse:
        if self._owner != os.getpid():
            # Sockets inherited through a fork are the parent's: two processes must not talk on one.
            self._open_pools()
        parts = urlsplit(url)
        proxy = self._proxies.proxy_for(parts)
        sent = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "entrada"}
        sent |= {name.lower(): value for name, value in (headers or {}).items()}
        if any(_CONTROL.search(value) for value in sent.values()):
            raise ValueError("a header that cannot stand in a request")
        try:
            response = self._pools_through(proxy).urlopen(
                method,
                url,
                headers=sent,
                body=body,
                redirect=False,
                retries=_NO_RETRIES,
                preload_content=False,
                decode_content=False,
                enforce_content_length=True,
            )
            whole = _read(response)
        except HTTPError as error:
            raise _unavailable(error, parts.netloc, proxy) from None
        if whole.headers.get("content-encoding", "identity") != "identity":
            raise EntraUnavailable(reason="the response was compressed unasked", answered=True)
        return whole

    def close(self) -> None:
        for pools in (self._direct, self._proxied):
            if pools is not None:
                pools.clear()

    def _open_pools(self) -> None:
        self._lock = threading.Lock()
        self._direct = _with_strict_pools(urllib3.PoolManager(**self._options()))
        self._proxied: urllib3.PoolManager | None = None
        self._owner = os.getpid()

    def _pools_through(self, proxy: Proxy | None) -> urllib3.PoolManager:
        if proxy is None:
            return self._direct
        with self._lock:
            if self._proxied is None:
                self._proxied = _through(proxy, self._options())
            return self._proxied

    def _options(self) -> dict[str, Any]:
        return {
            "ssl_context": self._tls,
            "maxsize": MOST_IDLE_CONNECTIONS,
            "timeout": urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
        }


def _environment() -> Proxies:
    """The environment's, over what macOS and Windows have in their own settings."""
    own = getproxies() if sys.platform in ("darwin", "win32") else {}
    return read_proxies({**{f"{kind}_proxy": url for kind, url in own.items()}, **os.environ})


def _through(proxy: Proxy, options: Mapping[str, Any]) -> urllib3.PoolManager:
    if proxy.scheme in SOCKS_SCHEMES:
        return _through_socks(proxy, options)
    authorization = proxy.authorization
    return _with_strict_pools(
        urllib3.ProxyManager(
            proxy.url,
            proxy_headers=None if authorization is None else {"proxy-authorization": authorization},
            proxy_ssl_context=options["ssl_context"],
            **options,
        )
    )


def _through_socks(proxy: Proxy, options: Mapping[str, Any]) -> urllib3.PoolManager:
    # Only here: the import warns where PySocks is missing.
    from urllib3.contrib.socks import SOCKSHTTPSConnection, SOCKSHTTPSConnectionPool, SOCKSProxyManager

    class Connection(SOCKSHTTPSConnection):
        response_class: Any = strict_response.StrictResponse

        def putrequest(self, *arguments: Any, **keywords: Any) -> None:
            strict_response.ready_to_ask(self)
            super().putrequest(*arguments, **keywords)

    class Pool(SOCKSHTTPSConnectionPool):
        ConnectionCls = Connection

    pools = SOCKSProxyManager(proxy.url, username=proxy.user, password=proxy.password, **options)
    pools.pool_classes_by_scheme = {"https": Pool}
    return pools


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = StrictHTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = StrictHTTPSConnection


def _with_strict_pools(pools: urllib3.PoolManager) -> urllib3.PoolManager:
    pools.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
    return pools


def _tls_context(ca_bundle: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if version("urllib3").startswith("1."):
        # It hides an address in place of a host name from `ssl`, and compares the certificate's names itself.
        context.check_hostname = False
    if ca_bundle is not None:
        try:
            context.load_verify_locations(cafile=ca_bundle)
        except (OSError, ssl.SSLError) as error:
            why = "no certificate in it" if isinstance(error, ssl.SSLError) else why_unreadable(error)
            raise ConfigurationError(
                f"$[ca_bundle] names {str(ca_bundle)!r}, which cannot be read as PEM certificates ({why}).",
                hint="Point it at a file with one or more BEGIN CERTIFICATE blocks.",
                setting="ca_bundle",
            ) from None
    return context


def _read(response: Any) -> HttpResponse:
    headers = {
        name.lower(): ", ".join(value.strip(" \t") for value in response.headers.getlist(name))
        for name in response.headers
    }
    try:
        # `strict_response` has read it: a number, wherever there is a body.
        size = 0 if response.status in (204, 304) else int(headers.get("content-length", "0"))
        if size > LARGEST_RESPONSE_BYTES:
            raise _too_large()
        chunks: list[bytes] = []
        size = 0
        while chunk := response.read(_CHUNK_BYTES, decode_content=False):
            size += len(chunk)
            if size > LARGEST_RESPONSE_BYTES:
                raise _too_large()
            chunks.append(chunk)
    except BaseException:
        response.close()
        raise
    response.release_conn()
    return HttpResponse(status=response.status, headers=headers, body=b"".join(chunks))


def _unavailable(error: HTTPError, host: str, proxy: Proxy | None) -> EntraUnavailable:
    """A named cause and, where an administrator can mend it, how."""
    cause = next((part for part in reversed(error.args) if isinstance(part, Exception)), None)
    if isinstance(cause, ResponseTooSlow):
        return EntraUnavailable(
            reason=f"the response took longer than {strict_response.WHOLE_RESPONSE_SECONDS:g} s"
        )
    if proxy is not None and isinstance(error, ProxyError):
        return _proxy_refused(str(cause), host, proxy)
    if isinstance(error, SSLError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
        return EntraUnavailable(
            reason=f"TLS to {host} failed: its certificate is not trusted",
            hint="If a proxy inspects TLS here, name its authority in $[ca_bundle]. Check the clock.",
        )
    if isinstance(error.__cause__ or error.__context__, socket.gaierror):
        return EntraUnavailable(
            reason=f"{host}: the name could not be resolved", hint="Check DNS and the proxy."
        )
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return EntraUnavailable(reason=f"{host}: {reason()}")
    return EntraUnavailable(reason=f"{host}: {type(error).__name__}")


def _proxy_refused(said: str, host: str, proxy: Proxy) -> EntraUnavailable:
    status = _TUNNEL_REFUSED.search(said)
    if status and status[1] == "407":
        why, hint = "wants a name and password", f"Write them into {proxy.variable}: http://user:password@…"
        if proxy.user is not None:
            why, hint = "did not accept the name and password", f"Check those in {proxy.variable}."
    elif status:
        why = f"answered HTTP {status[1]}"
        hint = f"Ask whoever runs the proxy to allow {host}, or exempt it with NO_PROXY."
    elif "CERTIFICATE_VERIFY_FAILED" in said:
        why = "has a certificate that is not trusted"
        hint = "Name its authority in $[ca_bundle]."
    else:
        why, hint = "could not be reached", f"Check {proxy.variable} and NO_PROXY."
    return EntraUnavailable(reason=f"the proxy on the way to {host} {why}", hint=hint)


def _too_large() -> EntraUnavailable:
    return EntraUnavailable(
        reason=f"the response was larger than {LARGEST_RESPONSE_BYTES} bytes", answered=True
    )


_REASONS: tuple[tuple[type[HTTPError], Any], ...] = (
    # Before the time-out: urllib3 has counted a refused connection among them.
    (NewConnectionError, lambda: "the connection was refused"),
    (ConnectTimeoutError, lambda: f"no connection within {CONNECT_SECONDS:g} s"),
    (ReadTimeoutError, lambda: f"no response within {READ_SECONDS:g} s"),
    (ProtocolError, lambda: "the connection was lost in the middle of the response"),
)
