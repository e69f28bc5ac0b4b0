"""Tokens of other APIs for who is signed in by a session.

One straight line: the session stands → its grant opens → a token in it that is still good, or else alone
among all threads and processes: refresh → store → the session still stands → the token.
The store is asked each time: what has ended there gives nothing here, in no process, from that moment on.

Who holds a grant for longer than `HELD_FOR` (a killed process) loses it to the next; what he then brings is
not stored. The older refresh token stays good at Entra, so nothing is lost by that. When Entra does not
answer, the session stays as it is, and a token that is due to be refreshed is used to its end. When Entra
takes the refresh token back, the session is over.

Source: RFC 6749, section 6; Microsoft, "Refresh tokens in the Microsoft identity platform".
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta

from entrada.accounts.identity import EntraIdentity
from entrada.accounts.principal import UserPrincipal
from entrada.audit.acts import ENTRA, Cause
from entrada.clock import Clock
from entrada.entra.api_scopes import ApiScopes
from entrada.entra.api_token import ApiToken
from entrada.entra.api_token_requests import redeem_for_api
from entrada.entra.token_response import AccessTokenResponse, TokenError
from entrada.errors import EntraUnavailable, InteractionRequired
from entrada.events import Event, record
from entrada.flows.identification import Identification, Identified, ends_access
from entrada.flows.keyed_locks import KeyedLocks
from entrada.flows.pending import PendingSignIn
from entrada.flows.quiet_time import QuietTime
from entrada.flows.session_check import SessionCheck
from entrada.flows.session_grant import SessionGrant, new_grant, seal_grant, unseal_grant
from entrada.sealing import Sealer
from entrada.sessions.sealed_grants import SealedGrant, SealedGrants
from entrada.sessions.session import Session, SessionId

EARLY = timedelta(minutes=5)
"""A token that is good for less than this is refreshed: a call takes time, and clocks differ."""
HELD_FOR = timedelta(seconds=45)
"""Longer than Entra is waited for, discovery included."""
WAITED_FOR_SECONDS = 20.0
"""How long a request waits for another process to come back with a token."""
PAUSE_SECONDS = 0.05
AT_ONCE = timedelta(seconds=5)
"""Requests that bring the same challenge within this time were refused with the same token."""

ASKS_FOR_THE_PERSON = frozenset(
    {"invalid_grant", "interaction_required", "consent_required", "login_required", "access_denied"}
)
"""What a person may mend by going through Entra; every other error is about this application."""


@dataclass(kw_only=True)
class SessionTokens:
    identification: Identification
    grants: SealedGrants
    sealer: Sealer = field(repr=False)
    session_check: SessionCheck
    pause: Callable[[float], None] = time.sleep
    quiet: QuietTime = field(init=False, repr=False)
    _locks: KeyedLocks = field(default_factory=KeyedLocks, repr=False)

    def __post_init__(self) -> None:
        self.quiet = QuietTime(clock=self.clock)

    @property
    def clock(self) -> Clock:
        return self.session_check.clock

    def before(self, replaced: SessionId | None, identity: EntraIdentity) -> SessionGrant | None:
        """What the session that a sign-in replaces was for, if it stands and was the same person's.

        Raises:
            StoreUnavailable: the database did not answer.
        """
        good = None if replaced is None else self.session_check.find_good(replaced, now=self.clock.now())
        return None if good is None or good[0].identity != identity else self._find(good[0])[1]

    def keep(
        self,
        session: Session,
        identified: Identified,
        pending: PendingSignIn,
        before: SessionGrant | None = None,
    ) -> None:
        """A session has opened: what it may use later.

        Raises:
            StoreUnavailable: the database did not answer.
        """
        grant = new_grant(identified, pending, before, now=self.clock.now())
        self.grants.put(session.id, seal_grant(grant, session, self.sealer))

    def auth_contexts_of(self, session_id: SessionId) -> frozenset[str]:
        """The authentication contexts that this session's sign-in met.

        Raises:
            StoreUnavailable: it cannot be known.
        """
        good = self.session_check.find_good(session_id, now=self.clock.now())
        grant = None if good is None else self._find(good[0])[1]
        return frozenset() if grant is None else grant.auth_contexts

    def token_for(
        self, principal: UserPrincipal, session_id: SessionId, scopes: ApiScopes, *, claims: str = ""
    ) -> ApiToken:
        """See `ApiTokens.token_for`."""
        session = self._standing(principal, session_id)
        if not claims:
            grant = self._find(session)[1]
            token = None if grant is None else grant.token(scopes, good_at=self.clock.now() + EARLY)
            if token is not None:
                return token
        with self._locks.of(session_id):
            token = self._alone(principal, session, scopes, claims)
        self._standing(principal, session_id)
        return token

    def _standing(self, principal: UserPrincipal, session_id: SessionId) -> Session:
        """The session, if it stands and is this person's."""
        good = self.session_check.find_good(session_id, now=self.clock.now())
        if good is None or good[0].identity != principal.identity or good[0].user_id != principal.user_id:
            raise InteractionRequired(
                "Your session in this application is over.",
                hint="Sign in again; you come back to where you were.",
                login_hint=principal.username,
            )
        return good[0]

    def _find(self, session: Session) -> tuple[SealedGrant | None, SessionGrant | None]:
        stored = self.grants.find(session.id)
        return stored, None if stored is None else unseal_grant(stored.sealed, session, self.sealer)

    def _alone(self, principal: UserPrincipal, session: Session, scopes: ApiScopes, claims: str) -> ApiToken:
        """Within this process alone; waits until it is so among all."""
        holder, deadline = secrets.token_hex(8), self.clock.monotonic() + WAITED_FOR_SECONDS
        while True:
            stored, grant = self._find(session)
            if stored is None or grant is None or grant.refresh_token is None:
                raise self._needed(principal, session, scopes, claims, grant)
            now = self.clock.now()
            token = grant.token(scopes, good_at=now + EARLY)
            if claims:
                kept = grant.tokens.get(scopes.key)
                is_the_first = grant.claims.get(scopes.key) != claims
                if not is_the_first and (
                    kept is None or now.timestamp() - kept.got_at > AT_ONCE.total_seconds()
                ):
                    # A token that answers these very claims was refused: only the person can help.
                    raise self._needed(principal, session, scopes, claims, grant)
                token = None if is_the_first else token
            if token is not None:
                return token
            if self.grants.hold(stored, holder=holder, now=now, until=now + HELD_FOR):
                asked = grant.challenged(scopes, claims) if claims else grant
                return self._refresh(principal, session, scopes, asked, holder)
            token = None if claims else grant.token(scopes, good_at=now)
            if token is not None:
                return token  # due, but good: whoever holds the grant brings the next one
            if self.clock.monotonic() >= deadline:
                raise EntraUnavailable(reason="another process waits for this token")
            self.pause(PAUSE_SECONDS)

    def _refresh(
        self,
        principal: UserPrincipal,
        session: Session,
        scopes: ApiScopes,
        grant: SessionGrant,
        holder: str,
    ) -> ApiToken:
        assert grant.refresh_token is not None
        asked_at, claims = self.clock.now(), grant.claims.get(scopes.key, "")
        try:
            with self.quiet.kept():
                answer = redeem_for_api(
                    self.identification.application, grant.refresh_token, scopes, claims=claims
                )
        except EntraUnavailable:
            self._store(session, grant, holder)
            still_good = grant.token(scopes, good_at=self.clock.now())
            if still_good is not None:
                return still_good
            raise
        except BaseException:
            self.grants.let_go(session.id, holder=holder)
            raise
        if isinstance(answer, TokenError):
            is_for_the_person = answer.error in ASKS_FOR_THE_PERSON
            self._store(session, grant if is_for_the_person else grant.unchallenged(scopes), holder)
            raise self._refused(answer, principal, session, scopes, grant)
        return self._take(
            answer, principal, session, scopes, grant.got(scopes, answer, asked_at=asked_at), holder
        )

    def _take(
        self,
        answer: AccessTokenResponse,
        principal: UserPrincipal,
        session: Session,
        scopes: ApiScopes,
        grant: SessionGrant,
        holder: str,
    ) -> ApiToken:
        lacking = scopes.lacking(answer.scope)
        if lacking:
            others = {key: kept for key, kept in grant.tokens.items() if key != scopes.key}
            self._store(session, replace(grant, tokens=others), holder)
            raise self._needed(principal, session, scopes, "", grant)
        self._store(session, grant, holder)
        token = grant.token(scopes, good_at=self.clock.now())
        if token is None:
            raise EntraUnavailable(reason="the access token had expired before it arrived", answered=True)
        return token

    def _store(self, session: Session, grant: SessionGrant, holder: str) -> None:
        """Where it is held no more, a newer one stands there, or nothing, and that is right."""
        self.grants.renew(session.id, holder=holder, sealed=seal_grant(grant, session, self.sealer))

    def _refused(
        self,
        answer: TokenError,
        principal: UserPrincipal,
        session: Session,
        scopes: ApiScopes,
        grant: SessionGrant,
    ) -> Exception:
        """What Entra's refusal means: the session is over, the person is wanted, or neither can help."""
        refusal = self.identification.refusal(answer.error, answer.description)
        if answer.error not in ASKS_FOR_THE_PERSON or not ends_access(refusal):
            return refusal
        if answer.error == "invalid_grant" and self._is_taken_back(grant):
            reason = f"AADSTS{refusal.aadsts}" if refusal.aadsts else refusal.error
            self.session_check.sessions.end(session.id, cause=Cause(actor=ENTRA, reason=reason))
            self.session_check.distrust()
            record(
                Event.ACCESS_ENDED,
                reason=reason,
                user_id=session.user_id,
                **asdict(session.identity),
            )
        claims = answer.claims or grant.claims.get(scopes.key, "")
        return self._needed(principal, session, scopes, claims, grant)

    def _is_taken_back(self, grant: SessionGrant) -> bool:
        """Whether the refresh token is no longer good for the sign-in itself either.

        `invalid_grant` is also what a missing consent is called; only asking without the API tells.
        """
        assert grant.refresh_token is not None
        answer = self.identification.application.refresh(grant.refresh_token)
        return isinstance(answer, TokenError) and ends_access(
            self.identification.refusal(answer.error, answer.description)
        )

    def _needed(
        self,
        principal: UserPrincipal,
        session: Session,
        scopes: ApiScopes,
        claims: str,
        grant: SessionGrant | None,
    ) -> InteractionRequired:
        is_repeated = grant is not None and grant.was_asked_lately(scopes.key, self.clock.now())
        return InteractionRequired(
            "Microsoft was asked for this just now, and still does not allow it." if is_repeated else None,
            hint="Ask your administrator whether this application may do this for you."
            if is_repeated
            else None,
            scopes=scopes.words,
            claims=claims,
            login_hint=session.logout_hint or principal.username,
            is_repeated=is_repeated,
        )
