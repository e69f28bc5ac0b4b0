"""`[[routes]]` and `[[rules]]` of entrada.toml become a `RuleBook`, or one sentence with the line and the
fix.

    [[routes]]                            [[rules]]
    host = "tool.contoso.com"             host = "tool.contoso.com"
    path = "/grafana/**"                  path = "/admin/**"
    upstream = "http://127.0.0.1:3000"    methods = ["POST", "DELETE"]
    identity = ["x-forwarded"]            roles = ["Admin"]
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from entrada.accounts.groups import Group, parse_group
from entrada.entra.callers import CallerKind
from entrada.gateway.identity import STYLES
from entrada.gateway.patterns import EVERYTHING, parse_host_pattern, parse_path_pattern
from entrada.gateway.rules import NO_PATH_S_METHODS, Access, Place, Route, Rule, RuleBook, unreachable
from entrada.gateway.upstream_tls import USUAL_TLS, UpstreamTls
from entrada.settings.tables import SettingsFile, SettingsTable, read_tables_of, wrong
from entrada.settings.values import read_duration

P = TypeVar("P", bound=Place)

_METHODS = (
    "ACL", "BASELINE-CONTROL", "BIND", "CHECKIN", "CHECKOUT", "COPY", "DELETE", "GET", "HEAD",
    "LABEL", "LINK", "LOCK", "M-SEARCH", "MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL",
    "MKREDIRECTREF", "MKWORKSPACE", "MOVE", "NOTIFY", "OPTIONS", "ORDERPATCH", "PATCH", "POST",
    "PROPFIND", "PROPPATCH", "PURGE", "PUT", "QUERY", "REBIND", "REPORT", "SEARCH", "SOURCE",
    "SUBSCRIBE", "UNBIND", "UNCHECKOUT", "UNLINK", "UNLOCK", "UNSUBSCRIBE", "UPDATE",
    "UPDATEREDIRECTREF", "VERSION-CONTROL",
)  # fmt: skip
"""Source: IANA, "HTTP Method Registry"; and those beside it that HTTP parsers know."""
_UPSTREAM_FORM = "An upstream is http://host:port, https://host:port or unix:/path/of/socket."
_UPSTREAM_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?")
_PLACE = ("host", "path", "methods")
_OF_RULES = (*_PLACE, "access", "roles", "groups", "callers")
_OF_TLS = {
    "ca_file": "Name a PEM file with the certificates that are believed.",
    "server_name": "Name the host that the certificate is for.",
    "client_certificate": "Name a PEM file with the private key, without a passphrase, and its certificate.",
}
_OF_ROUTES = (
    "host",
    "path",
    "upstream",
    "paths",
    "identity",
    "audience",
    "pass_authorization",
    "answer_within",
    *_OF_TLS,
)


def read_file(file: Path | None) -> RuleBook:
    """The rules and routes of a settings file; none without a file.

    Raises:
        ConfigurationError: the first thing that is wrong, with its line.
    """
    return read_rule_book(read_tables_of(file))


def read_rule_book(settings: SettingsFile) -> RuleBook:
    """The rules and routes of a settings file that was read.

    Raises:
        ConfigurationError: the first thing that is wrong, with its line.
    """
    file = settings.name
    rules = [_read_rule(table) for table in settings.tables("rules")]
    routes = [_read_route(table) for table in settings.tables("routes")]
    _check_order(rules, file, "rule")
    _check_order(routes, file, "route")
    _check_opaque(routes, rules, file)
    return RuleBook(rules=rules, routes=routes)


def _read_rule(table: SettingsTable) -> Rule:
    _only(table, _OF_RULES, others=_OF_ROUTES, where="[[routes]]")
    methods, roles, groups = table.texts("methods"), table.texts("roles"), table.texts("groups")
    for method in sorted(methods):
        _check_method(table, method)
    for role in sorted(roles):
        if role != role.strip():
            table.refuse(
                f"roles names {role!r}, with a blank at an end.", f"Write {role.strip()!r}.", "roles"
            )
    access = table.parsed("access", _parse_access)
    if access is None and not (roles or groups):
        table.refuse(
            "The rule does not say what it means.",
            'Add access = "public", "signed-in" or "deny", or roles, or groups.',
        )
    if access in (Access.PUBLIC, Access.DENY) and (roles or groups or table.values.get("callers")):
        table.refuse(
            f"access = {access.value!r} and roles, groups or callers contradict.",
            "Keep one of them.",
            "access",
        )
    return Rule(
        host=table.parsed("host", parse_host_pattern),
        path=table.parsed("path", parse_path_pattern) or EVERYTHING,
        methods=(methods | ({"HEAD"} if "GET" in methods else set())) or None,
        access=access or Access.SIGNED_IN,
        roles=roles,
        groups=frozenset(_read_group(table, group) for group in groups),
        callers=frozenset(_read_caller(table, text) for text in table.texts("callers")),
        line=table.line,
    )


def _read_caller(table: SettingsTable, text: str) -> CallerKind:
    try:
        return CallerKind(text)
    except ValueError:
        kinds = ", ".join(kind.value for kind in CallerKind)
        table.refuse(f"callers names {text!r}.", f"There are {kinds}.", "callers")


def _read_group(table: SettingsTable, text: str) -> Group:
    try:
        return parse_group(text)
    except ValueError:
        table.refuse(
            f"groups names {text!r}, which is no object id.",
            "Names change hands: write the group's object id, as Entra's admin centre shows it, or "
            "group:NAME, which is looked up in the whole directory.",
            "groups",
        )


def _check_method(table: SettingsTable, method: str) -> None:
    """A method that cannot come fits no request: the rule would say something and mean nothing."""
    if method != method.upper():
        table.refuse(f"methods names {method!r}.", "Methods are written in capitals: GET, POST.", "methods")
    if method in NO_PATH_S_METHODS:
        table.refuse(
            f"methods names {method}, which is refused everywhere.", "Leave it out of the rule.", "methods"
        )
    if method not in _METHODS:
        close = difflib.get_close_matches(method, _METHODS, 1, 0.5)
        fix = f"Did you mean {close[0]}?" if close else "Leave methods out: the rule then fits all of them."
        table.refuse(f"methods names {method!r}, which no client sends.", fix, "methods")


def _only(table: SettingsTable, known: Sequence[str], *, others: Sequence[str], where: str) -> None:
    for key in table.values:
        if key not in known and key in others:
            table.refuse(f"{key} means nothing here.", f"It belongs into {where}.", key)
    table.only(known)


def _parse_access(text: str) -> Access:
    try:
        return Access(text)
    except ValueError:
        raise ValueError("access is public, signed-in or deny") from None


def _read_route(table: SettingsTable) -> Route:
    _only(table, _OF_ROUTES, others=_OF_RULES, where="[[rules]]")
    if "@" in str(table.values.get("upstream")):
        table.refuse("upstream names a user or a password.", _UPSTREAM_FORM, "upstream")
    upstream = table.parsed("upstream", parse_upstream)
    if upstream is None:
        table.refuse("The route has no upstream.", 'Add upstream = "http://127.0.0.1:5000".')
    paths = table.text("paths") or "strict"
    if paths not in ("strict", "opaque"):
        table.refuse(f"paths = {paths!r} is neither strict nor opaque.", "Leave it out for strict.", "paths")
    identity = tuple(sorted(table.texts("identity")))
    for style in identity:
        if style not in STYLES:
            table.refuse(f"identity names {style!r}.", f"There are {', '.join(STYLES)}.", "identity")
    answer_within: timedelta | None = table.parsed("answer_within", read_duration)
    return Route(
        host=table.parsed("host", parse_host_pattern),
        path=table.parsed("path", parse_path_pattern) or EVERYTHING,
        upstream=upstream,
        tls=_read_tls(table, upstream),
        answer_seconds=None if answer_within is None else answer_within.total_seconds(),
        opaque=paths == "opaque",
        identity=identity,
        audience=table.text("audience"),
        pass_authorization=table.flag("pass_authorization"),
        line=table.line,
    )


def _read_tls(table: SettingsTable, upstream: str) -> UpstreamTls:
    for key in _OF_TLS:
        if key in table.values and not upstream.startswith("https:"):
            table.refuse(f"{key} means nothing for {upstream}.", "It is for upstreams with https://.", key)
    tls = UpstreamTls(
        ca_file=table.parsed("ca_file", Path),
        server_name=table.parsed("server_name", _parse_server_name),
        client_certificate=table.parsed("client_certificate", Path),
    )
    for key in ("ca_file", "client_certificate"):
        if key not in table.values:
            continue
        try:
            replace(USUAL_TLS, **{key: getattr(tls, key)}).context()
        except OSError as error:
            why = error.strerror or str(error) or type(error).__name__
            table.refuse(f"{key} = {table.values[key]!r} cannot be used ({why}).", _OF_TLS[key], key)
    return tls


def _parse_server_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.-]+|[0-9a-fA-F:]+", text):
        raise ValueError("a server name is a host name or an address, as the certificate has it")
    return text.lower()


def parse_upstream(text: str) -> str:
    """The origin of an upstream.

    Raises:
        ValueError: anything with a path, a query or a user in it, or of another scheme.
    """
    form = _UPSTREAM_FORM[:1].lower() + _UPSTREAM_FORM[1:-1]
    if text.startswith("unix:/") and len(text) > len("unix:/") and text.isprintable():
        return text
    try:
        parts = urlsplit(text)
        port_is_good = parts.port is None or parts.port > 0
    except ValueError:
        raise ValueError(form) from None
    extra = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
    if parts.scheme not in ("http", "https") or extra or not port_is_good:
        raise ValueError(form)
    # urlsplit drops tabs and line ends without a word, and takes anything else for part of a host.
    if not (_UPSTREAM_HOST.fullmatch(parts.netloc) and text.isprintable()):
        raise ValueError(form)
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _check_order(places: Sequence[P], file: str, what: str) -> None:
    for place, before in unreachable(places):
        raise wrong(
            file,
            place.line,
            f"The {what} for {place} is never reached: {_at(before)} covers it, and the first decides.",
            f"Move it above {_at(before)}, or delete it.",
        )


def _check_opaque(routes: Sequence[Route], rules: Sequence[Rule], file: str) -> None:
    """An opaque route takes a whole host, and no rule or other route of that host looks at its paths."""
    for route in routes:
        if not route.opaque:
            continue
        for place in [place for place in (route, *routes, *rules) if not place.path.is_everything]:
            if route.host is None or place.host is None or route.host.meets(place.host):
                raise wrong(
                    file,
                    place.line,
                    f"path = {str(place.path)!r} cannot be told apart where paths are opaque ({_at(route)}).",
                    'Give the opaque route a host of its own, or drop paths = "opaque".',
                )


def _at(place: Place) -> str:
    return "another one" if place.line is None else f"the one on line {place.line}"
