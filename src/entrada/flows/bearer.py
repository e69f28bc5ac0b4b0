"""The walk of a call with an access token: header → strict gate → who calls → scopes or roles → principal.

A token verified once is remembered by its hash, in bounded number, until it expires, its signing key is gone
or its person's access ends: what changes about an account is learnt from the log of what ended, as sessions
learn it, at most half a second later (where nobody reads the log, the account is asked for anew as often). A
person, an agent for a person and an agent's account are those of an account here, made by a first sign-in in
a browser; an application needs none, and stands on the app roles in its token. A token that expires while its
answer is being sent does not cut that answer off (G12).

Source: RFC 6750; Microsoft, "Secure applications and APIs by validating claims".
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from entrada.accounts.groups import UNKNOWN, Membership
from entrada.accounts.identity import EntraIdentity, UserId
from entrada.accounts.principal import AppPrincipal, Principal, principal_of
from entrada.accounts.store import AdmissionStore
from entrada.clock import Clock
from entrada.entra.access_token import AccessToken, AccessTokenExpectations, verify_access_token
from entrada.entra.callers import CallerKind
from entrada.entra.jws import RawAccessToken, read_kid
from entrada.entra.keys import KeySet, SigningKey
from entrada.errors import (
    AccountDisabled,
    AdmissionRefused,
    BearerRequestRefused,
    BearerTokenRefused,
    InsufficientClaims,
    InsufficientScope,
    TokenRefused,
)
from entrada.flows.session_check import SessionCheck
from entrada.flows.token_groups import TokenGroups
from entrada.sessions.revocation import Revocations

MOST_REMEMBERED = 10_000
ACCOUNT_CHECK_SECONDS = 0.5

_CREDENTIALS = re.compile(r"bearer (?P<token>[A-Za-z0-9._~+/-]+=*)", re.IGNORECASE | re.ASCII)
_SCHEME = re.compile(r"bearer(?![!#$%&'*+.^_`|~0-9A-Za-z-])", re.IGNORECASE | re.ASCII)
_IN_QUERY = re.compile(r"(?:^|&)access_token(?:=|&|$)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class CheckedToken:
    """A call with a good token: who calls, and what the token is for."""

    principal: Principal
    token: AccessToken

    def by(self, principal: Principal) -> CheckedToken:
        """The same call, and who is known to make it."""
        return CheckedToken(principal=principal, token=self.token)

    def meet(
        self,
        *,
        callers: Collection[CallerKind],
        scopes: Collection[str],
        roles: Collection[str] = (),
        auth_context: str | None = None,
    ) -> Principal:
        """The principal, if the token suffices: asking a caller for nothing lets nobody in.

        `scopes`: one of these, of a token with a person or an agent's account in it. `roles`: one of these,
        of an application, and of others too where there are any. `auth_context` must have been met.

        Raises:
            InsufficientScope: another kind of caller, or none of the scopes or roles.
            InsufficientClaims: Conditional Access must be met first.
        """
        kind = self.token.caller
        if kind not in callers:
            raise InsufficientScope(f"This call is not for callers of the kind {kind}.")
        if kind.has_account and self.token.scopes.isdisjoint(scopes):
            raise InsufficientScope(
                f"This call needs the scope {' or '.join(scopes)}.", scopes=frozenset(scopes)
            )
        if (roles or not kind.has_account) and not self.principal.has_any_role(*roles):
            raise InsufficientScope(f"This call needs the role {' or '.join(roles)}.")
        if auth_context is not None and auth_context not in self.token.auth_contexts:
            raise InsufficientClaims(
                auth_context=auth_context, can_be_answered=self.token.understands_challenges
            )
        return self.principal


def read_bearer(authorization: Sequence[str], *, query: str = "") -> RawAccessToken | None:
    """The token of a request, from the values of its Authorization fields; None if it carries none.

    Credentials of another scheme are none.

    Raises:
        BearerRequestRefused: several fields, another form, or a token in the query.
    Source: RFC 6750, section 2.
    """
    refuse_token_in_query(query)
    match = _CREDENTIALS.fullmatch(authorization[0]) if len(authorization) == 1 else None
    if match is not None:
        return RawAccessToken(match["token"])
    if any(_SCHEME.match(value.strip()) for value in authorization):
        raise BearerRequestRefused()
    return None


def refuse_token_in_query(query: str) -> None:
    """
    Raises:
        BearerRequestRefused: a token stands in the query.
    """
    if query and _IN_QUERY.search(query):
        raise BearerRequestRefused("This call carries a token in its address, where logs keep it.")


@dataclass(kw_only=True)
class _Remembered:
    token: AccessToken
    key: SigningKey
    principal: Principal
    ask_again_at: float
    groups_until: datetime | None
    roles_until: datetime | None
    """When the first of the person's roles ends."""


def _is_among(key: SigningKey, keys: KeySet) -> bool:
    """A key that Entra no longer publishes takes its tokens along, remembered ones too."""
    current = keys.find(key.kid)
    return current is key or current == key


def _digest(raw: RawAccessToken) -> bytes:
    return hashlib.sha256(raw.encode("utf-8", "replace")).digest()


@dataclass(kw_only=True)
class BearerCheck:
    """`expected` is asked each time: what Entra's metadata says may be known only later, or change."""

    expected: Callable[[], AccessTokenExpectations]
    keys_for: Callable[[str | None], KeySet]
    accounts: AdmissionStore
    clock: Clock
    sessions: SessionCheck | None = None
    """Who reads the log of what ended; None: nobody does."""
    groups: TokenGroups | None = None
    access_ended_at: Callable[[UserId, EntraIdentity], datetime | None] = lambda _, __: None
    """Since when Entra answers no longer for somebody: tokens of before are good for nothing, though Entra
    takes none of them back."""
    fresh_keys: Callable[[], KeySet | None] = lambda: None
    """The keys and nothing to wait for; None: `in_memory` knows nothing."""
    start_background: Callable[[], None] = lambda: None
    """Called with each call that may wait: who calls with tokens alone is looked at from the first one on."""
    most_remembered: int = MOST_REMEMBERED
    _remembered: OrderedDict[bytes, _Remembered] = field(default_factory=OrderedDict, repr=False)
    _of_user: dict[str, set[bytes]] = field(default_factory=dict, repr=False)
    _changes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        if self.sessions is not None:
            self.sessions.subscribe(self._learn)

    def in_memory(self, raw: RawAccessToken) -> CheckedToken | None:
        """As `check`, from memory alone; None decides nothing. Never waits."""
        known, keys, now = self._remembered.get(_digest(raw)), self.fresh_keys(), self.clock.now()
        if known is None or keys is None:
            return None
        for until in (known.groups_until, known.roles_until):
            if until is not None and now >= until:
                return None
        if known.principal.user_id is not None and (
            self.sessions is None or self.clock.monotonic() >= self.sessions.live.trusted_until
        ):
            return None
        is_over = now > known.token.expires_at + self.expected().skew
        if is_over or not _is_among(known.key, keys):
            return None
        return CheckedToken(principal=known.principal, token=known.token)

    def check(self, raw: RawAccessToken) -> CheckedToken:
        """Who calls.

        Raises:
            BearerTokenRefused: the token failed a check.
            AdmissionRefused: genuine, but the account is disabled, or there is none yet.
            EntraUnavailable, StoreUnavailable: it cannot be known.
        """
        self.start_background()
        digest = _digest(raw)
        now, monotonic = self.clock.now(), self.clock.monotonic()
        expected = self.expected()
        known = self._remembered.get(digest)
        if known is not None and known.principal.user_id is not None:
            self._look_if_due(monotonic)
            known = self._remembered.get(digest)
        if known is not None and self._stands(known, expected.skew, now):
            self._bring_up_to_date(known, digest, now, monotonic)
            return CheckedToken(principal=known.principal, token=known.token)
        self._forget(digest)
        try:
            keys = self.keys_for(read_kid(raw))
        except TokenRefused as refused:
            raise BearerTokenRefused(refused.check, refused.detail) from None
        token = verify_access_token(raw, keys=keys, expected=expected, now=now)
        key = keys.find(token.key_id)
        assert key is not None  # it has just verified
        if token.caller.has_account:  # a first look later would not tell what ended before it
            self._look_if_due(monotonic)
        changes = self._changes
        membership, groups_until = self._groups_of(token, now)
        principal, roles_until = self._principal(token, membership)
        entry = _Remembered(
            token=token,
            key=key,
            principal=principal,
            ask_again_at=monotonic + ACCOUNT_CHECK_SECONDS,
            groups_until=groups_until,
            roles_until=roles_until,
        )
        self._remember(digest, entry, changes=changes)
        return CheckedToken(principal=principal, token=token)

    def lacks_groups(self, checked: CheckedToken) -> bool:
        """Whether groups matter of which nobody has said whether this caller is in them."""
        return (
            self.groups is not None
            and self.groups.asks_about(checked.token.tenant_id)
            and not checked.principal.membership.asked
        )

    def _look_if_due(self, monotonic: float) -> None:
        if self.sessions is not None and monotonic >= self.sessions.live.trusted_until:
            self.sessions.look()

    def _bring_up_to_date(self, known: _Remembered, digest: bytes, now: datetime, monotonic: float) -> None:
        """The account, where nobody reads the log or a role has ended; and groups named a while ago."""
        is_over = known.groups_until is not None and now >= known.groups_until
        is_due = self.sessions is None and monotonic >= known.ask_again_at
        has_ended = known.roles_until is not None and now >= known.roles_until
        if not (is_over or is_due or has_ended):
            return
        membership = known.principal.membership
        if is_over:
            membership, known.groups_until = self._groups_of(known.token, now)
        try:
            known.principal, known.roles_until = self._principal(known.token, membership)
        except (AdmissionRefused, BearerTokenRefused):
            self._forget(digest)
            raise
        known.ask_again_at = monotonic + ACCOUNT_CHECK_SECONDS

    def _groups_of(self, token: AccessToken, now: datetime) -> tuple[Membership, datetime | None]:
        return (UNKNOWN, None) if self.groups is None else self.groups.of(token, now=now)

    def _learn(self, revocations: Revocations) -> None:
        """Called in whichever thread looked at the log: what it names is verified and looked up anew."""
        if revocations.is_complete and not revocations.users:
            return
        with self._lock:
            self._changes += 1
            if not revocations.is_complete:
                self._remembered.clear()
                self._of_user.clear()
                return
            for user in revocations.users:
                for digest in self._of_user.pop(user, ()):
                    self._remembered.pop(digest, None)

    def _stands(self, known: _Remembered, skew: timedelta, now: datetime) -> bool:
        if now > known.token.expires_at + skew:
            return False
        return _is_among(known.key, self.keys_for(known.key.kid))

    def _principal(self, token: AccessToken, membership: Membership) -> tuple[Principal, datetime | None]:
        """Who calls, and when the first of their roles ends."""
        identity = EntraIdentity(tenant_id=token.tenant_id, object_id=token.object_id)
        if not token.caller.has_account:
            application = AppPrincipal(
                client_id=token.client_id,
                identity=identity,
                name=token.name or token.client_id,
                roles=token.roles,
                caller=token.caller,
                membership=membership,
            )
            return application, None
        user = self.accounts.find_by_identity(identity)
        if user is None:
            raise AdmissionRefused(
                "There is no account here for the person in this token.",
                hint="Sign in once in a browser; that makes the account.",
            )
        if not user.is_enabled:
            raise AccountDisabled
        ended_at = self.access_ended_at(user.id, identity)
        if ended_at is not None and token.issued_at < ended_at:
            raise BearerTokenRefused("iat", "issued before this person's access ended")
        person = principal_of(
            user, identity, caller=token.caller, client_id=token.client_id, membership=membership
        )
        return person, user.roles_until

    def _remember(self, digest: bytes, entry: _Remembered, *, changes: int) -> None:
        """Unless something ended since `changes` was read, which the entry may not know of."""
        with self._lock:
            if changes != self._changes:
                return
            self._remembered[digest] = entry
            if entry.principal.user_id is not None:
                self._of_user.setdefault(entry.principal.user_id, set()).add(digest)
            while len(self._remembered) > self.most_remembered:
                self._take_out(next(iter(self._remembered)))

    def _forget(self, digest: bytes) -> None:
        with self._lock:
            self._take_out(digest)

    def _take_out(self, digest: bytes) -> None:
        entry = self._remembered.pop(digest, None)
        if entry is None or entry.principal.user_id is None:
            return
        theirs = self._of_user.get(entry.principal.user_id, set())
        theirs.discard(digest)
        if not theirs:
            self._of_user.pop(entry.principal.user_id, None)
