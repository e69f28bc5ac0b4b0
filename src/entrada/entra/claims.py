"""Single claims of a token that is believed, read into values.

A claim that decides something (roles, groups, sid) and has the wrong shape refuses the whole token: to guess
"none" would take roles away, or hand out a default role, in silence.
A claim that is only shown is cleaned instead.

Source: Microsoft, "ID token claims reference" and "Configure optional claims"; OpenID Connect Core 1.0,
section 2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from entrada.compatibility import UTC
from entrada.entra.authority import PERSONAL_ACCOUNTS, TenantId, parse_guid
from entrada.entra.jws import is_printable_ascii
from entrada.errors import TokenRefused

LATEST_SECOND = 32_503_680_000  # the year 3000: far beyond any token, well inside what datetime can add to
LIST_LIMIT = 2_000
VALUE_LIMIT_CHARS = 256
SHOWN_LIMIT_CHARS = 256
OPAQUE_LIMIT_CHARS = 2_048

# Where tenants of any cloud are named as `idp`. The list is closed: an organisation that federates directly
# chooses its own issuer address, and could write another organisation's tenant into it.
_ISSUER_HOSTS = frozenset(
    {
        "sts.windows.net",
        "sts.chinacloudapi.cn",
        "login.microsoftonline.com",
        "login.microsoftonline.us",
        "login.partner.microsoftonline.cn",
    }
)
_ISSUER = re.compile(r"https://([a-z.]+)/([0-9a-fA-F-]{36})/(?:v2\.0/?)?", re.ASCII)
_EMAIL = re.compile(r"[!-?A-~]{1,64}@[a-z0-9](?:[a-z0-9.-]{0,253}[a-z0-9])?", re.ASCII | re.IGNORECASE)


def required_moment(claims: Mapping[str, Any], name: str) -> datetime:
    """The moment that a claim in seconds since 1970 names.

    Raises:
        TokenRefused: check `name`: missing, no whole number (true and "1" are none), or beyond the year 3000.
    Source: RFC 7519, section 2 (NumericDate).
    """
    if name not in claims:
        raise TokenRefused(name, "missing")
    seconds = claims[name]
    # `type`, because true is an int to isinstance.
    if type(seconds) is not int or not 0 < seconds <= LATEST_SECOND:
        raise TokenRefused(name, "not a moment in seconds")
    return datetime.fromtimestamp(seconds, UTC)


def optional_moment(claims: Mapping[str, Any], name: str) -> datetime | None:
    """As `required_moment`, but None if the claim is absent."""
    return required_moment(claims, name) if name in claims else None


def required_text(claims: Mapping[str, Any], name: str, *, limit: int) -> str:
    """A claim of 1 to `limit` printable ASCII characters.

    Raises:
        TokenRefused: check `name`.
    """
    if name not in claims:
        raise TokenRefused(name, "missing")
    text = claims[name]
    if not isinstance(text, str) or not is_printable_ascii(text, limit=limit):
        raise TokenRefused(name, f"not 1 to {limit} printable characters")
    return text


def optional_text(claims: Mapping[str, Any], name: str, *, limit: int) -> str | None:
    """As `required_text`, but None if the claim is absent."""
    return required_text(claims, name, limit=limit) if name in claims else None


def is_session_id_of_entra(text: str) -> bool:
    """Whether a token could have carried this `sid`: what a sign-in accepts, the front channel accepts."""
    return is_printable_ascii(text, limit=VALUE_LIMIT_CHARS)


def text_set(claims: Mapping[str, Any], name: str) -> frozenset[str] | None:
    """A claim that is a list of strings, kept to the letter; None if it is absent.

    Raises:
        TokenRefused: check `name`: a lone string, null, a list of anything else, too many or too long.
    """
    if name not in claims:
        return None
    values = claims[name]
    if not isinstance(values, list) or len(values) > LIST_LIMIT:
        raise TokenRefused(name, f"not a list of at most {LIST_LIMIT}")
    if not all(isinstance(value, str) and 0 < len(value) <= VALUE_LIMIT_CHARS for value in values):
        raise TokenRefused(name, "not a list of short texts")
    return frozenset(values)


def read_groups(claims: Mapping[str, Any]) -> frozenset[str] | None:
    """The `groups` claim, object ids in lower case; None if it is absent."""
    groups = text_set(claims, "groups")
    return None if groups is None else frozenset(parse_guid(group) or group for group in groups)


def has_group_overage(claims: Mapping[str, Any]) -> bool:
    """Whether Entra left groups out for want of space.

    The addresses in `_claim_sources` are never read: they name a retired host, and no token names our hosts.

    Source: Microsoft, "Configure group claims" (groups overage claim).
    """
    elsewhere = claims.get("_claim_names", {})
    if not isinstance(elsewhere, dict):
        raise TokenRefused("groups", "_claim_names is not an object")
    return "groups" in elsewhere or claims.get("hasgroups", False) is not False


def read_auth_contexts(claims: Mapping[str, Any]) -> frozenset[str]:
    """The `acrs` claim, a list or a single text; empty if it is absent."""
    if isinstance(claims.get("acrs"), str):
        return frozenset({claims["acrs"]})
    return text_set(claims, "acrs") or frozenset()


def shown_text(value: object) -> str | None:
    """Text to show: no control characters, no direction overrides, cut to size; None if nothing is left."""
    if not isinstance(value, str):
        return None
    kept = value[: 2 * SHOWN_LIMIT_CHARS]
    if not kept.isprintable():
        kept = "".join(char for char in kept if char.isprintable())
    return kept.strip()[:SHOWN_LIMIT_CHARS] or None


def read_email(claims: Mapping[str, Any]) -> str | None:
    """The `email` claim if it is one plain ASCII address, else None: an odd one must match nobody's."""
    email = claims.get("email")
    return email if isinstance(email, str) and _EMAIL.fullmatch(email) else None


def email_is_verified(claims: Mapping[str, Any]) -> bool | None:
    """Whether the tenant owns the address's domain; None where `xms_edov` is absent and nothing says no.

    Whatever is there and is no yes is a no, in either claim: a no must not be overruled by a list of domains.

    Source: Microsoft, "Migrate away from using email claims for user identification".
    """
    if "email_verified" in claims and claims["email_verified"] is not True:
        return False
    if "xms_edov" not in claims:
        return None
    vouched = claims["xms_edov"]
    return vouched is True or (type(vouched) is int and vouched == 1) or vouched == "1"


def read_home(claims: Mapping[str, Any], *, issuer: str, tenant_id: TenantId) -> tuple[bool, TenantId | None]:
    """Whether the person is a guest in `tenant_id`, and where the account lives.

    `acct` decides where it is there: 0 is a member, also one whose account lives elsewhere (an external
    member); anything else is a guest. Without it one sign of a guest is enough: an `idp` that is not this
    tenant, or `#EXT#` in the user name.

    Source: Microsoft, "ID token claims reference" (`idp`) and "Configure optional claims" (`acct`).
    """
    home = _read_home_tenant(claims["idp"], issuer, tenant_id) if "idp" in claims else None
    looks_external = ("idp" in claims and home != tenant_id) or any(
        "#EXT#" in str(claims.get(name, "")).upper() for name in ("preferred_username", "upn")
    )
    elsewhere = None if home == tenant_id else home
    if "acct" not in claims:
        return looks_external, elsewhere if looks_external else tenant_id
    account = claims["acct"]
    if (type(account) is int and account == 0) or account == "0":
        return False, elsewhere if looks_external else tenant_id
    return True, elsewhere


def _read_home_tenant(idp: object, issuer: str, tenant_id: TenantId) -> TenantId | None:
    if not isinstance(idp, str):
        return None
    if idp == "live.com":
        return PERSONAL_ACCOUNTS
    match = _ISSUER.fullmatch(idp)
    # Another tenant of the login host that issued this token, whatever its address is, or of a known host.
    before, _, after = issuer.partition(tenant_id)
    if idp.startswith(before) and idp.endswith(after):
        guid = parse_guid(idp[len(before) : len(idp) - len(after)])
    else:
        guid = parse_guid(match[2]) if match and match[1] in _ISSUER_HOSTS else None
    return TenantId(guid) if guid else None
