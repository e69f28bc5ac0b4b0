"""The national clouds: which login host goes with which Graph host.

Owns the table; refuses Microsoft Cloud Germany, which is closed.

Source: Microsoft, "National clouds" (2025-01). The Chinese Graph page still prints login.chinacloudapi.cn;
the login page and MSAL call that host deprecated, so it is understood and replaced.
"""

from __future__ import annotations

from dataclasses import dataclass

from entrada.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """One deployment of Entra ID. Hosts are bare names; `login_aliases` are older names of `login_host`."""

    name: str
    login_host: str
    graph_host: str
    login_aliases: frozenset[str] = frozenset()


PUBLIC = Cloud(
    name="public",
    login_host="login.microsoftonline.com",
    graph_host="graph.microsoft.com",
    login_aliases=frozenset({"login.microsoft.com", "login.windows.net", "sts.windows.net"}),
)
USGOV = Cloud(
    name="usgov",
    login_host="login.microsoftonline.us",
    graph_host="graph.microsoft.us",
    login_aliases=frozenset({"login.usgovcloudapi.net", "login-us.microsoftonline.com"}),
)
USGOV_DOD = Cloud(
    name="usgov-dod", login_host="login.microsoftonline.us", graph_host="dod-graph.microsoft.us"
)
CHINA = Cloud(
    name="china",
    login_host="login.partner.microsoftonline.cn",
    graph_host="microsoftgraph.chinacloudapi.cn",
    login_aliases=frozenset({"login.chinacloudapi.cn"}),
)

CLOUDS = {cloud.name: cloud for cloud in (PUBLIC, USGOV, USGOV_DOD, CHINA)}

_CLOSED_HOSTS = frozenset({"login.microsoftonline.de", "graph.microsoft.de", "graph.cloudapi.de"})


def cloud_named(name: str) -> Cloud:
    """The cloud of that name.

    Raises:
        ConfigurationError: no such cloud, or the closed German one.
    """
    if name == "germany":
        raise _germany_is_closed("cloud")
    cloud = CLOUDS.get(name)
    if cloud is None:
        raise ConfigurationError(
            f"$[cloud] is {name[:40]!r}, which is not a cloud.",
            hint=f"Use one of: {', '.join(CLOUDS)}.",
            setting="cloud",
        )
    return cloud


def cloud_of_login_host(host: str) -> Cloud | None:
    """The cloud a login host belongs to, or None for a host that is not Microsoft's.

    `login.microsoftonline.us` serves two clouds and answers with `usgov`; a Graph host tells them apart.

    Raises:
        ConfigurationError: the host of the closed German cloud.
    """
    if host in _CLOSED_HOSTS:
        raise _germany_is_closed("authority_host")
    for cloud in CLOUDS.values():
        if host == cloud.login_host or host in cloud.login_aliases:
            return cloud
    return None


def cloud_of_graph_host(host: str) -> Cloud | None:
    """The cloud a Graph host belongs to, or None for a host that is not Microsoft's.

    Raises:
        ConfigurationError: the host of the closed German cloud.
    """
    if host in _CLOSED_HOSTS:
        raise _germany_is_closed("graph_host")
    return next((cloud for cloud in CLOUDS.values() if cloud.graph_host == host), None)


def _germany_is_closed(setting: str) -> ConfigurationError:
    return ConfigurationError(
        f"$[{setting}] names Microsoft Cloud Germany, which was closed on 2021-10-29.",
        hint="Use the cloud your tenant was migrated to; for most $[cloud] is public.",
        setting=setting,
    )
