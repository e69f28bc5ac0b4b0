"""What is recorded, and what may stand in it.

    Actor       who brought something about: a person, a command, an installation, Entra, Entrada itself
    Cause       who, when and why
    Action      what happened; where an event of the log says the same, it has the same name
    Act         one thing that happened, to be written in the transaction that does it

Each action lists the details it may have (`DETAILS`); any other is our mistake. Nothing secret is on a list.
What says who somebody is (`Subject`) is apart from the rest, because it is erased when the person is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from entrada.compatibility import StrEnum
from entrada.events import Event


class ActorKind(StrEnum):
    PERSON = "person"
    """The id is that of their account."""
    COMMAND = "command"
    """The id is the name that the operating system has for whoever ran it."""
    INSTALLATION = "installation"
    """The id is its client id at the broker."""
    ENTRA = "entra"
    ENTRADA = "entrada"
    """Nobody asked: a limit, a restored backup, retention."""


@dataclass(frozen=True, kw_only=True)
class Actor:
    kind: ActorKind
    id: str = ""


ENTRA = Actor(kind=ActorKind.ENTRA)
ENTRADA = Actor(kind=ActorKind.ENTRADA)


def person(user_id: str) -> Actor:
    return Actor(kind=ActorKind.PERSON, id=user_id)


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Who brings something about, when, and why. `at` None: the moment in which it is written."""

    actor: Actor
    at: datetime | None = None
    reason: str | None = None


BY_ENTRADA = Cause(actor=ENTRADA)
SESSIONS_REVOKED = "sessions revoked in the directory"
"""The reason of an ending that the directory asks for: in the trail and in the log alike."""


class Action(StrEnum):
    SIGN_IN_COMPLETED = Event.SIGN_IN_COMPLETED.value
    SIGN_IN_REFUSED = Event.SIGN_IN_REFUSED.value
    REQUEST_REFUSED = Event.REQUEST_REFUSED.value
    REFUSALS_OMITTED = "refusals_omitted"
    SESSION_ENDED = "session_ended"
    SESSIONS_ENDED = "sessions_ended"
    """All of one person."""
    ALL_SESSIONS_ENDED = Event.ALL_SESSIONS_ENDED.value
    ACCESS_ENDED = Event.ACCESS_ENDED.value
    ACCOUNT_CREATED = "account_created"
    IDENTITY_LINKED = "identity_linked"
    ACCOUNT_DISABLED = "account_disabled"
    ACCOUNT_ENABLED = "account_enabled"
    ACCOUNT_DELETED = "account_deleted"
    ROLE_GRANTED = "role_granted"
    ROLE_REVOKED = "role_revoked"
    INSTALLATION_CHANGED = Event.INSTALLATION_CHANGED.value
    KEYS_ROTATED = "keys_rotated"
    DATABASE_UPGRADED = "database_upgraded"
    DATABASE_RESTORED = "database_restored"
    AUDIT_PRUNED = "audit_pruned"


_ROLE = frozenset({"role", "source", "granted_by", "until"})
_REFUSAL = frozenset(
    {"incident", "code", "check", "error", "aadsts", "entra_correlation_id", "roles", "path", "status"}
)

DETAILS: Mapping[Action, frozenset[str]] = {
    Action.SIGN_IN_COMPLETED: frozenset({"client_id"}),
    Action.SIGN_IN_REFUSED: _REFUSAL,
    Action.REQUEST_REFUSED: _REFUSAL,
    Action.REFUSALS_OMITTED: frozenset({"count"}),
    Action.SESSION_ENDED: frozenset({"client_id"}),
    Action.SESSIONS_ENDED: frozenset({"count"}),
    Action.ALL_SESSIONS_ENDED: frozenset({"count"}),
    Action.ACCESS_ENDED: frozenset({"count"}),
    Action.ACCOUNT_CREATED: frozenset(),
    Action.IDENTITY_LINKED: frozenset(),
    Action.ACCOUNT_DISABLED: frozenset({"count"}),
    Action.ACCOUNT_ENABLED: frozenset(),
    Action.ACCOUNT_DELETED: frozenset({"count"}),
    Action.ROLE_GRANTED: _ROLE,
    Action.ROLE_REVOKED: _ROLE,
    Action.INSTALLATION_CHANGED: frozenset({"client_id"}),
    Action.KEYS_ROTATED: frozenset({"kid", "key"}),
    Action.DATABASE_UPGRADED: frozenset({"from", "to"}),
    Action.DATABASE_RESTORED: frozenset({"replaced"}),
    Action.AUDIT_PRUNED: frozenset({"through", "hash", "count"}),
}
"""The reason, which every action may have, is the cause's."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Who somebody is at Entra. `name` and `account` only of people who have no account here."""

    tenant_id: str | None = None
    object_id: str | None = None
    name: str | None = None
    account: str | None = None


NOBODY = Subject()


@dataclass(frozen=True, kw_only=True)
class Act:
    """One thing that happened.

    Raises:
        ValueError: a detail that this action may not have.
    """

    action: Action
    cause: Cause = BY_ENTRADA
    user_id: str | None = None
    """Whom it happened to."""
    session_id: str | None = None
    subject: Subject = NOBODY
    details: Mapping[str, str | int | None] = field(default_factory=dict)
    """Those that are None are left out."""

    def __post_init__(self) -> None:
        unknown = self.details.keys() - DETAILS[self.action]
        if unknown:
            raise ValueError(f"details that {self.action} may not have: {sorted(unknown)}")
