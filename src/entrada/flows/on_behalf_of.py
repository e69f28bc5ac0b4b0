"""Tokens of other APIs for who calls with an access token: it is exchanged for another one, in their name.

The caller's token is checked anew, as each call is: expired, or its account disabled, it gives nothing. What
Entra gives is remembered in this process by the hash of the caller's token and the scopes, no longer than
either lives, and forgotten when the log of what ended names the person.

Source: Microsoft, "Microsoft identity platform and OAuth 2.0 On-Behalf-Of flow".
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from entrada.accounts.identity import UserId
from entrada.accounts.principal import UserPrincipal
from entrada.entra.api_scopes import ApiScopes
from entrada.entra.api_token import ApiToken
from entrada.entra.api_token_requests import exchange_on_behalf_of
from entrada.entra.application import EntraApplication
from entrada.entra.authority import TenantId
from entrada.entra.jws import RawAccessToken
from entrada.entra.token_response import TokenError
from entrada.errors import ApiTokenRefused, EntraUnavailable, InteractionRequired
from entrada.flows.bearer import BearerCheck, CheckedToken
from entrada.flows.identification import Identification, ends_access
from entrada.flows.keyed_locks import KeyedLocks
from entrada.flows.quiet_time import QuietTime
from entrada.sessions.revocation import Revocations

EARLY = timedelta(minutes=1)
MOST_REMEMBERED = 10_000
MOST_TENANTS = 1_000
AT_ONCE = timedelta(seconds=5)

ASKS_FOR_THE_PERSON = frozenset(
    {"invalid_grant", "interaction_required", "consent_required", "login_required"}
)

_Key = tuple[bytes, str]


@dataclass(frozen=True, kw_only=True)
class _Exchanged:
    token: ApiToken
    user_id: UserId
    got_at: datetime
    claims: str


@dataclass(kw_only=True)
class OnBehalfOf:
    """`bearer` is who checks callers; None: this registration has no tokens of its own."""

    identification: Identification
    bearer: BearerCheck | None
    most_remembered: int = MOST_REMEMBERED
    quiet: QuietTime = field(init=False, repr=False)
    _remembered: OrderedDict[_Key, _Exchanged] = field(default_factory=OrderedDict, repr=False)
    _at_tenants: OrderedDict[str, EntraApplication] = field(default_factory=OrderedDict, repr=False)
    _changes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _locks: KeyedLocks = field(default_factory=KeyedLocks, repr=False)

    def __post_init__(self) -> None:
        self.quiet = QuietTime(clock=self.identification.clock)
        if self.bearer is not None and self.bearer.sessions is not None:
            self.bearer.sessions.subscribe(self._learn)

    def token_for(
        self, principal: UserPrincipal, raw: RawAccessToken, scopes: ApiScopes, *, claims: str = ""
    ) -> ApiToken:
        """See `ApiTokens.token_for`."""
        key = (hashlib.sha256(raw.encode("utf-8", "replace")).digest(), scopes.key)
        checked = self._check(principal, raw)
        known = None if claims else self._known(key)
        if known is not None:
            return known
        with self._locks.of(key):
            token = self._known(key, claims)
            if token is None:
                token = self._exchange(checked, principal, raw, scopes, claims, key)
        self._check(principal, raw)
        return token

    def _check(self, principal: UserPrincipal, raw: RawAccessToken) -> CheckedToken:
        if self.bearer is None:
            raise ApiTokenRefused("This application takes no access tokens, so there is none to exchange.")
        checked = self.bearer.check(raw)
        if checked.principal.user_id != principal.user_id or checked.principal.identity != principal.identity:
            raise ApiTokenRefused("The access token is not of the person who is to be acted for.")
        return checked

    def _known(self, key: _Key, claims: str = "") -> ApiToken | None:
        """A remembered one that is still good; with `claims` only one that was just got for them."""
        assert self.bearer is not None
        known, now = self._remembered.get(key), self.bearer.clock.now()
        if known is None or now + EARLY >= known.token.expires_at:
            return None
        if claims and (known.claims != claims or now - known.got_at > AT_ONCE):
            return None
        return known.token

    def _exchange(
        self,
        checked: CheckedToken,
        principal: UserPrincipal,
        raw: RawAccessToken,
        scopes: ApiScopes,
        claims: str,
        key: _Key,
    ) -> ApiToken:
        assert self.bearer is not None
        before = self._forget(key)
        if claims and before is not None and before.claims == claims:
            raise _needed(checked, scopes, claims)
        changes, asked_at = self._changes, self.bearer.clock.now()
        with self.quiet.kept():
            answer = exchange_on_behalf_of(self._application(checked), raw, scopes, claims=claims)
        if isinstance(answer, TokenError):
            refusal = self.identification.refusal(answer.error, answer.description)
            if answer.error in ASKS_FOR_THE_PERSON and ends_access(refusal):
                raise _needed(checked, scopes, answer.claims or claims)
            raise refusal
        if scopes.lacking(answer.scope):
            raise _needed(checked, scopes, claims)
        expires_at = min(asked_at + answer.expires_in, checked.token.expires_at)
        token = ApiToken(answer.access_token, expires_at=expires_at, scopes=scopes.words)
        if self.bearer.clock.now() >= expires_at:
            raise EntraUnavailable(reason="the access token had expired before it arrived", answered=True)
        exchanged = _Exchanged(token=token, user_id=principal.user_id, got_at=asked_at, claims=claims)
        self._remember(key, exchanged, changes=changes)
        return token

    def _application(self, checked: CheckedToken) -> EntraApplication:
        """Entra takes such a token at its own tenant alone."""
        application, tenant_id = self.identification.application, checked.token.tenant_id
        if not application.authority.is_multi_tenant:
            return application
        with self._lock:
            found = self._at_tenants.get(tenant_id)
            if found is None:
                found = self._at_tenants[tenant_id] = application.at_tenant(TenantId(tenant_id))
                while len(self._at_tenants) > MOST_TENANTS:
                    self._at_tenants.popitem(last=False)
            return found

    def _learn(self, revocations: Revocations) -> None:
        """Called in whichever thread looked at the log."""
        if revocations.is_complete and not revocations.users:
            return
        with self._lock:
            self._changes += 1
            if not revocations.is_complete:
                self._remembered.clear()
                return
            users = revocations.users
            for key in [key for key, known in self._remembered.items() if known.user_id in users]:
                del self._remembered[key]

    def _remember(self, key: _Key, exchanged: _Exchanged, *, changes: int) -> None:
        """Unless something ended since `changes` was read, which the entry may not know of."""
        with self._lock:
            if changes != self._changes:
                return
            self._remembered[key] = exchanged
            while len(self._remembered) > self.most_remembered:
                self._remembered.popitem(last=False)

    def _forget(self, key: _Key) -> _Exchanged | None:
        with self._lock:
            return self._remembered.pop(key, None)


def _needed(checked: CheckedToken, scopes: ApiScopes, claims: str) -> InteractionRequired:
    return InteractionRequired(
        hint="Sign in once in a browser at this application, and accept what it asks for; then call again.",
        scopes=scopes.words,
        claims=claims,
        by_token=True,
        can_be_answered=checked.token.understands_challenges,
    )
