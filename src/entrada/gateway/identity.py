"""Who is asking, as fields of the request that the upstream gets, in the styles that applications know.

    x-entrada        X-Entrada-User, -Object-Id, -Tenant-Id, -Name, -Email, -Username, -Roles, -Groups
    x-forwarded      X-Forwarded-User, -Email, -Preferred-Username, -Groups       (oauth2-proxy, to upstreams)
    x-auth-request   X-Auth-Request-User, -Email, -Preferred-Username, -Groups    (oauth2-proxy, to proxies)
    remote           Remote-User, -Name, -Email, -Groups                          (Authelia)
    easy-auth        X-MS-CLIENT-PRINCIPAL, -ID, -NAME, -IDP                      (App Service Authentication)

The user is named by the object id, which never changes hands, except in X-Entrada-User, which is the account
of Entrada's own. Addresses and user names change hands: nobody should be looked up by them.

**Encoding.** A field holds printable ASCII. Any other character of a value, a percent sign, and a blank at
either end are written as percent-encoded UTF-8 (`Zo%C3%AB`); in a list, whose values are joined by commas, so
is a comma. X-MS-CLIENT-PRINCIPAL is base64 of JSON. A list longer than `LONGEST_FIELD_BYTES` is not sent
short: the request is refused.

Each style names all its fields every time; one that this caller has no value for is None: to be cleared, so
that a client's own never survives (D1c).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping

from entrada.errors import RequestRefused
from entrada.gateway.caller import Caller

LONGEST_FIELD_BYTES = 7 * 1024

_SCHEMAS = "http://schemas.microsoft.com/identity/claims/"
_NAME_TYPE = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"
_ROLE_TYPE = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"

Fields = tuple[tuple[str, str | None], ...]
"""Names, and values or None for a field to be cleared."""


def identity_fields(styles: Iterable[str], caller: Caller | None) -> Fields:
    """The fields of these styles for one caller; for nobody each of them is to be cleared.

    Raises:
        RequestRefused: a value is too long for a field.
    """
    found: list[tuple[str, str | None]] = []
    for style in styles:
        for name, read in STYLES[style].items():
            value = (read(caller) or None) if caller is not None else None
            if value is not None and len(value) > LONGEST_FIELD_BYTES:
                raise RequestRefused(
                    f"What is known about you does not fit into the field {name}.",
                    hint="Ask your administrator to pass fewer groups or roles to this application.",
                )
            found.append((name, value))
    return tuple(found)


def encoded(value: str | None) -> str:
    """One value as a field can carry it."""
    if not value:
        return ""
    if value.isascii() and value.isprintable() and "%" not in value and value == value.strip(" "):
        return value
    body = value.strip(" ")
    before, after = len(value) - len(value.lstrip(" ")), len(value) - len(value.rstrip(" "))
    if not body:
        return "%20" * len(value)
    return "%20" * before + "".join(map(_encoded_character, body)) + "%20" * after


def encoded_list(values: Iterable[str]) -> str:
    """Several values, sorted, with commas between them and none inside."""
    return ",".join(encoded(value).replace(",", "%2C") for value in sorted(values) if value)


def _encoded_character(char: str) -> str:
    if " " <= char <= "~" and char != "%":
        return char
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "replace"))


def claims_of_easy_auth(caller: Caller) -> list[dict[str, str]]:
    """What App Service Authentication says about a person, under its names for the claims.

    Source: Microsoft, "Work with user identities in Azure App Service authentication".
    """
    claims = [
        (_SCHEMAS + "objectidentifier", caller.object_id),
        (_SCHEMAS + "tenantid", caller.tenant_id),
        ("name", caller.name),
        (_NAME_TYPE, caller.username or caller.name),
        ("preferred_username", caller.username),
        ("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress", caller.email),
        *((_ROLE_TYPE, role) for role in sorted(caller.roles)),
        *(("groups", group) for group in sorted(caller.groups)),
    ]
    return [{"typ": name, "val": value} for name, value in claims if value]


def _principal_of_easy_auth(caller: Caller) -> str:
    document = {
        "auth_typ": "aad",
        "claims": claims_of_easy_auth(caller),
        "name_typ": _NAME_TYPE,
        "role_typ": _ROLE_TYPE,
    }
    return base64.b64encode(json.dumps(document, separators=(",", ":")).encode()).decode()


def _of_oauth2_proxy(prefix: str) -> dict[str, Callable[[Caller], str]]:
    return {
        f"{prefix}-User": lambda caller: encoded(caller.object_id),
        f"{prefix}-Email": lambda caller: encoded(caller.email),
        f"{prefix}-Preferred-Username": lambda caller: encoded(caller.username),
        f"{prefix}-Groups": lambda caller: encoded_list(caller.groups | caller.roles),
    }


STYLES: Mapping[str, Mapping[str, Callable[[Caller], str]]] = {
    "x-entrada": {
        "X-Entrada-User": lambda caller: encoded(caller.user_id),
        "X-Entrada-Object-Id": lambda caller: encoded(caller.object_id),
        "X-Entrada-Tenant-Id": lambda caller: encoded(caller.tenant_id),
        "X-Entrada-Name": lambda caller: encoded(caller.name),
        "X-Entrada-Email": lambda caller: encoded(caller.email),
        "X-Entrada-Username": lambda caller: encoded(caller.username),
        "X-Entrada-Roles": lambda caller: encoded_list(caller.roles),
        "X-Entrada-Groups": lambda caller: encoded_list(caller.groups),
    },
    "x-forwarded": _of_oauth2_proxy("X-Forwarded"),
    "x-auth-request": _of_oauth2_proxy("X-Auth-Request"),
    "remote": {
        "Remote-User": lambda caller: encoded(caller.object_id),
        "Remote-Name": lambda caller: encoded(caller.name),
        "Remote-Email": lambda caller: encoded(caller.email),
        "Remote-Groups": lambda caller: encoded_list(caller.groups | caller.roles),
    },
    "easy-auth": {
        "X-MS-CLIENT-PRINCIPAL": _principal_of_easy_auth,
        "X-MS-CLIENT-PRINCIPAL-ID": lambda caller: encoded(caller.object_id),
        "X-MS-CLIENT-PRINCIPAL-NAME": lambda caller: encoded(caller.username or caller.name),
        "X-MS-CLIENT-PRINCIPAL-IDP": lambda _: "aad",
    },
}
