"""Scopes, claims requests and the two requests for tokens of other APIs, without a network."""

from __future__ import annotations

import base64
import copy
import json
import pickle
from collections.abc import Mapping
from datetime import timedelta
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra.tokens import NOW
from entrada.entra.api_scopes import ApiScopes, read_api_scopes
from entrada.entra.api_token import ApiToken
from entrada.entra.api_token_requests import exchange_on_behalf_of, redeem_for_api
from entrada.entra.claims_request import (
    asking_for,
    auth_contexts_in,
    read_claims,
    read_claims_challenge,
    with_capabilities,
)
from entrada.entra.clouds import CLOUDS
from entrada.entra.jws import RawAccessToken, RawRefreshToken
from entrada.entra.token_response import (
    LONGEST_LIFE,
    UNSTATED_LIFE,
    AccessTokenResponse,
    TokenError,
    read_access_token_response,
)
from entrada.entra.transport import HttpResponse
from entrada.errors import ApiTokenRefused, EntraUnavailable
from flows.world import GRAPH, FakeEntra, answer, application

MAIL = ApiScopes(words=(f"{GRAPH}/Mail.Read",))


def read(*scopes: str, graph_url: str = GRAPH) -> tuple[str, ...]:
    return read_api_scopes(list(scopes), graph_url=graph_url).words


@pytest.mark.parametrize("cloud", CLOUDS.values(), ids=CLOUDS)
def test_a_scope_without_an_api_is_graphs_in_this_cloud(cloud: object) -> None:
    """National clouds: `Mail.Read` is of the Graph that belongs to the login host, in full or not."""
    graph = f"https://{cloud.graph_host}"  # type: ignore[attr-defined]
    assert read("Mail.Read", graph_url=graph) == (f"{graph}/Mail.Read",)
    assert read(f"{graph}/Mail.Read", "Mail.Read", graph_url=graph) == (f"{graph}/Mail.Read",)
    for other in CLOUDS.values():
        if other is not cloud:
            with pytest.raises(ApiTokenRefused, match="another cloud"):
                read(f"https://{other.graph_host}/Mail.Read", graph_url=graph)


def test_microsofts_graph_stands_for_one_at_an_address_of_its_own() -> None:
    """An application that names Graph in full runs against the emulator, too."""
    own = "https://localhost:8443"
    assert read("https://graph.microsoft.com/Mail.Read", graph_url=own) == (f"{own}/Mail.Read",)


def test_the_same_scopes_are_the_same_key() -> None:
    """Order, doubles and the sign-in's own scopes make no difference; other scopes do."""
    one = read_api_scopes(["Mail.Read", "Files.Read"], graph_url=GRAPH)
    for same in (
        ["Files.Read", "Mail.Read", "Mail.Read"],
        ["openid", "offline_access", "profile", "email", "Mail.Read", "Files.Read"],
        [f"{GRAPH}/openid", f"{GRAPH}/Mail.Read", "Files.Read"],
    ):
        assert read_api_scopes(same, graph_url=GRAPH).key == one.key
    assert read_api_scopes(["Mail.Read"], graph_url=GRAPH).key != one.key


@pytest.mark.parametrize(
    ("scopes", "says"),
    [
        ([], "No scope of an API"),
        (["openid", "offline_access", "profile", "email"], "No scope of an API"),
        (["Mail.Read", "api://b/Files.Read"], "more than one API"),
        (["api://a/X", "api://b/X"], "more than one API"),
        (["https://a.test/X", "https://a.test.evil.test/X"], "more than one API"),
        ([".default", "Mail.Read"], "goes with no other scope"),
        (["api://a/.default", "api://a/X"], "goes with no other scope"),
        (["Mail.Read Files.Read"], "not a scope"),
        (["Mail.Read\n"], "not a scope"),
        (["Ma\u0131l.Read"], "not a scope"),
        (['Mail"Read'], "not a scope"),
        ([""], "not a scope"),
        (["x" * 301], "not a scope"),
        ([None], "not a scope"),
        ([f"S{n}" for n in range(41)], "No more than 40"),
        ("Mail.Read", "given as a list"),
        (["api://a/"], "names no scope"),
        (["//X"], "names no scope"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_with_a_sentence(scopes: list[str], says: str) -> None:
    """Before Entra is asked: one API at a time, scopes as texts of their own."""
    with pytest.raises(ApiTokenRefused, match=says):
        read_api_scopes(scopes, graph_url=GRAPH)


def test_an_api_of_ones_own_is_taken_as_it_is_spelt() -> None:
    """Its App ID URI, and the two slashes of a resource that ends in one."""
    assert read("api://orders/Read.All") == ("api://orders/Read.All",)
    assert read("https://management.azure.com//.default") == ("https://management.azure.com//.default",)


@pytest.mark.parametrize(
    ("granted", "lacking"),
    [
        (None, set()),
        ("Mail.Read openid profile", set()),
        (f"{GRAPH}/mail.read", set()),
        ("openid", {"Mail.Read"}),
        ("Mail.ReadWrite Mail.Read.Shared", {"Mail.Read"}),
        ("", {"Mail.Read"}),
    ],
)
def test_what_an_answer_does_not_grant_is_found(granted: str | None, lacking: set[str]) -> None:
    """G6: whole words, in full or by their last part, in any case."""
    assert MAIL.lacking(granted) == lacking


# Claims


def challenge(claims: object, *, error: str = "insufficient_claims") -> str:
    encoded = base64.b64encode(json.dumps(claims).encode()).decode()
    return f'Bearer realm="", authorization_uri="https://x/authorize", error="{error}", claims="{encoded}"'


NBF = {"access_token": {"nbf": {"essential": True, "value": "1700000000"}}}


@pytest.mark.parametrize(
    "field",
    [
        challenge(NBF),
        challenge(NBF).replace("Bearer", "bearer"),
        f'Basic realm="a", {challenge(NBF)}',
        challenge(NBF) + ', DPoP algs="ES256"',
        challenge(NBF).rstrip('="') + '"',
        'Bearer error="insufficient_claims", claims="{}"'.format(json.dumps(NBF).replace('"', '\\"')),
    ],
)
def test_G14_a_claims_challenge_is_read_however_it_is_written(field: str) -> None:
    """Among other challenges, padded or not, in base64 or as it is."""
    assert json.loads(read_claims_challenge(field) or "{}") == NBF


@pytest.mark.parametrize(
    "field",
    [
        "",
        "Bearer",
        challenge(NBF, error="invalid_token"),
        challenge(["a list"]),
        challenge({"x": "y" * 5_000}),
        'Bearer error="insufficient_claims"',
        'Bearer error="insufficient_claims", claims="%%%"',
        'Basic error="insufficient_claims", claims="e30="',
        '"' * 20_000,
    ],
)
def test_G14_anything_else_is_no_challenge(field: str) -> None:
    """Another error, another scheme, and what is no object."""
    assert read_claims_challenge(field) is None


@pytest.mark.parametrize("piece", ["a", "a-", "a ", 'a="', ", a", "a=", ",a \t"])
def test_G14_a_long_field_of_an_api_keeps_nobody_waiting(piece: str) -> None:
    """16,000 letters took six seconds, in which the whole process served nobody."""
    field, began = "Bearer " + piece * (16_000 // len(piece)), process_time()
    assert read_claims_challenge(field) is None
    assert process_time() - began < 1


@given(st.text(max_size=300))
def test_no_text_of_an_api_breaks_the_reading(text: str) -> None:
    """Whatever an API answers, it is a challenge or none."""
    read_claims_challenge(text)
    read_claims_challenge(f'Bearer error="insufficient_claims", claims="{text}"')
    assert isinstance(read_claims(text), dict)
    assert json.loads(with_capabilities(text))["access_token"]["xms_cc"] == {"values": ["cp1"]}


def test_G14_the_claims_are_merged_with_the_word_that_challenges_are_understood() -> None:
    """What was asked for stays; a part that is null makes room."""
    merged = json.loads(with_capabilities(json.dumps({**NBF, "id_token": {"acrs": None}})))
    assert merged["access_token"] == {**NBF["access_token"], "xms_cc": {"values": ["cp1"]}}
    assert merged["id_token"] == {"acrs": None}
    assert json.loads(with_capabilities('{"access_token": null}'))["access_token"]["xms_cc"]


def test_an_authentication_context_is_asked_of_the_id_token_too() -> None:
    """Only there can be seen that it was met."""
    assert auth_contexts_in(asking_for("c1")) == {"c1"}
    assert auth_contexts_in(json.dumps(NBF)) == frozenset()
    for wrong in ("", "c1 c2", 'c"', "x" * 41):
        with pytest.raises(ValueError, match="short word"):
            asking_for(wrong)


# The requests


@pytest.mark.parametrize(
    ("expires_in", "life"),
    [
        (3599, timedelta(seconds=3599)),
        ("3599", timedelta(seconds=3599)),
        (None, UNSTATED_LIFE),
        ("soon", UNSTATED_LIFE),
        (-5, timedelta(0)),
        (10**12, LONGEST_LIFE),
    ],
)
def test_A30_how_long_a_token_lives_is_read_whatever_stands_there(
    expires_in: object, life: timedelta
) -> None:
    """No expires_in: some minutes."""
    response = read_access_token_response(
        {"access_token": "x", "token_type": "bearer", "expires_in": expires_in}
    )
    assert isinstance(response, AccessTokenResponse)
    assert response.expires_in == life


@pytest.mark.parametrize("wrong", [{}, {"access_token": "x", "token_type": "DPoP"}, {"token_type": "Bearer"}])
def test_A29_an_answer_without_a_token_is_an_outage(wrong: Mapping[str, object]) -> None:
    """Neither a token nor an error."""
    with pytest.raises(EntraUnavailable):
        read_access_token_response(wrong)


def test_both_requests_say_that_challenges_are_understood_and_take_what_comes() -> None:
    """By refresh token and by assertion; with the claims that a challenge asks for."""
    entra = FakeEntra()
    entra.token_response = lambda _: answer(
        {"access_token": "t", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "newer"}
    )
    app = application(entra)
    for made in (
        redeem_for_api(app, RawRefreshToken("old"), MAIL, claims=json.dumps(NBF)),
        exchange_on_behalf_of(app, RawAccessToken("theirs"), MAIL, claims=json.dumps(NBF)),
    ):
        assert isinstance(made, AccessTokenResponse)
        assert "newer" not in repr(made)
        form = entra.sent[-1].form
        assert MAIL.words[0] in form["scope"].split()
        claims = json.loads(form["claims"])["access_token"]
        assert claims == {**NBF["access_token"], "xms_cc": {"values": ["cp1"]}}


def test_an_answer_is_given_to_whom_it_is_for_and_never_again() -> None:
    """MSAL repeats answers that name a time to come back, and refusals, without asking whose they are."""
    entra = FakeEntra()
    entra.token_response = lambda form: answer(
        {"access_token": f"for {form['assertion']}", "token_type": "Bearer", "expires_in": 3600},
        **{"Retry-After": "60"},
    )
    app = application(entra)
    for who in ("ada", "ed"):
        made = exchange_on_behalf_of(app, RawAccessToken(who), MAIL)
        assert isinstance(made, AccessTokenResponse)
        assert made.access_token == f"for {who}"

    def refused(_: Mapping[str, str]) -> HttpResponse:
        return answer({"error": "consent_required", "error_description": "AADSTS65001: x"}, status=400)

    good = entra.token_response
    entra.token_response = refused
    assert isinstance(exchange_on_behalf_of(app, RawAccessToken("ada"), MAIL), TokenError)
    entra.token_response = good
    assert isinstance(exchange_on_behalf_of(app, RawAccessToken("ada"), MAIL), AccessTokenResponse)


def test_a_token_is_a_text_that_does_not_show_itself() -> None:
    """`repr` tells scopes and time alone; it is sent, copied and stored as any text."""
    token = ApiToken("a.b.c", expires_at=NOW, scopes=MAIL.words)
    assert f"Bearer {token}" == "Bearer a.b.c"
    assert "a.b.c" not in f"{token!r} {[token]}"
    for again in (copy.copy(token), copy.deepcopy(token), pickle.loads(pickle.dumps(token))):
        assert (again, again.expires_at, again.scopes) == ("a.b.c", NOW, MAIL.words)
