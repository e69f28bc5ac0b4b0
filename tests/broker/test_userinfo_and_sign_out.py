"""Userinfo for living grants only; sign-out by a hint this broker signed, back to listed addresses only."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlencode

import pytest

from broker.world import APP, ISSUER, OTHER, Answer, World, person
from entrada.broker.end_session import end_everywhere, read_sign_out_request
from entrada.broker.signing_keys import make_signing_key, sign
from entrada.broker.userinfo import userinfo
from entrada.web.messages import WebRequest


def ask(world: World, header: str | None) -> Answer:
    headers = {} if header is None else {"authorization": header}
    return Answer(userinfo(world.provider, WebRequest(method="GET", path="/", headers=headers)))


def sign_out(world: World, **query: str):
    request = WebRequest(method="GET", path="/auth/broker/logout", query=urlencode(query))
    return read_sign_out_request(world.provider, request)


def test_userinfo_is_the_person_of_the_id_token() -> None:
    """The same subject and claims."""
    world = World()
    tokens = world.redeem(world.code()).json
    answer = ask(world, f"Bearer {tokens['access_token']}")
    assert answer.status == 200
    assert answer.json["sub"] == world.claims_of(tokens["id_token"])["sub"]
    assert answer.json["email"] == "ada@contoso.test"


def test_userinfo_of_an_installation_that_is_another_tenant_s_now() -> None:
    """A grant counts for the tenant that the installation is for, at every endpoint."""
    world = World()
    token = world.redeem(world.code()).json["access_token"]
    moved = replace(APP, tenant_id=OTHER.tenant_id)
    provider = replace(world.provider, listed=[moved])
    headers = {"authorization": f"Bearer {token}"}
    assert userinfo(provider, WebRequest(method="GET", path="/", headers=headers)).status == 401


def test_userinfo_ends_with_the_grant() -> None:
    """A person who was signed out everywhere is nobody, though the token has not expired."""
    world = World()
    token = world.redeem(world.code()).json["access_token"]
    world.store.end_grants(now=world.clock.now(), entra_session_id="entra-1")
    assert ask(world, f"Bearer {token}").status == 401


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic eDp5", "Bearer a.b.c", "Bearer ü"])
def test_anything_else_is_nobody(header: str | None) -> None:
    """G10: one clear answer with a challenge, never a 500."""
    answer = ask(World(), header)
    assert answer.status == 401
    assert dict(answer.response.headers)["www-authenticate"].startswith("Bearer")


def test_an_id_token_is_no_access_token_b28() -> None:
    """B28: one kind of token is never taken for another, also when both are this broker's own."""
    world = World()
    tokens = world.redeem(world.code()).json
    assert ask(world, f"Bearer {tokens['id_token']}").status == 401


def test_an_access_token_is_over_after_an_hour() -> None:
    """Its own limit counts, however long the grant lives."""
    world = World()
    token = world.redeem(world.code()).json["access_token"]
    world.clock.move(timedelta(hours=1))
    assert ask(world, f"Bearer {token}").status == 401


def test_a_token_of_another_key_is_refused() -> None:
    """A stranger's key with the same claims, and the same kid."""
    world = World()
    claims = {"iss": ISSUER, "sub": "x", "client_id": "y", "exp": 9_999_999_999}
    forged = sign(claims, make_signing_key(world.clock.now()), typ="at+jwt")
    assert ask(world, f"Bearer {forged}").status == 401


def test_an_installation_learns_what_it_may() -> None:
    """Claims and groups are as its entry says, in userinfo and ID token alike."""
    shy = replace(APP, claims=frozenset({"groups"}), groups=frozenset({"g1"}))
    world = World(listed=[shy])
    tokens = world.redeem(world.code(who=person(groups=("g1", "g2")))).json
    for claims in (
        world.claims_of(tokens["id_token"]),
        ask(world, f"Bearer {tokens['access_token']}").json,
    ):
        assert claims["groups"] == ["g1"]
        assert not {"name", "email", "roles", "preferred_username"} & claims.keys()


def test_signing_out_ends_the_sign_in_at_every_installation() -> None:
    """By the hint; the one that asks is not told again."""
    world = World(listed=[APP, replace(OTHER, tenant_id=APP.tenant_id)])
    tokens = world.redeem(world.code()).json
    world.code(installation=OTHER)
    back = "https://app.example.test/auth/signed-out"
    asked = sign_out(world, id_token_hint=tokens["id_token"], post_logout_redirect_uri=back, state="s 1")
    assert asked.return_to == back + "?state=s+1"
    assert end_everywhere(world.provider, asked) == 2
    now = world.clock.now()
    told = world.store.due_deliveries(now=now, claim_until=now, limit=9)
    assert [one.client_id for one in told] == [OTHER.client_id]


def test_an_expired_hint_still_names_its_sign_in() -> None:
    """People sign out late (RP-Initiated Logout 1.0, section 2)."""
    world = World()
    tokens = world.redeem(world.code()).json
    world.clock.move(timedelta(hours=5))
    assert sign_out(world, id_token_hint=tokens["id_token"]).grant is not None


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"id_token_hint": "a.b.c"},
        {"id_token_hint": ""},
        {"client_id": APP.client_id},
        {"client_id": "https://unknown.test", "post_logout_redirect_uri": "https://unknown.test/"},
        {"client_id": APP.client_id, "post_logout_redirect_uri": "https://evil.test/"},
        {"client_id": APP.client_id, "post_logout_redirect_uri": "https://app.example.test.evil.test/"},
        {"post_logout_redirect_uri": "https://app.example.test/"},
    ],
    ids=str,
)
def test_without_a_hint_of_ours_nothing_ends_and_nobody_is_sent_away(query: dict[str, str]) -> None:
    """A link that somebody sent signs nobody out and leads nowhere of theirs (E2)."""
    world = World()
    world.redeem(world.code())
    asked = sign_out(world, **query)
    assert asked.grant is None
    assert asked.return_to is None
    assert end_everywhere(world.provider, asked) == 0


def test_another_installations_hint_ends_nothing() -> None:
    """client_id and hint must agree: one installation signs nobody out of another's name."""
    world = World()
    tokens = world.redeem(world.code()).json
    assert sign_out(world, id_token_hint=tokens["id_token"], client_id=OTHER.client_id).grant is None


def test_the_hint_in_the_id_token_names_its_sign_in() -> None:
    """An installation that keeps no ID token signs out by the hint alone; at another it names nothing."""
    world = World()
    hint = world.claims_of(world.redeem(world.code()).json["id_token"])["login_hint"]
    assert sign_out(world, logout_hint=hint, client_id=APP.client_id).grant is not None
    assert sign_out(world, logout_hint=hint, client_id=OTHER.client_id).grant is None
    assert sign_out(world, logout_hint=hint).grant is None
    assert sign_out(world, logout_hint="x", client_id=APP.client_id).grant is None
