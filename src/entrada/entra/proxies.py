"""The proxy that the environment names for https, read once, at the start.

Owns `read_proxies`: HTTPS_PROXY or ALL_PROXY, and NO_PROXY, each in lower case first, as curl and requests
have it. What cannot be understood stops the start with a sentence that names the variable, never its value:
a password may stand in it. HTTP_PROXY is not read: nothing but this very machine is ever asked over http.

    [http://|https://|socks5h://…][user:password@]host[:port]      with %-escapes, or #, @, / as they are
    NO_PROXY: host, .domain, *.domain, host:port, address, network/bits, [IPv6], with commas or spaces; *

Source: RFC 9110, section 11.7.2 (Proxy-Authorization); curl, "curl(1)", section ENVIRONMENT.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from urllib.parse import SplitResult, unquote

from entrada.errors import ConfigurationError

SOCKS_SCHEMES = frozenset({"socks4", "socks4a", "socks5", "socks5h"})
_PORTS = {"http": 80, "https": 443, **dict.fromkeys(SOCKS_SCHEMES, 1080)}
_SCHEME = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?//")
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+(?:%[0-9A-Za-z._%-]+)?\]|[^\s:/?#\[\]@\"'\\]+)(?::([0-9]{1,5}))?/?")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9.])?", re.ASCII)
_FORM = "http://user:password@proxy.example:3128"


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """`url` is scheme, host and port; `variable` is where it was found."""

    variable: str
    scheme: str
    url: str
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def authorization(self) -> str | None:
        """The value of Proxy-Authorization: Basic, in UTF-8."""
        if self.user is None:
            return None
        return "Basic " + base64.b64encode(f"{self.user}:{self.password or ''}".encode()).decode("ascii")


@dataclass(frozen=True, kw_only=True)
class Proxies:
    """The proxy for https, and which hosts are asked without it."""

    https: Proxy | None = None
    exempt: tuple[str, ...] = ()

    def proxy_for(self, parts: SplitResult) -> Proxy | None:
        """The proxy on the way to an address; None: there is none, or the address is this very machine."""
        host = (parts.hostname or "").rstrip(".")
        if self.https is None or parts.scheme != "https" or _is_loopback(host):
            return None
        port = parts.port or 443
        return None if any(_is_exempt(host, port, pattern) for pattern in self.exempt) else self.https


def read_proxies(environ: Mapping[str, str]) -> Proxies:
    """What the environment says.

    Raises:
        ConfigurationError: HTTPS_PROXY or ALL_PROXY cannot be used.
    """
    variable = _first_set(environ, "https_proxy") or _first_set(environ, "all_proxy")
    exempt_in = _first_set(environ, "no_proxy")
    return Proxies(
        https=None if variable is None else _read_proxy(variable, environ[variable].strip()),
        exempt=tuple(re.split(r"[\s,]+", environ[exempt_in].strip().lower())) if exempt_in else (),
    )


def _first_set(environ: Mapping[str, str], name: str) -> str | None:
    """The variable's name as it stands there. An empty one in lower case switches the other off."""
    for variable in (name, name.upper()):
        if variable in environ:
            return variable if environ[variable].strip() else None
    return None


def _read_proxy(variable: str, text: str) -> Proxy:
    start = _SCHEME.match(text)
    scheme = ((start[1] if start else None) or "http").lower()
    if scheme not in _PORTS:
        raise _refused(variable, f"names a proxy of the kind {scheme[:20]!r}, which is not known here")
    # The last @, because a password may hold one as it is.
    credentials, at, address = text[start.end() if start else 0 :].rpartition("@")
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise _refused(variable, "does not name the address of a proxy")
    host, port = _read_host(variable, match[1]), int(match[2] or _PORTS[scheme])
    if not 0 < port < 65536:
        raise _refused(variable, "names a port that does not exist")
    if scheme in SOCKS_SCHEMES and find_spec("socks") is None:
        raise ConfigurationError(
            f"{variable} names a SOCKS proxy, and the package PySocks, which speaks to those, is missing.",
            hint='Install it (it is the extra "socks": pip install PySocks), or name an HTTP proxy.',
        )
    user, _, password = credentials.partition(":")
    if any(ord(char) < 32 or ord(char) == 127 for char in unquote(credentials)):
        raise _refused(variable, "holds a control character in the name or password")
    return Proxy(
        variable=variable,
        scheme=scheme,
        url=f"{scheme}://{host}:{port}",
        user=unquote(user) if at else None,
        password=unquote(password) if at else None,
    )


def _read_host(variable: str, text: str) -> str:
    if text.startswith("["):
        try:
            ipaddress.IPv6Address(unquote(text[1:-1]))
        except ValueError:
            raise _refused(variable, "does not name the address of a proxy") from None
        return text
    try:
        name = text.encode("idna").decode("ascii")
    except UnicodeError:
        name = ""
    if not _HOST.fullmatch(name):
        raise _refused(variable, "does not name the address of a proxy")
    return name


def _refused(variable: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{variable} {why}.",
        hint=f"Write it as {_FORM}; in the name and password write %25 for %, %3A for a colon.",
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def _is_exempt(host: str, port: int, pattern: str) -> bool:
    if pattern == "*":
        return True
    pattern, pattern_port = _split_port(pattern)
    if not pattern or (pattern_port is not None and pattern_port != port):
        return False
    address = _address(host)
    if address is not None:
        try:
            return address in ipaddress.ip_network(pattern, strict=False)
        except ValueError:
            return False
    domain = pattern.removeprefix("*").strip(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def _split_port(pattern: str) -> tuple[str, int | None]:
    match = re.fullmatch(r"(?:\[([^\]]+)\]|([^:]+))(?::([0-9]{1,5}))?", pattern)
    if match is None:
        return pattern, None  # an IPv6 address without brackets
    return match[1] or match[2], int(match[3]) if match[3] else None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
