"""`IdToken`, the verified type, and the checks that make a raw ID token one, in their order.

Is the only maker of `IdToken`; everything else can only receive one.
Does no I/O and reads no clock: keys and `now` come in as arguments.

     1  form, size, JSON, alg, crit, typ        the gate, `entrada.entra.jws`
     2  kid                                     exactly one key of that name
     3  signature                               RS256, before any claim is read
     4  ver                                     2.0
     5  tid, iss, key_issuer                    the issuer is that tenant's own, and the key may speak for it
     6  aud, azp                                this application
     7  exp, nbf, iat                           within the skew; not issued long ago
     8  token_use                               an ID token, no access or logout token
     9  tenant                                  allowed here; personal accounts have their own answer
    10  nonce                                   the one of this sign-in
    11  sub, oid                                a person that can be named
    12  auth_time, acrs                         as fresh and as strong as asked for
    13  at_hash, c_hash                         the tokens beside it, when it names them
    14  roles, groups, amr, acr, sid, uti       shapes that can be relied on

Not checked: whether the account is still enabled (Entra did, when it issued the token), and whether the
person may come in (`entrada.accounts`).

Source: OpenID Connect Core 1.0, sections 3.1.3.7 and 12.2; Microsoft, "Secure applications and APIs by
validating claims" and "ID tokens in the Microsoft identity platform".
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from entrada.entra import claims as read
from entrada.entra.authority import ObjectId, TenantId, parse_guid
from entrada.entra.checks import (
    TENANT_TEMPLATE,
    check_audience,
    check_hash,
    check_issuer,
    check_tenant,
    check_times,
    find_key,
    in_seconds,
    verify_signature,
)
from entrada.entra.jws import PLAIN_JWT, RS256_ONLY, RawAccessToken, RawIdToken, read_claims, read_jws
from entrada.entra.keys import KeySet
from entrada.errors import AdmissionRefused, RefusedPerson, TokenRefused

_MADE_BY_VERIFICATION: Final = object()
"""Only this module passes it on; a test holds the whole source to that."""

# Claims that only other kinds of token carry. `azp` and `roles` stand in both kinds, so they tell nothing.
_ACCESS_TOKEN_CLAIMS = ("scp", "appid", "azpacr", "appidacr", "idtyp")
_LOGOUT_TOKEN_CLAIMS = ("events",)

_PROFILE_HINT = "Administrator: ask for the scope `profile` at sign-in; Entra sends `oid` only with it."


@dataclass(frozen=True, kw_only=True)
class IdToken:
    """An ID token that passed every check: the one thing about a person that may be believed.

    `tenant_id` and `object_id` together name the person, and nothing else here does.
    """

    verified: InitVar[object]

    issuer: str
    tenant_id: TenantId
    object_id: ObjectId
    subject: str
    """Pairwise: the same person has another `subject` in every application."""
    audience: str
    nonce: str | None = field(repr=False)
    issued_at: datetime
    expires_at: datetime
    auth_time: datetime | None
    token_id: str | None
    """`uti`; Entra's log knows the token by it."""

    name: str
    """For showing; empty if Entra sent none."""
    preferred_username: str | None
    """Changes hands: nothing may be looked up by it."""
    email: str | None
    """None also if what Entra sent is not one plain address."""
    email_is_verified: bool | None
    """Whether the tenant owns the address's domain, as Entra says; None: it said neither yes nor no."""
    is_guest: bool
    home_tenant: TenantId | None
    """Where the account lives: `tenant_id`, or another for a guest or an external member; None: of no tenant
    (Google, one-time passcode, SAML)."""

    roles: frozenset[str]
    """App role values, exactly as assigned; empty if none is."""
    groups: frozenset[str] | None
    """Object ids in lower case (or names, if the registration asks for them); None if the claim is absent."""
    has_group_overage: bool
    """The person is in more groups than a token holds: ask Graph, `groups` is not the whole truth."""
    auth_contexts: frozenset[str]
    """`acrs`: the authentication contexts that Conditional Access says were met."""
    authentication_methods: frozenset[str]
    """`amr`, such as `pwd` and `mfa`; empty where the issuer says none, as Entra does in v2.0 tokens."""
    auth_class: str | None
    """`acr`, where the issuer says it."""

    session_id: str | None
    """`sid`: what Entra's front-channel logout will name."""
    login_hint: str | None = field(repr=False)

    given_name: str | None = None
    family_name: str | None = None
    """For showing; optional claims, which the registration has to ask for."""

    def __post_init__(self, verified: object) -> None:
        if verified is not _MADE_BY_VERIFICATION:
            raise TypeError("an IdToken is made by verify_id_token, and nowhere else")

    @property
    def remembered(self) -> RememberedSignIn:
        """What to store of this sign-in for the day it is refreshed."""
        return RememberedSignIn(
            issuer=self.issuer,
            tenant_id=self.tenant_id,
            object_id=self.object_id,
            subject=self.subject,
            audience=self.audience,
            nonce=self.nonce or "",
            auth_time=self.auth_time,
        )


@dataclass(frozen=True, kw_only=True)
class RememberedSignIn:
    """What the token of a refresh is compared with: the same person, application and sign-in.

    Source: OpenID Connect Core 1.0, section 12.2.
    """

    issuer: str
    tenant_id: TenantId
    object_id: ObjectId
    subject: str
    audience: str
    nonce: str = field(repr=False)
    auth_time: datetime | None


@dataclass(frozen=True, kw_only=True)
class IdTokenExpectations:
    """What an ID token must say to be believed here.

    `issuer_template` is `Metadata.issuer_template`. `nonce` is the value that stood in the authorize request;
    MSAL sends the SHA-256, in hexadecimal, of the nonce it keeps, so with MSAL it is that.
    `max_age` and `auth_contexts` are what the authorize request asked for, if it did.

    Raises:
        ValueError: something is empty; an expectation that expects nothing would let everything through.
    """

    issuer_template: str
    client_id: str
    allowed_tenants: frozenset[TenantId]
    nonce: str = field(repr=False)
    max_age: timedelta | None = None
    auth_contexts: frozenset[str] = frozenset()
    is_one_issuer: bool = False
    """`issuer_template` is the issuer itself, a broker's; then one tenant alone is allowed."""
    skew: timedelta = timedelta(seconds=120)
    oldest_issue: timedelta = timedelta(hours=1)

    def __post_init__(self) -> None:
        if not (self.client_id and self.nonce and self.allowed_tenants):
            raise ValueError("client_id, nonce and allowed_tenants must not be empty")
        if self.is_one_issuer:
            if TENANT_TEMPLATE in self.issuer_template or len(self.allowed_tenants) != 1:
                raise ValueError("one issuer for all tenants goes with exactly one allowed tenant")
        elif TENANT_TEMPLATE not in self.issuer_template:
            raise ValueError("issuer_template must contain {tenantid}")
        if not timedelta(0) <= self.skew <= timedelta(minutes=5):
            raise ValueError("skew must lie between 0 and 5 minutes")


def verify_id_token(
    raw: RawIdToken,
    *,
    keys: KeySet,
    expected: IdTokenExpectations,
    now: datetime,
    access_token: RawAccessToken | None = None,
    code: str | None = None,
) -> IdToken:
    """The verified token of a sign-in.

    `access_token` and `code` are what came with it; they are needed only if the token names their hashes.

    Raises:
        TokenRefused: a check failed; `check` names it.
        TenantRefused: genuine, but of a tenant that is not allowed here.
        PersonalAccountRefused: genuine, but of a personal account, and those are not allowed here.
    Source: OpenID Connect Core 1.0, section 3.1.3.7.
    """
    claims, issuer, tenant_id = _believe(raw, keys, expected, now)
    _check_nonce(claims, expected.nonce)
    check_hash(claims, "at_hash", access_token)
    check_hash(claims, "c_hash", code)
    return _read_id_token(claims, issuer=issuer, tenant_id=tenant_id, expected=expected, now=now)


def verify_refreshed_id_token(
    raw: RawIdToken,
    *,
    keys: KeySet,
    expected: IdTokenExpectations,
    previous: RememberedSignIn,
    now: datetime,
    access_token: RawAccessToken | None = None,
) -> IdToken:
    """The verified token of a refresh: as at sign-in, with the same person, and application as `previous`.

    A refreshed token need not repeat the nonce; if it does, it is the one of the sign-in.

    Raises:
        TokenRefused: as `verify_id_token`, or check "refresh": whatever stands on that sign-in must end.
    Source: OpenID Connect Core 1.0, section 12.2.
    """
    claims, issuer, tenant_id = _believe(raw, keys, expected, now)
    if "nonce" in claims:
        _check_nonce(claims, expected.nonce)
    check_hash(claims, "at_hash", access_token)
    token = _read_id_token(claims, issuer=issuer, tenant_id=tenant_id, expected=expected, now=now)
    for name in ("issuer", "tenant_id", "object_id", "subject", "audience"):
        if getattr(token, name) != getattr(previous, name):
            raise TokenRefused("refresh", f"another {name} than at sign-in")
    if token.auth_time and previous.auth_time and token.auth_time < previous.auth_time:
        raise TokenRefused("refresh", "an earlier auth_time than at sign-in")
    return token


def _believe(
    raw: str, keys: KeySet, expected: IdTokenExpectations, now: datetime
) -> tuple[Mapping[str, Any], str, TenantId]:
    """Checks 1 to 9: claims, issuer and tenant of a genuine, current ID token for this application."""
    jws = read_jws(raw, algorithms=RS256_ONLY, types=PLAIN_JWT)
    key = find_key(keys, jws)
    verify_signature(jws, key)
    claims = read_claims(jws)
    _check_version(claims)
    issuer, tenant_id = check_issuer(claims, key, expected.issuer_template)
    check_audience(claims, expected.client_id)
    check_times(claims, skew=expected.skew, oldest_issue=expected.oldest_issue, now=now)
    _check_token_use(claims)
    try:
        check_tenant(tenant_id, expected.allowed_tenants)
    except AdmissionRefused as refused:
        refused.refused = _named_in(claims, tenant_id)
        raise
    return claims, issuer, tenant_id


def _named_in(claims: Mapping[str, Any], tenant_id: TenantId) -> RefusedPerson:
    """Who is told that they may not come in: everything that does not depend on the tenant has passed."""
    account = read.shown_text(claims.get("preferred_username")) or read.shown_text(claims.get("email"))
    return RefusedPerson(
        name=read.shown_text(claims.get("name")) or account or "",
        account=account,
        tenant_id=tenant_id,
        object_id=parse_guid(claims.get("oid")),
    )


def _check_version(claims: Mapping[str, Any]) -> None:
    if claims.get("ver") != "2.0":
        raise TokenRefused("ver", "not 2.0")


def _check_nonce(claims: Mapping[str, Any], expected: str) -> None:
    found = claims.get("nonce")
    # A missing nonce never gets as far as the comparison, and an expectation is never empty.
    if not isinstance(found, str) or not hmac.compare_digest(found.encode(), expected.encode()):
        raise TokenRefused("nonce", "not the one of this sign-in")


def _check_token_use(claims: Mapping[str, Any]) -> None:
    if any(name in claims for name in _ACCESS_TOKEN_CLAIMS):
        raise TokenRefused("token_use", "an access token in place of an ID token")
    if any(name in claims for name in _LOGOUT_TOKEN_CLAIMS):
        raise TokenRefused("token_use", "a logout token in place of an ID token")


def _read_person(claims: Mapping[str, Any]) -> tuple[str, ObjectId]:
    subject = read.required_text(claims, "sub", limit=255)
    object_id = parse_guid(claims.get("oid"))
    if object_id is None:
        raise TokenRefused("oid", "missing or not a GUID", hint=_PROFILE_HINT)
    return subject, ObjectId(object_id)


def _check_strength(
    auth_time: datetime | None, contexts: frozenset[str], expected: IdTokenExpectations, now: datetime
) -> None:
    if expected.max_age is not None:
        if auth_time is None:
            raise TokenRefused("auth_time", "missing, though a recent sign-in was asked for")
        if now > auth_time + expected.max_age + expected.skew:
            raise TokenRefused("auth_time", f"signed in {in_seconds(now - auth_time)} ago")
    if not expected.auth_contexts <= contexts:
        raise TokenRefused("acrs", "a required authentication context was not met")


def _read_id_token(
    claims: Mapping[str, Any],
    *,
    issuer: str,
    tenant_id: TenantId,
    expected: IdTokenExpectations,
    now: datetime,
) -> IdToken:
    subject, object_id = _read_person(claims)
    auth_time, contexts = read.optional_moment(claims, "auth_time"), read.read_auth_contexts(claims)
    _check_strength(auth_time, contexts, expected, now)
    email = read.read_email(claims)
    username = read.shown_text(claims.get("preferred_username"))
    is_guest, home_tenant = read.read_home(claims, issuer=issuer, tenant_id=tenant_id)
    return IdToken(
        verified=_MADE_BY_VERIFICATION,
        issuer=issuer,
        tenant_id=tenant_id,
        object_id=object_id,
        subject=subject,
        audience=expected.client_id,
        nonce=claims.get("nonce"),
        issued_at=read.required_moment(claims, "iat"),
        expires_at=read.required_moment(claims, "exp"),
        auth_time=auth_time,
        token_id=read.optional_text(claims, "uti", limit=read.VALUE_LIMIT_CHARS),
        name=read.shown_text(claims.get("name")) or username or "",
        given_name=read.shown_text(claims.get("given_name")),
        family_name=read.shown_text(claims.get("family_name")),
        preferred_username=username,
        email=email,
        email_is_verified=False if email is None else read.email_is_verified(claims),
        is_guest=is_guest,
        home_tenant=home_tenant,
        roles=read.text_set(claims, "roles") or frozenset(),
        groups=read.read_groups(claims),
        has_group_overage=read.has_group_overage(claims),
        auth_contexts=contexts,
        authentication_methods=read.text_set(claims, "amr") or frozenset(),
        auth_class=read.optional_text(claims, "acr", limit=read.VALUE_LIMIT_CHARS),
        session_id=read.optional_text(claims, "sid", limit=read.VALUE_LIMIT_CHARS),
        login_hint=_usable_hint(claims),
    )


def _usable_hint(claims: Mapping[str, Any]) -> str | None:
    """The login hint if it can stand in an address, else None: it only saves the person a click."""
    try:
        return read.optional_text(claims, "login_hint", limit=read.OPAQUE_LIMIT_CHARS)
    except TokenRefused:
        return None
