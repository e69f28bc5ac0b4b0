"""`[[installations]]` of entrada.toml: the operator's own list, or one sentence with the line and the fix.

    [[installations]]
    url = "https://mage.example.com"
    tenant = "11111111-1111-4111-8111-111111111111"

    [[installations]]
    client_id = "previews"
    tenant = "11111111-1111-4111-8111-111111111111"
    origin_pattern = "https://*.previews.example.com"
    groups = ["dddddddd-0000-4000-8000-000000000001"]
    claims = ["name", "email", "roles", "groups"]

With `url` the addresses of Entrada, Mage and dstack below it are listed; `redirect_uris` names others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from entrada.broker.discovery import CLAIMS
from entrada.broker.installations import (
    DEFAULT_CLAIMS,
    ClientId,
    Installation,
    Proof,
    installation_at,
    is_listable,
    read_origin_pattern,
    read_public_url,
)
from entrada.entra.authority import TenantId, parse_guid
from entrada.settings.tables import SettingsTable, read_tables_of
from entrada.strict_json import read_json_object

_KEYS = (
    "url",
    "client_id",
    "tenant",
    "redirect_uris",
    "origin_pattern",
    "post_logout_redirect_uris",
    "backchannel_logout_uri",
    "secret_sha256",
    "jwks",
    "claims",
    "groups",
    "roles_claim",
    "roles_mapping",
    "insecure_without_pkce",
)
_OTHER_CLAIMS = frozenset({"azp", "at_hash", "c_hash", "client_id", "events", "jti", "scope"})
"""What a claim of the operator's own may not be called, beside the claims that there are."""

_ROLES_CLAIM = re.compile(r"[a-z][a-z_]{0,63}", re.ASCII)
_SHA256_HEX_CHARACTERS = 64
_LONGEST_CLIENT_ID = 2_000
_SMALLEST_RSA_KEY = 2_048
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


def read_listed(file: Path | None) -> Sequence[Installation]:
    """The installations that the settings file lists; none without a file.

    Raises:
        ConfigurationError: the first thing that is wrong, with its line.
    """
    listed: list[Installation] = []
    for table in read_tables_of(file).tables("installations"):
        installation = _read(table)
        if any(one.client_id == installation.client_id for one in listed):
            table.refuse(
                f"There is a second installation {installation.client_id!r}.", "Keep one of the two."
            )
        listed.append(installation)
    return listed


def _read(table: SettingsTable) -> Installation:
    table.only(_KEYS)
    tenant = table.parsed("tenant", _tenant)
    if tenant is None:
        table.refuse("The installation has no tenant.", 'Add tenant = "…", the Directory (tenant) ID.')
    url = table.parsed("url", read_public_url)
    client_id = table.parsed("client_id", _client_id) or url
    if client_id is None:
        table.refuse("The installation has no url.", 'Add url = "https://…", its public URL.')
    made = Installation(client_id=ClientId(client_id), tenant_id=tenant)
    if url is not None:
        made = replace(installation_at(url, tenant_id=tenant), client_id=ClientId(client_id))
    pattern = table.parsed("origin_pattern", read_origin_pattern)
    redirect_uris = table.texts("redirect_uris")
    back, backchannel = table.texts("post_logout_redirect_uris"), table.text("backchannel_logout_uri")
    for key, addresses in (
        ("redirect_uris", redirect_uris),
        ("post_logout_redirect_uris", back),
        ("backchannel_logout_uri", frozenset({backchannel} if backchannel else ())),
    ):
        for address in sorted(addresses):
            if not is_listable(address):
                table.refuse(
                    f"{key} names {address!r}.",
                    "Codes and logout tokens travel there: write https://host/path, or http:// for this "
                    "machine, without a user or a fragment.",
                    key,
                )
    if url is None and pattern is None and not redirect_uris:
        table.refuse("The installation has no address.", "Add url, redirect_uris or origin_pattern.")
    secrets, keys = table.texts("secret_sha256"), table.parsed("jwks", _public_keys) or ()
    if secrets and keys:
        table.refuse("The installation has secrets and keys.", "Keep the one it proves itself by.", "jwks")
    proof = Proof.SECRET if secrets else Proof.KEY if keys else Proof.PKCE
    return replace(
        made,
        redirect_uris=tuple(sorted(redirect_uris)) or made.redirect_uris,
        origin_pattern=pattern,
        post_logout_redirect_uris=tuple(sorted(back)) or made.post_logout_redirect_uris,
        backchannel_logout_uri=backchannel or made.backchannel_logout_uri,
        proof=proof,
        secret_hashes=tuple(_secret_hash(table, secret) for secret in sorted(secrets)),
        jwks=keys,
        claims=_claims(table),
        groups=_groups(table),
        roles_claim=table.parsed("roles_claim", _roles_claim),
        roles_mapping=_roles_mapping(table),
        insecure_without_pkce=_without_pkce(table, is_confidential=proof is not Proof.PKCE),
    )


def _client_id(text: str) -> str:
    if not (text.isascii() and text.isprintable() and len(text) <= _LONGEST_CLIENT_ID):
        raise ValueError("write up to 2000 characters of plain ASCII, such as its public URL")
    return text


def _roles_claim(text: str) -> str:
    if not _ROLES_CLAIM.fullmatch(text):
        raise ValueError("write a name of lower-case letters and underscores, such as user_roles")
    if text in CLAIMS or text in _OTHER_CLAIMS:
        raise ValueError("a claim of that name says something else")
    return text


def _roles_mapping(table: SettingsTable) -> Mapping[str, tuple[str, ...]] | None:
    found = table.mapping("roles_mapping")
    for key in found or {}:
        if key.startswith("group:") or " " in key or "/" in key:
            table.refuse(
                f"roles_mapping names {key!r}.",
                "Write the value of an app role, or a group's object id: names of groups change hands.",
                "roles_mapping",
            )
    return found


def _without_pkce(table: SettingsTable, *, is_confidential: bool) -> bool:
    wanted = table.flag("insecure_without_pkce")
    if wanted and not is_confidential:
        table.refuse(
            "insecure_without_pkce, and no secret: nothing would prove who redeems a code.",
            "Add secret_sha256 or jwks, or leave PKCE on.",
            "insecure_without_pkce",
        )
    return wanted


def _tenant(text: str) -> TenantId:
    tenant = parse_guid(text)
    if tenant is None:
        raise ValueError("a tenant is named by its GUID, the Directory (tenant) ID")
    return TenantId(tenant)


def _secret_hash(table: SettingsTable, text: str) -> bytes:
    try:
        digest = bytes.fromhex(text) if len(text) == _SHA256_HEX_CHARACTERS else b""
    except ValueError:
        digest = b""
    if not digest:
        table.refuse(
            "secret_sha256 is no SHA-256.",
            "Write the 64 hexadecimal digits that `printf %s THE-SECRET | sha256sum` prints.",
            "secret_sha256",
        )
    return digest


def _public_keys(text: str) -> tuple[dict[str, Any], ...]:
    """The keys of a JWK Set, each of them usable for an assertion and named, none of them private."""
    keys = read_json_object(text.encode()).get("keys")
    if not isinstance(keys, list) or not keys or not all(isinstance(key, dict) for key in keys):
        raise ValueError('write a JWK Set as it is published: {"keys": [...]}')
    if any(_PRIVATE_MEMBERS & key.keys() for key in keys):
        raise ValueError("a private key stays with the client: write its public half")
    names = [key.get("kid") for key in keys]
    if len(set(map(str, names))) != len(keys) or not all(isinstance(name, str) and name for name in names):
        raise ValueError("each key needs a kid of its own")
    for key in keys:
        _check_key(key)
    return tuple(keys)


def _check_key(key: dict[str, Any]) -> None:
    try:
        made = jwt.PyJWK(key, algorithm={"RSA": "RS256", "EC": "ES256"}.get(str(key.get("kty")), "none")).key
    except (jwt.PyJWTError, ValueError, TypeError):
        made = None
    is_rsa = isinstance(made, rsa.RSAPublicKey) and made.key_size >= _SMALLEST_RSA_KEY
    is_ec = isinstance(made, ec.EllipticCurvePublicKey) and made.curve.name == ec.SECP256R1.name
    if not (is_rsa or is_ec):
        raise ValueError("a key can be RSA of 2048 bits or more, or EC on P-256")


def _claims(table: SettingsTable) -> frozenset[str]:
    claims = table.texts("claims") or DEFAULT_CLAIMS
    for claim in claims - DEFAULT_CLAIMS:
        table.refuse(f"claims names {claim!r}.", f"There are {', '.join(sorted(DEFAULT_CLAIMS))}.", "claims")
    return claims


def _groups(table: SettingsTable) -> frozenset[str] | None:
    groups = table.texts("groups")
    for group in groups:
        if parse_guid(group) is None:
            table.refuse(
                f"groups names {group!r}, which is no object id.",
                "Names change hands: write the group's object id, as Entra's admin centre shows it.",
                "groups",
            )
    return frozenset(parse_guid(group) or group for group in groups) or None
