"""The walk of a sign-in, out and back.

Out: a pending sign-in and the address of Entra.
Back, one straight line: identify the person → admit them → store what asking Entra again takes → store
their groups, where any matter → open a session: there is none about which nobody can ask.
Whatever fails on the way ends it: nothing half-made stays behind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from entrada.accounts.admission import AdmissionPolicy, admit
from entrada.accounts.identity import User, UserId
from entrada.accounts.store import AccountStore
from entrada.entra.application import EntraApplication
from entrada.flows.authorization_response import AuthorizationResponse
from entrada.flows.identification import Identification, Identified
from entrada.flows.pending import PendingSignIn
from entrada.flows.session_check import find_proven, new_session_limits
from entrada.flows.session_tokens import SessionTokens
from entrada.sessions.session import UNKNOWN_DEVICE, Device, Session, SessionId, SessionPolicy
from entrada.sessions.store import SessionStore
from entrada.sessions.token import SessionToken, new_session_token

ANSWERABLE_BY_A_PERSON = frozenset({"login_required", "interaction_required", "consent_required"})
"""Errors of a silent request (prompt=none) that an interactive one may mend."""

LONGEST_OPENING = timedelta(seconds=30)
"""Less than the shortest interval of the re-check, and more than opening a session ever takes."""


@dataclass(frozen=True, kw_only=True)
class SignedIn:
    """The end of the walk: the account, the new session, and the token for its cookie."""

    user: User
    session: Session
    token: SessionToken


@dataclass(frozen=True, kw_only=True)
class SignIn:
    identification: Identification
    accounts: AccountStore
    sessions: SessionStore
    admission: AdmissionPolicy
    session_policy: SessionPolicy
    remember: Callable[[UserId, Identified], None] = lambda _user, _identified: None
    """See `BackgroundRecheck.remember`."""
    session_tokens: SessionTokens | None = None
    """None: nobody calls other APIs."""

    @property
    def application(self) -> EntraApplication:
        return self.identification.application

    def complete(
        self, response: AuthorizationResponse, pending: PendingSignIn, *, replaces: SessionToken | None = None
    ) -> SignedIn:
        """The person behind an answer, signed in. The session that `replaces` proves ends with it.

        Raises:
            SignInError: refused; see the tree in `entrada.errors`.
            Unavailable: Entra, Graph or the database did not answer.
        """
        identified = self.identification.complete(response, pending)
        return self.open(identified, pending, replaces=() if replaces is None else (replaces,))

    def open(
        self,
        identified: Identified,
        pending: PendingSignIn,
        *,
        replaces: Sequence[SessionToken] = (),
        device: Device = UNKNOWN_DEVICE,
    ) -> SignedIn:
        """A session for a verified person, if they are let in. See `complete`.

        Raises:
            AdmissionRefused: a genuine person whom this application does not let in.
            StoreUnavailable: the database did not answer.
        """
        user = self._admit(identified)
        kept_at = self.identification.clock.now()
        self.remember(user.id, identified)
        user = self._with_groups(user, identified)
        replaced = self._session_to_replace(replaces, pending)
        before = (
            None
            if self.session_tokens is None
            else self.session_tokens.before(replaced, identified.newcomer.identity)
        )
        signed_in = self._open_session(user, identified, replaces=replaced, device=device)
        if self.session_tokens is not None:
            self.session_tokens.keep(signed_in.session, identified, pending, before)
        if self.identification.clock.now() - kept_at > LONGEST_OPENING:
            # The process stood still in between. Somebody without a session is forgotten by the re-check.
            self.remember(user.id, identified)
        return signed_in

    def _admit(self, identified: Identified) -> User:
        return admit(
            identified.newcomer,
            policy=self.admission,
            accounts=self.accounts,
            now=self.identification.clock.now(),
        )

    def _with_groups(self, user: User, identified: Identified) -> User:
        """Behind `remember`: a look that began before this sign-in changes nothing any more."""
        identity, membership = identified.newcomer.identity, identified.newcomer.membership
        if user.membership_of(identity) == membership:
            return user
        return self.accounts.record_groups(user_id=user.id, identity=identity, membership=membership)

    def _session_to_replace(self, tokens: Sequence[SessionToken], pending: PendingSignIn) -> SessionId | None:
        """The session of this browser: by its cookie, or, where a cross-site POST came without, as begun."""
        proven = (find_proven(self.sessions, token) for token in tokens)
        return next((session.id for session in proven if session is not None), pending.replaces)

    def _open_session(
        self, user: User, identified: Identified, *, replaces: SessionId | None, device: Device
    ) -> SignedIn:
        now, token = self.identification.clock.now(), new_session_token()
        idle_expires_at, absolute_expires_at = new_session_limits(now, self.session_policy)
        session = Session(
            id=token.id,
            secret_hash=token.secret_hash,
            user_id=user.id,
            identity=identified.newcomer.identity,
            created_at=now,
            last_seen_at=now,
            idle_expires_at=idle_expires_at,
            absolute_expires_at=absolute_expires_at,
            entra_session_id=identified.id_token.session_id,
            logout_hint=identified.id_token.login_hint,
            opened_by=device,
            authenticated_at=identified.id_token.auth_time,
        )
        self.sessions.open(session, replaces=replaces)
        return SignedIn(user=user, session=session, token=token)
