"""What became of a request: noted by whoever decides it, read by metrics and access log when it is over.

Observed            around the application: makes an `Outcome` for each request, hands it on at the end
outcome_of(scope)   where forward auth and reverse proxy write down rule, result and person
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Literal

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from entrada.gateway.caller import Caller
from entrada.gateway.rules import OTHERWISE, Decision, Rule
from entrada.gateway.tunnels import CONNECTION, TunnelHttpProtocol

Part = Literal["check", "proxy", "own"]
"""A proxy's question, a request for an upstream, or one of our own pages."""

REFUSED = "refused"
"""The result of a request that no rule was asked about: ambiguous, from an unlisted hop, a token refused."""

NO_RULE = "none"
_OTHERWISE = "otherwise"
_KEY = "entrada.outcome"

Finished = Callable[["Outcome", Scope], None]


def label_of(rule: Rule | None) -> str:
    """The rule as the settings file writes its place; nothing that a visitor chooses."""
    if rule is None:
        return NO_RULE
    return _OTHERWISE if rule is OTHERWISE else str(rule)


@dataclass(slots=True)
class FastCount:
    """How often the fast path has answered by one rule. The event loop's thread adds, nobody else."""

    count: int = 0


@dataclass(slots=True)
class Outcome:
    """`method`, `host` and `target` are those of the request that a proxy asks about, where it has said."""

    started: float = field(default_factory=perf_counter)
    part: Part = "own"
    rule: Rule | None = None
    result: str | None = None
    caller: Caller | None = None
    method: str | None = None
    host: str | None = None
    target: bytes | None = None
    status: int | None = None
    """None: the client went away before there was a response."""
    answered: float | None = None

    def decided(self, rule: Rule, decision: Decision, caller: Caller | None) -> None:
        self.rule, self.result, self.caller = rule, decision.value, caller

    def refused(self) -> None:
        """Counts only where no rule has decided."""
        if self.result is None:
            self.result = REFUSED

    def answers(self, status: int) -> None:
        """The response begins."""
        if self.status is None:
            self.status, self.answered = status, perf_counter()


def outcome_of(scope: Scope) -> Outcome:
    """Where to write down what becomes of this request; nobody reads it where nobody observes."""
    outcome: Outcome | None = scope.get(_KEY)
    return Outcome() if outcome is None else outcome


class Observed:
    """An ASGI application around another. What is `finished` is told of every request, however it ends."""

    def __init__(self, app: ASGIApp, *, finished: Sequence[Finished]) -> None:
        self._app, self._finished = app, finished

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        outcome = scope[_KEY] = Outcome()

        async def noting(message: Message) -> None:
            connection: TunnelHttpProtocol | None = scope.get(CONNECTION)
            is_gone = connection is not None and connection.transport.is_closing()
            if message["type"] == "http.response.start" and not is_gone:
                outcome.answers(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            for tell in self._finished:
                tell(outcome, scope)
