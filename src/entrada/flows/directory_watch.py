"""Who left, learnt from Microsoft Graph within seconds: every allowed tenant's directory is watched.

One look: for each tenant that no other server watches → what changed among people → among groups → the next
part of everybody signed in. See `tenant_watch` for what these end and hasten.

It comes on top of the re-check, which goes on: where Graph does not answer, does not let us, or says nothing
usable, nobody's access ends for that, the log says so once, and who left is found by the re-check alone.
Each of the three parts pauses by itself; where Graph asks for a pause, the whole tenant gets it.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Generic

from entrada.accounts.delta_position import DeltaPosition
from entrada.clock import Clock
from entrada.entra.authority import TenantId
from entrada.errors import EntradaError, EntraUnavailable, Fixer, StoreUnavailable
from entrada.flows.recheck import Due
from entrada.flows.tenant_graph import TenantGraph
from entrada.flows.tenant_watch import (
    BATCHES_A_SECOND,
    EVERYBODY_EVERY,
    LOOKS_IN_A_ROUND,
    DirectoryStore,
    Looked,
    PositionLost,
    TenantWatch,
    WatchedGroups,
)

LONGEST_PAUSE = timedelta(minutes=1)
PERMISSION_PAUSE = timedelta(minutes=5)
"""After which it is tried again whether an administrator has granted what was missing."""
SHORTEST_LEASE, LONGEST_LEASE = timedelta(seconds=3), timedelta(minutes=1)
LOOKS_IN_A_LEASE = 6

_log = logging.getLogger("entrada")


@dataclass(kw_only=True)
class _Part:
    """One of the three parts of a look: until when it pauses, and what was said about it."""

    name: str
    failures: int = 0
    quiet_until: float = float("-inf")
    problem: str | None = None


@dataclass(kw_only=True)
class _Watched(Generic[Due]):
    """A tenant that this server watches now."""

    watch: TenantWatch[Due]
    people: _Part = field(default_factory=lambda: _Part(name="who changed"))
    groups: _Part = field(default_factory=lambda: _Part(name="whose groups changed"))
    everybody: _Part = field(default_factory=lambda: _Part(name="whose sessions were revoked"))

    @property
    def problem(self) -> str | None:
        parts = (self.people, self.groups, self.everybody)
        return "; ".join(f"{part.name}: {part.problem}" for part in parts if part.problem) or None


@dataclass(kw_only=True)
class DirectoryWatch(Generic[Due]):
    """`every` is the pause between two looks. Used by one thread."""

    graph_of: Callable[[TenantId], TenantGraph]
    tenants: Callable[[], frozenset[TenantId]]
    store: DirectoryStore[Due]
    groups: WatchedGroups
    clock: Clock
    every: timedelta
    _name: str = field(default_factory=lambda: secrets.token_hex(16), init=False)
    _watched: dict[TenantId, _Watched[Due]] = field(default_factory=dict, init=False)
    _said: str | None = field(default=None, init=False)

    @property
    def holder(self) -> str:
        """This process's; a forked one's is another."""
        return f"{self._name}-{os.getpid()}"

    def release(self) -> None:
        """Another server may read on at once, or this one once it is started again.

        Raises:
            StoreUnavailable: the database does not answer; then they wait until the lease is over.
        """
        for tenant_id in list(self._watched):
            if self._hold(tenant_id) is None:
                continue  # another's meanwhile, and not ours to let go
            now = self.clock.now()
            self.store.hold_position(tenant_id, holder=self.holder, now=now, until=now)
        self._watched.clear()

    def look(self, *, is_over: Callable[[], bool] = lambda: False) -> Looked:
        """Looks at every tenant once; what came of it.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        try:
            tenants = self.tenants()
        except EntradaError as error:
            self._say(f"Whose directory to watch is not known yet: {_reason(error)}")
            return Looked()
        looked = Looked()
        for tenant_id in sorted(tenants):
            if is_over():
                break
            looked += self._look_at(tenant_id)
        return looked

    def _look_at(self, tenant_id: TenantId) -> Looked:
        position = self._hold(tenant_id)
        if position is None:
            self._watched.pop(tenant_id, None)
            return Looked()
        watched = self._watched.get(tenant_id)
        if watched is None:
            watched = self._watched[tenant_id] = self._begin(tenant_id, position)
        watch, looked = watched.watch, Looked()
        watch.position = position  # another server may have read on in between
        try:
            looked += self._try(watched, watched.people, watch.look_at_people)
            if watched.people.problem is None and not self._is_quiet(watched.people):
                watch.note_looked()
            looked += self._try(watched, watched.groups, watch.look_at_groups)
            looked += self._try(watched, watched.everybody, watch.ask_about_everybody)
        except PositionLost:
            self._watched.pop(tenant_id, None)
        return looked

    def _begin(self, tenant_id: TenantId, position: DeltaPosition) -> _Watched[Due]:
        def keep(changed: DeltaPosition) -> None:
            written = replace(changed, problem=self._watched[tenant_id].problem)
            # Also what keeps the lease through a long look.
            if self._hold(tenant_id) is None or not self.store.keep_position(written, holder=self.holder):
                raise PositionLost

        return _Watched(
            watch=TenantWatch(
                tenant_id=tenant_id,
                graph=self.graph_of(tenant_id),
                store=self.store,
                groups=self.groups,
                clock=self.clock,
                keep=keep,
                everybody_every=min(self.every * LOOKS_IN_A_ROUND, EVERYBODY_EVERY),
                batches_a_look=max(1, round(BATCHES_A_SECOND * self.every.total_seconds())),
                position=position,
            )
        )

    def _hold(self, tenant_id: TenantId) -> DeltaPosition | None:
        now = self.clock.now()
        lease = min(max(self.every * LOOKS_IN_A_LEASE, SHORTEST_LEASE), LONGEST_LEASE)
        return self.store.hold_position(tenant_id, holder=self.holder, now=now, until=now + lease)

    def _try(self, watched: _Watched[Due], part: _Part, look: Callable[[], Looked]) -> Looked:
        if self._is_quiet(part):
            return Looked()
        try:
            looked = look()
        except (PositionLost, StoreUnavailable):
            raise
        except EntradaError as error:
            self._failed(watched, part, error)
            return Looked()
        if part.problem is not None:
            _log.info("Microsoft Graph says again %s in the tenant %s.", part.name, watched.watch.tenant_id)
            part.problem = None
            watched.watch.keep(watched.watch.position)
        part.failures = 0
        return looked

    def _failed(self, watched: _Watched[Due], part: _Part, error: EntradaError) -> None:
        watch = watched.watch
        watch.graph.mark_token_stale()
        part.failures += 1
        wait = getattr(error, "retry_after_seconds", None)
        if wait is not None:
            pause = timedelta(seconds=wait)
        elif error.fixer is Fixer.ADMINISTRATOR:
            pause = min(PERMISSION_PAUSE, self.every * 10)
        else:
            pause = min(self.every * 2 ** min(part.failures - 1, 10), LONGEST_PAUSE)
        paused = (watched.people, watched.groups, watched.everybody) if wait is not None else (part,)
        for each in paused:
            each.quiet_until = max(each.quiet_until, self.clock.monotonic() + pause.total_seconds())
        problem = _reason(error)
        if problem == part.problem:
            return
        part.problem = problem
        watch.keep(watch.position)
        _log.warning(
            "Microsoft Graph does not say %s in the tenant %s, so that is found by the re-check alone: %s%s",
            part.name,
            watch.tenant_id,
            problem,
            f" ({error.hint})" if error.fixer is Fixer.ADMINISTRATOR and error.hint else "",
        )

    def _is_quiet(self, part: _Part) -> bool:
        return self.clock.monotonic() < part.quiet_until

    def _say(self, sentence: str) -> None:
        if sentence != self._said:
            self._said = sentence
            _log.warning("%s", sentence)


def _reason(error: EntradaError) -> str:
    return error.reason if isinstance(error, EntraUnavailable) else error.code
