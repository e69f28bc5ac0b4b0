"""Entries in a chain: each hash covers the entry and the hash before it.

    entry_of(act, ...)      an act as it is stored, with its place in the chain
    fault_of(entry, ...)    what is wrong with an entry that was read; None if nothing is

Who somebody is stands in the chain as a commitment only, HMAC-SHA256 with a random salt of the entry's own.
With salt and text erased nobody can find out what it was, and the chain is whole as before.
Values in, values out: no I/O, no clock.

Source: FIPS 180-4 (SHA-256), RFC 2104 (HMAC).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from entrada.audit.acts import Act
from entrada.compatibility import UTC

FORMAT = "entrada audit 1"
NO_HASH = "0" * 64
"""What the first entry follows."""
LONGEST_ID, LONGEST_TEXT = 200, 512
"""Characters of an id, and of any other text; the rest is cut off."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An entry's number and hash: with them kept elsewhere, all before it can be proven."""

    number: int
    hash: str
    """64 hexadecimal digits."""

    def __str__(self) -> str:
        return f"{self.number}:{self.hash}"


def parse_place(text: str) -> Place | None:
    """The place that `NUMBER:HASH` names; None: it names none."""
    number, _, hash = text.partition(":")
    is_hash = len(hash) == len(NO_HASH) and all(digit in "0123456789abcdef" for digit in hash)
    if not (number.isascii() and number.isdigit() and len(number) < 19 and is_hash):
        return None
    return Place(number=int(number), hash=hash)


START = Place(number=0, hash=NO_HASH)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """An entry as it is stored. Words a newer version wrote are kept as they are."""

    number: int
    at: datetime
    action: str
    actor_kind: str
    actor_id: str
    user_id: str | None
    session_id: str | None
    details: str
    """A JSON object, ASCII, keys in order."""
    commitment: str
    """To the four texts below, as hexadecimal digits; empty where there never were any."""
    hash: str
    tenant_id: str | None = None
    object_id: str | None = None
    personal: str | None = None
    """A JSON object with name and account, ASCII."""
    salt: str | None = field(default=None, repr=False)

    @property
    def place(self) -> Place:
        return Place(number=self.number, hash=self.hash)

    @property
    def is_erased(self) -> bool:
        """Whether it once said who somebody is, and no longer does."""
        return bool(self.commitment) and self.salt is None

    def documented(self) -> Mapping[str, object]:
        """As JSON has it; nothing that is empty."""
        document = {
            "number": self.number,
            "at": self.at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "action": self.action,
            "actor": {"kind": self.actor_kind, **({"id": self.actor_id} if self.actor_id else {})},
            "user_id": self.user_id,
            "session_id": self.session_id,
            "tenant_id": self.tenant_id,
            "object_id": self.object_id,
            **read_object(self.personal),
            "details": read_object(self.details),
            "erased": self.is_erased or None,
            "hash": self.hash,
        }
        return {name: value for name, value in document.items() if value not in (None, {})}


def entry_of(act: Act, *, after: Place, now: datetime) -> AuditEntry:
    """The entry that this act becomes, behind the one at `after`; `now` where its cause says no time."""
    cause, subject = act.cause, act.subject
    details = {"reason": cause.reason, **act.details}
    personal = _written({"account": subject.account, "name": subject.name})
    texts = (_id(subject.tenant_id), _id(subject.object_id), personal if personal != "{}" else None)
    salt = secrets.token_hex(16) if any(texts) else None
    unhashed = AuditEntry(
        number=after.number + 1,
        at=cause.at or now,
        action=act.action.value,
        actor_kind=cause.actor.kind.value,
        actor_id=_id(cause.actor.id) or "",
        user_id=_id(act.user_id),
        session_id=_id(act.session_id),
        details=_written(details),
        commitment="" if salt is None else _commitment(salt, *texts),
        hash="",
        tenant_id=texts[0],
        object_id=texts[1],
        personal=texts[2],
        salt=salt,
    )
    return replace(unhashed, hash=hash_of(unhashed, after=after))


def hash_of(entry: AuditEntry, *, after: Place) -> str:
    """The hash that an entry must have where it stands."""
    covered = [
        FORMAT,
        after.hash,
        entry.number,
        (entry.at - _EPOCH) // timedelta(microseconds=1),
        entry.action,
        entry.actor_kind,
        entry.actor_id,
        entry.user_id,
        entry.session_id,
        entry.details,
        entry.commitment,
    ]
    return hashlib.sha256(json.dumps(covered, separators=(",", ":")).encode()).hexdigest()


def fault_of(entry: AuditEntry, *, after: Place) -> str | None:
    """What is wrong with an entry that was read behind `after`, as the end of a sentence."""
    expected = after.number + 1
    if entry.number != expected:
        missing = entry.number - expected
        return f"entry {expected} is missing" + (f", and {missing - 1} behind it" if missing > 1 else "")
    if not hmac.compare_digest(entry.hash.encode(), hash_of(entry, after=after).encode()):
        return f"entry {entry.number} was changed, or what stood before it was"
    texts = (entry.tenant_id, entry.object_id, entry.personal)
    if entry.salt is None:
        return None if not any(texts) else f"what entry {entry.number} says of a person was added"
    if not hmac.compare_digest(entry.commitment.encode(), _commitment(entry.salt, *texts).encode()):
        return f"what entry {entry.number} says of a person was changed"
    return None


def as_written(text: str) -> str:
    """How this text stands in `AuditEntry.personal`, in lower case, to be looked for."""
    return json.dumps(text)[1:-1].lower()


def read_object(text: str | None) -> dict[str, object]:
    """The object of a JSON text; empty for anything else, which only somebody else can have written."""
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _commitment(salt: str, *texts: str | None) -> str:
    return hmac.new(salt.encode(), json.dumps(texts).encode(), hashlib.sha256).hexdigest()


def _written(values: Mapping[str, str | int | None]) -> str:
    kept = {
        name: value[:LONGEST_TEXT] if isinstance(value, str) else value
        for name, value in values.items()
        if value is not None
    }
    return json.dumps(kept, sort_keys=True, separators=(",", ":"))


def _id(text: str | None) -> str | None:
    """As every database gives it back: cut, and without what a terminal would take for a command."""
    if text is None or text.isprintable():
        return text and text[:LONGEST_ID]
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)[
        :LONGEST_ID
    ]
