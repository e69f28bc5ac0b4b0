"""The seam where accounts are stored.

Each method is one transaction: all of it or nothing, also under kill -9.
`tests/conformance` runs one suite against every implementation.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from entrada.accounts.administration import AdministrationRules
from entrada.accounts.groups import Membership
from entrada.accounts.identity import EntraIdentity, Profile, RoleGrant, User, UserId
from entrada.accounts.people import PeopleQuery
from entrada.audit.acts import BY_ENTRADA, Cause


class AdmissionStore(Protocol):
    """What `admit` needs: enough to stand before another product's own users (`entrada.integrations`).

    Raises:
        StoreUnavailable: from any method, when the database does not answer in time.
    """

    def find_by_identity(self, identity: EntraIdentity) -> User | None:
        """The user this identity signs in as.

        Raises:
            AccountDisabled: a product's administrators deleted that user, and said by it: stay out.
        """

    def find_by_verified_email(self, email: str) -> Sequence[User]:
        """Every user whose verified e-mail equals this one, letters compared without case."""

    def create(
        self,
        *,
        user_id: UserId,
        identity: EntraIdentity,
        profile: Profile,
        entra_grants: Sequence[RoleGrant],
        now: datetime,
    ) -> User:
        """A new enabled user with this identity linked and these roles, all at once; counts as a sign-in.

        Raises:
            IdentityAlreadyLinked: another sign-in was faster; nothing was created.
            ValueError: the id is taken, or a grant among `entra_grants` is not Entra's.
        """

    def link(self, *, user_id: UserId, identity: EntraIdentity, now: datetime) -> User:
        """The user with one identity more; linking the same again changes nothing.

        Raises:
            LookupError: no such user.
            IdentityAlreadyLinked: the identity signs in as another user; both stay as they are.
        """

    def record_sign_in(
        self,
        *,
        user_id: UserId,
        identity: EntraIdentity,
        profile: Profile,
        entra_grants: Sequence[RoleGrant] | None,
        now: datetime,
    ) -> User:
        """The user after a sign-in: profile and time of sign-in updated.

        `entra_grants` replace the grants whose source is Entra (a grant that stays keeps its `granted_at`);
        None leaves them as they are. Manual grants are never touched.

        Raises:
            LookupError: no such user, or the identity is not linked to them.
        """


class AccountStore(AdmissionStore, Protocol):
    """Stores users, linked identities and role grants of our own.

    Every change of an account or of its roles is entered into the audit trail (`entrada.audit`) in the same
    transaction; what changes nothing is not. `cause` says who does it, and why. `rules` are asked inside that
    transaction, of everything as it is then; what they raise changes nothing.

    A grant whose end has passed, by the store's own clock, is in no user who signs in or is looked up,
    whether it has been taken back or not.
    """

    def get(self, user_id: UserId) -> User | None: ...

    def record_groups(self, *, user_id: UserId, identity: EntraIdentity, membership: Membership) -> User:
        """The user, with what is known of this identity's groups. Live sessions learn of a change.

        Raises:
            LookupError: no such user, or the identity is not linked to them.
        """

    def set_disabled(
        self,
        user_id: UserId,
        *,
        disabled: bool,
        now: datetime,
        cause: Cause = BY_ENTRADA,
        rules: AdministrationRules | None = None,
    ) -> User | None:
        """The user, disabled or enabled; None if there is no such user.

        Either change ends their sessions in the same transaction.
        """

    def grant_role(
        self,
        user_id: UserId,
        *,
        role: str,
        granted_by: str,
        now: datetime,
        until: datetime | None = None,
        cause: Cause = BY_ENTRADA,
        rules: AdministrationRules | None = None,
    ) -> User | None:
        """The user with a manual grant of `role` that ends at `until`; None if no such user.

        Unchanged if there is one with the same end already; one with another end is replaced.

        Raises:
            AdministrationRefused: `until` has passed.
        """

    def revoke_role(
        self,
        user_id: UserId,
        *,
        role: str,
        cause: Cause = BY_ENTRADA,
        rules: AdministrationRules | None = None,
    ) -> User | None:
        """The user without the manual grant of `role`; None if no such user."""

    def end_grants(self, *, now: datetime) -> int:
        """Take back what was given until now or earlier, of some people at least; how many grants that were.

        Live sessions learn of it, and the audit trail says that Entrada did it. Several servers may do so at
        once: each grant is taken back once.
        """

    def delete(
        self, user_id: UserId, *, cause: Cause = BY_ENTRADA, rules: AdministrationRules | None = None
    ) -> User | None:
        """The user who was, now forgotten with identities, roles, sessions and what was stored to ask Entra.

        The audit trail keeps what happened to the id, and no longer says whose it was.
        None if there is no such user. Whoever signs in with one of the identities is somebody new.
        """

    def search(self, text: str, *, limit: int = 20) -> Sequence[User]:
        """Users whose id or object id this is, or whose name, username or e-mail address contains it.

        ASCII letters count the same in either case. At most `limit`; whole matches come first. For people
        who look for somebody: it decides nothing.
        """

    def find_whole(self, text: str, *, limit: int = 20) -> Sequence[User]:
        """Users of whom this is the whole id, object id, name, username or e-mail address, in no order.

        ASCII letters count the same in either case. At the same cost among a million users as among ten.
        """

    def find_people(
        self, query: PeopleQuery, *, limit: int = 50, after: UserId | None = None
    ) -> Sequence[User]:
        """Users by name, ASCII letters counting alike in either case, and by id where names are the same.

        At most `limit`, beginning behind the user `after`; none if that one is gone.
        """

    def list_lines(self) -> Sequence[tuple[str, str]]:
        """What gave roles of Entra's that somebody has, and which: each `granted_by` with each role, once."""

    def list_users(self, *, limit: int = 100, after: UserId | None = None) -> Sequence[User]:
        """Users in the order of their ids, at most `limit`, beginning behind `after`."""
