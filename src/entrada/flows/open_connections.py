"""What lets a connection stay open that outlives its request: a session, or the account in a token.

It ends with what opened it, and also when the person's roles or groups change: it was the old ones that let
them in, and the next connection is decided anew. Callbacks come from the thread of `SessionWatch`.
"""

from __future__ import annotations

from collections.abc import Callable, Set

from entrada.accounts.identity import UserId
from entrada.errors import StoreUnavailable
from entrada.flows.relying_party import RelyingParty
from entrada.flows.session_check import CheckedSession
from entrada.sessions.revocation import Revocations


def end_with_session(
    party: RelyingParty, session: CheckedSession, on_end: Callable[[], None]
) -> Callable[[], None]:
    """`on_end` is called once the session is over or lets in as somebody else; what is returned ends that."""
    before = session.principal
    return party.session_watch.session(
        session,
        on_end=on_end,
        on_change=lambda now: None if (now.roles, now.groups) == (before.roles, before.groups) else on_end(),
    )


def end_with_account(
    party: RelyingParty, user_id: UserId, roles: Set[str], on_end: Callable[[], None]
) -> Callable[[], None]:
    """`on_end` is called when the account is disabled or deleted, or has other roles than these."""

    def learn(revocations: Revocations) -> None:
        if revocations.is_complete and all(entry.subject != user_id for entry in revocations.entries):
            return
        try:
            user = party.accounts.get(user_id)
        except StoreUnavailable:
            user = None  # it changed, and nobody can say into what
        if user is None or not user.is_enabled or user.roles != roles:
            on_end()

    return party.session_watch.log(learn, at_once=True)
