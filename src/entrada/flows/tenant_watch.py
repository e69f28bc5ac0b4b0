"""What one look at a tenant's directory does: who changed since the last, and what that ends or hastens.

    people      the delta query of people: who was disabled or deleted is asked about at once, and is out
    groups      that of the groups which matter here: whoever came or went has their re-check hastened
    everybody   by and by, everyone who is signed in, twenty a request: who was disabled before the first
                look, and whose sessions Entra has revoked

A page of changes names whom to ask about, and ends nobody: Graph may say things twice, late or out of order.
What ends somebody is how they stand now, read by their object id. So the same pages, read again, in any order
or after a restart from an older link, lead to the same end. Whoever is not linked here is passed over.

A look never reads the whole directory: it begins from now on, and asks about everybody who is signed in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Generic, Protocol

from entrada.accounts.delta_position import DeltaPosition
from entrada.accounts.groups import WantedGroups
from entrada.accounts.identity import EntraIdentity
from entrada.accounts.roles import RoleMapping
from entrada.audit.acts import SESSIONS_REVOKED
from entrada.clock import Clock
from entrada.entra.authority import ObjectId, TenantId
from entrada.entra.directory import (
    GROUPS_PER_QUERY,
    PEOPLE_PER_BATCH,
    Change,
    PeopleStates,
    PersonState,
    group_changes_url,
    people_changes_url,
)
from entrada.errors import EntraUnavailable
from entrada.events import Event, record
from entrada.flows.recheck import Due, DueSignIn
from entrada.flows.tenant_graph import TenantGraph

EVERYBODY_EVERY = timedelta(minutes=1)
LOOKS_IN_A_ROUND = 12
"""How often everybody who is signed in is asked about: once in so many looks, and once a minute at least,
where `BATCHES_A_SECOND` allows it."""
BATCHES_A_SECOND = 5
PAGES_A_LOOK = 200
"""Then other tenants, and whoever is signed in, have their turn; the next look goes on from there."""
DOUBTED_FOR = timedelta(minutes=2)
"""How long somebody whom a change called disabled, and an answer enabled, is asked about at each look."""
AGAIN_AFTER = timedelta(minutes=1)
"""Whose groups changed is re-checked at once, and once more then: Entra may issue tokens of before."""
AT_THE_SAME_TIME = timedelta(seconds=5)
_PEOPLE = "people"
_NAMES_LIFE = timedelta(minutes=10)


class PositionLost(Exception):
    """Another server reads on."""


class DirectoryStore(Protocol[Due]):
    """Who is linked here, and how far changes were read. Each method is one transaction.

    Raises:
        StoreUnavailable: from any method, when the database does not answer in time.
    """

    def hold_position(
        self, tenant_id: TenantId, *, holder: str, now: datetime, until: datetime
    ) -> DeltaPosition | None:
        """How far that tenant was read, this holder's alone until then; None: another holds it."""

    def keep_position(self, position: DeltaPosition, *, holder: str) -> bool:
        """Write how far it was read; False, and nothing written, if this holder no longer holds it."""

    def positions(self) -> Sequence[DeltaPosition]:
        """How far each tenant was read, whoever holds it."""

    def linked(self, tenant_id: TenantId, object_ids: Collection[ObjectId]) -> Sequence[Due]:
        """Those of these people who sign in here, however long ago they last did."""

    def signed_in(self, tenant_id: TenantId, *, after: ObjectId | None, at_most: int) -> Sequence[Due]:
        """Whose newest sign-in of that tenant goes on, in the order of object ids, beginning after one."""

    def hasten(self, tenant_id: TenantId, object_ids: Collection[ObjectId] | None, *, now: datetime) -> int:
        """Make their re-check due now, or that of everybody of the tenant; for how many."""

    def end_access(self, link: Due, *, because: str, now: datetime) -> bool:
        """See `RecheckStore`. False also where it had ended before."""

    def end_sessions_before(self, identity: EntraIdentity, *, before: datetime) -> int:
        """End those sessions of this identity that began before then; how many."""


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What came of it."""

    ended: int = 0
    hastened: int = 0

    def __add__(self, other: Looked) -> Looked:
        return Looked(ended=self.ended + other.ended, hastened=self.hastened + other.hastened)


@dataclass(frozen=True, kw_only=True)
class WatchedGroups:
    """The groups whose members matter: those of the roles mapping, and those that rules ask about."""

    mapping: RoleMapping
    besides: WantedGroups = field(default_factory=WantedGroups)

    @property
    def names(self) -> frozenset[str]:
        return self.besides.names | frozenset(self.mapping.group_names)

    def ids_of(self, tenant_id: TenantId) -> frozenset[ObjectId]:
        return self.mapping.group_ids_of(tenant_id) | self.besides.ids_of(tenant_id)


@dataclass(frozen=True, kw_only=True)
class _Round:
    """A round over everybody: when it began, and how far it is."""

    began_at: datetime
    after: ObjectId | None = None


@dataclass(frozen=True, kw_only=True)
class _Doubt:
    """About somebody whom a change called gone, and an answer did not."""

    until: datetime
    was_removed: bool


@dataclass(kw_only=True)
class TenantWatch(Generic[Due]):
    """One tenant's. Used by one thread; `position` is what `hold_position` gave, and is brought up to date.

    `keep` writes the position, and raises PositionLost where it is another's.
    """

    tenant_id: TenantId
    graph: TenantGraph
    store: DirectoryStore[Due]
    groups: WatchedGroups
    clock: Clock
    keep: Callable[[DeltaPosition], None]
    everybody_every: timedelta
    batches_a_look: int
    position: DeltaPosition
    is_behind: bool = field(default=False, init=False)
    """Whether there were more pages of changes among people than one look reads."""
    _round: _Round | None = field(default=None, init=False)
    _doubted: dict[ObjectId, _Doubt] = field(default_factory=dict, init=False)
    _again: dict[ObjectId, datetime] = field(default_factory=dict, init=False)
    _valid_from: dict[ObjectId, datetime] = field(default_factory=dict, init=False)
    _seen: set[ObjectId] = field(default_factory=set, init=False)
    _named: tuple[datetime, frozenset[ObjectId]] | None = field(default=None, init=False)

    def look_at_people(self) -> Looked:
        """Everyone who was disabled or deleted since, if they are linked here."""
        looked = self._ask_again_about_the_doubted()
        self.is_behind = True
        for changes in self._changes(_PEOPLE, people_changes_url(self.graph.graph_url)):
            looked += self._people_changed(changes)
        return looked

    def note_looked(self) -> None:
        """Graph said what there was to say about people."""
        if not self.is_behind:
            self._keep(replace(self.position, looked_at=self.clock.now()))

    def look_at_groups(self) -> Looked:
        """Everyone who came into a group that matters, or left it."""
        looked = self._hasten_again()
        for key, url in self._group_queries():
            for changes in self._changes(key, url):
                looked += self._groups_changed(changes)
        return looked

    def ask_about_everybody(self) -> Looked:
        """The next part of everyone who is signed in."""
        now, asked_at = self.clock.now(), self.position.asked_at
        if self._round is None:
            if asked_at is not None and timedelta(0) <= now - asked_at < self.everybody_every:
                return Looked()
            self._round = _Round(began_at=now)
        looked = Looked()
        for _ in range(self.batches_a_look):
            links = self.store.signed_in(self.tenant_id, after=self._round.after, at_most=PEOPLE_PER_BATCH)
            if links:
                looked += self._ask_about(links)
                self._seen |= {link.identity.object_id for link in links}
                self._round = replace(self._round, after=links[-1].identity.object_id)
            if len(links) < PEOPLE_PER_BATCH:
                began_at, self._round = self._round.began_at, None
                # Whoever is not signed in any more needs not be remembered.
                self._valid_from = {one: at for one, at in self._valid_from.items() if one in self._seen}
                self._seen = set()
                self._keep(replace(self.position, asked_at=began_at))
                break
        return looked

    def _changes(self, key: str, start_url: str) -> Iterator[Sequence[Change]]:
        """Each page of changes; how far it was read is written once the page has been dealt with."""
        link = self.position.links.get(key)
        for _ in range(PAGES_A_LOOK):
            page = self.graph.changes(link or start_url)
            if page is None:
                if link is None:
                    raise EntraUnavailable(reason="Graph lets no delta query begin", answered=True)
                link = None
                self._without(key)
                continue
            if link is None and key == _PEOPLE:
                self._round = None
                self.position = replace(self.position, asked_at=None)
            yield page.changes
            link = page.link
            self._keep(replace(self.position, links={**self.position.links, key: link}))
            if page.is_last:
                self.is_behind = self.is_behind and key != _PEOPLE
                return

    def _without(self, key: str) -> None:
        others = {name: link for name, link in self.position.links.items() if name != key}
        self._keep(replace(self.position, links=others))

    def _keep(self, position: DeltaPosition) -> None:
        self.keep(position)
        self.position = position

    def _people_changed(self, changes: Sequence[Change]) -> Looked:
        # What is told twice may be told in either order: whoever is called gone anywhere is asked about. That
        # somebody was deleted is the later word, because the answer to the question may be late, too.
        leaving = {change.object_id for change in changes if _says_gone(change)}
        if not leaving:
            return Looked()
        last = {change.object_id: change for change in changes}
        removed = {one for one in leaving if last[one].is_removed}
        looked, links = Looked(), self.store.linked(self.tenant_id, list(leaving))
        for start in range(0, len(links), PEOPLE_PER_BATCH):
            looked += self._ask_about(
                links[start : start + PEOPLE_PER_BATCH], said_gone=True, removed=removed
            )
        return looked

    def _ask_again_about_the_doubted(self) -> Looked:
        now = self.clock.now()
        self._doubted = {one: doubt for one, doubt in self._doubted.items() if now < doubt.until}
        if not self._doubted:
            return Looked()
        removed = {one for one, doubt in self._doubted.items() if doubt.was_removed}
        links, looked = self.store.linked(self.tenant_id, list(self._doubted)), Looked()
        for start in range(0, len(links), PEOPLE_PER_BATCH):
            looked += self._ask_about(links[start : start + PEOPLE_PER_BATCH], removed=removed)
        return looked

    def _ask_about(
        self, links: Sequence[Due], *, said_gone: bool = False, removed: Collection[ObjectId] = ()
    ) -> Looked:
        """How these people stand now, and what follows from it."""
        answer = self.graph.people([link.identity.object_id for link in links])
        ended, doubtful = 0, set(answer.unanswered)
        for link in links:
            object_id = link.identity.object_id
            state = answer.states.get(object_id)
            if state is None:
                continue
            because = _because(link, state, answer, was_removed=object_id in removed)
            if because is not None:
                ended += self._end(link, because=because, found_by="delta" if said_gone else "batch")
                self._doubted.pop(object_id, None)
            elif state.is_enabled is None:
                doubtful.add(object_id)
            elif said_gone:
                self._doubted[object_id] = _Doubt(
                    until=self.clock.now() + DOUBTED_FOR, was_removed=object_id in removed
                )
            elif self._sessions_revoked(link, state, answer):
                doubtful.add(object_id)
        if answer.retry_after_seconds is not None:
            raise EntraUnavailable(
                reason=f"Graph throttles ({len(answer.unanswered)} of {len(links)} people)",
                retry_after_seconds=answer.retry_after_seconds,
            )
        # About whom Graph says nothing that can be used, Entra's own token endpoint is asked.
        return Looked(ended=ended, hastened=self._hasten(doubtful))

    def _sessions_revoked(self, link: Due, state: PersonState, answer: PeopleStates) -> bool:
        """Ends what began before the revocation; True: Entra has to say about the newest sign-in, too."""
        valid_from, object_id = state.sessions_valid_from, link.identity.object_id
        if valid_from is None or self._valid_from.get(object_id) == valid_from:
            return False
        before = answer.by_our_clock(valid_from)
        self.store.end_sessions_before(link.identity, before=before)
        self._valid_from[object_id] = valid_from
        signed_in_at = link.last_sign_in_at
        return signed_in_at is None or signed_in_at - before < AT_THE_SAME_TIME

    def _end(self, link: Due, *, because: str, found_by: str) -> int:
        now = self.clock.now()
        if not self.store.end_access(link, because=because, now=now):
            return 0
        looked_at = self.position.looked_at if found_by == "delta" else self.position.asked_at
        since = max((at for at in (looked_at, link.last_sign_in_at) if at is not None), default=None)
        record(
            Event.ACCESS_ENDED,
            reason=because,
            user_id=link.user_id or None,
            **asdict(link.identity),
            found_by=found_by,
            seconds=None if since is None else round((now - since).total_seconds(), 3),
        )
        return 1

    def _group_queries(self) -> Iterator[tuple[str, str]]:
        if self.groups.besides.everything:
            yield "groups", group_changes_url(self.graph.graph_url, ())
            return
        ids = sorted(self.groups.ids_of(self.tenant_id) | self._ids_of_names())
        for start in range(0, len(ids), GROUPS_PER_QUERY):
            some = ids[start : start + GROUPS_PER_QUERY]
            key = hashlib.sha256(",".join(some).encode()).hexdigest()[:16]
            yield f"groups {key}", group_changes_url(self.graph.graph_url, some)

    def _ids_of_names(self) -> frozenset[ObjectId]:
        if not self.groups.names:
            return frozenset()
        now = self.clock.now()
        if self._named is None or not timedelta(0) <= now - self._named[0] < _NAMES_LIFE:
            self._named = now, self.graph.group_ids(self.groups.names)
        return self._named[1]

    def _groups_changed(self, changes: Sequence[Change]) -> Looked:
        if any(change.is_removed for change in changes):
            # Whoever was in a group that is gone: Graph does not say.
            return Looked(hastened=self.store.hasten(self.tenant_id, None, now=self.clock.now()))
        moved = frozenset[ObjectId]().union(*(change.members for change in changes))
        again_at = self.clock.now() + AGAIN_AFTER
        self._again.update({link.identity.object_id: again_at for link in self._linked(moved)})
        return Looked(hastened=self._hasten(moved))

    def _hasten_again(self) -> Looked:
        now = self.clock.now()
        due = {object_id for object_id, at in self._again.items() if at <= now}
        for object_id in due:
            del self._again[object_id]
        return Looked(hastened=self._hasten(due))

    def _linked(self, object_ids: Collection[ObjectId]) -> Sequence[Due]:
        return self.store.linked(self.tenant_id, object_ids) if object_ids else ()

    def _hasten(self, object_ids: Collection[ObjectId]) -> int:
        return self.store.hasten(self.tenant_id, object_ids, now=self.clock.now()) if object_ids else 0


def _says_gone(change: Change) -> bool:
    return change.is_removed or change.is_enabled is False


def _because(link: DueSignIn, state: PersonState, answer: PeopleStates, *, was_removed: bool) -> str | None:
    """Why this person's access ends; None: it does not, by this answer.

    That there is nobody of that object id is believed where a change said so, too: one answer may be wrong.
    """
    if state.is_enabled is False:
        return "disabled in the directory"
    if state.is_enabled is None:
        return "deleted from the directory" if was_removed else None
    valid_from, signed_in_at = state.sessions_valid_from, link.last_sign_in_at
    if valid_from is None or signed_in_at is None:
        return None
    return SESSIONS_REVOKED if signed_in_at < answer.by_our_clock(valid_from) else None
