"""What every store writes into the audit trail of what it does, so that all of them say the same.

Values in, values out. The store writes these acts in the transaction that does what they say.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from entrada.accounts.identity import EntraIdentity, GrantSource, RoleGrant, User, UserId
from entrada.audit.acts import (
    ENTRA,
    ENTRADA,
    NOBODY,
    SESSIONS_REVOKED,
    Act,
    Action,
    Cause,
    Subject,
    person,
)
from entrada.audit.chain import Place
from entrada.sessions.session import Session

REPLACED = "replaced by a new sign-in"
SIGN_IN = "sign-in"
TIME_OVER = "its time was over"
BY_RECHECK = Cause(actor=ENTRA, reason="re-check")
BY_DIRECTORY = Cause(actor=ENTRA, reason=SESSIONS_REVOKED)


def creation(user: User) -> Sequence[Act]:
    """Of the account that a first sign-in makes, and of its roles."""
    cause = Cause(actor=person(user.id), at=user.created_at, reason=SIGN_IN)
    identity = user.identities[0].identity
    made = Act(action=Action.ACCOUNT_CREATED, cause=cause, user_id=user.id, subject=subject_of(identity))
    return [made, *grants(None, user, Cause(actor=ENTRA, at=user.created_at, reason=SIGN_IN))]


def linking(user_id: UserId, identity: EntraIdentity, *, now: datetime) -> Act:
    """Of one identity more."""
    return Act(
        action=Action.IDENTITY_LINKED,
        cause=Cause(actor=person(user_id), at=now, reason=SIGN_IN),
        user_id=user_id,
        subject=subject_of(identity),
    )


def grants(before: User | None, after: User, cause: Cause) -> Sequence[Act]:
    """Of each role that came or went between two states of an account."""
    held = () if before is None else before.grants
    lost = [grant for grant in held if role_of(grant) not in map(role_of, after.grants)]
    new = [grant for grant in after.grants if role_of(grant) not in map(role_of, held)]
    return [
        *(grant_act(Action.ROLE_REVOKED, after.id, grant, cause) for grant in lost),
        *(grant_act(Action.ROLE_GRANTED, after.id, grant, cause) for grant in new),
    ]


def role_of(grant: RoleGrant) -> tuple[str, GrantSource]:
    """What makes two grants the same role, for whatever reason it was given."""
    return grant.role, grant.source


def grant_act(action: Action, user_id: UserId, grant: RoleGrant, cause: Cause) -> Act:
    """Of a role given or taken."""
    details = {"role": grant.role, "source": grant.source.value, "granted_by": grant.granted_by}
    if grant.until is not None:
        details["until"] = grant.until.isoformat(timespec="seconds").replace("+00:00", "Z")
    return Act(action=action, cause=cause, user_id=user_id, details=details)


def endings_of_roles(user_id: UserId, lost: Sequence[RoleGrant], *, now: datetime) -> Sequence[Act]:
    """Of roles whose end has come."""
    cause = Cause(actor=ENTRADA, at=now, reason=TIME_OVER)
    return [grant_act(Action.ROLE_REVOKED, user_id, grant, cause) for grant in lost]


def disabling(user_id: UserId, *, disabled: bool, ended: int, cause: Cause) -> Act:
    """Of an account disabled, with its sessions, or enabled."""
    if not disabled:
        return Act(action=Action.ACCOUNT_ENABLED, cause=cause, user_id=user_id)
    return Act(action=Action.ACCOUNT_DISABLED, cause=cause, user_id=user_id, details={"count": ended})


def deletion(user_id: UserId, *, ended: int, cause: Cause) -> Act:
    """Of an account forgotten."""
    return Act(action=Action.ACCOUNT_DELETED, cause=cause, user_id=user_id, details={"count": ended})


def opening(session: Session) -> Act:
    """Of a session opened, which completes a sign-in."""
    return Act(
        action=Action.SIGN_IN_COMPLETED,
        cause=Cause(actor=person(session.user_id), at=session.created_at),
        user_id=session.user_id,
        session_id=session.id,
        subject=subject_of(session.identity),
    )


def ending(session_id: str, user_id: UserId, cause: Cause) -> Act:
    """Of one session ended."""
    return Act(action=Action.SESSION_ENDED, cause=cause, user_id=user_id, session_id=session_id)


def replacing(ended: str, of_user: UserId, by: Session) -> Act:
    """Of a session that a new one takes the place of."""
    return ending(ended, of_user, Cause(actor=person(by.user_id), at=by.created_at, reason=REPLACED))


def ending_of_user(user_id: UserId, *, ended: int, cause: Cause) -> Act:
    """Of all sessions of a person ended."""
    return Act(action=Action.SESSIONS_ENDED, cause=cause, user_id=user_id, details={"count": ended})


def ending_of_all(*, ended: int, cause: Cause) -> Act:
    """Of everybody's sessions ended."""
    return Act(action=Action.ALL_SESSIONS_ENDED, cause=cause, details={"count": ended})


def access_ended(user_id: UserId, identity: EntraIdentity, *, ended: int, because: str, now: datetime) -> Act:
    """Of access that ended because of what Entra said."""
    return Act(
        action=Action.ACCESS_ENDED,
        cause=Cause(actor=ENTRA, at=now, reason=because),
        user_id=user_id,
        subject=subject_of(identity),
        details={"count": ended},
    )


def grant_act_at_broker(
    action: Action, grant_id: str, *, client_id: str, cause: Cause, identity: EntraIdentity | None
) -> Act:
    """Of what somebody was given at a broker's installation, begun or ended; None: whose is forgotten."""
    return Act(
        action=action,
        cause=cause,
        session_id=grant_id,
        subject=NOBODY if identity is None else subject_of(identity),
        details={"client_id": client_id},
    )


def pruning(anchor: Place, *, cut: int, cause: Cause) -> Act:
    """Of the oldest entries cut off, up to the anchor."""
    return Act(
        action=Action.AUDIT_PRUNED,
        cause=cause,
        details={"through": anchor.number, "hash": anchor.hash, "count": cut},
    )


def subject_of(identity: EntraIdentity) -> Subject:
    """Who this is at Entra."""
    return Subject(tenant_id=identity.tenant_id, object_id=identity.object_id)
