"""The sessions this process has checked lately, so that the next check touches no store.

    LiveSession     what an answer needs, in few bytes: some 0.4 kB for a session of a person of their own
    LiveSessions    the table, found by session and by user
    look_up         the whole check of a live session: a pure function of table, cookie and monotonic time

An entry answers for a limited time, within which no limit of the session can pass and no write to the store
is due; then the store decides anew. The table answers only while somebody watches the store's log of what
ended (`entrada.flows.session_check`); neither needs anything written at a look-up.

The table holds no cookie, only SHA-256 of its secret. It is keyed by the session's id, which is no secret;
Python's hash of bytes is keyed and different in each process.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from sys import intern
from threading import Lock
from typing import Any

from entrada.accounts.groups import Membership
from entrada.accounts.identity import EntraIdentity, UserId
from entrada.accounts.principal import UserPrincipal
from entrada.compatibility import UTC
from entrada.entra.authority import ObjectId, TenantId
from entrada.sessions.session import Session, SessionId
from entrada.sessions.token import COOKIE_LENGTH, ID_LENGTH

MOST_LIVE_SESSIONS = 1_000_000
DROPPED_WHEN_FULL = 1_000

_SEPARATOR = b"."[0]
_SECRET_BEGINS = ID_LENGTH + 1
_TIMES = struct.Struct(">qq")
_HASH_BYTES = hashlib.sha256().digest_size
_TEXTS_BEGIN = _HASH_BYTES + _TIMES.size
_NONE = b"\xff"
"""Stands for an absent text; no UTF-8 holds this byte."""
_SAME = b"\xfe"
"""Stands for a username that equals the e-mail address."""
_BETWEEN = b"\xfd"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class LiveSession:
    """A session that was good when it was read. Its texts are packed into one value and made when asked for.

    `good_until` is in seconds of the process's monotonic clock.
    `prepared` is for whoever answers the same again and again: what they made of this session goes with it.
    """

    __slots__ = ("_asked", "_groups", "_packed", "_roles", "_tenant_id", "good_until", "prepared", "user_id")

    def __init__(self, session: Session, principal: UserPrincipal, *, good_until: float) -> None:
        self.good_until = good_until
        self.prepared: Any = None
        self.user_id = session.user_id
        self._tenant_id = intern(principal.identity.tenant_id)
        self._roles = _shared(principal.roles)
        self._groups = _shared_groups(principal.membership.held)
        self._asked = _shared(principal.membership.asked)
        self._packed = _packed(session, principal)

    @property
    def secret_hash(self) -> bytes:
        return self._packed[:_HASH_BYTES]

    @property
    def created_at(self) -> datetime:
        return self._times()[0]

    @property
    def absolute_expires_at(self) -> datetime:
        return self._times()[1]

    @property
    def principal(self) -> UserPrincipal:
        object_id, name, email, username = self._packed[_TEXTS_BEGIN:].split(_BETWEEN)
        email_text = _text(email)
        return UserPrincipal(
            user_id=self.user_id,
            identity=EntraIdentity(
                tenant_id=TenantId(self._tenant_id), object_id=ObjectId(object_id.decode())
            ),
            name=name.decode("utf-8", "surrogatepass"),
            email=email_text,
            username=email_text if username == _SAME else _text(username),
            roles=self._roles,
            membership=Membership(held=frozenset(self._groups), asked=self._asked),
        )

    def _times(self) -> tuple[datetime, datetime]:
        created, absolute = _TIMES.unpack_from(self._packed, _HASH_BYTES)
        return _EPOCH + created * _MICROSECOND, _EPOCH + absolute * _MICROSECOND


@dataclass(kw_only=True)
class LiveSessions:
    """Bounded: what was put in longest ago goes first, and is simply read from the store again.

    Safe for threads: a look-up is one read of a dict, and every change is made under a lock.
    """

    trusted_until: float = float("-inf")
    """Until when the log of what ended has been looked at; monotonic seconds. Later, nothing is known."""
    changes: int = 0
    """Grows whenever something was taken out because it ended."""
    _entries: dict[bytes, LiveSession] = field(default_factory=dict, repr=False)
    _of_user: dict[UserId, bytes | set[bytes]] = field(default_factory=dict, repr=False)
    """The key of a user's only entry, or the keys of several."""
    _lock: Lock = field(default_factory=Lock, repr=False)

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, session_id: SessionId, live: LiveSession, *, changes: int) -> bool:
        """Put an entry in, unless something ended since `changes` was read, which it may not know of."""
        with self._lock:
            if changes != self.changes:
                return False
            key = session_id.encode()
            self._take_out(key)
            if len(self._entries) >= MOST_LIVE_SESSIONS:
                for oldest in list(islice(self._entries, min(DROPPED_WHEN_FULL, MOST_LIVE_SESSIONS))):
                    self._take_out(oldest)
            self._entries[key] = live
            others = self._of_user.get(live.user_id)
            if others is None:
                self._of_user[live.user_id] = key
            elif isinstance(others, set):
                others.add(key)
            else:
                self._of_user[live.user_id] = {others, key}
            return True

    def drop_session(self, session_id: str) -> None:
        with self._lock:
            self.changes += 1
            self._take_out(session_id.encode("utf-8", "surrogatepass"))

    def drop_user(self, user_id: str) -> None:
        """Everything of this user."""
        with self._lock:
            self.changes += 1
            keys = self._of_user.get(UserId(user_id), ())
            for key in [keys] if isinstance(keys, bytes) else list(keys):
                self._take_out(key)

    def clear(self) -> None:
        with self._lock:
            self.changes += 1
            self._entries.clear()
            self._of_user.clear()

    def _take_out(self, key: bytes) -> None:
        live = self._entries.pop(key, None)
        if live is None:
            return
        keys = self._of_user[live.user_id]
        if isinstance(keys, set):
            keys.discard(key)
            if keys:
                return
        del self._of_user[live.user_id]


def look_up(table: LiveSessions, cookie: bytes, monotonic: float) -> LiveSession | None:
    """The live session that this cookie's value opens; None if memory cannot tell. Waits for nothing."""
    live = table._entries.get(cookie[:ID_LENGTH])
    if (
        live is None
        or monotonic >= live.good_until
        or monotonic >= table.trusted_until
        or len(cookie) != COOKIE_LENGTH
        or cookie[ID_LENGTH] != _SEPARATOR
    ):
        return None
    secret_hash = hashlib.sha256(cookie[_SECRET_BEGINS:]).digest()
    return live if hmac.compare_digest(live._packed[:_HASH_BYTES], secret_hash) else None


def _packed(session: Session, principal: UserPrincipal) -> bytes:
    username = principal.username
    texts = (
        principal.identity.object_id.encode(),
        principal.name.encode("utf-8", "surrogatepass"),
        _bytes(principal.email),
        _SAME if username is not None and username == principal.email else _bytes(username),
    )
    times = _TIMES.pack(
        (session.created_at - _EPOCH) // _MICROSECOND, (session.absolute_expires_at - _EPOCH) // _MICROSECOND
    )
    if len(session.secret_hash) != _HASH_BYTES:
        raise ValueError("a session's secret hash is SHA-256")
    return session.secret_hash + times + _BETWEEN.join(texts)


def _bytes(text: str | None) -> bytes:
    return _NONE if text is None else text.encode("utf-8", "surrogatepass")


def _text(packed: bytes) -> str | None:
    return None if packed == _NONE else packed.decode("utf-8", "surrogatepass")


_SETS: dict[frozenset[str], frozenset[str]] = {}
_GROUPS: dict[tuple[str, ...], tuple[str, ...]] = {}
_MOST_SHARED = 1_000


def _shared(values: frozenset[str]) -> frozenset[str]:
    """The same object for equal sets: many people hold few sets of roles, and are asked the same groups."""
    if len(_SETS) >= _MOST_SHARED:
        _SETS.clear()
    return _SETS.setdefault(values, values)


def _shared_groups(held: frozenset[str]) -> tuple[str, ...]:
    """In the few bytes that a tuple takes, each group's name stored once for all people."""
    groups = tuple(sorted(map(intern, held)))
    if len(_GROUPS) >= _MOST_SHARED:
        _GROUPS.clear()
    return _GROUPS.setdefault(groups, groups)
