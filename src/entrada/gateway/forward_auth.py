"""Forward auth: a proxy asks whether a request may pass, and each kind of proxy asks in a way of its own.

One address for each contract, so that none has to guess which fields to believe (D3):

    address          where the original method, host and path stand
    /auth/nginx      X-Original-Method, X-Original-Host, X-Original-URI   (set as our documentation shows)
    /auth/nginx/sign_in   the same, for the answer to a person whom /auth/nginx refused
    /auth/haproxy    the same                                             (set as our documentation shows)
    /auth/traefik    X-Forwarded-Method, -Host, -Uri                      (set by ForwardAuth)
    /auth/caddy      the same                                             (set by forward_auth)
    /auth/verify     the same                                             (whatever proxy sets all three)
    /auth/envoy/…    the request itself, its path behind /auth/envoy      (ext_authz, Gateway API)
    /oauth2/auth     nowhere: only rules for whole hosts can be asked     (oauth2-proxy's)

A field that is missing or sent twice, or a hop that is not listed, lets nobody through.
`?allowed_roles=` and `?allowed_groups=`, separated by commas, ask for one of those listed on top of what the
rule asks for; `?audience=` for a signed assertion; a parameter that is unknown or empty lets nobody through
either.

Allowed is 200, which every proxy takes for a yes (Envoy sends a browser any other 2xx as an empty page), and
oauth2-proxy's 202 at its address. Otherwise it is 401 or 403, for nginx nothing else (the rest it shows as a
500), for the others 303 to the sign-in page where a person visits a page.

Source: nginx, "Module ngx_http_auth_request_module"; Traefik, "ForwardAuth"; Caddy, "forward_auth"; Envoy,
"External Authorization"; Gateway API, "HTTPExternalAuthFilter".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote

from entrada.accounts.groups import Group, parse_group
from entrada.adapters.identity_fields import folded_name
from entrada.errors import ForwardAuthRefused, GroupsUnknown
from entrada.gateway.caller import Caller
from entrada.gateway.fields import ASSERTION_FIELD, Field
from entrada.gateway.identity import identity_fields
from entrada.gateway.rules import OTHERWISE, OVERRIDE_FIELDS, Decision, Rule, RuleBook, by_groups
from entrada.web.messages import WebResponse, json_response, redirect
from entrada.web.redirects import FRONT_PAGE, safe_next_path
from entrada.web.site import PREFIX

DEFAULT_STYLES = ("x-auth-request", "x-forwarded", "remote")
"""The identity fields of an answer where no route says others."""

LOGIN_PATH = f"{PREFIX}/login"

_MOST_PARAMETERS = 10


@dataclass(frozen=True, kw_only=True)
class Contract:
    """Where one kind of proxy says what. `target` None: the request's own path behind `path`.

    `only_401_and_403`: any other refusal is shown as a 500. `whole_hosts`: method and path are not known.
    """

    path: str
    method: str | None = None
    host: str = "host"
    target: str | None = None
    only_401_and_403: bool = False
    whole_hosts: bool = False
    allowed_status: int = 200
    answers_people: bool = False
    """The answer goes to a browser, never to the upstream: who is allowed meanwhile is sent back."""


def _forwarded(path: str) -> Contract:
    return Contract(path=path, method="x-forwarded-method", host="x-forwarded-host", target="x-forwarded-uri")


def _original(path: str, *, answers_people: bool = False, only_401_and_403: bool = False) -> Contract:
    return Contract(
        path=path,
        method="x-original-method",
        host="x-original-host",
        target="x-original-uri",
        only_401_and_403=only_401_and_403,
        answers_people=answers_people,
    )


ENVOY = Contract(path=f"{PREFIX}/envoy")

CONTRACTS = (
    _original(f"{PREFIX}/nginx", only_401_and_403=True),
    _original(f"{PREFIX}/nginx/sign_in", answers_people=True),
    _forwarded(f"{PREFIX}/traefik"),
    _forwarded(f"{PREFIX}/caddy"),
    _original(f"{PREFIX}/haproxy"),
    _forwarded(f"{PREFIX}/verify"),
    ENVOY,
    Contract(path="/oauth2/auth", only_401_and_403=True, whole_hosts=True, allowed_status=202),
)


@dataclass(frozen=True, kw_only=True)
class Received:
    """The proxy's request as it came: `target` with its query, field names in lower case."""

    method: str
    target: bytes
    fields: Sequence[Field]

    def one(self, name: str) -> bytes:
        """The value of a field that is there once.

        Raises:
            ForwardAuthRefused: it is not.
        """
        values = [value for found, value in self.fields if found == name.encode()]
        if len(values) != 1 or not values[0]:
            raise ForwardAuthRefused(
                f"The proxy sent {len(values)} fields {name}.",
                hint="Set it in the proxy's configuration, exactly once, as the documentation shows.",
            )
        return values[0]


@dataclass(frozen=True, kw_only=True)
class Original:
    """The request that the proxy asks about. `target` None: not known."""

    method: str
    host: str
    target: bytes | None
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Requirements:
    """What the address of the check asks for. None: nothing."""

    roles: frozenset[str] | None = None
    groups: frozenset[Group] | None = None
    audience: str | None = None
    """For whom the answer is signed; None: for the route's, if it has one."""

    def decide(self, caller: Caller) -> Decision:
        if self.roles is not None and self.roles.isdisjoint(caller.roles):
            return Decision.FORBIDDEN
        return Decision.ALLOWED if self.groups is None else by_groups(self.groups, caller)

    @property
    def ask_nothing(self) -> bool:
        return self.roles is None and self.groups is None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`styles` and `audience` are those of the route that fits, `rule` is the one that decided."""

    decision: Decision
    rule: Rule = OTHERWISE
    styles: tuple[str, ...] = DEFAULT_STYLES
    audience: str | None = None


_BY_PATH = {contract.path: contract for contract in CONTRACTS if contract is not ENVOY}


def contract_of(path: str) -> Contract | None:
    """The contract whose address this is; Envoy's has the original path behind it."""
    if path.startswith(f"{ENVOY.path}/"):
        return ENVOY
    return _BY_PATH.get(path)


def read_original(contract: Contract, received: Received) -> Original:
    """The request that is asked about, from this contract's fields alone.

    Raises:
        ForwardAuthRefused: a field is missing, sent twice or no text.
    """
    try:
        host = received.one(contract.host).decode("ascii")
        if contract.whole_hosts:
            return Original(method="", host=host, target=None)
        method = received.method if contract.method is None else received.one(contract.method).decode("ascii")
        overrides = tuple(
            value.decode("ascii")
            for name, value in received.fields
            if folded_name(name).decode("latin-1") in OVERRIDE_FIELDS
        )
    except UnicodeDecodeError:
        raise ForwardAuthRefused("The proxy sent a host or method that is no text.") from None
    if contract.target is None:
        target = received.target[len(contract.path) :]
    else:
        target = received.one(contract.target)
    return Original(method=method, host=host, target=target, overrides=overrides)


def read_requirements(query: str) -> Requirements:
    """What `?allowed_roles=…&allowed_groups=…` asks for.

    Raises:
        ForwardAuthRefused: a parameter is unknown, or asks for nothing.
    """
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS)
    except ValueError:
        raise ForwardAuthRefused("The address of the check has too many parameters.") from None
    asked: dict[str, frozenset[str]] = {}
    for name, value in pairs:
        values = frozenset(part.strip() for part in value.split(",")) - {""}
        if name == "audience" and value and name not in asked:
            asked[name] = frozenset({value})
            continue
        if name not in ("allowed_roles", "allowed_groups") or not values:
            raise ForwardAuthRefused(
                f"The address of the check asks for {name[:40]!r} with {len(values)} values.",
                hint="There are allowed_roles and allowed_groups, each with values, and one audience.",
            )
        asked[name] = asked.get(name, frozenset()) | values
    groups = asked.get("allowed_groups")
    return Requirements(
        roles=asked.get("allowed_roles"),
        groups=None if groups is None else frozenset(map(_read_group, groups)),
        audience=next(iter(asked.get("audience", ())), None),
    )


def _read_group(text: str) -> Group:
    try:
        return parse_group(text)
    except ValueError:
        raise ForwardAuthRefused(
            f"The address of the check asks for the group {text[:80]!r}, which is no object id.",
            hint="Write the group's object id, or group:NAME, which is looked up in the whole directory.",
        ) from None


def decide(
    original: Original, *, book: RuleBook, caller: Caller | None, requirements: Requirements
) -> Verdict:
    """What the rules and the address mean for this caller.

    Raises:
        AmbiguousRequest: two readers could take the request differently.
        ForwardAuthRefused: a rule looks at paths or methods, and this contract tells none.
    """
    if original.target is None:
        rule, route = _rule_for_host(original.host, book), None
    else:
        request = book.read(original.method, original.host, original.target, original.overrides)
        rule, route = book.rule_for(request), book.route_for(request)
    styles = (route.identity if route is not None else ()) or DEFAULT_STYLES
    decision = rule.decide(caller)
    if decision is Decision.ALLOWED and not requirements.ask_nothing:
        decision = Decision.SIGN_IN_NEEDED if caller is None else requirements.decide(caller)
    return Verdict(decision=decision, rule=rule, styles=styles, audience=route.audience if route else None)


def answer(
    contract: Contract,
    original: Original,
    verdict: Verdict,
    *,
    caller: Caller | None,
    is_page_visit: bool,
    assertion: str | None = None,
) -> WebResponse:
    """The answer that this proxy understands. `assertion` None: none was asked for; empty: about nobody.

    Raises:
        RequestRefused: what is known about the caller does not fit into fields.
        GroupsUnknown: a group decides, and nobody has said whether they are in it.
    """
    match verdict.decision:
        case Decision.ALLOWED if contract.answers_people:
            return redirect(_wanted_path(original))
        case Decision.ALLOWED:
            # A field without value is there, empty: copying it clears the client's own (D1c).
            told = [(name.lower(), value or "") for name, value in identity_fields(verdict.styles, caller)]
            if assertion is not None:
                told.append((ASSERTION_FIELD.lower(), assertion))
            headers = [*told, ("cache-control", "no-store")]
            return WebResponse(status=contract.allowed_status, headers=headers)
        case Decision.SIGN_IN_NEEDED if is_page_visit and not contract.only_401_and_403:
            return redirect(_login_path(original))
        case Decision.SIGN_IN_NEEDED:
            return json_response(401, {"error": "login_required", "login_path": LOGIN_PATH})
        case Decision.GROUPS_UNKNOWN:
            raise GroupsUnknown
        case Decision.FORBIDDEN:
            return json_response(403, {"error": "forbidden"})


def refused_status(contract: Contract, status: int) -> int:
    """The status of a refusal as this proxy passes it on: for some all that is not 401 is 403."""
    return 403 if contract.only_401_and_403 and status not in (401, 403) else status


def _rule_for_host(host: str, book: RuleBook) -> Rule:
    named = book.host(host)
    for rule in book.rules:
        if rule.host is not None and not rule.host.matches(named):
            continue
        if rule.methods is not None or not rule.path.is_everything:
            raise ForwardAuthRefused(
                "A rule looks at paths or methods, and /oauth2/auth is told neither.",
                hint="Ask at /auth/nginx, as the documentation shows, or keep rules for whole hosts.",
            )
        return rule
    return OTHERWISE


def _login_path(original: Original) -> str:
    """Relative: the browser stays on the host that it asked, whose /auth the proxy hands to us."""
    path = _wanted_path(original)
    return LOGIN_PATH + ("" if path == FRONT_PAGE else f"?next={quote(path, safe='/')}")


def _wanted_path(original: Original) -> str:
    return safe_next_path((original.target or b"").decode("latin-1"), own_prefix=PREFIX)
