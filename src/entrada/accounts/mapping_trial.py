"""What another roles mapping would change for the people who are known here: the dry run of page and command.

Of a person it is known what gave them each role they have from Entra, and nothing else: who loses a role is
told; who gains one by a claim or group that gives none today is seen at the next sign-in.
Only people whose roles came by a line that changes are read, so a small change among many people is cheap.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from entrada.accounts.administration import tenant_administered_by
from entrada.accounts.identity import GrantSource, User
from entrada.accounts.people import PeopleQuery
from entrada.accounts.roles import DEFAULT_ROLE_GRANTED_BY, RoleMapping
from entrada.accounts.store import AccountStore
from entrada.entra.authority import TenantId

PAGE = 250

Line = tuple[str, str]
"""What gives a role, in the words of `RoleGrant.granted_by`, and the role."""


@dataclass(frozen=True, kw_only=True)
class RoleChange:
    user: User
    loses: Sequence[str]
    gains: Sequence[str]
    is_kept_out: bool
    """No role would be left, where one is required."""

    def in_words(self) -> str:
        what = [f"loses {', '.join(self.loses)}"] if self.loses else []
        what += [f"gains {', '.join(self.gains)}"] if self.gains else []
        what += ["cannot sign in any more without a role"] if self.is_kept_out else []
        return "; ".join(what)


@dataclass(frozen=True, kw_only=True)
class LineDifference:
    """The lines of the new mapping, each with whether it is new, and those of today that it has no more."""

    lines: Sequence[tuple[Line, bool]]
    gone: Sequence[Line]


def lines_of(mapping: RoleMapping) -> list[Line]:
    return [(reason, role) for reason, roles in mapping.lines for role in roles]


def line_difference(today: RoleMapping, wanted: RoleMapping) -> LineDifference:
    before, after = set(lines_of(today)), lines_of(wanted)
    return LineDifference(
        lines=[(line, line not in before) for line in after], gone=sorted(before - set(after))
    )


@dataclass(frozen=True, kw_only=True)
class Trial:
    """`is_whole` False: more people than were looked at may have other roles then."""

    changes: Sequence[RoleChange]
    is_whole: bool


def role_changes(accounts: AccountStore, *, today: RoleMapping, wanted: RoleMapping, at_most: int) -> Trial:
    """Who would have other roles, by name, among the first so many whom it may concern."""
    looked = list(islice(looked_at(accounts, today=today, wanted=wanted), at_most + 1))
    changes = [change for _, change in looked[:at_most] if change is not None]
    return Trial(changes=changes, is_whole=len(looked) <= at_most)


def looked_at(
    accounts: AccountStore, *, today: RoleMapping, wanted: RoleMapping
) -> Iterator[tuple[User, RoleChange | None]]:
    """Everybody whom it may concern, by name, and what becomes of them; a page is in memory at a time."""
    for query in _affected(accounts.list_lines(), today, wanted):
        after = None
        while page := accounts.find_people(query, limit=PAGE, after=after):
            for user in page:
                yield user, change_of(user, wanted)
            after = page[-1].id


def change_of(user: User, wanted: RoleMapping) -> RoleChange | None:
    """What becomes of one person's roles; None: they stay."""
    by_hand, from_entra = _roles_after(user, wanted)
    change = RoleChange(
        user=user,
        loses=sorted(user.roles - from_entra - by_hand),
        gains=sorted(from_entra - user.roles),
        is_kept_out=wanted.required and not (from_entra | by_hand),
    )
    return change if change.loses or change.gains else None


def tenants_without_administrator(
    accounts: AccountStore, *, admin_roles: Collection[str], wanted: RoleMapping
) -> Sequence[TenantId]:
    """The tenants that somebody administers today, and nobody would."""
    today: set[TenantId] = set()
    then: set[TenantId] = set()
    for role in sorted(admin_roles):
        after = None
        while page := accounts.find_people(PeopleQuery(role=role), limit=PAGE, after=after):
            for user in page:
                tenant_id = tenant_administered_by(user, admin_roles)
                if tenant_id is not None and tenant_id not in then:
                    today.add(tenant_id)
                    if not set().union(*_roles_after(user, wanted)).isdisjoint(admin_roles):
                        then.add(tenant_id)
            after = page[-1].id
    return sorted(today - then)


def _roles_after(user: User, wanted: RoleMapping) -> tuple[frozenset[str], frozenset[str]]:
    """By hand, and from Entra."""
    granted = [grant for grant in user.grants if grant.source is GrantSource.ENTRA]
    by_hand = frozenset(grant.role for grant in user.grants if grant.source is GrantSource.MANUAL)
    known = {grant.granted_by for grant in granted} - {DEFAULT_ROLE_GRANTED_BY}
    after = {role for reason, role in lines_of(wanted) if reason in known}
    if not after and wanted.default_role is not None:
        after = {wanted.default_role}
    return by_hand, frozenset(after)


def _affected(held: Collection[Line], today: RoleMapping, wanted: RoleMapping) -> Iterator[PeopleQuery]:
    """Who may have other roles then: by a line that comes, goes or gave what it gives no more."""
    before, after = _by_reason(lines_of(today)), _by_reason(lines_of(wanted))
    given = _by_reason(held)
    reasons = frozenset(
        reason
        for reason, roles in given.items()
        if before.get(reason) != after.get(reason) or not roles <= after.get(reason, frozenset())
    )
    if reasons:
        yield PeopleQuery(given_for=reasons)
    if wanted.default_role is not None and wanted.default_role != today.default_role:
        yield PeopleQuery(given_for=frozenset())


def _by_reason(lines: Collection[Line]) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for reason, role in lines:
        found[reason] = found.get(reason, frozenset()) | {role}
    return found


def with_what_is_said_of_roles(mapping: RoleMapping, today: RoleMapping) -> RoleMapping:
    """The mapping, with the default role and the rest that stands in other settings."""
    return replace(mapping, default_role=today.default_role, required=today.required, sync=today.sync)
