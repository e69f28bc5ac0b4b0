"""The checks that make a raw access token an `AccessToken`, one after the other.

Owns the order of the checks; is the only maker of `AccessToken`. Does no I/O and reads no clock.

     1  form, size, JSON, alg, crit, typ        the gate that ID tokens pass, `entrada.entra.jws`
     2  nonce in the header                     none: such a token is for another API
     3  kid, signature                          exactly one key of that name; before any claim is read
     4  ver                                     a version this API takes
     5  tid, iss, key_issuer                    that version's issuer of that tenant, and its key
     6  tenant                                  allowed here
     7  aud                                     exactly one of this API's names, GUID or App ID URI
     8  exp, nbf, iat                           within the skew
     9  token_use                               an access token: it names its client and bears no nonce
    10  azp or appid                            a client; one of those allowed, if they are listed
    11  scp, roles, oid, sub, the rest          shapes that can be relied on
    12  caller                                  person, application or agent, `entrada.entra.callers`

Not checked: whether the account is still enabled, and whether scopes and roles suffice
(`entrada.flows.bearer`).

Source: Microsoft, "Access token claims reference" and "Secure applications and APIs by validating claims";
RFC 9068, section 4 (as far as Entra's older form follows it).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from entrada.entra import claims as read
from entrada.entra.authority import ObjectId, TenantId, parse_guid
from entrada.entra.callers import CallerKind, caller_kind
from entrada.entra.checks import verify_signature
from entrada.entra.jws import PLAIN_JWT, RS256_ONLY, RawAccessToken, is_printable_ascii, read_claims, read_jws
from entrada.entra.keys import KeySet, SigningKey
from entrada.errors import BearerTokenRefused, TokenRefused

_MADE_HERE: Final = object()
_TENANT_TEMPLATE = "{tenantid}"
_MOST_SCOPES = 200

V1, V2 = "1.0", "2.0"


@dataclass(frozen=True, kw_only=True)
class AccessToken:
    """An access token that passed every check.

    `tenant_id` and `object_id` name the person, the agent's account, or the service principal, as `caller`
    says.
    """

    verified: InitVar[object]

    version: str
    tenant_id: TenantId
    object_id: ObjectId
    subject: str
    audience: str
    client_id: str
    """The application or agent that holds the token."""
    caller: CallerKind
    scopes: frozenset[str]
    """Delegated permissions, to the letter; empty for an application."""
    roles: frozenset[str]
    issued_at: datetime
    expires_at: datetime
    key_id: str | None
    """The key that signed it."""
    token_id: str | None
    name: str
    username: str | None
    groups: frozenset[str] | None
    has_group_overage: bool
    """The caller is in more groups than a token holds: `groups` is not the whole truth."""
    auth_contexts: frozenset[str]
    understands_challenges: bool
    """`xms_cc` holds cp1: the client can answer a claims challenge."""
    parent_client_id: str | None = field(default=None, repr=False)
    """`xms_par_app_azp`: for audit only."""

    def __post_init__(self, verified: object) -> None:
        if verified is not _MADE_HERE:
            raise TypeError("an AccessToken is made by verify_access_token, and nowhere else")


@dataclass(frozen=True, kw_only=True)
class AccessTokenExpectations:
    """What an access token must say to be believed here.

    `issuer_template` is `Metadata.issuer_template`, version 2's; version 1's follows from it.
    `audiences`: the application's GUID and its App ID URIs, compared to the letter. `clients` None: any.

    Raises:
        ValueError: something is empty; an expectation that expects nothing would let everything through.
    """

    issuer_template: str
    audiences: frozenset[str]
    allowed_tenants: frozenset[TenantId]
    versions: frozenset[str] = frozenset({V2})
    clients: frozenset[str] | None = None
    skew: timedelta = timedelta(seconds=120)

    def __post_init__(self) -> None:
        if not (self.versions and self.audiences and self.allowed_tenants) or "" in self.audiences:
            raise ValueError("versions, audiences and allowed_tenants must not be empty")
        if self.clients is not None and not self.clients:
            raise ValueError("clients must not be empty; None is any")
        if not self.versions <= {V1, V2}:
            raise ValueError("there are versions 1.0 and 2.0")
        if _TENANT_TEMPLATE not in self.issuer_template:
            raise ValueError("issuer_template must contain {tenantid}")
        if not timedelta(0) <= self.skew <= timedelta(minutes=5):
            raise ValueError("skew must lie between 0 and 5 minutes")


def v1_issuer_template(v2_template: str) -> str:
    """The issuer of version 1 beside that of version 2: Microsoft's have a host of their own.

    Source: Microsoft, "Access tokens in the Microsoft identity platform" (issuers by cloud).
    """
    for login, sts in (
        ("https://login.microsoftonline.com/", "https://sts.windows.net/"),
        ("https://login.microsoftonline.us/", "https://sts.windows.net/"),
        ("https://login.partner.microsoftonline.cn/", "https://sts.chinacloudapi.cn/"),
    ):
        if v2_template.startswith(login):
            return f"{sts}{_TENANT_TEMPLATE}/"
    return v2_template.removesuffix("v2.0")


def verify_access_token(
    raw: RawAccessToken, *, keys: KeySet, expected: AccessTokenExpectations, now: datetime
) -> AccessToken:
    """The verified token.

    Raises:
        BearerTokenRefused: a check failed; `check` names it.
    """
    try:
        return _verify(raw, keys, expected, now)
    except TokenRefused as refused:
        raise BearerTokenRefused(refused.check, refused.detail) from None


def _verify(
    raw: RawAccessToken, keys: KeySet, expected: AccessTokenExpectations, now: datetime
) -> AccessToken:
    jws = read_jws(raw, algorithms=RS256_ONLY, types=PLAIN_JWT)
    if "nonce" in jws.header:
        raise TokenRefused("header", "a token for another API, which only that one can check")
    key = keys.find(jws.kid)
    if key is None:
        raise TokenRefused("kid", "Entra publishes no such signing key")
    verify_signature(jws, key)
    claims = read_claims(jws)
    version = claims.get("ver")
    if not isinstance(version, str) or version not in expected.versions:
        raise TokenRefused("ver", "not a version that this API takes")
    tenant_id = _check_issuer(claims, version, key, expected)
    audience = claims.get("aud")
    if not isinstance(audience, str) or audience not in expected.audiences:
        raise TokenRefused("aud", "not meant for this API")
    times = _check_times(claims, expected.skew, now)
    client_id = _check_client(claims, version, expected)
    return _read(claims, version, tenant_id, audience, client_id, times, jws.kid)


def _check_issuer(
    claims: Mapping[str, Any], version: str, key: SigningKey, expected: AccessTokenExpectations
) -> TenantId:
    tid = parse_guid(claims.get("tid"))
    if tid is None:
        raise TokenRefused("tid", "missing or not a GUID")
    template = expected.issuer_template
    wanted = template if version == V2 else v1_issuer_template(template)
    if claims.get("iss") != wanted.replace(_TENANT_TEMPLATE, tid):
        raise TokenRefused("iss", "not the issuer of the tenant in tid")
    # Keys name issuers of version 2; the tenant's issuer of version 1 speaks through the same keys.
    if not key.speaks_for(template.replace(_TENANT_TEMPLATE, tid), tid):
        raise TokenRefused("key_issuer", "signed by a key that speaks for another issuer")
    if tid not in expected.allowed_tenants:
        raise TokenRefused("tenant", "not a tenant that may call this API")
    return TenantId(tid)


def _check_times(claims: Mapping[str, Any], skew: timedelta, now: datetime) -> tuple[datetime, datetime]:
    if now.tzinfo is None:
        raise ValueError("now must be aware")
    expires_at, issued_at = read.required_moment(claims, "exp"), read.required_moment(claims, "iat")
    not_before = read.optional_moment(claims, "nbf")
    if now > expires_at + skew:
        raise TokenRefused("exp", "expired")
    if not_before is not None and now < not_before - skew:
        raise TokenRefused("nbf", "not valid yet")
    if now < issued_at - skew:
        raise TokenRefused("iat", "issued in the future")
    return issued_at, expires_at


def _check_client(claims: Mapping[str, Any], version: str, expected: AccessTokenExpectations) -> str:
    # An ID token may have the same audience: it names no client, and bears the nonce of a sign-in.
    if "nonce" in claims or "events" in claims:
        raise TokenRefused("token_use", "not an access token")
    name = "azp" if version == V2 else "appid"
    client_id = parse_guid(claims.get(name))
    if client_id is None:
        raise TokenRefused(name, "missing or not a GUID")
    if expected.clients is not None and client_id not in expected.clients:
        raise TokenRefused(name, "not a client that may call this API")
    return client_id


def _read(
    claims: Mapping[str, Any],
    version: str,
    tenant_id: TenantId,
    audience: str,
    client_id: str,
    times: tuple[datetime, datetime],
    key_id: str | None,
) -> AccessToken:
    object_id = parse_guid(claims.get("oid"))
    if object_id is None:
        raise TokenRefused("oid", "missing or not a GUID")
    scopes, roles = _read_scopes(claims), read.text_set(claims, "roles") or frozenset()
    username = read.shown_text(claims.get("preferred_username") or claims.get("upn"))
    name = read.shown_text(claims.get("name")) or read.shown_text(claims.get("app_displayname"))
    return AccessToken(
        verified=_MADE_HERE,
        version=version,
        tenant_id=tenant_id,
        object_id=ObjectId(object_id),
        subject=read.required_text(claims, "sub", limit=255),
        audience=audience,
        client_id=client_id,
        caller=caller_kind(claims, scopes=scopes, roles=roles),
        scopes=scopes,
        roles=roles,
        issued_at=times[0],
        expires_at=times[1],
        key_id=key_id,
        token_id=read.optional_text(claims, "uti", limit=read.VALUE_LIMIT_CHARS),
        name=name or username or "",
        username=username,
        groups=read.read_groups(claims),
        has_group_overage=read.has_group_overage(claims),
        auth_contexts=read.read_auth_contexts(claims),
        understands_challenges=_understands_challenges(claims),
        parent_client_id=parse_guid(claims.get("xms_par_app_azp")),
    )


def _read_scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """Words with one blank between them (G6); absent, empty or `/`: none."""
    value = claims.get("scp", "")
    if value in ("", "/"):
        return frozenset()
    if not isinstance(value, str) or len(value) > read.OPAQUE_LIMIT_CHARS * 4:
        raise TokenRefused("scp", "not words with blanks between them")
    words = value.split(" ")
    if len(words) > _MOST_SCOPES or not all(is_printable_ascii(word, limit=255) for word in words):
        raise TokenRefused("scp", "not words with blanks between them")
    return frozenset(words)


def _understands_challenges(claims: Mapping[str, Any]) -> bool:
    value = claims.get("xms_cc", [])
    values = value if isinstance(value, list) else [value]
    return any(isinstance(word, str) and word.lower() == "cp1" for word in values)
