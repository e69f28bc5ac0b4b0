"""Callers with an access token at `entrada serve`: as nginx asks about them, and as its reverse proxy."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from emulator.relying_party import Entra
from entra.test_access_token import APPLICATION, access_token
from entrada.accounts.roles import RoleMapping
from entrada.compatibility import tomllib
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CLIENT_ID
from entrada.errors import ConfigurationError, InsufficientScope
from entrada.gateway.app import create_gateway
from entrada.gateway.bearer_callers import BearerCallers, bearer_callers
from entrada.gateway.hops import parse_trusted_hops
from entrada.gateway.tables import read_rule_book
from entrada.settings.tables import SettingsFile
from entrada.web.auth_routes import AuthRoutes
from flows.test_bearer import World
from walks.site import Site, served
from walks.visitor import PAGE_VISIT, SCRIPT, Visitor

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
[[routes]]
upstream = "http://127.0.0.1:PORT"
"""


@pytest.fixture(scope="module")
def site(
    emulator: RunningEmulator, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    text = RULES.replace("PORT", str(upstream.port))
    book = read_rule_book(SettingsFile(name="entrada.toml", entries=tomllib.loads(text), text=text))

    def app_of(auth: AuthRoutes) -> object:
        bearer = bearer_callers(auth.relying_party, scopes=[SCOPE], mapping=MAPPING)
        return create_gateway(auth, hops=parse_trusted_hops(["127.0.0.1"]), book=book, bearer=bearer)

    folder = tmp_path_factory.mktemp("bearer")
    with served(emulator, database=folder / "entrada.db", app_of=app_of) as site:
        yield site


@pytest.fixture
def entra(emulator: RunningEmulator) -> Iterator[Entra]:
    trust = ssl.create_default_context(cafile=emulator.ca_file)
    with httpx.Client(verify=trust, trust_env=False, timeout=20) as client:
        yield Entra(emulator, client)


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


def test_agents_are_told_apart() -> None:
    """One with an app role of its own is an application; one for a person, or with an account, is refused."""
    world = World()
    callers = BearerCallers(
        check=world.bearer,
        scopes=frozenset({"Files.Read"}),
        mapping=RoleMapping(app_roles={"Files.Read.All": ["Editor"]}),
    )
    agent = callers.caller(access_token(**APPLICATION, xms_act_fct="11", xms_sub_fct="11"))
    assert (agent.kind, agent.roles, agent.stands_for_itself) == ("agent", {"Editor"}, True)
    for facts in ({"xms_act_fct": "11"}, {"xms_act_fct": "11", "xms_sub_fct": "13"}):
        with pytest.raises(InsufficientScope, match="agent"):
            callers.caller(access_token(**facts))


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
