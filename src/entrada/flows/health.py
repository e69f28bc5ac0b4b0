"""How it stands with what a server depends on, for people: what is known, and what is not.

    Health.facts        everything, in groups; Graph is asked at most once an hour

Each process knows what it saw itself since it started; what stands in the database is of all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock

from entrada.entra.credential_ends import CredentialEnd, read_credential_ends
from entrada.errors import EntradaError, StoreUnavailable
from entrada.events import Event, subscribe
from entrada.flows.relying_party import RelyingParty
from entrada.flows.session_count import SessionCount

ASK_GRAPH_EVERY = timedelta(hours=1)
SOON = timedelta(days=30)
"""Before that a secret that ends is worth a warning."""


@dataclass(frozen=True, kw_only=True)
class HealthFact:
    """`is_known` False: `text` says why not. `needs_care`: somebody should do something about it."""

    label: str
    text: str
    is_known: bool = True
    needs_care: bool = False


@dataclass(frozen=True, kw_only=True)
class HealthGroup:
    heading: str
    facts: Sequence[HealthFact]


@dataclass(kw_only=True)
class Health:
    """`further` are facts of whoever knows more, such as a gateway about its keys."""

    party: RelyingParty
    further: Sequence[Callable[[datetime], HealthGroup]] = ()
    started_at: datetime = field(init=False)
    _sessions: SessionCount = field(init=False, repr=False)
    _asked_at: datetime | None = field(default=None, init=False)
    _ends: Sequence[CredentialEnd] = field(default=(), init=False)
    _why_not: str = field(default="", init=False)
    _last_error: tuple[datetime, str] | None = field(default=None, init=False)
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        self.started_at = self.party.clock.now()
        self._sessions = SessionCount(sessions=self.party.sessions, clock=self.party.clock)
        end, close = subscribe(self._heard), self.party.close

        def close_all() -> None:
            end()
            close()

        self.party.close = close_all

    def groups(self, now: datetime) -> Sequence[HealthGroup]:
        """Never raises: what cannot be found out is said to be unknown."""
        return [
            HealthGroup(heading="Microsoft Entra ID", facts=[*self._entra(now), *self._credential(now)]),
            HealthGroup(heading="Asking Entra again", facts=[*self._recheck(), *self._delta(now)]),
            HealthGroup(heading="Here", facts=self._store()),
            *(one(now) for one in self.further),
        ]

    def _entra(self, now: datetime) -> list[HealthFact]:
        application = self.party.sign_in.application
        try:
            application.metadata()  # after a restart nobody may have needed it yet
            metadata = HealthFact(label="Metadata", text="Read")
        except EntradaError as error:
            text = f"Cannot be read, so nobody can sign in through this process: {error.sentence}"
            metadata = HealthFact(label="Metadata", text=text, needs_care=True)
        fetched = application.keys_fetched_at
        facts = [
            metadata,
            HealthFact(
                label="Entra's signing keys",
                text="Not fetched yet" if fetched is None else f"Fetched {ago(now - fetched)} ago",
                is_known=fetched is not None,
            ),
        ]
        if self._last_error is None:
            text = f"None since this process started, {ago(now - self.started_at)} ago"
            return [*facts, HealthFact(label="Last error of Entra's", text=text)]
        at, words = self._last_error
        return [*facts, HealthFact(label="Last error of Entra's", text=f"{ago(now - at)} ago: {words}")]

    def _credential(self, now: datetime) -> list[HealthFact]:
        self._ask_graph(now)
        if self._why_not:
            return [
                HealthFact(
                    label="Client secret or certificate",
                    text=f"Not known until when it works: {self._why_not}.",
                    is_known=False,
                )
            ]
        if not self._ends:
            return [HealthFact(label="Client secret or certificate", text="The registration has none")]
        return [
            HealthFact(
                label=f"{end.kind.capitalize()} {end.name}".strip(),
                text=_ending(end.ends_at, now),
                needs_care=end.ends_at - now < SOON,
            )
            for end in self._ends
        ]

    def _ask_graph(self, now: datetime) -> None:
        with self._lock:
            if self._asked_at is not None and timedelta(0) <= now - self._asked_at < ASK_GRAPH_EVERY:
                return
            self._asked_at = now
        application = self.party.sign_in.application
        try:
            if application.authority.is_broker:
                self._why_not = "the sign-in goes through a broker, whose registration it is"
                return
            graph_url = application.authority.graph_url
            token, _ = application.token_for_itself(f"{graph_url}/.default")
            self._ends = read_credential_ends(
                self.party.sign_in.identification.groups.transport,
                graph_url=graph_url,
                access_token=token,
                client_id=application.client_id,
            )
            self._why_not = ""
        except EntradaError as error:
            self._why_not = str(getattr(error, "reason", None) or error.sentence).rstrip(".")

    def _recheck(self) -> list[HealthFact]:
        recheck = self.party.recheck
        if recheck is None:
            return [HealthFact(label="Re-check", text="Nobody is asked about again", needs_care=True)]
        every = f"Everybody who is signed in, every {ago(recheck.recheck.every)}"
        state = "by this process" if recheck.loop.is_running else "not running in this process yet"
        return [HealthFact(label="Re-check", text=f"{every}; {state}", needs_care=False)]

    def _delta(self, now: datetime) -> list[HealthFact]:
        watch = self.party.watch
        if watch is None:
            text = "Not switched on: the re-check alone finds out who left"
            return [HealthFact(label="Graph delta", text=text)]
        try:
            positions = watch.watch.store.positions()
        except StoreUnavailable as error:
            return [HealthFact(label="Graph delta", text=error.sentence, is_known=False)]
        if not positions:
            return [HealthFact(label="Graph delta", text="Switched on, and no directory was read yet")]
        facts = []
        for position in positions:
            looked = position.looked_at
            lag = "never read" if looked is None else f"read up to {ago(now - looked)} ago"
            problem = f"; {position.problem}" if position.problem else ""
            facts.append(
                HealthFact(
                    label=f"Graph delta of {position.tenant_id}",
                    text=lag + problem,
                    needs_care=bool(problem),
                )
            )
        return facts

    def _store(self) -> list[HealthFact]:
        try:
            self.party.check_database()
            count = self._sessions.read()
        except StoreUnavailable as error:
            return [HealthFact(label="Database", text=error.sentence, needs_care=True)]
        return [
            HealthFact(label="Database", text="Answers, and can be written"),
            HealthFact(label="Sessions within their limits", text=str(count)),
        ]

    def _heard(self, event: Event, fields: Mapping[str, object]) -> None:
        if event not in (Event.RECHECK_FAILED, Event.SIGN_IN_REFUSED):
            return
        if not (fields.get("aadsts") or fields.get("error") or event is Event.RECHECK_FAILED):
            return
        names = ("aadsts", "error", "reason", "code")
        said = [f"AADSTS{fields[n]}" if n == "aadsts" else str(fields[n]) for n in names if fields.get(n)]
        self._last_error = self.party.clock.now(), f"{event.value}: {', '.join(said)[:300]}"


def _ending(ends_at: datetime, now: datetime) -> str:
    if ends_at <= now:
        return f"Ended {ends_at:%Y-%m-%d}, {ago(now - ends_at)} ago"
    return f"Works until {ends_at:%Y-%m-%d}, {ago(ends_at - now)} from now"


def ago(span: timedelta) -> str:
    """A span as people say it, in its largest unit."""
    seconds = max(0, int(span.total_seconds()))
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        if seconds >= size or unit == "second":
            count = seconds // size
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    raise AssertionError
