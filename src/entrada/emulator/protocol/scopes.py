"""Reading `scope` and `resource`: OpenID scopes, one resource, and that resource's permissions.

Source: Microsoft, "Scopes and permissions in the Microsoft identity platform".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ..directory.directory import Directory
from ..directory.records import GRAPH_APP_ID, App
from .errors import EntraError
from .graph_permissions import permission_named

OIDC_SCOPES = ("openid", "profile", "email", "offline_access")
GRAPH_HOSTS = (
    "https://graph.microsoft.com",
    "https://graph.microsoft.us",
    "https://dod-graph.microsoft.us",
    "https://microsoftgraph.chinacloudapi.cn",
    "https://graph.windows.net",
)
_PERMISSION = re.compile(r"[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")
_USER_CONSENTABLE_ALL = frozenset({"User.ReadBasic.All"})


@dataclass(frozen=True, kw_only=True)
class Resource:
    """What an access token is for: Graph (`app` None) or an application of the directory."""

    resource_id: str
    audience: str
    app: App | None = None

    @property
    def is_graph(self) -> bool:
        """Whether the token is for Graph."""
        return self.app is None


@dataclass(frozen=True, kw_only=True)
class RequestedScope:
    """A scope parameter, read.  `default` means `/.default` was asked: everything already granted."""

    oidc: tuple[str, ...]
    resource: Resource
    permissions: tuple[str, ...]
    default: bool
    as_written: dict[str, str]

    @property
    def names_resource(self) -> bool:
        """Whether a permission of the resource was asked for; else Graph is only what is left."""
        return bool(self.permissions) or self.default

    @property
    def qualified(self) -> tuple[str, ...]:
        """Resource permissions as `resource id/Permission`."""
        return tuple(f"{self.resource.resource_id}/{name}" for name in self.permissions)


GRAPH = Resource(resource_id=GRAPH_APP_ID, audience=GRAPH_APP_ID)


def find_resource(identifier: str, directory: Directory, own_urls: tuple[str, ...]) -> Resource:
    """The resource of that name; the emulator's own addresses are Graph.

    Raises:
        EntraError: 500011, no such resource.
    """
    bare = identifier.rstrip("/")
    if bare in GRAPH_HOSTS or bare in own_urls or bare == GRAPH_APP_ID:
        return Resource(
            resource_id=GRAPH_APP_ID, audience=identifier if "://" in identifier else GRAPH_APP_ID
        )
    app = directory.app_by_resource(identifier)
    if app is None:
        raise EntraError(500011, f"The name was '{identifier[:100]}'.")
    audience = app.client_id if app.access_token_version == 2 else identifier
    return Resource(resource_id=app.client_id, audience=audience, app=app)


def read_scope(
    text: str, directory: Directory, own_urls: tuple[str, ...], *, resource: str = ""
) -> RequestedScope:
    """The scope parameter's parts; `resource` is the parameter of that name.

    Raises:
        EntraError: 70011 malformed, 650053 unknown to its resource, 28000 for several resources, 500011,
            9010010 when `resource` is not the one that the scopes belong to.
    """
    read = _read(text, directory, own_urls)
    if not resource:
        return read
    named = _named(resource, directory, own_urls)
    if named is None or (read.names_resource and named.resource_id != read.resource.resource_id):
        raise EntraError(9010010, f"The resource was '{resource[:200]}'.")
    return replace(read, resource=named)


def _named(identifier: str, directory: Directory, own_urls: tuple[str, ...]) -> Resource | None:
    """The resource that `resource` names, letter for letter, a slash at its end included."""
    if identifier in (*GRAPH_HOSTS, *(f"{host}/" for host in GRAPH_HOSTS), *own_urls, GRAPH_APP_ID):
        return find_resource(identifier, directory, own_urls)
    for app in list(directory.apps.values()):
        if identifier == app.client_id or identifier in app.identifier_uris:
            audience = app.client_id if app.access_token_version == 2 else identifier
            return Resource(resource_id=app.client_id, audience=audience, app=app)
    return None


def _read(text: str, directory: Directory, own_urls: tuple[str, ...]) -> RequestedScope:
    oidc: list[str] = []
    permissions: list[str] = []
    as_written: dict[str, str] = {}
    resource: Resource | None = None
    for word in text.split():
        if word in OIDC_SCOPES:
            oidc.append(word)
            continue
        identifier, separator, name = word.rpartition("/")
        found = find_resource(identifier, directory, own_urls) if separator else GRAPH
        if resource is not None and found.resource_id != resource.resource_id:
            raise EntraError(28000)
        resource = resource or found
        if not (name == ".default" or _PERMISSION.fullmatch(name)):
            raise EntraError(70011, f"The value '{word[:100]}' is not a scope.")
        spelt = name if name == ".default" else _spelt(name, found)
        permissions.append(spelt)
        as_written[spelt] = word if separator else spelt
    default = ".default" in permissions
    if default and len(permissions) > 1:
        raise EntraError(70011, "The scope .default cannot be combined with others of its resource.")
    return RequestedScope(
        oidc=tuple(dict.fromkeys(oidc)),
        resource=resource or GRAPH,
        permissions=() if default else tuple(dict.fromkeys(permissions)),
        default=default,
        as_written=as_written,
    )


def _spelt(name: str, resource: Resource) -> str:
    """The permission as its resource spells it."""
    known: str | None = name
    if resource.app is None:
        known = permission_named(name)
    elif name not in resource.app.scopes:
        known = None
    if known is None:
        raise EntraError(650053, f"The scope was '{name[:100]}', the resource '{resource.resource_id}'.")
    return known


def needs_administrator(permission: str) -> bool:
    """Whether people cannot consent to this Graph permission by themselves."""
    name = permission.rpartition("/")[2]
    return name.endswith(".All") and name not in _USER_CONSENTABLE_ALL
