"""Forward auth: each proxy's contract, to the field (D1c, D3, D8, D9, D11)."""

from __future__ import annotations

import json

import pytest

from entrada.compatibility import tomllib
from entrada.errors import AmbiguousRequest, EntradaError, ForwardAuthRefused
from entrada.gateway.caller import Caller
from entrada.gateway.forward_auth import (
    CONTRACTS,
    Contract,
    Received,
    answer,
    contract_of,
    decide,
    read_original,
    read_requirements,
    refused_status,
)
from entrada.gateway.rules import Decision, RuleBook
from entrada.gateway.tables import read_rule_book
from entrada.settings.tables import SettingsFile
from entrada.web.messages import WebResponse

from .callers import EDITORS, ada, in_groups

RULES = """
[[rules]]
path = "/public/**"
access = "public"
[[rules]]
path = "/admin/**"
roles = ["Admin"]
[[rules]]
path = "/closed"
access = "deny"
[[routes]]
path = "/remote/**"
upstream = "http://127.0.0.1:1"
identity = ["remote"]
"""
BY_PATH = {contract.path: contract for contract in CONTRACTS}
WITH_FIELDS = [contract for contract in CONTRACTS if contract.target is not None]
NOBODY_S_WORD = [
    (b"x-forwarded-uri", b"/public/x"),
    (b"x-forwarded-method", b"GET"),
    (b"x-forwarded-host", b"tool.contoso.com"),
    (b"x-original-uri", b"/public/x"),
    (b"x-original-url", b"https://tool.contoso.com/public/x"),
    (b"x-original-method", b"GET"),
    (b"x-original-host", b"tool.contoso.com"),
    (b"x-rewrite-url", b"/public/x"),
    (b"x-auth-request-redirect", b"/public/x"),
]


def book(text: str = RULES) -> RuleBook:
    return read_rule_book(SettingsFile(name="entrada.toml", entries=tomllib.loads(text), text=text))


def received(
    contract: Contract, target: str, method: str = "GET", host: str = "tool.contoso.com"
) -> Received:
    """The request as this proxy makes it, beside everything of other kinds that a client may send."""
    own = {contract.method: method, contract.host: host, contract.target: target}
    fields = [(name.encode(), value.encode()) for name, value in own.items() if name is not None]
    fields += [(name, value) for name, value in NOBODY_S_WORD if name.decode() not in own]
    by_request_line = contract.target is None
    return Received(
        method=method if contract.method is None else "GET",
        target=(contract.path + (target if by_request_line else "")).encode(),
        fields=fields if b"host" in dict(fields) else [*fields, (b"host", b"entrada.internal")],
    )


def asked(
    contract: Contract,
    target: str,
    *,
    method: str = "GET",
    caller: Caller | None = None,
    query: str = "",
    page: bool = False,
    text: str = RULES,
) -> WebResponse:
    original = read_original(contract, received(contract, target, method))
    verdict = decide(original, book=book(text), caller=caller, requirements=read_requirements(query))
    return answer(contract, original, verdict, caller=caller, is_page_visit=page)


ASKING = [contract for contract in CONTRACTS if not contract.answers_people]
PATHS = [contract for contract in ASKING if not contract.whole_hosts]


@pytest.mark.parametrize("contract", PATHS, ids=lambda contract: contract.path)
def test_d3_each_contract_believes_its_own_fields_alone(contract: Contract) -> None:
    """The path decides as this proxy says it; every other field that could name one is a client's own."""
    assert asked(contract, "/public/a").status == 200
    assert asked(contract, "/admin").status == 401
    assert asked(contract, "/admin", caller=ada()).status == 200
    assert asked(contract, "/admin", caller=ada(roles=frozenset())).status == 403
    assert asked(contract, "/closed", caller=ada()).status == 403
    assert asked(contract, "/", caller=ada(roles=frozenset())).status == 200


@pytest.mark.parametrize("contract", WITH_FIELDS, ids=lambda contract: contract.path)
def test_d9_a_field_that_is_missing_empty_or_there_twice_lets_nobody_through(contract: Contract) -> None:
    """What the proxy did not say exactly once is not guessed from anything else."""
    good = received(contract, "/public/a")
    for name in (contract.method, contract.host, contract.target):
        others = [field for field in good.fields if field[0].decode() != name]
        assert name is not None
        for spoilt in (others, [*others, (name.encode(), b"")], [*good.fields, (name.encode(), b"GET")]):
            with pytest.raises(ForwardAuthRefused, match=name):
                read_original(contract, Received(method="GET", target=good.target, fields=spoilt))


@pytest.mark.parametrize("contract", PATHS, ids=lambda contract: contract.path)
@pytest.mark.parametrize(
    "target", ["/public/../admin", "/public/%2e%2e/admin", "//admin", "http://x/public/a", "*", "public"]
)
def test_d5_a_path_with_two_readings_passes_by_no_contract(contract: Contract, target: str) -> None:
    """The refusal reaches nginx as 403, because it shows anything else as a 500."""
    with pytest.raises((AmbiguousRequest, ForwardAuthRefused)):
        asked(contract, target, caller=ada())
    assert refused_status(contract, 400) == (403 if contract.only_401_and_403 else 400)
    assert refused_status(contract, 401) == 401


def test_envoy_s_path_and_method_are_those_of_the_request_itself() -> None:
    """Raw path and query behind the prefix, the method as it is, HEAD as GET."""
    contract = contract_of("/auth/envoy/admin")
    assert contract is not None
    original = read_original(contract, received(contract, "/admin/..;/x?y=/auth/envoy/public", "DELETE"))
    assert (original.method, original.target) == ("DELETE", b"/admin/..;/x?y=/auth/envoy/public")
    assert asked(contract, "/public/a", method="HEAD").status == 200


@pytest.mark.parametrize(
    "path", ["/auth/envoy", "/auth/envoyx/admin", "/auth/nginx/", "/auth/NGINX", "/auth/verify/x"]
)
def test_an_address_that_is_no_contract_is_none(path: str) -> None:
    """Nothing is guessed from an address that is nearly right."""
    assert contract_of(path) is None


def test_only_oauth2_proxy_s_address_answers_202() -> None:
    """Envoy and the Gateway API take 200 alone for a yes."""
    text = '[[rules]]\nroles = ["Admin"]\n'
    statuses = {contract.path: asked(contract, "/x", caller=ada(), text=text).status for contract in ASKING}
    assert {path for path, status in statuses.items() if status != 200} == {"/oauth2/auth"}
    assert statuses["/oauth2/auth"] == 202


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.path)
def test_d6_another_name_is_no_way_around_a_rule_for_a_host(contract: Contract) -> None:
    """Whoever asks chooses the host: one that nobody named is refused, signed in or not."""
    whole = '[[rules]]\nhost = "wiki.contoso.com"\nroles = ["Owner"]\n'
    with pytest.raises(AmbiguousRequest, match="a host that no rule"):
        asked(contract, "/public/a", text=whole)


def test_d3b_oauth2_proxy_s_address_believes_no_path_at_all() -> None:
    """A rule that looks at paths cannot be asked there, whatever X-Forwarded-Uri says (CVE-2026-76835)."""
    contract = BY_PATH["/oauth2/auth"]
    with pytest.raises(ForwardAuthRefused, match="told neither"):
        asked(contract, "/public/a")
    only_others = (
        '[[rules]]\nhost = "wiki.contoso.com"\npath = "/public/**"\naccess = "public"\n'
        '[[rules]]\nhost = "tool.contoso.com"\naccess = "signed-in"\n'
    )
    assert asked(contract, "/public/a", text=only_others).status == 401


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.path)
def test_a_page_visit_goes_to_sign_in_where_the_proxy_passes_that_on(contract: Contract) -> None:
    """303 with the page asked for, on the host that the browser knows; nginx gets 401, a script always."""
    text = '[[rules]]\naccess = "signed-in"\n'
    visit = asked(contract, "/a%20b?x=1", page=True, text=text)
    if contract.only_401_and_403:
        assert visit.status == 401
    else:
        assert (visit.status, dict(visit.headers)["location"]) == (303, "/auth/login?next=/a%2520b%3Fx%3D1")
    script = asked(contract, "/a", text=text)
    assert script.status == 401
    assert json.loads(script.body)["error"] == "login_required"


@pytest.mark.parametrize("target", ["/\\evil.test", "/auth/login", "/auth/envoy/x"])
def test_e1_where_to_go_after_signing_in_is_on_this_origin(target: str) -> None:
    """What cannot be gone back to leads to the front page."""
    contract, original = BY_PATH["/auth/traefik"], None
    original = read_original(contract, received(contract, target))
    verdict = decide(
        read_original(contract, received(contract, "/")),
        book=book(),
        caller=None,
        requirements=read_requirements(""),
    )
    response = answer(contract, original, verdict, caller=None, is_page_visit=True)
    assert dict(response.headers)["location"] == "/auth/login"


def test_d1c_a_field_this_person_does_not_have_is_answered_empty() -> None:
    """Every identity field is answered, so that copying it clears a client's own; on public paths too."""
    for contract in PATHS:
        told = dict(asked(contract, "/admin", caller=ada(email=None, membership=in_groups())).headers)
        assert told["x-forwarded-user"] == ada().object_id
        assert told["x-forwarded-email"] == told["remote-email"] == told["x-auth-request-email"] == ""
        public = dict(asked(contract, "/public/a").headers)
        assert {public[name] for name in told if name.startswith(("x-forwarded", "remote"))} == {""}
        assert public["cache-control"] == "no-store"


def test_the_route_says_in_which_style() -> None:
    """A route's own styles take the place of the usual ones."""
    told = dict(asked(BY_PATH["/auth/nginx"], "/remote/x", caller=ada()).headers)
    assert sorted(told) == ["cache-control", "remote-email", "remote-groups", "remote-name", "remote-user"]


@pytest.mark.parametrize(
    ("query", "caller", "status"),
    [
        ("allowed_roles=Admin", ada(), 200),
        ("allowed_roles=Owner,Admin", ada(), 200),
        ("allowed_roles=Owner&allowed_roles=Admin", ada(), 200),
        ("allowed_roles=Owner", ada(), 403),
        ("allowed_roles=admin", ada(), 403),
        (f"allowed_groups={EDITORS.upper()}", ada(), 200),
        (f"allowed_groups={EDITORS}&allowed_roles=Owner", ada(), 403),
        ("allowed_roles=Admin", None, 401),
    ],
)
def test_the_address_of_the_check_asks_for_roles_and_groups(
    query: str, caller: Caller | None, status: int
) -> None:
    """On top of the rule, even of a public one."""
    assert asked(BY_PATH["/auth/nginx"], "/public/a", caller=caller, query=query).status == status


@pytest.mark.parametrize(
    "query", ["allowed_roles=", "allowed_role=Admin", "allowed_groups=,", "x", "allowed_emails=a@b"]
)
def test_a_parameter_that_asks_for_nothing_known_lets_nobody_through(query: str) -> None:
    """A typing error in the proxy's configuration closes, with a sentence that names it."""
    with pytest.raises(EntradaError) as refused:
        read_requirements(query)
    assert "allowed_roles and allowed_groups" in refused.value.hint


@pytest.mark.parametrize(
    "name", [b"x-http-method-override", b"x_http_method_override", b"x.http.method", b"x-method_override"]
)
def test_d8_an_override_field_counts_in_forward_auth_too(name: bytes) -> None:
    """A method that the application would take from a field, in any spelling, cannot pass another's rule."""
    text = '[[rules]]\nmethods = ["GET"]\naccess = "public"\n'
    contract = BY_PATH["/auth/traefik"]
    sent = received(contract, "/x")
    overriding = Received(method="GET", target=sent.target, fields=[*sent.fields, (name, b"DELETE")])
    with pytest.raises(AmbiguousRequest):
        decide(
            read_original(contract, overriding),
            book=book(text),
            caller=None,
            requirements=read_requirements(""),
        )
    assert Decision.ALLOWED is decide(
        read_original(contract, sent), book=book(text), caller=None, requirements=read_requirements("")
    ).decision  # fmt: skip


def test_a_person_whom_nginx_turned_away_is_sent_to_sign_in_or_back() -> None:
    """The address for people leads to the sign-in page, or to the page itself if they may pass by now."""
    contract = BY_PATH["/auth/nginx/sign_in"]
    away = asked(contract, "/admin?tab=1&x=2", page=True)
    assert (away.status, dict(away.headers)["location"]) == (303, "/auth/login?next=/admin%3Ftab%3D1%26x%3D2")
    assert asked(contract, "/admin").status == 401
    back = asked(contract, "/admin?tab=1", caller=ada(), page=True)
    assert (back.status, dict(back.headers)["location"]) == (303, "/admin?tab=1")
    assert "remote-user" not in dict(back.headers)


@pytest.mark.parametrize("contract", PATHS, ids=lambda contract: contract.path)
@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "connect"])
def test_d8_a_method_that_asks_for_no_path_passes_no_rule(contract: Contract, method: str) -> None:
    """Caddy hands a CONNECT with a path on: not even a public path has that."""
    with pytest.raises(AmbiguousRequest, match=method.upper()):
        asked(contract, "/public/a", method=method, caller=ada())
