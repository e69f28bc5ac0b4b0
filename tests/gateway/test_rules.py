"""Rules and routes: which one decides, and that every reader of a request would take it (D4 to D8, D21)."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrada.accounts.groups import UNKNOWN, Group
from entrada.compatibility import tomllib
from entrada.errors import AmbiguousRequest, ConfigurationError
from entrada.gateway.explain import explain
from entrada.gateway.patterns import PathPattern, parse_host_pattern, parse_path_pattern, read_host
from entrada.gateway.rules import OTHERWISE, Decision, Rule, RuleBook
from entrada.gateway.tables import parse_upstream, read_rule_book
from entrada.settings.tables import SettingsFile

from .callers import EDITORS, FINANCE, ada, in_groups

BOOK = f"""
# some settings before
tenant_id = "contoso.test"

[[rules]]
path = "/api/*/status"
access = "public"

[[rules]]
path = "/admin/**"
roles = ["Admin", "Owner"]

[[rules]]
path = "/articles/**"
methods = ["POST", "PUT"]
groups = ["{EDITORS.upper()}"]

[[rules]]
host = "*.contoso.com"
path = "/internal/**"
access = "deny"

[[rules]]
path = "/articles/**"
access = "public"

[[routes]]
path = "/grafana/**"
upstream = "http://127.0.0.1:3000"

[[routes]]
upstream = "unix:/run/app.sock"
identity = ["x-forwarded", "remote"]
"""


def book(text: str) -> RuleBook:
    return read_rule_book(SettingsFile(name="entrada.toml", entries=tomllib.loads(text), text=text))


def rule_for(
    target: str,
    method: str = "GET",
    host: str = "tool.contoso.com",
    overrides: tuple[str, ...] = (),
    text: str = BOOK,
) -> Rule:
    rules = replace(book(text), own_hosts=frozenset({host.lower()}))
    return rules.rule_for(rules.read(method, host, target.encode(), overrides))


@pytest.mark.parametrize(
    ("method", "host", "target", "line"),
    [
        ("GET", "tool.contoso.com", "/api/v1/status", 5),
        ("GET", "tool.contoso.com", "/api/v1/status/", 5),
        ("DELETE", "tool.contoso.com", "/api/v1/status", 5),
        ("GET", "tool.contoso.com", "/api/v1/x/status", None),
        ("GET", "tool.contoso.com", "/api/status", None),
        ("GET", "tool.contoso.com", "/admin", 9),
        ("GET", "tool.contoso.com", "/admin/users?page=2", 9),
        ("GET", "tool.contoso.com", "/administrators", None),
        ("POST", "tool.contoso.com", "/articles/1", 13),
        ("GET", "tool.contoso.com", "/articles/1", 23),
        ("GET", "TOOL.contoso.com:8443", "/internal/x", 18),
        ("GET", "contoso.com", "/internal/x", None),
        ("GET", "evilcontoso.com", "/internal/x", None),
        ("GET", "[::1]:8000", "/", None),
    ],
)
def test_the_first_rule_that_fits_decides(method: str, host: str, target: str, line: int | None) -> None:
    """In the order of the file; where none fits, a signed-in person is asked for."""
    assert rule_for(target, method, host).line == line


@pytest.mark.parametrize(
    "target", ["/api/private?x=/status", "/api/private", "/api/private/x?y=1/status", "/api?/x/status"]
)
def test_d4_a_public_rule_sees_no_query(target: str) -> None:
    """The query never helps a path to fit a public rule."""
    assert rule_for(target) is OTHERWISE


@pytest.mark.parametrize(
    "target",
    ["/ADMIN", "/Admin/users", "/admin.", "/%EF%BD%81dmin/x", "/ad%C2%ADmin", "/ARTICLES/1"],
    ids="D5 {}".format,
)
def test_d5_two_readings_under_two_rules_are_refused(target: str) -> None:
    """Where a reader without case would take another rule, neither is taken."""
    with pytest.raises(AmbiguousRequest):
        rule_for(target)


def test_d5_case_matters_to_nobody_where_no_rule_differs() -> None:
    """Capitals in a path that every reading leaves under one rule are no harm."""
    assert rule_for("/Wiki/Ada").access == rule_for("/wiki").access
    assert rule_for("/admin/Users").line == 9


@pytest.mark.parametrize(
    ("method", "overrides"),
    [
        ("GET", ("DELETE", "POST")),
        ("GET", ("post",)),
        ("GET", (" PUT ",)),
        ("post", ()),
        ("GET", ("POST, POST",)),
        ("GET", ("x,PUT",)),
    ],
    ids=[
        "D8 two overrides",
        "D8 override in small letters",
        "D8 blanks",
        "D8 method in small letters",
        "D8 two fields that a proxy joined",
        "D8 the last of two",
    ],
)
def test_d8_a_method_that_two_readers_take_differently_is_refused(
    method: str, overrides: tuple[str, ...]
) -> None:
    """An override field counts as the method, where it would lead to another rule."""
    with pytest.raises(AmbiguousRequest):
        rule_for("/articles/1", method, overrides=overrides)


@pytest.mark.parametrize("method", ["PROPFIND", "BREW", "OPTIONS", "LINK"])
def test_d8_unknown_methods_are_protected(method: str) -> None:
    """A method that no rule names is no way around the rules."""
    assert rule_for("/", method) is OTHERWISE
    assert rule_for("/admin", method).line == 9


def test_a_rule_for_get_fits_head() -> None:
    """HEAD tells what GET would."""
    text = '[[rules]]\nmethods = ["GET"]\naccess = "deny"\n'
    assert rule_for("/", "HEAD", text=text).decide(ada()) is Decision.FORBIDDEN


@pytest.mark.parametrize(
    "host",
    ["a/public?x=", "evil@host", "host:port", "", "a b", "host.", "[::1", "hôst", "a,b"],
    ids="D6 {}".format,
)
def test_d6_a_host_is_a_name_and_a_port(host: str) -> None:
    """Anything else in the Host field is refused."""
    with pytest.raises(AmbiguousRequest):
        read_host(host)


def test_what_a_rule_means_for_each_caller() -> None:
    """Public, signed in, one of the roles, one of the groups, one of each, deny."""
    editor = ada(roles=frozenset())
    admin = ada(membership=in_groups())
    nobody = None
    both = f'[[rules]]\nroles = ["Admin"]\ngroups = ["{EDITORS}"]\n'
    for rule, decisions in (
        (rule_for("/api/v1/status"), "allowed allowed allowed"),
        (rule_for("/"), "sign_in_needed allowed allowed"),
        (rule_for("/admin"), "sign_in_needed forbidden allowed"),
        (rule_for("/articles/1", "POST"), "sign_in_needed allowed forbidden"),
        (rule_for("/internal/x"), "forbidden forbidden forbidden"),
        (rule_for("/", text=both), "sign_in_needed forbidden forbidden"),
    ):
        assert " ".join(rule.decide(caller) for caller in (nobody, editor, admin)) == decisions
    assert rule_for("/", text=both).decide(ada()) is Decision.ALLOWED


TENANT = ada().tenant_id


@pytest.mark.parametrize(
    ("groups", "decision"),
    [
        ([EDITORS], "allowed"),
        ([FINANCE], "forbidden"),
        ([FINANCE, EDITORS], "allowed"),
        ([f"{TENANT}/{EDITORS}"], "allowed"),
        ([f"{EDITORS}/{EDITORS}"], "forbidden"),
        (["99999999-2222-3333-4444-555555555555"], "groups_unknown"),
        (["99999999-2222-3333-4444-555555555555", FINANCE], "groups_unknown"),
        (["99999999-2222-3333-4444-555555555555", EDITORS], "allowed"),
        (["group:Editors"], "groups_unknown"),
        (["group:Admin"], "groups_unknown"),
    ],
    ids=str,
)
def test_what_is_not_known_of_a_group_is_neither_yes_nor_no(groups: list[str], decision: str) -> None:
    """One group held is enough; one that nobody asked about lets nobody in, and nor does its name."""
    rule = rule_for("/", text=f"[[rules]]\ngroups = {json.dumps(groups)}\n")
    assert rule.decide(ada()) == decision
    assert rule.decide(ada(membership=UNKNOWN)) == (
        "forbidden" if groups[0].startswith(f"{EDITORS}/") else "groups_unknown"
    )


OPAQUE = ["[[routes]]", 'upstream = "http://h"', 'paths = "opaque"']


@pytest.mark.parametrize(
    ("lines", "line", "part", "fix"),
    [
        (["[[rules]]", 'path = "/a"'], 1, "does not say", "access ="),
        (["[[rules]]", 'path = "/a"', 'access = "open"'], 3, "access", "public, signed-in or deny"),
        (["[[rules]]", 'acess = "public"'], 2, "acess", "access"),
        (["[[rules]]", 'path = "^/a.*"', 'access = "public"'], 2, "path", "begins with /"),
        (["[[rules]]", 'path = "/a*"', 'access = "public"'], 2, "path", "one whole segment"),
        (["[[rules]]", 'path = "/a/../b"', 'access = "public"'], 2, "path", "dots"),
        (["[[rules]]", 'path = "/a%20b"', 'access = "public"'], 2, "path", "decoded"),
        (["[[rules]]", 'host = "https://a.b"', 'access = "public"'], 2, "host", "without https://"),
        (["[[rules]]", "roles = []"], 2, "roles", "leave it out"),
        (["[[rules]]", 'roles = "Admin"'], 2, "roles", '["…"]'),
        (["[[rules]]", 'groups = ["Editors"]'], 2, "Editors", "object id"),
        (["[[rules]]", 'access = "public"', 'roles = ["Admin"]'], 2, "contradict", "one of them"),
        (["[[rules]]", 'methods = ["get"]', 'access = "deny"'], 2, "get", "capitals"),
        (
            ["", "[[rules]]", 'access = "public"', "[[rules]]", 'path = "/admin/**"', 'access = "deny"'],
            4,
            "line 2",
            "above",
        ),
        (["[[routes]]", 'path = "/a"'], 1, "no upstream", "upstream ="),
        (["[[routes]]", 'upstream = "127.0.0.1:5000"'], 2, "upstream", "http://"),
        (["[[rules]]", 'methods = ["GTE"]', 'access = "deny"'], 2, "GTE", "Did you mean GET?"),
        (["[[rules]]", 'methods = ["BREW"]', 'access = "deny"'], 2, "BREW", "all of them"),
        (["[[rules]]", 'methods = ["TRACE"]', 'access = "deny"'], 2, "refused everywhere", "Leave it out"),
        (["[[rules]]", 'roles = ["Admin "]'], 2, "'Admin '", "'Admin'"),
        (["[[rules]]", 'host = "h:99999"', 'access = "deny"'], 2, "host", "65535"),
        (["[[rules]]", 'host = "h:0"', 'access = "deny"'], 2, "host", "65535"),
        (["[[rules]]", 'upstream = "http://h"'], 2, "upstream", "[[routes]]"),
        (["[[routes]]", 'upstream = "http://h"', 'roles = ["Admin"]'], 3, "roles", "[[rules]]"),
        (["[[routes]]", 'upstream = "http://h h"'], 2, "upstream", "http://"),
        (["[[routes]]", 'upstream = "http://a\\nb"'], 2, "upstream", "http://"),
        (["[[routes]]", 'upstream = "http://u:p@h"'], 2, "a user or a password", "http://"),
        (["[[routes]]", 'upstream = "http://h/path"'], 2, "upstream", "http://"),
        (["[[routes]]", 'upstream = "http://h"', 'paths = "loose"'], 3, "loose", "strict"),
        (["[[routes]]", 'upstream = "http://h"', 'identity = ["oauth2"]'], 3, "oauth2", "x-forwarded"),
        (
            [*OPAQUE, "[[rules]]", 'path = "/a"', 'access = "deny"'],
            4,
            "opaque",
            "host of its own",
        ),
        ([*OPAQUE, 'path = "/a/**"'], 1, "opaque", "host of its own"),
        (["[rules]", 'path = "/a"'], None, "list of tables", "[[rules]]"),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_the_fix(
    lines: list[str], line: int | None, part: str, fix: str
) -> None:
    """A wrong rule or route stops the start with one sentence: file, line, what, and how to mend it."""
    with pytest.raises(ConfigurationError) as refused:
        book("\n".join(lines))
    where = "entrada.toml" if line is None else f"entrada.toml, line {line}: "
    assert refused.value.sentence.startswith(where)
    assert part in refused.value.sentence
    assert fix in refused.value.hint


def test_a_password_in_an_upstream_is_not_told() -> None:
    """What is refused may still be somebody's password: the sentence names the field alone."""
    with pytest.raises(ConfigurationError) as refused:
        book('[[routes]]\nupstream = "http://u:hunter2@h"')
    assert "hunter2" not in str(refused.value)


def test_a_header_inside_a_text_does_not_mislead_the_line_numbers() -> None:
    """Where the lines cannot be told for certain, the sentence goes without."""
    text = 'note = """\n[[rules]]\n"""\n[[rules]]\npath = "/a"\n'
    with pytest.raises(ConfigurationError, match=r"^entrada.toml: "):
        book(text)


RULES_FOR_HOSTS = """
[[rules]]
host = "tool.contoso.com"
path = "/admin/**"
roles = ["Admin"]

[[rules]]
host = "*.apps.contoso.com:8443"
access = "signed-in"

[[routes]]
upstream = "http://127.0.0.1:5000"
"""


@pytest.mark.parametrize(
    "host", ["x", "127.0.0.1", "tool.contoso.com.evil", "a.apps.contoso.com", "own.contoso.com:81"]
)
def test_d6_a_host_that_nobody_named_is_refused_where_rules_look_at_hosts(host: str) -> None:
    """Its requests would reach the same upstream past the rule for the host that people use."""
    rules = replace(book(RULES_FOR_HOSTS), own_hosts=frozenset({"own.contoso.com"}))
    with pytest.raises(AmbiguousRequest, match="a host that no rule"):
        rules.read("GET", host, b"/admin/x")


@pytest.mark.parametrize(
    "host",
    [
        "tool.contoso.com",
        "TOOL.contoso.com:9000",
        "a.apps.contoso.com:8443",
        "own.contoso.com",
        "Own.Contoso.com",
    ],
)
def test_d6_a_host_that_somebody_named_is_read(host: str) -> None:
    """By a rule, or as a public URL."""
    rules = replace(book(RULES_FOR_HOSTS), own_hosts=frozenset({"own.contoso.com"}))
    assert rules.read("GET", host, b"/x").host.name in host.lower()


def test_d6_without_rules_for_hosts_every_host_is_read() -> None:
    """There is nothing to get around."""
    rules = book('[[rules]]\npath = "/admin/**"\nroles = ["Admin"]\n')
    assert rules.rule_for(rules.read("GET", "x", b"/admin/x")).roles == {"Admin"}


def test_an_opaque_host_has_one_rule_for_all_of_it() -> None:
    """Its paths are not read; other hosts' rules do not touch it."""
    text = """
[[routes]]
host = "git.contoso.com"
upstream = "http://127.0.0.1:1"
paths = "opaque"
[[rules]]
host = "wiki.contoso.com"
path = "/admin/**"
access = "deny"
[[rules]]
host = "git.contoso.com"
roles = ["Developer"]
"""
    assert rule_for("/a%2Fb/..;/x", host="git.contoso.com", text=text).roles == {"Developer"}
    with pytest.raises(AmbiguousRequest):
        rule_for("/a%2Fb", host="wiki.contoso.com", text=text)


def test_routes_are_chosen_alike() -> None:
    """The first route that fits answers; its upstream is an origin or a socket."""
    rules = book(BOOK)
    for target, upstream in ((b"/grafana/d/1", "http://127.0.0.1:3000"), (b"/", "unix:/run/app.sock")):
        route = rules.route_for(rules.read("GET", "tool.contoso.com", target))
        assert route is not None
        assert route.upstream == upstream
    assert rules.groups == {Group(name=EDITORS)}
    assert parse_upstream("HTTPS://Tool:8443/") == "https://tool:8443"


@pytest.mark.parametrize(
    ("request_line", "part"),
    [
        ("GET https://tool.contoso.com/admin", "line 9"),
        ("GET https://tool.contoso.com/admin", "signed-in people with one of the roles Admin, Owner"),
        ("GET https://tool.contoso.com", "no rule fits"),
        ("GET https://tool.contoso.com/api/x/status", "anybody"),
        ("GET https://tool.contoso.com/a/../admin", "nobody"),
        ("GET https://tool.contoso.com/grafana/x", "http://127.0.0.1:3000"),
    ],
)
def test_explain_says_which_rule_decides_and_for_whom(request_line: str, part: str) -> None:
    """One request in, the rule with its line, whom it lets in, and the upstream out."""
    assert part in str(explain(request_line, book(BOOK)))


@pytest.mark.parametrize("text", ["", "GET", "https://h/", "GET /path", "GET ftp://h/", "G3T https://h/"])
def test_explain_refuses_what_is_no_request(text: str) -> None:
    """Wrong use is one sentence with an example."""
    with pytest.raises(ConfigurationError) as refused:
        explain(text, book(BOOK))
    assert "--explain" in refused.value.hint


SEGMENTS = st.lists(st.sampled_from(["a", "b", "*", "A"]), max_size=3)
PATTERNS = st.tuples(SEGMENTS, st.booleans()).map(
    lambda drawn: parse_path_pattern("/" + "/".join([*drawn[0], *(["**"] if drawn[1] else [])]))
)
PATHS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=4).map(tuple)


@given(PATTERNS, PATTERNS, PATHS)
def test_d21_what_a_pattern_covers_it_matches(
    one: PathPattern, other: PathPattern, path: tuple[str, ...]
) -> None:
    """No path is matched by a covered pattern and not by the one that covers it."""
    assert not (one.covers(other) and other.matches(path) and not one.matches(path))


HOSTS = st.sampled_from(["a.b", "*.a.b", "*.b", "b", "x.a.b", "a.b:1", "*.b:1", "a.b:2"])


@given(HOSTS, HOSTS, st.sampled_from(["a.b", "x.a.b", "b", "a.b:1", "y.b:1", "xb", "x.a.b:2"]))
def test_d21_hosts_that_cover_or_stay_apart(one: str, other: str, name: str) -> None:
    """A host pattern covers and meets another exactly as the hosts that they match."""
    first, second, host = parse_host_pattern(one), parse_host_pattern(other), read_host(name)
    assert not (first.covers(second) and second.matches(host) and not first.matches(host))
    assert not (not first.meets(second) and first.matches(host) and second.matches(host))
