"""The log of what ended: how a process learns which of its live sessions are over.

The store writes an entry in the transaction that ends something. Entries are numbered without gaps, and each
carries a random nonce, so that two histories which reached the same number are told apart: a database
restored from a backup is noticed by everyone who remembers a position that it does not know.

    LogPosition     how far somebody has read
    Revocation      one entry: a session, a user's sessions, a user's rights, or everything
    Revocations     what was read since a position, and whether that is all of it

Only a bounded number of entries is retained. Whoever is further behind reads none and doubts everything.
"""

from __future__ import annotations

import enum
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

ENTRIES_RETAINED = 4096
"""How many entries a store retains, at least."""


class RevocationKind(enum.Enum):
    SESSION = "session"
    """One session ended; the subject is its id. A `sid` of Entra's is written as the sessions it named."""
    USER = "user"
    """Every session of a user ended; the subject is the user's id."""
    RIGHTS = "rights"
    """A user's roles, profile or state changed; their sessions go on. The subject is the user's id."""
    EVERYTHING = "everything"
    """Every session of everybody ended; the subject is empty."""


@dataclass(frozen=True, slots=True)
class LogPosition:
    sequence: int
    nonce: int
    """That of the entry at this number; 0 where there is none, as in a log without entries."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """An entry. Not every store remembers all it ever wrote."""

    sequence: int
    nonce: int
    kind: RevocationKind
    subject: str

    @property
    def position(self) -> LogPosition:
        return LogPosition(self.sequence, self.nonce)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocations:
    """What the log says happened after a position."""

    position: LogPosition
    """Where the next reading begins."""
    entries: tuple[Revocation, ...] = ()
    is_complete: bool = True
    """False: more may have ended than `entries` name; nothing remembered from before may be trusted."""
    went_back: bool = False
    """The store is of an older time than the reader: what ended since may stand in it as live."""

    @property
    def users(self) -> frozenset[str]:
        """Whom the entries name as a whole, and not by one session."""
        return frozenset(entry.subject for entry in self.entries if entry.kind is not RevocationKind.SESSION)


def new_nonce() -> int:
    """63 random bits, never 0."""
    return secrets.randbits(63) | 1


def read_since(
    since: LogPosition | None, position: LogPosition, rows: Sequence[Revocation], *, oldest: int | None
) -> Revocations:
    """What a reader at `since` must know, from a log that stands at `position`.

    `rows` are the entries from `since.sequence` on (that number included), in order; `oldest` is the number
    of the oldest entry there is. A reader without a position remembers nothing, so nothing ended for it.
    """
    if since is None or since == position:
        return Revocations(position=position)
    entries = tuple(row for row in rows if row.sequence > since.sequence)
    if any(entry.kind is RevocationKind.EVERYTHING for entry in entries):
        # Whatever became of this reader's history: every session it knew was ended after it.
        return Revocations(position=position, entries=entries, is_complete=False)
    has_gap = position.sequence - since.sequence != len(entries)
    if any(row.position == since for row in rows) or (since.nonce == 0 and not has_gap):
        # A gap is left by an older version of Entrada, which counts and does not say what ended.
        return Revocations(position=position, entries=entries, is_complete=not has_gap)
    is_behind = since.nonce == 0 or oldest is None or since.sequence < oldest
    went_back = since.sequence > position.sequence or not is_behind
    return Revocations(position=position, is_complete=False, went_back=went_back)
