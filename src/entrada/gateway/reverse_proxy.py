"""The reverse proxy: a request that the rules let pass goes to its upstream, and the response comes back.

    one Host → path read in one way → rule → caller → route → request as ours → response as the upstream's

Both bodies are streamed, as fast as the slower side takes them; upgrades are passed as bytes after 101.
What stays longer than a moment (an event stream, a large body, a socket, a response that is waited for) ends
within a second when its session ends; what an access token opened, when that expires or its person may no
more. What the upstream does not answer is 502 or 504.

Not passed on: hop-by-hop fields, identity in any spelling but ours, our session cookie and `Authorization`
(unless the route says so), `Expect` (we answer 100 ourselves when the upstream is there), trailers.
Not passed back: hop-by-hop fields, cookies of our names.

Source: RFC 9110, sections 7 and 10.1.1; RFC 9112, sections 6 and 7; RFC 6455, section 10.2 (Origin).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from anyio import CapacityLimiter, to_thread
from starlette.types import Receive, Scope, Send

from entrada.adapters.identity_fields import folded_name
from entrada.adapters.starlette import to_starlette
from entrada.errors import (
    EntradaError,
    PageNotFound,
    RequestRefused,
    UpstreamUnavailable,
)
from entrada.flows.session_check import CheckedSession
from entrada.gateway.asgi import forwarded_request, is_from_this_host, peer_of, target_of
from entrada.gateway.bearer_callers import BearerCallers, challenge_fields
from entrada.gateway.caller import Caller, prepared
from entrada.gateway.exchange import Exchange
from entrada.gateway.fields import Field, connection_options, strip
from entrada.gateway.hops import TrustedHops
from entrada.gateway.identity import identity_fields
from entrada.gateway.outcome import outcome_of
from entrada.gateway.own_cookies import own_cookies_of
from entrada.gateway.page_tokens import check_page_token
from entrada.gateway.refused import refusal
from entrada.gateway.rules import OVERRIDE_FIELDS, Decision, Route, Rule, RuleBook
from entrada.gateway.session_names import to_application, value_to_application
from entrada.gateway.upstream import Pool, ResponseHead, UpstreamConnection
from entrada.gateway.upstream_tls import UpstreamTls
from entrada.web.messages import WebRequest, WebResponse

CHECKS_AT_ONCE = 40
HEAD_SECONDS = 60.0
MOMENT_SECONDS = 1.0
"""What takes longer ends with its session, whether a response has begun or not."""

DEFAULT_STYLES = ("x-forwarded",)
"""The identity fields of a request whose route says no others."""

MOST_REMEMBERED, LONGEST_REMEMBERED_BYTES = 4096, 1024
"""Requests whose rule and route are remembered: visitors choose them, so the oldest go."""

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
_OF_THE_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-connection", b"te", b"trailer",
     b"transfer-encoding", b"upgrade"}
)  # fmt: skip
_TOLD_BY_HOPS = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
_BODILESS = frozenset({204, 304})

FindSession = Callable[[WebRequest], CheckedSession | None]
Watch = Callable[[CheckedSession, Callable[[], None]], Callable[[], None]]
"""Calls the second argument, in any thread, when the session ends; what is returned ends the watch."""
WatchAccount = Callable[[Caller, Callable[[], None]], Callable[[], None]]
"""The same of who came with an access token, when what the account may do ends."""


@dataclass(kw_only=True)
class ReverseProxy:
    """An ASGI application. `is_ours` knows the names of our cookies; `scheme_of` the scheme of a host."""

    book: RuleBook
    hops: TrustedHops
    peek: FindSession
    find: FindSession
    challenge: Callable[[WebRequest], WebResponse]
    failure: Callable[[EntradaError, WebRequest], WebResponse]
    is_ours: Callable[[str], bool]
    scheme_of: Callable[[WebRequest], str]
    watch: Watch | None = None
    watch_account: WatchAccount | None = None
    assertion: Callable[[Caller, str], Awaitable[str]] | None = None
    """The signed assertion about a caller for an audience; routes with an audience need it."""
    bearer: BearerCallers | None = None
    """None: no access token is looked at."""
    ca_bundle: Path | None = None
    """Authorities that are believed besides the system's, where a route names none."""
    _pools: dict[tuple[str, UpstreamTls], Pool] = field(default_factory=dict, repr=False)
    _found: dict[tuple[str, str, bytes], tuple[Rule, Route | None]] = field(default_factory=dict, repr=False)
    _limiters: tuple[CapacityLimiter, CapacityLimiter] | None = None
    """For sessions and for tokens: those may wait for Entra's keys, and keep no session waiting."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fields: list[Field] = scope["headers"]
        hosts = [value for name, value in fields if name == b"host"]
        host = hosts[0].decode("latin-1") if len(hosts) == 1 else ""
        target = target_of(scope)
        outcome = outcome_of(scope)
        outcome.part = "proxy"
        visit = forwarded_request(method=scope["method"], host=host, target=target, fields=fields)
        try:
            route, session, caller = await self._decide(scope, visit, target, host)
            if route is None:
                response = self.challenge(visit)
                if response.status == 401 and self.bearer is not None:
                    response = response.with_headers(*challenge_fields(None))
            else:
                exchange = Exchange(scope, receive, send)
                await self._pass_on(exchange, visit, target, route, session, caller)
                return
        except EntradaError as error:
            outcome.refused()
            response = self.failure(error, visit).with_headers(*challenge_fields(error))
        await to_starlette(response, head=scope["method"] == "HEAD")(scope, receive, send)

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()

    async def _decide(
        self, scope: Scope, visit: WebRequest, target: bytes, host: str
    ) -> tuple[Route | None, CheckedSession | None, Caller | None]:
        """The route, the session and who it is; no route where signing in comes first.

        Raises:
            EntradaError: ambiguous, forbidden, or without a route.
        """
        rule, route = self._rule_and_route(scope, target, host)
        session, caller = await self._who(scope, visit)
        decision = rule.decide(caller)
        outcome_of(scope).decided(rule, decision, caller)
        if decision is Decision.SIGN_IN_NEEDED:
            return None, None, None
        if decision is not Decision.ALLOWED:
            raise refusal(decision, rule, caller)
        if route is None:
            raise PageNotFound
        return route, session, caller

    def _rule_and_route(self, scope: Scope, target: bytes, host: str) -> tuple[Rule, Route | None]:
        """What fits, remembered for requests that call their method by one name.

        Raises:
            AmbiguousRequest: two readers could take the request differently.
        """
        overrides = [value.decode("latin-1") for name, value in scope["headers"] if _is_override(name)]
        key = (scope["method"], host, target)
        found = None if overrides else self._found.get(key)
        if found is None:
            request = self.book.read(scope["method"], host, target, overrides)
            found = self.book.rule_for(request), self.book.route_for(request)
            if not overrides and len(target) <= LONGEST_REMEMBERED_BYTES:
                if len(self._found) >= MOST_REMEMBERED:
                    del self._found[next(iter(self._found))]
                self._found[key] = found
        return found

    async def _who(self, scope: Scope, visit: WebRequest) -> tuple[CheckedSession | None, Caller | None]:
        if self._limiters is None:
            self._limiters = CapacityLimiter(CHECKS_AT_ONCE), CapacityLimiter(CHECKS_AT_ONCE)
        for_sessions, for_tokens = self._limiters
        token = None if self.bearer is None else self.bearer.token_of(scope["headers"], visit.query)
        if token is not None and self.bearer is not None:
            known = self.bearer.in_memory(token)
            return None, known or await to_thread.run_sync(self.bearer.caller, token, limiter=for_tokens)
        if "cookie" not in visit.headers:
            return None, None
        session = self.peek(visit)
        if session is None:
            session = await to_thread.run_sync(self.find, visit, limiter=for_sessions)
        return session, None if session is None else prepared(session.live).caller

    async def _pass_on(
        self,
        exchange: Exchange,
        visit: WebRequest,
        target: bytes,
        route: Route,
        session: CheckedSession | None,
        caller: Caller | None,
    ) -> None:
        upgrade = exchange.upgrade
        if exchange.is_coded:
            raise RequestRefused("This request's body is coded in a way that is not passed on.")
        if upgrade and not is_from_this_host(visit):
            raise RequestRefused("A page of another site may not open a connection here in your name.")
        if upgrade and route.page_tokens:
            check_page_token(exchange.scope["headers"], route.identity or DEFAULT_STYLES, caller)
        assertion = None
        if caller is not None and route.audience is not None and self.assertion is not None:
            assertion = await self.assertion(caller, route.audience)
        head = self._request_head(exchange, visit, target, route, session, caller, assertion)
        own_cookies = own_cookies_of(route, caller)
        pool = self._pool_of(route)
        watch = _Watch(self, exchange, session, caller)
        try:
            upstream, answer = await self._ask(pool, exchange, head, route.answer_seconds or HEAD_SECONDS)
        except BaseException:
            watch.end()
            exchange.end()
            raise
        try:
            if answer.status == 101:
                if not upgrade:
                    raise UpstreamUnavailable(reason="101 that nobody asked for")
                watch.begin()
                await exchange.tunnel(upstream, own_cookies.to_browser(self._others_fields(answer)))
            else:
                kept = own_cookies.to_browser(self._kept_fields(answer))
                await exchange.respond(upstream, answer, kept, on_long=watch.begin)
                if exchange.is_sent:
                    pool.give_back(upstream)
                else:
                    upstream.close()  # answered before it had read the request
        finally:
            watch.end()
            exchange.end()
            if not upstream.is_reusable:
                upstream.close()

    def _pool_of(self, route: Route) -> Pool:
        key = (route.upstream, route.tls)
        pool = self._pools.get(key)
        if pool is None:
            try:
                tls = route.tls.context(self.ca_bundle) if route.upstream.startswith("https:") else None
            except OSError as error:  # it could be read when the route was
                raise UpstreamUnavailable(reason=f"{route.upstream}: {error.strerror or error}") from None
            pool = Pool(origin=route.upstream, tls=tls, server_name=route.tls.server_name)
            self._pools[key] = pool
        return pool

    async def _ask(
        self, pool: Pool, exchange: Exchange, head: bytes, seconds: float
    ) -> tuple[UpstreamConnection, ResponseHead]:
        """Sends the request and waits for the head of the response; once more on a connection gone stale."""
        method = exchange.scope["method"]
        upstream, was_used = await pool.connection()
        while True:
            try:
                exchange.upstream = upstream
                upstream.send_head(method, head)
                if exchange.has_body:
                    exchange.send_body(upstream)
                return upstream, await upstream.head(seconds)
            except UpstreamUnavailable as error:
                may_repeat = was_used and method in _IDEMPOTENT and not (exchange.has_body or exchange.is_cut)
                if not may_repeat or upstream.answered or error.timed_out:
                    upstream.close()
                    raise
                upstream, was_used = await pool.connection(fresh=True)
            except asyncio.CancelledError:
                upstream.close()
                raise

    def _request_head(
        self,
        exchange: Exchange,
        visit: WebRequest,
        target: bytes,
        route: Route,
        session: CheckedSession | None,
        caller: Caller | None,
        assertion: str | None,
    ) -> bytes:
        scope = exchange.scope
        peer = peer_of(scope)
        kept = strip(scope["headers"], trusted_hop=self.hops.trust(peer))
        told: dict[bytes, bytes] = {}
        for name, value in kept:
            if name == b"x-forwarded-for" and name in told:
                told[name] += b", " + value  # a proxy may add a line of its own behind the client's
            elif name in _TOLD_BY_HOPS:
                told[name] = value
        names, cookies = route.session_names, own_cookies_of(route, caller)
        lines = [scope["method"].encode(), b" ", to_application(target, names, caller), b" HTTP/1.1\r\n"]
        for name, value in kept:
            if name in _TOLD_BY_HOPS:
                continue
            if name == b"expect" or (name == b"authorization" and not route.pass_authorization):
                continue
            if name == b"cookie" and not (value := cookies.to_application(self._others_cookies(value))):
                continue
            lines += [name, b": ", value_to_application((name, value), names, caller), b"\r\n"]
        before = told.get(b"x-forwarded-for")
        addresses = [*([before] if before else []), *([peer.encode()] if peer else [])]
        own: list[tuple[bytes, bytes]] = [
            (b"x-forwarded-for", b", ".join(addresses)),
            (b"x-forwarded-proto", told.get(b"x-forwarded-proto") or self.scheme_of(visit).encode()),
            (b"x-forwarded-host", told.get(b"x-forwarded-host") or visit.headers["host"].encode("latin-1")),
        ]
        if assertion is not None:
            own.append((b"x-entrada-assertion", assertion.encode()))
        if exchange.is_chunked:
            own.append((b"transfer-encoding", b"chunked"))
        if exchange.upgrade:
            own += [(b"connection", b"upgrade"), (b"upgrade", exchange.upgrade)]
        for name, value in own:
            if value:
                lines += [name, b": ", value, b"\r\n"]
        lines.append(_identity(route.identity or DEFAULT_STYLES, session, caller))
        return b"".join([*lines, b"\r\n"])

    def _others_cookies(self, value: bytes) -> bytes:
        kept = [
            part
            for part in value.split(b";")
            if not self.is_ours(part.lstrip(b' \t="').partition(b"=")[0].strip().decode("latin-1"))
        ]
        return b";".join(kept).strip()

    def _kept_fields(self, answer: ResponseHead) -> list[Field]:
        named = connection_options(answer.fields)
        return [
            (name, value)
            for name, value in self._others_fields(answer)
            if (lower := name.lower()) not in _OF_THE_HOP
            and lower not in named
            and not (lower == b"content-length" and answer.status in _BODILESS)
        ]

    def _others_fields(self, answer: ResponseHead) -> list[Field]:
        """Without cookies of our names. A browser sends one without a name as its value alone."""
        return [
            (name, value)
            for name, value in answer.fields
            if name.lower() != b"set-cookie"
            or not self.is_ours(value.lstrip(b" \t=").partition(b"=")[0].strip().decode("latin-1"))
        ]


class _Watch:
    """What lets an exchange go on, looked after from the moment that it turns out to be a long one."""

    def __init__(
        self, proxy: ReverseProxy, exchange: Exchange, session: CheckedSession | None, caller: Caller | None
    ) -> None:
        self._proxy, self._exchange, self._session, self._caller = proxy, exchange, session, caller
        self._loop = asyncio.get_running_loop()
        self._has_begun = False
        self._ends: list[Callable[[], None]] = [self._loop.call_later(MOMENT_SECONDS, self.begin).cancel]

    def begin(self) -> None:
        if self._has_begun:
            return
        self._has_begun = True
        proxy, caller = self._proxy, self._caller
        self._exchange.heed_client()
        if self._session is not None and proxy.watch is not None:
            self._ends.append(proxy.watch(self._session, self._cut_soon))
        left = None if proxy.bearer is None or caller is None else proxy.bearer.seconds_left(caller)
        if left is None or caller is None:
            return
        self._ends.append(self._loop.call_later(left, self._exchange.cut).cancel)
        if proxy.watch_account is not None:
            self._ends.append(proxy.watch_account(caller, self._cut_soon))

    def end(self) -> None:
        for end in self._ends:
            end()

    def _cut_soon(self) -> None:
        _call_soon(self._loop, self._exchange.cut)


def _identity(styles: tuple[str, ...], session: CheckedSession | None, caller: Caller | None) -> bytes:
    """The lines that say who is asking, prepared once for each session.

    Raises:
        RequestRefused: what is known about the caller does not fit into fields.
    """
    texts = {} if session is None else prepared(session.live).texts
    key = ("upstream", *styles)
    if key not in texts:
        fields = identity_fields(styles, caller)
        texts[key] = "".join([f"{name}: {value}\r\n" for name, value in fields if value]).encode()
    return texts[key]


@lru_cache(maxsize=2048)
def _is_override(name: bytes) -> bool:
    return folded_name(name).decode("latin-1") in OVERRIDE_FIELDS


def _call_soon(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(call)
