"""Callers with an access token at `entrada serve`: as nginx asks about them, and as its reverse proxy."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import pytest

from emulator.relying_party import Entra
from entra.test_access_token import APPLICATION, access_token
from entrada.accounts.roles import RoleMapping
from entrada.compatibility import tomllib
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CLIENT_ID
from entrada.entra.callers import CallerKind
from entrada.errors import BearerTokenRefused, ConfigurationError
from entrada.gateway.app import create_gateway
from entrada.gateway.bearer_callers import BearerCallers, bearer_callers
from entrada.gateway.caller import Caller
from entrada.gateway.forward_auth_endpoint import CHECKS_AT_ONCE
from entrada.gateway.hops import parse_trusted_hops
from entrada.gateway.rules import Decision, Rule
from entrada.gateway.tables import read_rule_book
from entrada.settings.tables import SettingsFile
from entrada.web.auth_routes import AuthRoutes
from flows.test_bearer import World
from walks.site import Site, served
from walks.visitor import PAGE_VISIT, SCRIPT, Visitor

from .callers import ada
from .upstream import Upstream

SCOPE = "access_as_user"
MAPPING = RoleMapping(app_roles={"Admin": ["Admin"], "Viewer": ["Editor"]})
RULES = """
[[rules]]
path = "/open"
access = "public"
[[rules]]
path = "/admin"
roles = ["Admin"]
[[rules]]
path = "/edit"
roles = ["Editor"]
[[rules]]
path = "/engineers"
groups = ["ENGINEERS"]
[[rules]]
path = "/finance"
groups = ["FINANCE"]
[[rules]]
path = "/project"
groups = ["PROJECT"]
[[routes]]
upstream = "http://127.0.0.1:PORT"
"""


@pytest.fixture(scope="module")
def site(
    emulator: RunningEmulator, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    text = RULES.replace("PORT", str(upstream.port))
    named = {group.display_name: group.object_id for group in emulator.directory.groups.values()}
    for name, group in (("ENGINEERS", "Engineers"), ("FINANCE", "Finance"), ("PROJECT", "Project 017")):
        text = text.replace(name, named[group])
    book = read_rule_book(SettingsFile(name="entrada.toml", entries=tomllib.loads(text), text=text))

    def app_of(auth: AuthRoutes) -> object:
        bearer = bearer_callers(auth.relying_party, scopes=[SCOPE], mapping=MAPPING)
        return create_gateway(auth, hops=parse_trusted_hops(["127.0.0.1"]), book=book, bearer=bearer)

    folder = tmp_path_factory.mktemp("bearer")
    with served(
        emulator,
        database=folder / "entrada.db",
        app_of=app_of,
        ENTRADA_GROUPS=",".join(str(group) for group in book.groups),
    ) as site:
        yield site


@pytest.fixture
def persons_token(entra: Entra, site: Site, http: httpx.Client) -> str:
    """Ada's, who has signed in here once."""
    Visitor(site, http).sign_in_as("ada@contoso.test")
    token: str = entra.tokens(scope=f"openid api://{CLIENT_ID}/{SCOPE}", prompt="login")["access_token"]
    return token


class Asking:
    """The same question on both roads."""

    def __init__(self, site: Site, http: httpx.Client, way: str) -> None:
        self.site, self.http, self.way = site, http, way

    def __call__(self, path: str, *credentials: str, **fields: str) -> httpx.Response:
        headers = [*{**SCRIPT, **fields}.items(), *(("authorization", value) for value in credentials)]
        host = self.site.public_url.removeprefix("http://")
        if self.way == "nginx":
            asked = {"x-original-uri": path, "x-original-method": "GET", "x-original-host": host}
            headers, path = [*headers, *asked.items()], "/auth/nginx"
        return self.http.get(self.site.address + path, headers=[*headers, ("host", host)])


@pytest.fixture(params=["nginx", "reverse proxy"])
def ask(request: pytest.FixtureRequest, site: Site, http: httpx.Client, upstream: Upstream) -> Asking:
    upstream.requests.clear()
    return Asking(site, http, request.param)


def challenge(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.headers.get("www-authenticate", "")


def told_user(response: httpx.Response) -> str:
    """Who the application is told it is: in the answer to nginx, or in what reached it."""
    fields = dict(response.json()["fields"]) if response.content else response.headers
    return str({name.lower(): value for name, value in fields.items()}.get("x-forwarded-email", ""))


def test_a_person_calls_with_a_token_and_has_the_roles_of_the_account(
    ask: Asking, persons_token: str
) -> None:
    """Signed-in pages and those of her role, and the application is told who she is; others are 403."""
    credentials = f"Bearer {persons_token}"
    for path in ("/open", "/reports", "/admin"):
        response = ask(path, credentials)
        assert (response.status_code, told_user(response)) == (200, "ada@contoso.test"), path
    status, told = challenge(ask("/edit", credentials))
    assert status == 403
    assert 'error="insufficient_scope"' in told


def test_an_application_is_let_in_by_its_app_roles_alone(ask: Asking, entra: Entra) -> None:
    """Where a rule names the role that its app role means; not wherever people need no role."""
    app = entra.emulator.app(CLIENT_ID)
    entra.emulator.directory.assign(app, app.service_principal_id, "Viewer")
    asked = {"grant_type": "client_credentials", "scope": f"api://{CLIENT_ID}/.default"}
    token = entra.token(**asked).json()["access_token"]
    assert ask("/edit", f"Bearer {token}").status_code == 200
    for path in ("/reports", "/admin"):
        status, told = challenge(ask(path, f"Bearer {token}"))
        assert (status, 'error="insufficient_scope"' in told) == (403, True)


def test_a_call_without_a_token_is_told_how_to_come_with_one(ask: Asking) -> None:
    """401 with a challenge that names no error; credentials of another scheme are none."""
    for credentials in ((), ("Basic YTpi",)):
        assert challenge(ask("/reports", *credentials)) == (401, 'Bearer realm="entrada"')


@pytest.mark.parametrize("path", ["/reports", "/open"])
def test_g_a_token_that_does_not_verify_is_401_whatever_the_rule(
    path: str, ask: Asking, entra: Entra, persons_token: str, upstream: Upstream
) -> None:
    """Another signature, another API's token, an ID token; on public paths, too."""
    tokens = entra.tokens(prompt="login")
    for token in (persons_token[:-6] + "AAAAAA", tokens["access_token"], tokens["id_token"]):
        status, told = challenge(ask(path, f"Bearer {token}"))
        assert (status, 'error="invalid_token"' in told) == (401, True)
        assert token not in told
    assert upstream.requests == []


def test_g_a_token_is_never_mixed_with_a_cookie(
    ask: Asking, site: Site, http: httpx.Client, persons_token: str, upstream: Upstream
) -> None:
    """A good session does not save a bad token, and a good token is who asks."""
    vi = Visitor(site, http)
    vi.sign_in_as("vi@contoso.test")
    cookie = vi.jar.header("localhost", secure=False, from_another_site=False)
    assert told_user(ask("/reports", cookie=cookie)) == "vi@contoso.test"
    assert ask("/reports", "Bearer a.b.c", cookie=cookie).status_code == 401
    assert told_user(ask("/admin", f"Bearer {persons_token}", cookie=cookie)) == "ada@contoso.test"


def test_g_a_token_in_two_places_is_refused(ask: Asking, persons_token: str, upstream: Upstream) -> None:
    """Two fields, or one in the address besides; nginx passes 403 on, not 400."""
    good = f"Bearer {persons_token}"
    for response in (ask("/reports", good, good), ask("/reports?access_token=x", good)):
        status, told = challenge(response)
        assert status == (403 if ask.way == "nginx" else 400)
        assert 'error="invalid_request"' in told
    assert upstream.requests == []


def test_a_page_visit_without_a_token_still_goes_to_sign_in(site: Site, http: httpx.Client) -> None:
    """People see no difference."""
    assert Visitor(site, http).open("/reports", **PAGE_VISIT).status_code == 303


FOR_PEOPLE = 'callers = ["person"]\nroles = ["Admin"]'
FOR_PERSON = {"xms_act_fct": "11"}
ACCOUNT_OF_ITS_OWN = {"xms_act_fct": "11", "xms_sub_fct": "13"}


def agent_callers(**changes: Any) -> BearerCallers:
    return BearerCallers(
        check=World().bearer,
        scopes=frozenset({"Files.Read"}),
        mapping=RoleMapping(app_roles={"Files.Read.All": ["Editor"]}),
        **changes,
    )


def rule(text: str) -> Rule:
    text = "[[rules]]\n" + text
    return read_rule_book(SettingsFile(name="entrada.toml", entries=tomllib.loads(text), text=text)).rules[0]


@pytest.mark.parametrize("change", ["disabled", "without a role", "deleted"])
def test_d12_a_socket_that_a_token_opened_closes_when_its_person_may_no_more(
    change: str, site: Site, persons_token: str, http: httpx.Client, upstream: Upstream
) -> None:
    """Within a second, as a session's does; the token alone would keep it open until it expires."""
    party = site.auth.relying_party
    (user,) = party.accounts.search("ada@contoso.test")
    party.accounts.grant_role(user.id, role="Trainee", granted_by="test", now=party.clock.now())
    changes: dict[str, Callable[[], object]] = {
        "disabled": lambda: party.set_disabled(user.id, disabled=True),
        "without a role": lambda: party.accounts.revoke_role(user.id, role="Trainee"),
        "deleted": lambda: party.accounts.delete(user.id),
    }
    parts = urlsplit(site.address)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as link:
        host = urlsplit(site.public_url).netloc
        head = f"GET /admin/socket HTTP/1.1\r\nHost: {host}\r\nUpgrade: echo\r\nConnection: Upgrade\r\n"
        link.sendall(f"{head}Authorization: Bearer {persons_token}\r\n\r\n".encode())
        assert link.recv(65_536).startswith(b"HTTP/1.1 101")
        link.sendall(b"hello")
        assert link.recv(65_536) == b"hello"
        changes[change]()
        started = time.monotonic()
        with suppress(ConnectionResetError):
            assert link.recv(65_536) == b""
        assert time.monotonic() - started < 1
    party.accounts.delete(user.id)  # and with it, until when her tokens are refused


def test_tokens_that_wait_for_entra_keep_no_session_waiting(
    ask: Asking, site: Site, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody can send tokens with keys that nobody knows, and Entra may take its time."""
    visitor = Visitor(site, http)
    visitor.sign_in_as("ada@contoso.test")
    has_come, may_go = threading.Semaphore(0), threading.Event()
    in_vain: list[str] = []

    def wait_for_keys(_: BearerCallers, raw: str) -> Caller:
        has_come.release()
        if not may_go.wait(10):
            in_vain.append(raw)
        raise BearerTokenRefused("kid", "nobody knows it")

    monkeypatch.setattr(BearerCallers, "caller", wait_for_keys)
    with ThreadPoolExecutor(CHECKS_AT_ONCE + 5) as threads:
        calls = [threads.submit(ask, "/reports", "Bearer a.b.c") for _ in range(CHECKS_AT_ONCE + 5)]
        assert all(has_come.acquire(timeout=10) for _ in range(CHECKS_AT_ONCE))
        cookie = visitor.jar.header("localhost", secure=False, from_another_site=False)
        assert ask("/reports", cookie=cookie).status_code == 200
        may_go.set()
        assert {call.result().status_code for call in calls} == {401}
    assert in_vain == []


def test_agents_are_told_apart() -> None:
    """One with an app role of its own is an application; one for a person, or with an account, is nobody."""
    callers = agent_callers()
    agent = callers.caller(access_token(**APPLICATION, xms_act_fct="11", xms_sub_fct="11"))
    assert (agent.kind, agent.roles, agent.stands_for_itself) == ("agent", {"Editor"}, True)
    for facts in (FOR_PERSON, ACCOUNT_OF_ITS_OWN):
        caller = callers.caller(access_token(**facts))
        for text in (
            'access = "signed-in"',
            'roles = ["Admin"]',
            'access = "public"',
            'callers = ["person"]\nroles = ["Admin"]',
        ):
            assert rule(text).decide(caller) is Decision.FORBIDDEN


def test_a_rule_names_the_kinds_of_caller_that_it_is_for() -> None:
    """Those and no others; a session is a person's; the setting says who else is let in everywhere."""
    callers = agent_callers()
    person, daemon = callers.caller(access_token()), callers.caller(access_token(**APPLICATION))
    for_ada, robot = (callers.caller(access_token(**facts)) for facts in (FOR_PERSON, ACCOUNT_OF_ITS_OWN))
    session = ada()
    everybody = (person, session, daemon, for_ada, robot)
    for text, allowed in (
        ('callers = ["agent_for_person", "person"]\nroles = ["Admin"]', {person, session, for_ada}),
        ('callers = ["agent_user"]\naccess = "signed-in"', {robot}),
        ('callers = ["application"]\nroles = ["Editor"]', {daemon}),
        ('callers = ["application"]\naccess = "signed-in"', set[Caller]()),
        ('access = "signed-in"', {person, session}),
    ):
        assert {one for one in everybody if rule(text).decide(one) is Decision.ALLOWED} == allowed, text
    widened = agent_callers(callers=frozenset({CallerKind.AGENT_FOR_PERSON}))
    assert rule('access = "signed-in"').decide(widened.caller(access_token(**FOR_PERSON))) is Decision.ALLOWED
    assert rule('access = "signed-in"').decide(widened.caller(access_token())) is Decision.FORBIDDEN
    with pytest.raises(ConfigurationError, match="robot"):
        rule('callers = ["robot"]\nroles = ["Admin"]')


def test_g2_a_token_of_version_1_is_one_of_the_same_person(
    ask: Asking, entra: Entra, persons_token: str, emulator: RunningEmulator
) -> None:
    """Issued for the App ID URI by the older issuer, and verified by the same keys."""
    emulator.change_app(CLIENT_ID, access_token_version=1)
    raw = token_of(entra, "ada@contoso.test")
    claims = read_unverified(raw)
    assert (claims["ver"], claims["aud"]) == ("1.0", f"api://{CLIENT_ID}")
    assert told_user(ask("/admin", f"Bearer {raw}")) == "ada@contoso.test"
    emulator.reset()


def token_of(entra: Entra, who: str) -> str:
    """A fresh one, for our API."""
    token: str = entra.tokens(who, scope=f"openid api://{CLIENT_ID}/{SCOPE}", prompt="login")["access_token"]
    return token


def read_unverified(raw: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(raw, options={"verify_signature": False})
    return claims


def test_groups_of_a_token_are_those_of_its_claim(ask: Asking, entra: Entra, persons_token: str) -> None:
    """Told to the application, and asked for by rules; a group that the token does not name is 403."""
    assert ask("/engineers", f"Bearer {persons_token}").status_code == 200
    assert challenge(ask("/finance", f"Bearer {persons_token}"))[0] == 403


def test_c19_groups_that_a_token_cannot_hold_are_asked_for_at_graph(
    entra: Entra, site: Site, http: httpx.Client, emulator: RunningEmulator
) -> None:
    """In our own name, where that was granted; without it they are unknown, and the rest goes on."""
    emulator.reset()
    ask = Asking(site, http, "nginx")
    Visitor(site, http).sign_in_as("olga@contoso.test")
    token = f"Bearer {token_of(entra, 'olga@contoso.test')}"
    assert "groups" not in read_unverified(token.removeprefix("Bearer "))
    refused = ask("/project", token)
    assert (refused.status_code, ask("/reports", token).status_code) == (403, 200)
    assert "not known" in refused.text
    emulator.change_app(CLIENT_ID, application_permissions=["GroupMember.Read.All"])
    token = f"Bearer {token_of(entra, 'olga@contoso.test')}"
    site.auth.relying_party.session_check.look()  # so that what the sign-in wrote is not news later
    emulator.clear_requests()
    for _ in range(2):
        assert ask("/project", token).status_code == 200
        assert challenge(ask("/finance", token))[0] == 403
    asked = [request.path for request in emulator.requests if request.endpoint == "graph"]
    assert len(asked) == 1
    assert asked[0].startswith("/v1.0/users/")
    assert asked[0].endswith("/checkMemberGroups")


def test_without_scopes_no_token_is_looked_at(site: Site) -> None:
    """The default; a broker issues no such tokens, and says so at the start."""
    party = site.auth.relying_party
    assert bearer_callers(party, scopes=[], mapping=MAPPING) is None
    authority = party.sign_in.identification.application.authority
    with pytest.MonkeyPatch.context() as patch:
        at_broker = replace(authority, is_broker=True)
        patch.setattr(party.sign_in.identification.application, "authority", at_broker)
        with pytest.raises(ConfigurationError, match="broker"):
            bearer_callers(party, scopes=[SCOPE], mapping=MAPPING)
