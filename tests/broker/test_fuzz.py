"""Whatever a client sends to a broker's endpoints gets the specification's error, over HTTP; never a 500.

Parameters are drawn from names and values that mean something, mixed with anything else, doubled and left
out, so that the deep ways are reached as well as the first check.

Source: RFC 6749, sections 4.1.2.1 and 5.2; RFC 6750, section 3; OpenID Connect Core 1.0, section 3.1.2.6.
"""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import parse_qs, quote_from_bytes, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.conftest import BehindBroker, broker_before
from broker.processes import redeemed_over_http
from broker.world import ADA, CHALLENGE, VERIFIER, open_grant, person
from entrada.accounts.identity import EntraIdentity
from entrada.broker.client_authentication import ASSERTION_TYPE
from entrada.broker.grants import hash_of
from entrada.broker.installations import Proof, installation_at
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CONTOSO_ID
from entrada.entra.authority import TenantId

PUBLIC, SECRET, KEY = "https://public.example.test", "https://secret.example.test", "https://key.example.test"
BACK = "/auth/entra/callback"
TOKEN_ERRORS = {
    "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
    "invalid_scope",
}  # fmt: skip
AUTHORIZE_ERRORS = {
    "invalid_request", "unauthorized_client", "access_denied", "unsupported_response_type", "invalid_scope",
    "interaction_required", "login_required", "account_selection_required", "consent_required",
    "request_not_supported", "request_uri_not_supported", "registration_not_supported",
}  # fmt: skip
EXAMPLES = settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))

ODD = st.one_of(
    st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.binary(max_size=60),
    st.sampled_from(
        [b"", b"\0", b" ", b"\xff", b"a" * 3_000, b"[]", b"{}", b"null", b"%00", b"..", b"a.b.c"]
    ),
)


def _unsigned_jwt(claims: object) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'RS256', 'typ': 'JWT', 'kid': 'x'})}.{part(claims)}.{part('x')}"


MEANINGFUL = [
    PUBLIC, SECRET, KEY, PUBLIC + BACK, "the secret", VERIFIER, CHALLENGE, "authorization_code",
    "refresh_token", "client_credentials", "code", "openid", "S256", "plain", "query", "form_post",
    "openid profile email offline_access", "fragment", "none", "login", "consent login", "0", "-1", "1e9",
    "99999999999999999999", ASSERTION_TYPE, CONTOSO_ID, "ada@contoso.test", "token", "id_token",
    f"{PUBLIC}/", f"{PUBLIC}/auth/signed-out", _unsigned_jwt({"sub": KEY, "iss": KEY, "exp": 2**40}),
    _unsigned_jwt([]), _unsigned_jwt(None),
]  # fmt: skip


class Target:
    """A broker that is up, and values that it knows."""

    def __init__(self, world: BehindBroker, known: list[bytes]) -> None:
        self.world, self.known = world, known

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        address = urlsplit(self.world.url).netloc
        with closing(http.client.HTTPConnection(address, timeout=30)) as connection:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def header(self, name: str) -> str:
        return next((value for found, value in self.headers.items() if found.lower() == name), "")


@pytest.fixture(scope="module")
def target(running_entra: RunningEmulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    running_entra.reset()
    with broker_before(running_entra, tmp_path_factory.mktemp("fuzz")) as world:
        store = world.broker.broker.provider.store
        for url, changes in (
            (PUBLIC, {}),
            (SECRET, {"proof": Proof.SECRET, "secret_hashes": (hash_of("the secret"),)}),
            (KEY, {"proof": Proof.KEY, "jwks": ()}),
        ):
            made = installation_at(url, tenant_id=TenantId(CONTOSO_ID))
            store.save_installation(type(made)(**{**vars(made), **changes}))
        tokens = redeemed_over_http(world, PUBLIC, PUBLIC + BACK)
        known = [*MEANINGFUL, *(str(one) for one in tokens.values())]
        yield Target(world, [one.encode() for one in known])


Value: TypeAlias = int | bytes
"""The number of a value that the broker knows, or anything."""
Fields: TypeAlias = list[tuple[bytes, Value]]
VALUES = st.one_of(st.integers(0, 200), ODD)


@st.composite
def altered(draw: st.DrawFn, goods: list[dict[str, str]], names: list[str]) -> Fields:
    """A good request with up to three of its parameters changed or left out, now and then with odd ones."""
    fields: dict[bytes, Value] = {
        name.encode(): value.encode() for name, value in draw(st.sampled_from(goods)).items()
    }
    for name in draw(st.lists(st.sampled_from(names), max_size=3, unique=True)):
        value = draw(st.one_of(st.none(), VALUES))
        if value is None:
            fields.pop(name.encode(), None)
        else:
            fields[name.encode()] = value
    name = st.one_of(st.sampled_from([one.encode() for one in names]), ODD)
    more = draw(st.one_of(*[st.just([])] * 3, st.lists(st.tuples(name, VALUES), min_size=1, max_size=3)))
    return [*fields.items(), *more]


def encoded(target: Target, fields: Fields) -> str:
    def text(value: Value) -> bytes:
        return target.known[value % len(target.known)] if isinstance(value, int) else value

    return "&".join(f"{quote_from_bytes(name)}={quote_from_bytes(text(value))}" for name, value in fields)


_GOOD_BASIC = base64.b64encode(f"{quote_from_bytes(SECRET.encode(), safe='')}:the+secret".encode()).decode()
AUTHORIZATION = st.one_of(
    st.none(),
    st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=80),
    st.binary(max_size=60).map(lambda raw: "Basic " + base64.b64encode(raw).decode()),
    st.sampled_from(
        [f"Basic {_GOOD_BASIC}", "Basic", "Bearer", "Bearer ", "Bearer a.b.c", "Basic ====", "x"]
    ),
)
CONTENT_TYPE = st.sampled_from(
    [*["application/x-www-form-urlencoded"] * 16, "application/json", "text/plain", "", "multipart/form-data"]
)

TOKEN_NAMES = [
    "grant_type", "code", "redirect_uri", "client_id", "client_secret", "code_verifier", "refresh_token",
    "client_assertion", "client_assertion_type", "scope",
]  # fmt: skip


FRESH_CODE = "a code that nobody has used"
_REDEEMING = {
    "grant_type": "authorization_code",
    "code": FRESH_CODE,
    "redirect_uri": "https://app.example.test/auth/entra/callback",
    "code_verifier": VERIFIER,
}
TOKEN_REQUESTS = [
    {**_REDEEMING, "client_id": PUBLIC},
    {**_REDEEMING, "client_id": SECRET, "client_secret": "the secret"},
    {**_REDEEMING, "client_id": KEY, "client_assertion_type": ASSERTION_TYPE, "client_assertion": "a.b.c"},
    {"grant_type": "refresh_token", "client_id": PUBLIC, "refresh_token": f"{'r' * 22}.{'r' * 43}"},
    {"grant_type": "refresh_token", "client_id": SECRET, "client_secret": "the secret", "refresh_token": "x"},
]


@EXAMPLES
@given(
    drawn=altered(TOKEN_REQUESTS, TOKEN_NAMES),
    authorization=st.one_of(st.none(), st.none(), AUTHORIZATION),
    content_type=CONTENT_TYPE,
)
def test_the_token_endpoint(
    drawn: Fields, authorization: str | None, content_type: str, target: Target
) -> None:
    """A document with a registered error, never stored by a cache; 401 with the challenge it needs."""
    headers = {"content-type": content_type}
    if authorization is not None:
        headers["authorization"] = authorization
    body = encoded(target, drawn)
    if FRESH_CODE.encode() in dict(drawn).values():
        client_id = SECRET if SECRET.encode() in dict(drawn).values() else PUBLIC
        ada = EntraIdentity(tenant_id=TenantId(CONTOSO_ID), object_id=ADA.object_id)
        provider = target.world.broker.broker.provider
        _, code = open_grant(provider, client_id=client_id, who=person(identity=ada))
        body = body.replace(quote_from_bytes(FRESH_CODE.encode()), code)
    answer = target.send("POST", "/auth/broker/token", body.encode(), headers=headers)
    assert answer.status in (200, 400, 401), answer
    document = json.loads(answer.body)
    assert "no-store" in answer.header("cache-control")
    if answer.status != 200:
        assert document["error"] in TOKEN_ERRORS
        assert document["error_description"].isascii()
    if answer.status == 401:
        assert answer.header("www-authenticate")


AUTHORIZE_NAMES = [
    "client_id", "redirect_uri", "response_type", "scope", "state", "nonce", "code_challenge",
    "code_challenge_method", "prompt", "max_age", "login_hint", "domain_hint", "response_mode", "request",
    "request_uri", "registration", "claims", "id_token_hint", "acr_values", "ui_locales", "display",
]  # fmt: skip


AUTHORIZE_REQUEST = {
    "client_id": PUBLIC,
    "redirect_uri": PUBLIC + BACK,
    "response_type": "code",
    "scope": "openid",
    "state": "s",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


@EXAMPLES
@given(drawn=altered([AUTHORIZE_REQUEST], AUTHORIZE_NAMES), is_post=st.booleans())
def test_the_authorization_endpoint(drawn: Fields, is_post: bool, target: Target) -> None:
    """On to Entra, back to the listed address with a registered error and `iss`, or a page; nowhere else."""
    query = encoded(target, drawn)
    if is_post:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        answer = target.send("POST", "/auth/broker/authorize", query.encode(), headers)
    else:
        answer = target.send("GET", f"/auth/broker/authorize?{query}")
    if answer.status == 303:
        goes_to = answer.header("location")
        if goes_to.startswith(target.world.entra.http_url):
            return
        assert goes_to.startswith(PUBLIC + BACK + "?"), goes_to
        said = parse_qs(urlsplit(goes_to).query)
        assert said["error"][0] in AUTHORIZE_ERRORS, said
        assert said["iss"] == [target.world.url]
        assert "code" not in said
    elif answer.status == 200:
        assert b"form" in answer.body  # response_mode=form_post, to the same address
        assert (PUBLIC + BACK).encode() in answer.body
    else:
        assert answer.status in (400, 403, 414), answer
        assert answer.header("content-type").startswith(("text/html", "application/json"))


@EXAMPLES
@given(
    authorization=AUTHORIZATION,
    is_post=st.booleans(),
    number=st.one_of(st.none(), st.integers(0, 200)),
    body=ODD,
)
def test_the_userinfo_endpoint(
    authorization: str | None, is_post: bool, number: int | None, body: bytes, target: Target
) -> None:
    """The person for a good token; otherwise 401 and a Bearer challenge."""
    if number is not None:
        authorization = "Bearer " + target.known[number % len(target.known)].decode("latin-1")
    answer = target.send(
        "POST" if is_post else "GET",
        "/auth/broker/userinfo",
        body if is_post else None,
        {} if authorization is None else {"authorization": authorization},
    )
    assert answer.status in (200, 401), answer
    if answer.status == 401:
        assert answer.header("www-authenticate").startswith("Bearer")
    else:
        assert json.loads(answer.body)["sub"]


END_REQUESTS = [
    {},
    {"client_id": PUBLIC, "post_logout_redirect_uri": f"{PUBLIC}/", "state": "s"},
    {"client_id": PUBLIC, "logout_hint": "x", "post_logout_redirect_uri": f"{PUBLIC}/auth/signed-out"},
]
END_NAMES = ["id_token_hint", "logout_hint", "client_id", "post_logout_redirect_uri", "state", "ui_locales"]


@EXAMPLES
@given(drawn=altered(END_REQUESTS, END_NAMES), is_post=st.booleans())
def test_the_end_session_endpoint(drawn: Fields, is_post: bool, target: Target) -> None:
    """A page of ours, Entra, or an address of the installation's own; nobody else's."""
    query = encoded(target, drawn)
    if is_post:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        answer = target.send("POST", "/auth/broker/logout", query.encode(), headers)
    else:
        answer = target.send("GET", f"/auth/broker/logout?{query}")
    assert answer.status in (200, 303, 403, 414), answer
    if answer.status == 303:
        goes_to = answer.header("location")
        ours = (PUBLIC, SECRET, KEY, "/auth/signed-out", target.world.entra.http_url)
        assert goes_to.startswith(ours), goes_to


ADMINISTRATION_NAMES = ["token", "ask", "tenant", "approve", "remove", "rotate", "add", "about", "csrf_token"]


@EXAMPLES
@given(
    path=st.sampled_from(
        [
            "introspect", "revoke", "register", "device_authorization", "par", "", "token/", "jwks.json",
            "installations", "userinfo/x", "backchannel-logout",
        ]
    ),
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"]),
    body=ODD,
    drawn=altered([{}], ADMINISTRATION_NAMES),
)  # fmt: skip
def test_addresses_that_are_no_endpoint_or_another_s(
    path: str, method: str, body: bytes, drawn: Fields, target: Target
) -> None:
    """Introspection, revocation, registration are not there: 404; a method that is none: 405."""
    answer = target.send(
        method,
        f"/auth/broker/{path}?{encoded(target, drawn)}",
        body if method not in ("GET", "HEAD") else None,
        {"content-type": "application/x-www-form-urlencoded"},
    )
    assert answer.status < 500, answer
    if path in ("introspect", "revoke", "register", "par"):
        assert answer.status == 404
