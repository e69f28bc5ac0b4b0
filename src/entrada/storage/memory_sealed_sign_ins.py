"""Sealed sign-ins in memory, beside the stores of `memory_accounts` and `memory_sessions`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from threading import Lock

from entrada.accounts.admission import Newcomer
from entrada.accounts.identity import EntraIdentity, LinkedIdentity, RoleGrant, User, UserId
from entrada.accounts.sealed_sign_ins import SealedSignIn, SealedSignIns
from entrada.storage import recorded
from entrada.storage.memory_accounts import MemoryAccountStore
from entrada.storage.memory_sessions import MemorySessionStore


class MemorySealedSignIns(SealedSignIns):
    def __init__(self, accounts: MemoryAccountStore, sessions: MemorySessionStore) -> None:
        self._lock = Lock()
        self._accounts, self._sessions = accounts, sessions
        self._kept: dict[EntraIdentity, SealedSignIn] = {}
        accounts.has_ended, accounts.end_tokens = self._has_ended, self._end_tokens

    def remember(
        self,
        identity: EntraIdentity,
        *,
        user_id: UserId,
        sealed_sign_in: str | None,
        now: datetime,
        next_check_at: datetime,
    ) -> None:
        """See `SealedSignIns`."""
        if self._accounts.get(user_id) is None:
            raise LookupError("there is no user with this id")
        with self._lock:
            before = self._kept.get(identity)
            self._kept[identity] = SealedSignIn(
                identity=identity,
                user_id=user_id,
                sealed_sign_in=sealed_sign_in,
                last_sign_in_at=now,
                next_check_at=None if sealed_sign_in is None else next_check_at,
                tokens_from=None if before is None else before.tokens_from,
            )

    def of_user(self, user_id: UserId) -> Sequence[SealedSignIn]:
        """See `SealedSignIns`."""
        with self._lock:
            theirs = [kept for kept in self._kept.values() if kept.user_id == user_id]
        return sorted(theirs, key=lambda kept: (kept.identity.tenant_id, kept.identity.object_id))

    def claim_due(self, *, now: datetime, next_check_at: datetime) -> SealedSignIn | None:
        """See `RecheckStore`."""
        with self._lock:
            due = [
                (kept.next_check_at, kept)
                for kept in self._kept.values()
                if kept.next_check_at is not None and kept.next_check_at <= now
            ]
            for _, kept in sorted(due, key=lambda each: each[0]):
                if self._sessions.has_session(kept.user_id, now=now):
                    claimed = self._kept[kept.identity] = replace(kept, next_check_at=next_check_at)
                    return claimed
                if kept.tokens_from is None:
                    del self._kept[kept.identity]
                else:
                    self._kept[kept.identity] = replace(kept, sealed_sign_in=None, next_check_at=None)
            return None

    def find_by_identity(self, identity: EntraIdentity) -> User | None:
        """See `AdmissionStore`."""
        return self._accounts.find_by_identity(identity)

    def renew(
        self,
        link: SealedSignIn,
        *,
        newcomer: Newcomer,
        entra_grants: Sequence[RoleGrant] | None,
        sealed_sign_in: str,
        next_check_at: datetime,
    ) -> None:
        """See `RecheckStore`."""
        with self._lock:
            kept = self._newest(link)
            if kept is None:
                return
            self._kept[link.identity] = replace(
                kept, sealed_sign_in=sealed_sign_in, next_check_at=next_check_at
            )
            self._accounts.record_recheck(
                link.user_id,
                identity=link.identity,
                profile=newcomer.profile,
                entra_grants=entra_grants,
                membership=newcomer.membership,
            )

    def end_access(self, link: SealedSignIn, *, because: str, now: datetime) -> bool:
        """See `RecheckStore`."""
        with self._lock:
            kept = self._kept.get(link.identity, link) if link.sealed_sign_in is None else self._newest(link)
            if kept is None or kept.sealed_sign_in != link.sealed_sign_in:
                return False
            self._kept[link.identity] = replace(
                kept,
                sealed_sign_in=None,
                last_sign_in_at=kept.last_sign_in_at or now,
                next_check_at=None,
                ended_at=now,
                ended_because=because,
                tokens_from=now,
            )
            ended = self._sessions.drop_sessions(link.user_id)
            if not ended:
                self._sessions.note_user_ended(link.user_id)
            if kept.ended_at is not None:
                return False
            self._sessions.audit.record(
                recorded.access_ended(link.user_id, link.identity, ended=ended, because=because, now=now)
            )
            return True

    def everybody(self) -> Sequence[SealedSignIn]:
        """Every sign-in there is."""
        with self._lock:
            return list(self._kept.values())

    def hasten(self, is_meant: Callable[[EntraIdentity], bool], *, now: datetime) -> int:
        """Make those due now that are due later; how many."""
        with self._lock:
            later = [
                kept
                for kept in self._kept.values()
                if kept.next_check_at is not None and kept.next_check_at > now and is_meant(kept.identity)
            ]
            for kept in later:
                self._kept[kept.identity] = replace(kept, next_check_at=now)
            return len(later)

    def _has_ended(self, linked: LinkedIdentity) -> bool:
        # Asked with the accounts' lock held, which is taken behind ours elsewhere: one look takes none.
        kept = self._kept.get(linked.identity)
        return kept is not None and kept.ended_at is not None

    def _end_tokens(self, user: User, now: datetime) -> None:
        with self._lock:
            for linked in user.identities:
                kept = self._kept.get(linked.identity) or SealedSignIn(
                    identity=linked.identity,
                    user_id=user.id,
                    sealed_sign_in=None,
                    last_sign_in_at=linked.last_sign_in_at or now,
                    next_check_at=None,
                )
                if kept.ended_at is None:
                    self._kept[linked.identity] = replace(
                        kept, sealed_sign_in=None, next_check_at=None, tokens_from=now
                    )

    def _newest(self, link: SealedSignIn) -> SealedSignIn | None:
        kept = self._kept.get(link.identity)
        return kept if kept is not None and kept.sealed_sign_in == link.sealed_sign_in is not None else None
