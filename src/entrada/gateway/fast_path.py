"""The fast path: a proxy's question about a live session, answered inside the parser's callback.

No ASGI scope, task or thread; the answer's bytes were prepared when the session was first asked about. It
answers only what it fully understands, and everything else takes the general path, as if this file were not:

    connection    a listed hop's, with nothing under way or waiting on it, the client reading
    request       GET of an address of `CONTRACTS` that says its fields (nginx, Traefik, Caddy, HAProxy,
                  verify), HTTP/1.1, without body, Expect, Upgrade, Authorization, Connection, method override
    fields        each of the contract's exactly once, and one Cookie field with our cookie in it once
    decision      allowed, by a rule found before for this method, host and path
    session       in the live table and good for this moment: `entrada.sessions.live.look_up`

docs/adr/0030 says what it leans on inside uvicorn; outside `TESTED` versions the server starts without it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from time import perf_counter

from entrada.accounts.groups import Group
from entrada.errors import EntradaError
from entrada.gateway.access_log import AccessLog, request_text
from entrada.gateway.caller import Caller, caller_of
from entrada.gateway.connection_limits import ConnectionLimits
from entrada.gateway.fields import Field
from entrada.gateway.forward_auth import (
    CONTRACTS,
    DEFAULT_STYLES,
    Requirements,
    read_requirements,
)
from entrada.gateway.hops import TrustedHops
from entrada.gateway.http_protocol import LimitedHttpProtocol, limited_protocol
from entrada.gateway.identity import identity_fields
from entrada.gateway.outcome import FastCount, label_of
from entrada.gateway.rules import Access, Decision, Rule, RuleBook
from entrada.gateway.tunnels import TunnelHttpProtocol
from entrada.sessions.live import LiveSession, LiveSessions, look_up
from entrada.sessions.token import COOKIE_LENGTH

TESTED = {"uvicorn": ((0, 54), (0, 55)), "httptools": ((0, 9), (0, 10))}
"""From the first of each pair, up to but not with the second."""

MOST_KNOWN = 4096
"""Decisions and addresses remembered; visitors choose paths, so the oldest go."""

log = logging.getLogger("entrada")

_ASKING = {
    contract.path.encode(): (contract.method.encode(), contract.host.encode(), contract.target.encode())
    for contract in CONTRACTS
    if contract.target is not None and contract.method is not None and not contract.answers_people
}
"""By address: the fields in which method, host and target stand."""

_UNUSUAL = frozenset(
    {
        b"authorization",
        b"connection",
        b"content-length",
        b"expect",
        b"sec-websocket-key",
        b"transfer-encoding",
        b"upgrade",
    }
)
# Every spelling of a field by which a request calls its method something else has this in its name (D8).
_OF_METHODS = b"method"
_HEAD = b"HTTP/1.1 200 OK\r\n"


def is_tested() -> bool:
    """Whether the installed uvicorn and httptools are those that this file was tried with."""
    for name, (first, beyond) in TESTED.items():
        found = tuple(int(part) for part in version(name).split(".")[:2] if part.isdigit())
        if not first <= found < beyond:
            log.warning("The fast path is off: it has not been tried with %s %s.", name, version(name))
            return False
    return True


@dataclass(frozen=True, kw_only=True, slots=True)
class _Known:
    """What was decided for one method, host and path: whom it lets in, and how they are told."""

    rule: Rule
    requirements: Requirements
    groups: tuple[frozenset[Group], ...]
    """One of each must be held: what the rule asks for, and what the address does."""
    styles: tuple[str, ...]
    cookie: bytes
    answered: FastCount
    text: str
    """The request as the access log writes it."""


@dataclass(kw_only=True)
class FastChecks:
    """What all connections of one server share. `cookie_name` is that of the session cookie at a host."""

    book: RuleBook
    hops: TrustedHops
    table: LiveSessions
    monotonic: Callable[[], float]
    cookie_name: Callable[[str], str]
    answered: dict[str, FastCount] = field(default_factory=dict)
    """How many answers were given, by the label of the rule; for metrics."""
    access_log: AccessLog | None = None
    _known: dict[tuple[bytes, bytes, bytes, bytes], _Known | None] = field(default_factory=dict, repr=False)

    def change_rules(self, book: RuleBook) -> None:
        """From now on these decide. Called where the answers are given."""
        self.book, self._known = replace(book, own_hosts=self.book.own_hosts), {}

    def answer(
        self, url: bytes, fields: list[Field], default: list[Field], peer: str | None = None
    ) -> bytes | None:
        """The whole response, or None for the general path. `default` are the server's own fields."""
        started = 0.0 if self.access_log is None else perf_counter()
        names = _ASKING.get(url.partition(b"?")[0])
        if names is None:
            return None
        method_name, host_name, target_name = names
        method = host = target = cookies = None
        for name, value in fields:
            if name == b"cookie":
                if cookies is not None:
                    return None
                cookies = value
            elif name == method_name:
                if method is not None:
                    return None
                method = value
            elif name == target_name:
                if target is not None:
                    return None
                target = value
            elif name == host_name:
                if host is not None:
                    return None
                host = value
            elif name in _UNUSUAL or _OF_METHODS in name:
                return None
        if not (method and host and target and cookies):
            return None
        key = (url, method, host, target)
        known = self._known[key] if key in self._known else self._learn(key)
        if known is None:
            return None
        live = self._live(cookies, known.cookie)
        answer = None if live is None else self._prepared(live, known, default)
        if live is not None and answer is not None:
            known.answered.count += 1
            if self.access_log is not None:
                self.access_log.fast_answer(known.text, live.user_id, peer, fields, started)
        return answer

    def _learn(self, key: tuple[bytes, bytes, bytes, bytes]) -> _Known | None:
        url, method, host, target = key
        known = None
        try:
            requirements = read_requirements(url.partition(b"?")[2].decode("ascii"))
            request = self.book.read(method.decode("ascii"), host.decode("ascii"), target)
            rule, route = self.book.rule_for(request), self.book.route_for(request)
        except (EntradaError, UnicodeDecodeError):
            pass
        else:
            if rule.access is Access.SIGNED_IN:
                known = _Known(
                    rule=rule,
                    requirements=requirements,
                    groups=tuple(groups for groups in (rule.groups, requirements.groups) if groups),
                    styles=(route.identity if route is not None else ()) or DEFAULT_STYLES,
                    cookie=self.cookie_name(host.decode("ascii")).encode() + b"=",
                    answered=self.answered.setdefault(label_of(rule), FastCount()),
                    text=request_text(
                        "check",
                        request.method,
                        host.decode("ascii"),
                        target,
                        rule=label_of(rule),
                        result=Decision.ALLOWED.value,
                    ),
                )
        if len(self._known) >= MOST_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[key] = known
        return known

    def _live(self, cookies: bytes, name: bytes) -> LiveSession | None:
        """The live session of the one cookie of our name; anything odd about it is for the general path."""
        begin = cookies.find(name)
        if begin < 0 or cookies.find(name, begin + 1) >= 0:
            return None
        if begin and cookies[begin - 2 : begin] != b"; ":
            return None
        value = begin + len(name)
        end = value + COOKIE_LENGTH
        if len(cookies) != end and cookies[end : end + 1] != b";":
            return None
        return look_up(self.table, cookies[value:end], self.monotonic())

    def _prepared(self, live: LiveSession, known: _Known, default: list[Field]) -> bytes | None:
        prepared: tuple[Caller, dict[tuple[str, ...], bytes]] | None = live.prepared
        if prepared is None:
            prepared = live.prepared = (caller_of(live.principal), {})
        caller, texts = prepared
        roles = known.rule.roles
        if roles and roles.isdisjoint(caller.roles):
            return None
        if known.requirements.roles is not None and known.requirements.roles.isdisjoint(caller.roles):
            return None
        if not all(caller.is_in_one_of(groups) for groups in known.groups):
            return None
        told = texts.get(known.styles)
        if told is None:
            try:
                fields = identity_fields(known.styles, caller)
            except EntradaError:
                return None
            lines = [f"{name.lower()}: {value or ''}\r\n" for name, value in fields]
            told = ("".join(lines) + "cache-control: no-store\r\ncontent-length: 0\r\n\r\n").encode()
            texts[known.styles] = told
        own = b"".join([name + b": " + value + b"\r\n" for name, value in default])
        return _HEAD + own + told


class FastHttpProtocol(TunnelHttpProtocol):
    """The server's protocol with the fast path in front of the general one. Made by `fast_protocol`."""

    checks: FastChecks

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        self._has_answered = False
        super().connection_made(transport)
        self._address = self.client[0] if self.client and self.client[0] else None
        self._is_trusted = self.checks.hops.trust(self._address)

    def on_headers_complete(self) -> None:
        if self._is_trusted and self._may_answer():
            default = self.server_state.default_headers
            answer = self.checks.answer(self.url, self.headers, default, self._address)
            if answer is not None:
                self._has_answered = True
                self._reads_head, self._head_bytes, self.body_bytes = False, 0, 0
                self.transport.write(answer)
                self.server_state.total_requests += 1
                return
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        if self._has_answered:
            self._has_answered, self._reads_head = False, True
            return
        super().on_message_complete()

    def _may_answer(self) -> bool:
        return (
            (self.cycle is None or self.cycle.response_complete)
            and not self.pipeline
            and not self.flow.write_paused
            and not self._is_over()
            and self.parser.get_method() == b"GET"
            and self.parser.get_http_version() == "1.1"
            and self.limit_concurrency is None
        )


def fast_protocol(limits: ConnectionLimits, checks: FastChecks) -> type[LimitedHttpProtocol]:
    """The class for uvicorn's `http=`, for one server."""
    made = limited_protocol(limits, of=FastHttpProtocol)
    made.checks = checks  # type: ignore[attr-defined]  # of FastHttpProtocol
    return made
