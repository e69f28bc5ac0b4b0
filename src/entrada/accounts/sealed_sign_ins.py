"""The seam where sealed sign-ins are stored, so that Entra can be asked again about whoever is signed in.

One for each identity, its newest. Each method is one transaction; threads and servers share it.
`entrada.flows.recheck` asks; `tests/conformance` runs one suite against every implementation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from entrada.accounts.admission import Newcomer
from entrada.accounts.identity import EntraIdentity, RoleGrant, User, UserId


@dataclass(frozen=True, kw_only=True)
class SealedSignIn:
    """The newest sign-in of an identity. `sealed_sign_in` opens for this identity alone; None: nobody asks.

    `ended_at` says since when Entra no longer answers for this person; None: it does, or nobody asked yet.
    `tokens_from` outlives the next sign-in: access tokens that were issued before are over for good, because
    Entra takes none back.
    """

    identity: EntraIdentity
    user_id: UserId
    sealed_sign_in: str | None = field(repr=False)
    last_sign_in_at: datetime | None
    next_check_at: datetime | None
    ended_at: datetime | None = None
    ended_because: str | None = None
    tokens_from: datetime | None = None


class SealedSignIns(Protocol):
    """Keeps sealed sign-ins beside accounts and sessions.

    Raises:
        StoreUnavailable: from any method, when the database does not answer in time.
    """

    def remember(
        self,
        identity: EntraIdentity,
        *,
        user_id: UserId,
        sealed_sign_in: str | None,
        now: datetime,
        next_check_at: datetime,
    ) -> None:
        """The person signed in: what was stored before, an ended access too, makes room. None stores nothing.

        Raises:
            LookupError: no such user.
        """

    def of_user(self, user_id: UserId) -> Sequence[SealedSignIn]:
        """What is stored for the identities of a user."""

    def claim_due(self, *, now: datetime, next_check_at: datetime) -> SealedSignIn | None:
        """Who has waited longest, this caller's alone until `next_check_at`; None: nobody is due.

        Whoever has no session any more is not asked about, and what was stored of them is forgotten; where
        very many are due who have none, some of it by a later call. Nobody who has one waits for that.
        """

    def find_by_identity(self, identity: EntraIdentity) -> User | None:
        """See `AdmissionStore`."""

    def renew(
        self,
        link: SealedSignIn,
        *,
        newcomer: Newcomer,
        entra_grants: Sequence[RoleGrant] | None,
        sealed_sign_in: str,
        next_check_at: datetime,
    ) -> None:
        """Keeps what the next look needs, and if `link` is still the newest sign-in, brings the account up to
        date: the profile, the identity's groups, and the roles that Entra gives (None leaves them). Live
        sessions learn of it.

        Of a user with several identities, the one that signed in last says what the account is.
        """

    def end_access(self, link: SealedSignIn, *, because: str, now: datetime) -> bool:
        """If `link` is still the newest sign-in, ends every session of its user.

        False if the person has signed in again since `link` was claimed: then nothing ends.
        """
