"""What an application holds: the three walks over one set of parts.

`entrada.build` makes it from settings; the web layer and library users call it.
Every call is synchronous; those that may ask Entra or a database belong in a thread where that matters.

Source: the name is OpenID Connect's for an application that relies on a provider to sign people in.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from entrada.accounts.administration import AdministrationRules
from entrada.accounts.identity import User, UserId
from entrada.accounts.sealed_sign_ins import SealedSignIn
from entrada.accounts.store import AccountStore
from entrada.audit.acts import BY_ENTRADA, Act, Cause
from entrada.clock import Clock
from entrada.flows.auditing import Auditing
from entrada.flows.authorization_response import AuthorizationResponse
from entrada.flows.background_prune import BackgroundPrune
from entrada.flows.background_recheck import BackgroundRecheck
from entrada.flows.background_watch import BackgroundWatch
from entrada.flows.identification import Identified
from entrada.flows.leased_job import LeasedJob
from entrada.flows.pending import PendingSignIn
from entrada.flows.role_endings import RoleEndings
from entrada.flows.session_check import CheckedSession, SessionCheck
from entrada.flows.session_tokens import SessionTokens
from entrada.flows.session_watch import SessionWatch
from entrada.flows.sign_in import SignedIn, SignIn
from entrada.flows.sign_out import SignOut
from entrada.sessions.session import UNKNOWN_DEVICE, Device, SessionId
from entrada.sessions.store import SessionStore
from entrada.sessions.token import SessionToken


class Listening(Protocol):
    """Hears from the store, at once, that something ended; the log says what."""

    def start(self) -> None:
        """Cheap where it runs already; begins anew after a fork."""

    def close(self) -> None:
        """Nothing more is heard."""


WRITE_PROBE_EVERY = timedelta(seconds=10)


@dataclass(kw_only=True)
class RelyingParty:
    sign_in: SignIn
    session_check: SessionCheck
    sign_out: SignOut
    accounts: AccountStore
    sessions: SessionStore
    clock: Clock
    recheck: BackgroundRecheck | None = None
    """Asks Entra again about whoever is signed in; None: nobody asks."""
    listening: Listening | None = None
    """None: the store tells nothing by itself, and its log is asked."""
    pruning: LeasedJob | None = None
    """Which of several servers prunes; None: this is the only one."""
    watch: BackgroundWatch[SealedSignIn] | None = None
    """Learns within seconds who left; None: the re-check alone finds out."""
    auditing: Auditing | None = None
    """None: refusals are entered nowhere, and nothing is cut off the audit trail."""
    session_tokens: SessionTokens | None = None
    """Tokens of other APIs for who is signed in; None: nobody calls other APIs."""
    role_endings: RoleEndings | None = None
    """Takes back roles whose time is over; None: they count no longer, and nobody says so."""
    close: Callable[[], None] = lambda: None
    session_watch: SessionWatch = field(init=False)
    prune: BackgroundPrune = field(init=False)
    _written_at: datetime | None = None

    def __post_init__(self) -> None:
        self.session_watch = SessionWatch(check=self.session_check)
        self.prune = BackgroundPrune(
            sessions=self.sessions, clock=self.clock, auditing=self.auditing, lease=self.pruning
        )
        close = self.close

        def close_all() -> None:
            if self.watch is not None:
                self.watch.close()
            if self.recheck is not None:
                self.recheck.loop.close()
            if self.listening is not None:
                self.listening.close()
            if self.role_endings is not None:
                self.role_endings.loop.close()
            self.session_watch.close()
            self.prune.close()
            if self.auditing is not None:
                self.auditing.close()
            close()

        self.close = close_all

    def begin_sign_in(
        self,
        *,
        redirect_uri: str,
        next_path: str,
        prompt: str | None = None,
        login_hint: str | None = None,
        domain_hint: str | None = None,
        replaces: SessionId | None = None,
    ) -> tuple[PendingSignIn, str]:
        """See `Identification.begin`."""
        return self.sign_in.identification.begin(
            redirect_uri=redirect_uri,
            next_path=next_path,
            prompt=prompt,
            login_hint=login_hint,
            domain_hint=domain_hint,
            replaces=replaces,
        )

    def complete_sign_in(
        self, response: AuthorizationResponse, pending: PendingSignIn, *, replaces: SessionToken | None = None
    ) -> SignedIn:
        """See `SignIn.complete`."""
        try:
            identified = self.sign_in.identification.complete(response, pending)
            return self.open_session(identified, pending, replaces=() if replaces is None else (replaces,))
        finally:
            self.prune.begin()  # a refused one has written a row, too

    def open_session(
        self,
        identified: Identified,
        pending: PendingSignIn,
        *,
        replaces: Sequence[SessionToken] = (),
        device: Device = UNKNOWN_DEVICE,
    ) -> SignedIn:
        """See `SignIn.open`."""
        signed_in = self.sign_in.open(identified, pending, replaces=replaces, device=device)
        self.start_background()
        if replaces or pending.replaces is not None:
            # The log names the session that was replaced, but memory may be trusted for a moment longer.
            self.session_check.distrust()
        return signed_in

    def check_session(self, cookie_value: str) -> CheckedSession | None:
        """See `SessionCheck.check`."""
        self.start_background()
        return self.session_check.check(cookie_value)

    def start_background(self) -> None:
        """From here on Entra is asked again about whoever is signed in, the store is listened to, and entries
        of the audit trail are written out.

        Doing so twice is once. After a fork the next request does it in the child.
        """
        if self.recheck is not None:
            self.recheck.loop.start()
        if self.listening is not None:
            self.listening.start()
        if self.watch is not None:
            self.watch.loop.start()
        if self.auditing is not None:
            self.auditing.start()
        if self.role_endings is not None:
            self.role_endings.loop.start()

    def set_disabled(
        self,
        user_id: UserId,
        *,
        disabled: bool,
        cause: Cause = BY_ENTRADA,
        rules: AdministrationRules | None = None,
    ) -> User | None:
        """Disables or enables an account; either way its sessions end, in every process.

        On enabling too: a sign-in that raced the disabling may have left one behind.

        Raises:
            AdministrationRefused: the rules do not allow it.
        """
        user = self.accounts.set_disabled(
            user_id, disabled=disabled, now=self.clock.now(), cause=cause, rules=rules
        )
        if user is not None:
            self.sessions.end_of_user(user_id, cause=cause)
            self.session_check.distrust()
        return user

    def enter_refusal(self, act: Act) -> None:
        """Has a refusal entered into the audit trail, soon; waits for nothing, and never fails."""
        if self.auditing is not None:
            self.auditing.enter_refusal(act)

    def check_database(self) -> None:
        """Whether a sign-in could be kept: writes a row of no meaning, at most every ten seconds.

        Raises:
            StoreUnavailable: it could not, because the database is gone, read-only or full.
        """
        self.sessions.revocations(None)
        now, written_at = self.clock.now(), self._written_at
        if written_at is None or not timedelta(0) <= now - written_at < WRITE_PROBE_EVERY:
            self.sessions.spend_sign_in(f"ready {secrets.token_hex(16)}", expires_at=now)
            self._written_at = now
