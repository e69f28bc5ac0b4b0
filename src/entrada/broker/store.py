"""The seam where the broker stores installations, keys, grants, and logout tokens still to be delivered.

Each method is one transaction, and several brokers may share one store. `tests/conformance` runs one suite
against every implementation.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from entrada.accounts.identity import EntraIdentity
from entrada.audit.acts import BY_ENTRADA, Cause
from entrada.broker.grants import AuthorizationCode, Grant, GrantId
from entrada.broker.installations import Installation
from entrada.broker.signing_keys import SigningKey
from entrada.entra.authority import ObjectId, TenantId


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One installation still to be told that a sign-in ended. `tries` counts those that failed.

    `address` is where it was to be told when the person signed in: for one that is listed no more.
    """

    id: str
    client_id: str
    grant_id: GrantId
    subject: str
    ended_at: datetime
    due_at: datetime
    tries: int = 0
    address: str | None = None


class BrokerStore(Protocol):
    """Keeps what the broker must not forget.

    In a database, sign-ins, endings, changed installations and new keys are entered into the audit trail
    (`entrada.audit`) in the same transaction; `cause` says who does it, and why.

    Raises:
        StoreUnavailable: from any method, when the database does not answer in time.
    """

    # --- installations ---

    def installations(self) -> Sequence[Installation]:
        """Every one added, asked for or approved here, by client id."""

    def find_installation(self, client_id: str) -> Installation | None: ...

    def add_installation(self, installation: Installation, *, cause: Cause = BY_ENTRADA) -> bool:
        """Add it; False, and nothing changed, if there is one of that client id, or was a moment ago."""

    def save_installation(self, installation: Installation, *, cause: Cause = BY_ENTRADA) -> None:
        """Add it, or replace the one of that client id."""

    def remove_installation(self, client_id: str, *, now: datetime, cause: Cause = BY_ENTRADA) -> bool:
        """Forget it and end every grant of it; True if it was there."""

    # --- keys ---

    def signing_keys(self) -> Sequence[SigningKey]: ...

    def add_signing_key(self, key: SigningKey, *, others_retire_at: datetime | None = None) -> bool:
        """Add a key. Those that sign now stop signing at `others_retire_at`.

        Without, it is added only where no key signs yet; False if another broker was faster.
        """

    def replace_signing_keys(self, key: SigningKey) -> None:
        """Make this the only key: what any other has signed is believed no more."""

    # --- grants ---

    def open_grant(self, grant: Grant, code: AuthorizationCode) -> None:
        """Remember both together."""

    def spend_code(self, code_hash: bytes, *, now: datetime) -> tuple[AuthorizationCode, bool] | None:
        """The code and whether this was its first use; None if there is no such code."""

    def find_grant(self, grant_id: GrantId) -> Grant | None: ...

    def rotate_refresh_token(
        self, grant_id: GrantId, *, expected: bytes | None, new: bytes, now: datetime, expires_at: datetime
    ) -> bool:
        """Replace the newest refresh token if its hash is still `expected`; False if it is not."""

    def renew_grant(self, grant: Grant) -> bool:
        """Write what Entra said newly about the person; False if the grant ended meanwhile."""

    def claim_grant_to_check(
        self, *, now: datetime, seen_since: datetime, next_check_at: datetime
    ) -> Grant | None:
        """The grant that Entra has to be asked about first, this caller's alone until `next_check_at`.

        Those that no installation has opened or refreshed since `seen_since` are asked about no more.
        """

    def grants_of_person(self, identity: EntraIdentity) -> Sequence[Grant]: ...

    def newest_grants(
        self, tenant_id: TenantId, object_ids: Collection[ObjectId]
    ) -> Mapping[ObjectId, datetime]:
        """Who of these people has grants, and when the newest of theirs began."""

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
        """End the grants named by exactly one of the three, and note a delivery for each installation.

        The installation whose client id is `tell_all_but` knows already.
        """

    # --- logout tokens to deliver ---

    def due_deliveries(self, *, now: datetime, claim_until: datetime, limit: int) -> Sequence[Delivery]:
        """Those that are due, claimed by this caller until `claim_until`."""

    def delivered(self, delivery_id: str) -> None: ...

    def undelivered(self, *, limit: int) -> Sequence[Delivery]:
        """What some installation was told in vain so far, the oldest first."""

    def postpone_delivery(self, delivery_id: str, *, due_at: datetime) -> None:
        """Try again at `due_at`."""

    # --- used once ---

    def spend(self, identifier: str, *, expires_at: datetime) -> bool:
        """True for the first caller with this identifier, False for every later one."""

    def prune(self, *, now: datetime) -> int:
        """Forget codes, grants and identifiers past their limits, and grants whose code nobody fetched
        in time; how many rows."""
