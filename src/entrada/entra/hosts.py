"""Which login host and which Graph host a tenant is asked at: the cloud's, or those named in their place.

Refuses hosts of different clouds, hosts that are not Microsoft's unless that was allowed by name, and plain
http: secrets and tokens travel there.

Source: Microsoft, "National clouds".
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from entrada.entra.authority import Authority
from entrada.entra.clouds import PUBLIC, Cloud, cloud_of_graph_host, cloud_of_login_host
from entrada.errors import ConfigurationError

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def authority_for(
    *,
    tenant: str | None,
    cloud: Cloud | None = None,
    authority_host: str | None = None,
    graph_host: str | None = None,
    insecure_allow_emulator: bool = False,
) -> Authority:
    """Login host, Graph host and tenant. The hosts are origins such as https://login.microsoftonline.com.

    Raises:
        ConfigurationError: no tenant, hosts of different clouds, or a host that is not Microsoft's.
    """
    foreign = insecure_allow_emulator
    login_cloud = _cloud_of(authority_host, "authority_host", cloud_of_login_host, allow_foreign=foreign)
    graph_cloud = _cloud_of(graph_host, "graph_host", cloud_of_graph_host, allow_foreign=foreign)
    if cloud and login_cloud and cloud.login_host != login_cloud.login_host:
        raise _clouds_differ("cloud", "authority_host")
    effective = cloud or login_cloud or graph_cloud or PUBLIC
    if graph_cloud and graph_cloud.login_host != effective.login_host:
        raise _clouds_differ("graph_host", "cloud" if cloud else "authority_host")
    if authority_host and login_cloud is None and graph_host is None:
        raise ConfigurationError(
            "$[authority_host] is not Microsoft's, and $[graph_host] is not set.",
            hint="Name the Graph host that belongs to it; an emulator serves both.",
            setting="graph_host",
        )
    login_is_known = login_cloud is not None or authority_host is None
    graph_is_known = graph_cloud is not None or graph_host is None
    return Authority(
        login_url=f"https://{effective.login_host}" if login_is_known else authority_host or "",
        graph_url=f"https://{(graph_cloud or effective).graph_host}" if graph_is_known else graph_host or "",
        tenant=required(tenant, "tenant_id", "the Directory (tenant) ID"),
    )


def required(value: str | None, setting: str, what: str) -> str:
    """The value of a setting without which nobody can sign in.

    Raises:
        ConfigurationError: it is not set.
    """
    if not value:
        raise ConfigurationError(
            f"$[{setting}] is not set.",
            hint=f"It is {what} on the overview page of your app registration. "
            "Without a tenant, `entrada demo` runs against the emulator.",
            setting=setting,
        )
    return value


def _cloud_of(
    url: str | None, setting: str, cloud_of_host: Callable[[str], Cloud | None], *, allow_foreign: bool
) -> Cloud | None:
    """The cloud a configured host belongs to. A host that is not Microsoft's needs the insecure switch."""
    if url is None:
        return None
    parts = urlsplit(url)
    cloud = cloud_of_host(parts.hostname or "")
    if cloud is None and not allow_foreign:
        raise ConfigurationError(
            f"$[{setting}] is {url}, which is not one of Microsoft's hosts.",
            hint="For an emulator set $[insecure_allow_emulator] to true; never do that in production.",
            setting=setting,
        )
    if parts.scheme != "https":
        where = "Use the emulator's https address." if parts.hostname in _LOOPBACK else "Use https."
        raise ConfigurationError(
            f"$[{setting}] is {url}, which is not https.",
            hint=f"Secrets and tokens travel there. {where}",
            setting=setting,
        )
    return cloud


def _clouds_differ(one: str, other: str) -> ConfigurationError:
    return ConfigurationError(
        f"$[{one}] and $[{other}] name different clouds.",
        hint="A tenant lives in one cloud: set $[cloud] alone, or hosts of the same cloud.",
        setting=other,
    )
