"""The fast path: a proxy's question about a live session, answered as soon as it is read.

No ASGI scope, task or thread, no call for each field; the answer's bytes were prepared when the session was
first asked about. It answers only what it fully understands, and everything else takes the general path, as
if this file were not:

    connection    a listed hop's, with nothing under way or waiting on it, the client reading
    request       whole in one read (`entrada.gateway.whole_head`): GET of an address of `CONTRACTS` that says
                  its fields (nginx, Traefik, Caddy, HAProxy, verify), HTTP/1.1, without body, Expect,
                  Upgrade, Authorization, Connection, method override
    fields        each exactly once, the contract's among them, and a Cookie field with our cookie in it once
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
from typing import Any

from entrada.accounts.groups import Group
from entrada.errors import EntradaError
from entrada.gateway.access_log import AccessLog, request_text
from entrada.gateway.caller import prepared
from entrada.gateway.connection_limits import ConnectionLimits
from entrada.gateway.fields import Field
from entrada.gateway.forward_auth import DEFAULT_STYLES, read_requirements
from entrada.gateway.hops import TrustedHops
from entrada.gateway.http_protocol import LimitedHttpProtocol, limited_protocol
from entrada.gateway.identity import identity_fields
from entrada.gateway.outcome import FastCount, label_of
from entrada.gateway.rules import Access, Decision, RuleBook
from entrada.gateway.tunnels import TunnelHttpProtocol
from entrada.gateway.whole_head import WholeHeads
from entrada.sessions.live import LiveSession, LiveSessions, look_up
from entrada.sessions.token import COOKIE_LENGTH
from entrada.web.session_cookie import SESSION_COOKIE

TESTED = {"uvicorn": ((0, 54), (0, 55)), "httptools": ((0, 9), (0, 10))}
"""From the first of each pair, up to but not with the second."""

MOST_KNOWN = 4096
"""Decisions and heads remembered; visitors choose paths, so the oldest go, and long ones are not kept."""
LONGEST_KNOWN_BYTES = 2048

log = logging.getLogger("entrada")

_HEAD = b"HTTP/1.1 200 OK\r\n"
_COOKIE = SESSION_COOKIE.encode()


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

    roles: tuple[frozenset[str], ...]
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
    look_ahead: Callable[[float], None]
    """Told the time of each answer: `SessionCheck.look_ahead`."""
    answered: dict[str, FastCount] = field(default_factory=dict)
    """How many answers were given, by the label of the rule; for metrics."""
    access_log: AccessLog | None = None
    _known: dict[tuple[bytes, bytes, bytes, bytes], _Known | None] = field(default_factory=dict, repr=False)
    _known_heads: dict[bytes, tuple[_Known, list[Field]]] = field(
        default_factory=dict, init=False, repr=False
    )
    """By the bytes of a head without those of the session cookie's value; the fields for the log alone."""
    _heads: WholeHeads = field(default_factory=WholeHeads, init=False, repr=False)
    _default: list[Field] | None = field(default=None, init=False, repr=False)
    _top: bytes = field(default=b"", init=False, repr=False)

    def change_rules(self, book: RuleBook) -> None:
        """From now on these decide. Called where the answers are given."""
        self.book = replace(book, own_hosts=self.book.own_hosts)
        self._known, self._known_heads = {}, {}

    def answer(self, data: bytes, default: list[Field], peer: str | None = None) -> bytes | None:
        """The whole response, or None for the general path.

        `data` is what was read where a request begins. `default` are the server's own fields: a new list
        whenever one of them changes.

        A head that was parsed before means what it meant then, whosever cookie stands in it: values differ in
        their place alone, and only one that a live session has is taken.
        """
        started = 0.0 if self.access_log is None else perf_counter()
        begin = data.find(b"=", data.find(_COOKIE)) + 1
        end = begin + COOKIE_LENGTH
        cookie, head = data[begin:end], data[:begin] + data[end:]
        read = self._known_heads.get(head) or self._read(data, cookie, head)
        if read is None:
            return None
        now = self.monotonic()
        self.look_ahead(now)
        live = look_up(self.table, cookie, now)
        if live is None:
            return None
        known, fields = read
        told = self._told(live, known)
        if told is None:
            return None
        if default is not self._default:
            self._default = default
            self._top = _HEAD + b"".join([name + b": " + value + b"\r\n" for name, value in default])
        known.answered.count += 1
        if self.access_log is not None:
            self.access_log.fast_answer(known.text, live.user_id, peer, fields, started)
        return self._top + told

    def _read(self, data: bytes, cookie: bytes, head: bytes) -> tuple[_Known, list[Field]] | None:
        """What a head means in which `cookie` is the value of our one cookie, and stands nowhere else."""
        parsed = self._heads.read(data)
        if parsed is None:
            return None
        url, names, fields = parsed
        key = (url, fields[names.method], fields[names.host], fields[names.target])
        known = self._known[key] if key in self._known else self._learn(key)
        if known is None or data.count(cookie) != 1:
            return None
        if _value_of(known.cookie, fields[names.cookie]) != cookie:
            return None
        logged = [(name.lower(), value) for name, value in fields.items()] if self.access_log else []
        if len(head) <= LONGEST_KNOWN_BYTES:
            _make_room(self._known_heads)
            self._known_heads[head] = known, logged
        return known, logged

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
            audience = requirements.audience or (route.audience if route is not None else None)
            if rule.access is Access.SIGNED_IN and not audience:
                known = _Known(
                    roles=tuple(roles for roles in (rule.roles, requirements.roles) if roles),
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
        if sum(map(len, key)) <= LONGEST_KNOWN_BYTES:
            _make_room(self._known)
            self._known[key] = known
        return known

    def _told(self, live: LiveSession, known: _Known) -> bytes | None:
        """What the answer says behind the server's own fields, prepared once for each session and style."""
        made = prepared(live)
        caller, texts = made.caller, made.texts
        for roles in known.roles:
            if roles.isdisjoint(caller.roles):
                return None
        for groups in known.groups:
            if not caller.is_in_one_of(groups):
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
        return told


def _value_of(name: bytes, cookies: bytes) -> bytes | None:
    """The value of the one cookie of this name; anything odd about it is for the general path."""
    begin = cookies.find(name)
    if begin < 0 or cookies.find(name, begin + 1) >= 0:
        return None
    if begin and cookies[begin - 2 : begin] != b"; ":
        return None
    begin += len(name)
    end = begin + COOKIE_LENGTH
    if len(cookies) != end and cookies[end : end + 1] != b";":
        return None
    return cookies[begin:end]


def _make_room(known: dict[Any, Any]) -> None:
    if len(known) >= MOST_KNOWN:
        del known[next(iter(known))]


class FastHttpProtocol(TunnelHttpProtocol):
    """The server's protocol with the fast path in front of the general one. Made by `fast_protocol`."""

    checks: FastChecks

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        self._is_within_request = False
        super().connection_made(transport)
        self._address = self.client[0] if self.client and self.client[0] else None
        self._is_trusted = self.checks.hops.trust(self._address)

    def data_received(self, data: bytes) -> None:
        if self._is_trusted and not self._is_within_request and self._may_answer():
            answer = self.checks.answer(data, self.server_state.default_headers, self._address)
            if answer is not None:
                self._unset_keepalive_if_required()
                self.transport.write(answer)
                self.server_state.total_requests += 1
                self.table.is_idle(self)
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        # Whether the general path's parser has begun a request: only where it has not, another one may read.
        self._is_within_request = True
        super().on_message_begin()

    def on_message_complete(self) -> None:
        self._is_within_request = False
        super().on_message_complete()

    def _may_answer(self) -> bool:
        return (
            (self.cycle is None or self.cycle.response_complete)
            and not self.pipeline
            and not self.flow.write_paused
            and not self._is_over()
            and self._upstream is None
            and not self._is_upgrade
            and self.limit_concurrency is None
        )


def fast_protocol(limits: ConnectionLimits, checks: FastChecks) -> type[LimitedHttpProtocol]:
    """The class for uvicorn's `http=`, for one server."""
    made = limited_protocol(limits, of=FastHttpProtocol)
    made.checks = checks  # type: ignore[attr-defined]  # of FastHttpProtocol
    return made
