"""The addresses at which proxies ask, in front of the server's application.

    listed peer → the contract's fields → session of the original request → rules → this proxy's answer

Whatever goes wrong is a refusal: 401 or 403 where the proxy passes nothing else on.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from anyio import CapacityLimiter, to_thread
from starlette.types import ASGIApp, Receive, Scope, Send

from entrada.accounts.groups import Group
from entrada.adapters.starlette import to_starlette
from entrada.errors import EntradaError, ForwardAuthRefused, RequestRefused
from entrada.events import Event, record
from entrada.flows.session_check import CheckedSession
from entrada.gateway.asgi import (
    forwarded_request,
    is_from_this_host,
    opens_socket,
    peer_of,
    target_of,
)
from entrada.gateway.assertion import Assertions, audience_for
from entrada.gateway.bearer_callers import BearerCallers, challenge_fields
from entrada.gateway.caller import Caller, caller_of
from entrada.gateway.forward_auth import (
    Contract,
    Original,
    Received,
    Requirements,
    Verdict,
    answer,
    contract_of,
    decide,
    read_original,
    read_requirements,
    refused_status,
)
from entrada.gateway.hops import TrustedHops
from entrada.gateway.outcome import outcome_of
from entrada.gateway.refused import is_token, refusal
from entrada.gateway.rules import Access, Decision, Rule, RuleBook
from entrada.web.messages import SAFE_HEADERS, WebRequest, WebResponse
from entrada.web.refusals import status_of

CHECKS_AT_ONCE = 40

FindSession = Callable[[WebRequest], CheckedSession | None]


@dataclass(kw_only=True)
class ForwardAuthEndpoint:
    """An ASGI application around another. `peek` waits for nothing; `find` may ask the database."""

    app: ASGIApp
    peek: FindSession
    find: FindSession
    hops: TrustedHops
    book: RuleBook
    challenge: Callable[[WebRequest], WebResponse]
    failure: Callable[[EntradaError, WebRequest], WebResponse]
    asks_about: Callable[[Group], bool] = lambda _: True
    """Whether this server finds out who is in a group."""
    assertions: Assertions | None = None
    """None: nothing is signed."""
    bearer: BearerCallers | None = None
    """None: no access token is looked at."""
    _limiters: tuple[CapacityLimiter, CapacityLimiter] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            target = target_of(scope)
            contract = contract_of(target.partition(b"?")[0].decode("latin-1"))
            if contract is not None:
                response = await self._check(contract, scope, target)
                await to_starlette(response, head=scope["method"] == "HEAD")(scope, receive, send)
                return
        await self.app(scope, receive, send)

    async def _check(self, contract: Contract, scope: Scope, target: bytes) -> WebResponse:
        received = Received(method=scope["method"], target=target, fields=scope["headers"])
        outcome = outcome_of(scope)
        outcome.part = "check"
        asked = forwarded_request(method=received.method, host="", target=target, fields=received.fields)
        try:
            self._check_peer(peer_of(scope))
            original = read_original(contract, received)
            outcome.method, outcome.host, outcome.target = original.method, original.host, original.target
            query = "" if contract.target is None and not contract.whole_hosts else asked.query
            requirements = read_requirements(query)
            asked = forwarded_request(
                method=original.method or "GET",
                host=original.host,
                target=original.target or b"/",
                fields=received.fields,
            )
            if opens_socket(asked) and not is_from_this_host(asked):
                raise RequestRefused(
                    "A page of another site may not open a connection here in somebody's name."
                )
            caller = await self._caller(asked, received)
            verdict = decide(original, book=self.book, caller=caller, requirements=requirements)
            outcome.decided(verdict.rule, verdict.decision, caller)
            if verdict.decision is Decision.GROUPS_UNKNOWN:
                self._check_groups(requirements)
            assertion = await self._assertion(requirements, verdict, caller)
            told = self._answer(contract, original, asked, verdict, requirements, caller, assertion)
            is_asked = told.status == 401 and self.bearer is not None
            return told.with_headers(*challenge_fields(None)) if is_asked else told
        except EntradaError as error:
            outcome.refused()
            if _is_for_person(contract, asked):
                return self.failure(error, asked)
            status = refused_status(contract, status_of(error))
            record(
                Event.REQUEST_REFUSED,
                code=error.code,
                status=status,
                path=contract.path,
                reason=_reason(error),
            )
            body = {"error": error.code, "message": error.sentence, "hint": error.hint}
            return WebResponse(
                status=status,
                headers=[("content-type", "application/json"), *SAFE_HEADERS, *challenge_fields(error)],
                body=json.dumps(body).encode(),
            )

    def _answer(
        self,
        contract: Contract,
        original: Original,
        asked: WebRequest,
        verdict: Verdict,
        requirements: Requirements,
        caller: Caller | None,
        assertion: str | None,
    ) -> WebResponse:
        is_for_person = _is_for_person(contract, asked)
        if verdict.decision is Decision.SIGN_IN_NEEDED and is_for_person:
            return self.challenge(asked)
        if verdict.decision is Decision.GROUPS_UNKNOWN:
            raise refusal(verdict.decision, verdict.rule, caller)
        if verdict.decision is Decision.FORBIDDEN and (is_for_person or is_token(caller)):
            rule = verdict.rule
            if rule.decide(caller) is Decision.ALLOWED:  # so it was the address of the check that said no
                rule = Rule(
                    access=Access.SIGNED_IN,
                    roles=requirements.roles or frozenset(),
                    groups=requirements.groups or frozenset(),
                )
            raise refusal(verdict.decision, rule, caller)
        return answer(
            contract,
            original,
            verdict,
            caller=caller,
            is_page_visit=asked.is_page_visit,
            assertion=assertion,
        )

    def _check_peer(self, peer: str | None) -> None:
        if not self.hops.trust(peer):
            raise ForwardAuthRefused(
                f"{peer or 'A peer on the unix socket'} is not among the hops whose word is believed.",
                hint="Name the address of your proxy in $[trusted_proxies].",
            )

    async def _assertion(
        self, requirements: Requirements, verdict: Verdict, caller: Caller | None
    ) -> str | None:
        """Signed for whoever is allowed; empty where that is nobody, so that a client's own is cleared."""
        audience = audience_for(requirements.audience, verdict.audience, self.assertions)
        if self.assertions is None or audience is None:
            return None
        if caller is None or verdict.decision is not Decision.ALLOWED:
            return ""
        return await self.assertions.about(caller, audience)

    def _check_groups(self, requirements: Requirements) -> None:
        """Signing in again does not help where this server never asks."""
        unasked = [group for group in requirements.groups or () if not self.asks_about(group)]
        if unasked:
            raise ForwardAuthRefused(
                f"The address of the check asks for the group {min(map(str, unasked))!r}, about which "
                "Microsoft is not asked.",
                hint="Name it in $[groups], too.",
            )

    async def _caller(self, asked: WebRequest, received: Received) -> Caller | None:
        token = None if self.bearer is None else self.bearer.token_of(received.fields, asked.query)
        if token is not None and self.bearer is not None:
            known = self.bearer.in_memory(token)
            return known or await to_thread.run_sync(self.bearer.caller, token, limiter=self._threads()[1])
        if "cookie" not in asked.headers:
            return None
        session = self.peek(asked)
        if session is None:
            session = await to_thread.run_sync(self.find, asked, limiter=self._threads()[0])
        return None if session is None else caller_of(session.principal)

    def _threads(self) -> tuple[CapacityLimiter, CapacityLimiter]:
        """For sessions and for tokens: those may wait for Entra's keys, and keep no session waiting."""
        if self._limiters is None:
            self._limiters = CapacityLimiter(CHECKS_AT_ONCE), CapacityLimiter(CHECKS_AT_ONCE)
        return self._limiters


def _is_for_person(contract: Contract, asked: WebRequest) -> bool:
    """Whether a browser shows the answer: then it is a page."""
    return (asked.wants_page or asked.is_framed) and not contract.only_401_and_403


def _reason(error: EntradaError) -> str:
    """What the administrator needs to know; nothing in it is a visitor's text but what the rules name."""
    return getattr(error, "reason", "") or error.sentence
