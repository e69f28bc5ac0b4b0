"""Rules: who may ask for what. Routes: which upstream answers it.

**The first rule of the file that fits decides, and where none fits, a signed-in person is asked for.** A rule
that can never be reached, because one before it covers it, stops the start: so an early wide rule opens
nothing that a later one closes (D21). Routes are chosen alike; a request that fits no route has no upstream.

A request has several readings where two readers could differ: the path as it is and folded (case,
compatibility forms), the method as it is, in capitals, and as an override field names it. All readings must
lead to the same rule and the same route, or the request is refused (D5, D8).

Who asks chooses the host. Where a rule names one, a request for a host that no rule, route or public URL
names is refused, or another name for the same application would be the way around that rule (D6).

A rule for GET fits HEAD, too. A rule names `public`, `signed-in` or `deny`; `roles` and `groups` ask for one
of those listed, and where both are given, for one of each. Where nobody has said whether somebody is in the
groups, they are not let in, and are told that it is not known.

`callers` says which kinds of caller a rule is for; without it, those of $[bearer_callers].
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from entrada.accounts.groups import Group
from entrada.compatibility import StrEnum
from entrada.entra.callers import CallerKind
from entrada.errors import AmbiguousRequest
from entrada.gateway.caller import Caller
from entrada.gateway.paths import RequestPath, opaque_path, read_path
from entrada.gateway.patterns import EVERYTHING, Host, HostPattern, PathPattern, read_host
from entrada.gateway.upstream_tls import USUAL_TLS, UpstreamTls

P = TypeVar("P", bound="Place")
T = TypeVar("T")

OVERRIDE_FIELDS = ("x-http-method-override", "x-http-method", "x-method-override")
"""Fields by which some frameworks let a request call itself something else."""

NO_PATH_S_METHODS = ("CONNECT", "TRACE")
"""CONNECT asks for a tunnel to a host, TRACE for its own fields back, ours among them (D8)."""


class Access(StrEnum):
    PUBLIC = "public"
    SIGNED_IN = "signed-in"
    DENY = "deny"


class Decision(StrEnum):
    """What a rule means for one caller."""

    ALLOWED = "allowed"
    SIGN_IN_NEEDED = "sign_in_needed"
    FORBIDDEN = "forbidden"
    GROUPS_UNKNOWN = "groups_unknown"
    """Nobody has said yet whether they are in one of the groups: not let in, and told so."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a rule or route fits. `host` and `methods` None: any. `line` of the file, if it stands in one."""

    host: HostPattern | None = None
    path: PathPattern = EVERYTHING
    methods: frozenset[str] | None = None
    line: int | None = None

    def fits(self, method: str, host: Host, path: RequestPath, *, folded: bool) -> bool:
        if self.methods is not None and method not in self.methods:
            return False
        if self.host is not None and not self.host.matches(host):
            return False
        if path.segments is None or path.folded is None:
            return self.path.is_everything
        return self.path.matches_folded(path.folded) if folded else self.path.matches(path.segments)

    def covers(self, other: Place) -> bool:
        """Whether nothing is left that `other` alone could fit."""
        return (
            (self.methods is None or (other.methods is not None and self.methods >= other.methods))
            and (self.host is None or (other.host is not None and self.host.covers(other.host)))
            and self.path.covers(other.path)
        )

    def __str__(self) -> str:
        methods = "" if self.methods is None else " ".join(sorted(self.methods)) + " "
        return f"{methods}{'' if self.host is None else self.host}{self.path}"


@dataclass(frozen=True, kw_only=True)
class Rule(Place):
    access: Access
    roles: frozenset[str] = frozenset()
    groups: frozenset[Group] = frozenset()
    callers: frozenset[CallerKind] = frozenset()
    """Empty: the usual ones. Whoever comes with a session is a person."""

    def decide(self, caller: Caller | None) -> Decision:
        if self.access is Access.PUBLIC:
            # An agent in a person's place is not announced as that person where nobody has let it in.
            return Decision.ALLOWED if caller is None or caller.is_usual else Decision.FORBIDDEN
        if self.access is Access.DENY:
            return Decision.FORBIDDEN
        if caller is None:
            return Decision.SIGN_IN_NEEDED
        if not self.is_for(caller) or (caller.stands_for_itself and not self.roles):
            return Decision.FORBIDDEN
        if not self.has_role(caller):
            return Decision.FORBIDDEN
        return by_groups(self.groups, caller) if self.groups else Decision.ALLOWED

    def is_for(self, caller: Caller) -> bool:
        """Whether the rule is for that kind of caller."""
        return (caller.kind or CallerKind.PERSON) in self.callers if self.callers else caller.is_usual

    def has_role(self, caller: Caller) -> bool:
        """Whether the caller has one of the roles; True where none is asked for."""
        return not self.roles or not self.roles.isdisjoint(caller.roles)

    @property
    def for_whom(self) -> str:
        match self.access:
            case Access.PUBLIC:
                return "anybody, signed in or not"
            case Access.DENY:
                return "nobody"
        asked = [
            f"one of the {name} {', '.join(sorted(values))}"
            for name, values in (("roles", self.roles), ("groups", frozenset(map(str, self.groups))))
            if values
        ]
        who = " or ".join(sorted(kind.value for kind in self.callers)) if self.callers else "signed-in people"
        return who + (f" with {' and '.join(asked)}" if asked else "")


def by_groups(groups: frozenset[Group], caller: Caller) -> Decision:
    """What asking for one of these means for a caller."""
    match caller.is_in_one_of(groups):
        case True:
            return Decision.ALLOWED
        case False:
            return Decision.FORBIDDEN
    return Decision.GROUPS_UNKNOWN


OTHERWISE = Rule(access=Access.SIGNED_IN)
"""What decides where no rule fits."""


@dataclass(frozen=True, kw_only=True)
class Route(Place):
    """`upstream` is an http or https origin, or `unix:/path`. `opaque`: its paths are not read.

    `answer_seconds`: how long the upstream may take to begin its answer; None: as long as is usual.
    `own_cookies`: see `entrada.gateway.own_cookies`. `beside_ours`: paths under our prefix, but not ours.
    """

    upstream: str
    tls: UpstreamTls = USUAL_TLS
    answer_seconds: float | None = None
    opaque: bool = False
    identity: tuple[str, ...] = ()
    audience: str | None = None
    pass_authorization: bool = False
    own_cookies: tuple[str, ...] = ()
    beside_ours: frozenset[str] = frozenset()
    session_names: frozenset[str] = frozenset()
    """Parameters and fields that name a session of the application, see `entrada.gateway.session_names`."""
    page_tokens: bool = False
    """Its sockets come with a token of their page, see `entrada.gateway.page_tokens`."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What rules look at. `overrides` are the values of `OVERRIDE_FIELDS`."""

    method: str
    host: Host
    path: RequestPath
    overrides: tuple[str, ...] = ()

    def readings(self) -> Iterator[tuple[str, bool]]:
        # A proxy may have joined two fields by a comma, of which an application reads the first or the last.
        named = {name.strip().upper() for value in self.overrides for name in (value, *value.split(","))}
        for method in {self.method, self.method.upper(), *named}:
            yield method, False
            yield method, True


@dataclass(frozen=True, kw_only=True)
class RuleBook:
    """The rules and routes of one file, in its order. `own_hosts` are those of the public URLs."""

    rules: Sequence[Rule] = ()
    routes: Sequence[Route] = ()
    own_hosts: frozenset[str] = frozenset()

    def read(self, method: str, host: str, target: bytes, overrides: Iterable[str] = ()) -> Request:
        """
        Raises:
            AmbiguousRequest: host or path can be taken in two ways, or the method asks for no path.
        """
        if method.upper() in NO_PATH_S_METHODS:
            raise AmbiguousRequest(f"the method {method.upper()}")
        named = self.host(host)
        opaque = any(
            route.opaque and (route.host is None or route.host.matches(named)) for route in self.routes
        )
        path = opaque_path(target) if opaque else read_path(target)
        return Request(method=method, host=named, path=path, overrides=tuple(overrides))

    def host(self, text: str) -> Host:
        """The host of a request.

        Raises:
            AmbiguousRequest: not one, or one that nobody has named where rules look at hosts.
        """
        named = read_host(text)
        if any(rule.host is not None for rule in self.rules) and text.lower() not in self.own_hosts:
            patterns = [place.host for place in (*self.rules, *self.routes) if place.host is not None]
            if not any(pattern.matches(named) for pattern in patterns):
                raise AmbiguousRequest("a host that no rule, route or public URL names")
        return named

    def rule_for(self, request: Request) -> Rule:
        """
        Raises:
            AmbiguousRequest: two readings of the request lead to different rules.
        """
        return _only([_first(self.rules, request, *reading) or OTHERWISE for reading in request.readings()])

    def route_for(self, request: Request) -> Route | None:
        """
        Raises:
            AmbiguousRequest: two readings of the request lead to different routes.
        """
        return _only([_first(self.routes, request, *reading) for reading in request.readings()])

    @property
    def callers(self) -> frozenset[CallerKind]:
        """Every kind of caller that a rule names."""
        return frozenset().union(*(rule.callers for rule in self.rules))

    @property
    def groups(self) -> frozenset[Group]:
        """Every group that a rule asks for."""
        return frozenset().union(*(rule.groups for rule in self.rules))


def unreachable(places: Sequence[P]) -> Iterator[tuple[P, P]]:
    """Each place that can never be reached, with the one before it that covers it."""
    for index, place in enumerate(places):
        for before in places[:index]:
            if before.covers(place):
                yield place, before
                break


def _first(places: Sequence[P], request: Request, method: str, folded: bool) -> P | None:
    return next(
        (place for place in places if place.fits(method, request.host, request.path, folded=folded)), None
    )


def _only(found: list[T]) -> T:
    if any(other is not found[0] for other in found[1:]):
        raise AmbiguousRequest("two rules, by who reads it")
    return found[0]
