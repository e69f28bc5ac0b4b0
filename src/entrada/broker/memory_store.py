"""A broker's memory in this process, for tests and for trying things out. Safe for threads.

It has no audit trail: all is gone with the process.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from entrada.accounts.broker_subject import subject_of
from entrada.accounts.identity import EntraIdentity
from entrada.audit.acts import BY_ENTRADA, Cause
from entrada.broker.grants import AuthorizationCode, Grant, GrantId
from entrada.broker.installations import Installation
from entrada.broker.signing_keys import SigningKey
from entrada.broker.store import BrokerStore, Delivery
from entrada.entra.authority import ObjectId, TenantId


class MemoryBrokerStore(BrokerStore):
    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._installations: dict[str, Installation] = {}
        self._keys: dict[str, SigningKey] = {}
        self._codes: dict[bytes, AuthorizationCode] = {}
        self._grants: dict[GrantId, Grant] = {}
        self._deliveries: dict[str, Delivery] = {}
        self._spent: dict[str, datetime] = {}

    def installations(self) -> Sequence[Installation]:
        with self._lock:
            return sorted(self._installations.values(), key=lambda one: one.client_id)

    def find_installation(self, client_id: str) -> Installation | None:
        with self._lock:
            return self._installations.get(client_id)

    def add_installation(self, installation: Installation, *, cause: Cause = BY_ENTRADA) -> bool:
        del cause
        with self._lock:
            is_new = installation.client_id not in self._installations
            self._installations.setdefault(installation.client_id, installation)
            return is_new

    def save_installation(self, installation: Installation, *, cause: Cause = BY_ENTRADA) -> None:
        del cause
        with self._lock:
            self._installations[installation.client_id] = installation

    def remove_installation(self, client_id: str, *, now: datetime, cause: Cause = BY_ENTRADA) -> bool:
        del cause
        with self._lock:
            for grant in [one for one in self._grants.values() if one.client_id == client_id]:
                self._end(grant, now=now, tell=True)
            return self._installations.pop(client_id, None) is not None

    def signing_keys(self) -> Sequence[SigningKey]:
        with self._lock:
            return list(self._keys.values())

    def add_signing_key(self, key: SigningKey, *, others_retire_at: datetime | None = None) -> bool:
        with self._lock:
            signing = [one for one in self._keys.values() if one.retired_at is None]
            if signing and others_retire_at is None:
                return False
            for one in signing:
                self._keys[one.kid] = replace(one, retired_at=others_retire_at)
            self._keys[key.kid] = key
            return True

    def replace_signing_keys(self, key: SigningKey) -> None:
        with self._lock:
            self._keys = {key.kid: key}

    def open_grant(self, grant: Grant, code: AuthorizationCode) -> None:
        with self._lock:
            self._grants[grant.id] = grant
            self._codes[code.hash] = code

    def spend_code(self, code_hash: bytes, *, now: datetime) -> tuple[AuthorizationCode, bool] | None:
        with self._lock:
            code = self._codes.get(code_hash)
            if code is None:
                return None
            first_use = code.spent_at is None
            if first_use:
                code = self._codes[code_hash] = replace(code, spent_at=now)
            return code, first_use

    def find_grant(self, grant_id: GrantId) -> Grant | None:
        with self._lock:
            return self._grants.get(grant_id)

    def rotate_refresh_token(
        self, grant_id: GrantId, *, expected: bytes | None, new: bytes, now: datetime, expires_at: datetime
    ) -> bool:
        with self._lock:
            grant = self._grants.get(grant_id)
            if grant is None or grant.refresh_hash != expected:
                return False
            self._grants[grant_id] = replace(
                grant,
                refresh_hash=new,
                previous_refresh_hash=expected,
                refreshed_at=now,
                expires_at=expires_at,
            )
            return True

    def renew_grant(self, grant: Grant) -> bool:
        with self._lock:
            present = self._grants.get(grant.id)
            if present is None:
                return False
            self._grants[grant.id] = replace(
                present,
                person=grant.person,
                sealed_sign_in=grant.sealed_sign_in,
                next_check_at=grant.next_check_at,
            )
            return True

    def claim_grant_to_check(
        self, *, now: datetime, seen_since: datetime, next_check_at: datetime
    ) -> Grant | None:
        with self._lock:
            due = [
                (one.next_check_at, one)
                for one in self._grants.values()
                if one.next_check_at is not None and one.next_check_at <= now
            ]
            for _, one in sorted(due, key=lambda pair: pair[0]):
                is_watched = (one.refreshed_at or one.begun_at) > seen_since and one.expires_at > now
                self._grants[one.id] = replace(one, next_check_at=next_check_at if is_watched else None)
                if is_watched:
                    return one
            return None

    def grants_of_person(self, identity: EntraIdentity) -> Sequence[Grant]:
        with self._lock:
            return [grant for grant in self._grants.values() if grant.person.identity == identity]

    def newest_grants(
        self, tenant_id: TenantId, object_ids: Collection[ObjectId]
    ) -> Mapping[ObjectId, datetime]:
        people = [EntraIdentity(tenant_id=tenant_id, object_id=each) for each in object_ids]
        return {
            identity.object_id: max(grant.begun_at for grant in theirs)
            for identity in people
            if (theirs := self.grants_of_person(identity))
        }

    def end_grants(
        self,
        *,
        now: datetime,
        grant_id: GrantId | None = None,
        entra_session_id: str | None = None,
        identity: EntraIdentity | None = None,
        tell_all_but: str | None = None,
        cause: Cause = BY_ENTRADA,
    ) -> Sequence[Grant]:
        del cause
        if sum(named is not None for named in (grant_id, entra_session_id, identity)) != 1:
            raise ValueError("name the grants in exactly one way")
        with self._lock:
            ended = [
                grant
                for grant in self._grants.values()
                if grant.id == grant_id
                or (entra_session_id is not None and grant.entra_session_id == entra_session_id)
                or grant.person.identity == identity
            ]
            for grant in ended:
                self._end(grant, now=now, tell=grant.client_id != tell_all_but)
            return ended

    def _end(self, grant: Grant, *, now: datetime, tell: bool) -> None:
        self._grants.pop(grant.id, None)
        if tell:
            delivery = Delivery(
                id=secrets.token_hex(16),
                client_id=grant.client_id,
                grant_id=grant.id,
                subject=subject_of(grant.person.identity),
                ended_at=now,
                due_at=now,
                address=grant.logout_address,
            )
            self._deliveries[delivery.id] = delivery

    def due_deliveries(self, *, now: datetime, claim_until: datetime, limit: int) -> Sequence[Delivery]:
        with self._lock:
            due = sorted(
                (one for one in self._deliveries.values() if one.due_at <= now), key=lambda one: one.due_at
            )[:limit]
            for one in due:
                self._deliveries[one.id] = replace(one, due_at=claim_until)
            return due

    def delivered(self, delivery_id: str) -> None:
        with self._lock:
            self._deliveries.pop(delivery_id, None)

    def undelivered(self, *, limit: int) -> Sequence[Delivery]:
        with self._lock:
            failed = [one for one in self._deliveries.values() if one.tries > 0]
            return sorted(failed, key=lambda one: (one.ended_at, one.id))[:limit]

    def postpone_delivery(self, delivery_id: str, *, due_at: datetime) -> None:
        with self._lock:
            delivery = self._deliveries.get(delivery_id)
            if delivery is not None:
                self._deliveries[delivery_id] = replace(delivery, due_at=due_at, tries=delivery.tries + 1)

    def spend(self, identifier: str, *, expires_at: datetime) -> bool:
        with self._lock:
            if identifier in self._spent:
                return False
            self._spent[identifier] = expires_at
            return True

    def prune(self, *, now: datetime) -> int:
        with self._lock:
            before = len(self._grants) + len(self._codes) + len(self._spent)
            never_fetched = {
                one.grant_id for one in self._codes.values() if one.expires_at <= now and one.spent_at is None
            }
            self._grants = {
                key: one
                for key, one in self._grants.items()
                if one.expires_at > now and key not in never_fetched
            }
            self._codes = {
                key: one
                for key, one in self._codes.items()
                if one.expires_at > now or one.grant_id in self._grants
            }
            self._spent = {key: expires_at for key, expires_at in self._spent.items() if expires_at > now}
            return before - len(self._grants) - len(self._codes) - len(self._spent)
