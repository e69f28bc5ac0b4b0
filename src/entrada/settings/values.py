"""How the text of a setting becomes its value: one reader per kind.

Each takes what the environment (text) or a TOML file (text, lists, tables) holds. What cannot be read raises
ValueError with the words that follow "cannot be used:"; they never repeat a value that may be secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from entrada.accounts.admission import GuestRule
from entrada.accounts.groups import WantedGroups, parse_group
from entrada.accounts.roles import LONGEST_ROLE, is_role_name, role_mapping
from entrada.entra.authority import MULTI_TENANT_SEGMENTS, TenantId, parse_guid
from entrada.entra.clouds import cloud_named
from entrada.settings.pasted import check_pasted_id
from entrada.strict_json import JsonRefused, read_json_object

HABITS = ("oauth2-proxy", "easy-auth")
"""Products whose addresses `entrada serve` can answer as well."""
DSTACK_PROJECT_ROLES = frozenset({"admin", "manager", "user"})

_DURATION = re.compile(r"(\d{1,6})(s|m|h|d)", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DOMAIN = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}", re.ASCII)
_PATH = re.compile(r"/(?![/\\])[A-Za-z0-9._~/-]*(\?[A-Za-z0-9._~-]+=[A-Za-z0-9._~-]+)?", re.ASCII)
"""With one parameter at most: Entra keeps the query of a redirect URI, and Mage once had people register
`/oauth?provider=active_directory`."""
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*|\[[0-9a-f:.]+\]", re.ASCII)


def read_items(value: Any) -> list[Any]:
    """A comma-separated text as a list; empty items are dropped."""
    if isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    if not isinstance(value, list):
        raise ValueError("write a comma-separated text, or a list of texts")  # noqa: TRY004  # what pydantic reports
    return value


def read_duration(value: Any) -> Any:
    if isinstance(value, timedelta) and value > timedelta(0):
        return value
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError("write a number and a unit, such as 30s, 15m, 8h or 7d")
    if not int(match[1]):
        raise ValueError("it must be longer than nothing; write something such as 30s, 15m, 8h or 7d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def read_keep(value: Any) -> Any:
    """A duration; None for `forever`."""
    if isinstance(value, str) and value.strip().lower() == "forever":
        return None
    try:
        return read_duration(value)
    except OverflowError:
        raise ValueError("it is longer than time is counted here; write forever") from None
    except ValueError as wrong:
        raise ValueError(f"{wrong}, or forever") from None


def read_origin(value: Any) -> Any:
    """`https://host[:port]`, lower case, without a trailing slash."""
    if not isinstance(value, str):
        return value
    try:
        parts = urlsplit(value := value.strip())
        port = parts.port
    except ValueError:
        raise ValueError("this is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("write it as https://host, with the scheme")
    if parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("only scheme, host and port belong here, no path and no user")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    # urlsplit drops tabs and line ends without a word, and takes any other character for part of a host.
    if not (_HOST.fullmatch(host) and value.isprintable()) or port == 0:
        raise ValueError("this is not a host name; write one outside ASCII in its xn-- form")
    usual = {"https": 443, "http": 80}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, usual) else "")


def read_host_origin(value: Any) -> Any:
    """As `read_origin`, and a bare host means https, as the azure-identity libraries have it."""
    if isinstance(value, str) and "://" not in value:
        value = f"https://{value}"
    return read_origin(value)


def read_roles_mapping(value: Any) -> Any:
    """A JSON object of app role or group to role, sorted by what its keys mean."""
    value = _read_object(value, 'write an object such as {"Mage.Edit": "Editor"}')
    if not isinstance(value, Mapping) or not all(
        isinstance(part, str) and part for pair in value.items() for part in pair
    ):
        raise ValueError('write a JSON object of text to text, such as {"Mage.Edit": "Editor"}')
    for role in value.values():
        read_role(role)
    return role_mapping(value)


def read_role(value: Any) -> Any:
    if isinstance(value, str) and value and not is_role_name(value):
        raise ValueError(
            f"{value[:20]!a} is no name of a role: write at most {LONGEST_ROLE} letters on one line, "
            "without control characters"
        )
    return value


def _read_object(value: Any, example: str) -> Any:
    """The JSON object in a text, in the strict reading; what is no text as it is."""
    if not isinstance(value, str):
        return value
    try:
        return read_json_object(value.encode("utf-8", "surrogatepass"))
    except JsonRefused as refused:
        raise ValueError(f"this is {refused}; {example}") from None


def read_wanted_groups(value: Any) -> Any:
    """`all`, or groups by object id or `group:NAME`, separated by commas."""
    if isinstance(value, WantedGroups):
        return value
    items = read_items(value)
    if items == ["all"]:
        return WantedGroups(everything=True)
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise ValueError("write all, or groups by object id or group:NAME, separated by commas")
    return WantedGroups(groups=frozenset(map(parse_group, items)))


def read_projects(value: Any) -> Any:
    """A JSON object of app role or group to an object of project to project role."""
    example = 'write a JSON object such as {"Dstack.Dev": {"main": "user"}}'
    value = _read_object(value, example)
    if not isinstance(value, Mapping) or not all(isinstance(key, str) and key for key in value):
        raise ValueError(example)
    for projects in value.values():
        if not isinstance(projects, Mapping) or not all(
            isinstance(part, str) and part for pair in projects.items() for part in pair
        ):
            raise ValueError(example)
        if unknown := set(projects.values()) - DSTACK_PROJECT_ROLES:
            raise ValueError(
                f"{min(unknown)!r} is no project role of dstack: write "
                f"{', '.join(sorted(DSTACK_PROJECT_ROLES))}"
            )
    return {key: dict(projects) for key, projects in value.items()}


def read_tenant(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    check_pasted_id(value)
    text = value.strip().lower()
    if parse_guid(text) or text in MULTI_TENANT_SEGMENTS or _DOMAIN.fullmatch(text):
        return text
    if text == "consumers":
        raise ValueError("it holds personal accounts only; use 'common' with $[allowed_tenants]")
    raise ValueError("this is neither a GUID nor a domain name; copy the Directory (tenant) ID")


def read_cloud(value: Any) -> Any:
    return cloud_named(value) if isinstance(value, str) else value


def read_client_id(value: Any) -> Any:
    """A GUID in lower case, as it stands in the `aud` of a token; Entra itself takes it in either.

    A broker lists clients by other names; that one is needed elsewhere is checked together with it.
    """
    if not isinstance(value, str):
        return value
    check_pasted_id(value)
    return parse_guid(value) or value


def read_secret(value: Any) -> Any:
    """A client secret as it is, or a refusal of what nobody at Entra ever made."""
    if isinstance(value, str):
        for part in {value, *value.split(",")} - {""}:
            check_pasted_id(part.strip() or part)
        if value.lower().startswith(("bearer ", "basic ")):
            raise ValueError("it begins with a word of an HTTP header; put the secret's Value there alone")
    return value


def read_line(value: Any) -> Any:
    """One line for people to read."""
    if isinstance(value, str) and not (value.isprintable() and value.strip()):
        raise ValueError("write one line of visible characters")
    return value


def read_listen_address(value: Any) -> Any:
    """An address of this machine to listen at, as host:port."""
    if isinstance(value, str):
        host, _, port = value.rpartition(":")
        if not _HOST.fullmatch(host.lower()) or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65_535:
            raise ValueError("write host:port, such as 127.0.0.1:9464 or [::1]:9464")
    return value


def read_tenant_ids(value: Any) -> Any:
    return [read_tenant_id(item) for item in read_items(value)]


def read_tenant_id(item: Any) -> TenantId:
    guid = parse_guid(item)
    if guid is None:
        raise ValueError("each entry must be a tenant's GUID")
    return TenantId(guid)


def read_guests(value: Any) -> Any:
    """'allow', 'deny', or a list of home tenants."""
    if value in ("allow", "deny"):
        return GuestRule(homes=None if value == "allow" else frozenset())
    return GuestRule(homes=frozenset(read_tenant_ids(value)))


def read_paths(value: Any) -> Any:
    items = read_items(value)
    if not all(isinstance(item, str) and _PATH.fullmatch(item) for item in items):
        raise ValueError("each entry must be a path beginning with one slash, such as /oauth")
    return items


def read_habits(value: Any) -> Any:
    """Some of `HABITS`, or the word none."""
    items = read_items(value)
    if items == ["none"]:
        return frozenset()
    if not all(item in HABITS for item in items):
        raise ValueError(f"write some of {', '.join(HABITS)}, comma-separated, or none")
    return frozenset(items)


def read_domains(value: Any) -> Any:
    items = [item.lower() if isinstance(item, str) else item for item in read_items(value)]
    if not all(isinstance(item, str) and _DOMAIN.fullmatch(item) for item in items):
        raise ValueError("each entry must be a domain name such as contoso.com")
    return items
