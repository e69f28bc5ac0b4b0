"""The token endpoint: a code counts once, for its own client, with its proof; a refresh asks Entra first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from broker.world import (
    ADA,
    APP,
    CALLBACK,
    CHALLENGE,
    CONTOSO,
    FABRIKAM,
    ISSUER,
    OTHER,
    VERIFIER,
    World,
    form_request,
    person,
)
from entrada.accounts.broker_subject import subject_of
from entrada.accounts.identity import EntraIdentity
from entrada.broker.grants import hash_of
from entrada.broker.installations import Proof
from entrada.broker.token import token
from entrada.entra.authority import ObjectId
from entrada.errors import AccountDisabled, EntraRefused, EntraUnavailable, Fixer


def test_a_code_becomes_tokens() -> None:
    """The ID token is for this installation, says who in Entra's own claims, and carries the nonce."""
    world = World()
    answer = world.redeem(world.code())
    assert answer.status == 200
    claims = world.claims_of(answer.json["id_token"])
    assert claims["iss"] == ISSUER
    assert claims["aud"] == APP.client_id
    assert claims["nonce"] == "n-1"
    assert (claims["tid"], claims["oid"]) == (ADA.tenant_id, ADA.object_id)
    assert claims["roles"] == ["Admin"]
    assert claims["email_verified"] is True
    assert claims["sub"] == subject_of(ADA)
    assert answer.json["token_type"] == "Bearer"
    assert ("cache-control", "no-store") in answer.response.headers


def test_a_code_counts_once_a4() -> None:
    """A4: used again, the code gives nothing, and everything that its first use gave has ended."""
    world = World()
    code = world.code()
    first = world.redeem(code).json
    again = world.redeem(code)
    assert (again.status, again.error) == (400, "invalid_grant")
    assert world.refresh(first["refresh_token"]).error == "invalid_grant"


LAX = replace(APP, proof=Proof.SECRET, secret_hashes=(hash_of("s3cret"),), insecure_without_pkce=True)
"""Known by its secret, and allowed to send no code challenge."""


def test_a19_a_code_without_challenge_is_for_its_secret_alone() -> None:
    """Redeemed with the secret and no verifier; without the secret it is nobody's."""
    world = World(listed=[LAX])
    code = world.code(installation=LAX, code_challenge=None)
    assert world.redeem(code, code_verifier=None).error == "invalid_client"
    assert world.redeem(code, code_verifier=None, client_secret="s3cret").status == 200


@pytest.mark.parametrize(
    ("challenge", "verifier"), [(None, VERIFIER), (None, ""), (CHALLENGE, None), (CHALLENGE, "")], ids=str
)
def test_a19_no_downgrade_of_pkce(challenge: str | None, verifier: str | None) -> None:
    """RFC 9700, 2.1.1: a verifier where no challenge was, or none where one was, is no redemption."""
    world = World(listed=[LAX])
    code = world.code(installation=LAX, code_challenge=challenge)
    answer = world.redeem(code, code_verifier=verifier, client_secret="s3cret")
    assert (answer.status, answer.error) == (400, "invalid_grant")


def test_a19_a_code_without_challenge_is_worth_nothing_once_pkce_is_asked_for() -> None:
    """The list as it is now decides, not as it was when the sign-in began."""
    world = World(listed=[replace(LAX, insecure_without_pkce=False)])
    code = world.code(installation=LAX, code_challenge=None)
    answer = world.redeem(code, code_verifier=None, client_secret="s3cret")
    assert (answer.status, answer.error) == (400, "invalid_grant")


def test_a_code_at_the_same_moment_counts_once_a5() -> None:
    """A5: of ten redemptions at once at most one succeeds."""
    world = World()
    code = world.code()
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: world.redeem(code).status, range(10)))
    assert answers.count(200) <= 1
    assert world.redeem(code).error == "invalid_grant"


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": CALLBACK + "/"},
        {"redirect_uri": None},
        {"code_verifier": "w" * 43},
        {"code_verifier": None},
        {"code_verifier": "v" * 42},
        {"code": "nothing"},
        {"code": None},
        {"client_id": OTHER.client_id},
    ],
    ids=str,
)
def test_a_code_with_anything_wrong_gives_nothing(changes: dict[str, str | None]) -> None:
    """Another address, verifier or client: invalid_grant; the code is spent all the same."""
    world = World()
    code = world.code()
    refused = world.redeem(**{"code": code, **changes})
    assert (refused.status, refused.error) == (400, "invalid_grant")
    if "code" not in changes:
        assert world.redeem(code).error == "invalid_grant"


def test_a_code_is_over_after_a_minute() -> None:
    """A code that was found in a log later opens nothing."""
    world = World()
    code = world.code()
    world.clock.move(timedelta(minutes=1))
    assert world.redeem(code).error == "invalid_grant"


def test_a_code_for_another_tenant_is_refused_a7() -> None:
    """An installation of tenant A never gets a person of tenant B, whatever wrote the code."""
    world = World()
    stranger = EntraIdentity(tenant_id=FABRIKAM, object_id=ObjectId("aaaaaaaa-0000-4000-8000-000000000009"))
    refused = world.redeem(world.code(who=person(identity=stranger)))
    assert refused.error == "invalid_grant"
    assert APP.tenant_id == CONTOSO


def test_a_refresh_gives_new_tokens_without_a_nonce() -> None:
    """The person is the same, the refresh token is another, and Entra was asked."""
    world = World()
    first = world.redeem(world.code()).json
    second = world.refresh(first["refresh_token"])
    claims = world.claims_of(second.json["id_token"])
    assert second.status == 200
    assert "nonce" not in claims
    assert claims["sub"] == world.claims_of(first["id_token"])["sub"]
    assert second.json["refresh_token"] != first["refresh_token"]


def test_a_person_who_is_gone_gets_no_refresh() -> None:
    """Entra's no ends the grant for good, at every later try too."""
    world = World()
    first = world.redeem(world.code()).json
    world.entra = AccountDisabled()
    assert world.refresh(first["refresh_token"]).error == "invalid_grant"
    world.entra = None
    assert world.refresh(first["refresh_token"]).error == "invalid_grant"


def test_a_person_who_is_gone_is_out_at_every_installation() -> None:
    """The first installation that asks learns it; the others are told at once."""
    world = World(listed=[APP, replace(OTHER, tenant_id=CONTOSO)])
    first = world.redeem(world.code()).json
    other = world.redeem(
        world.code(installation=OTHER), client_id=OTHER.client_id, redirect_uri=OTHER.redirect_uris[0]
    ).json
    world.entra = AccountDisabled()
    world.refresh(first["refresh_token"])
    world.entra = None
    assert world.refresh(other["refresh_token"], client_id=OTHER.client_id).error == "invalid_grant"
    now = world.clock.now()
    told = world.store.due_deliveries(now=now, claim_until=now, limit=9)
    assert [one.client_id for one in told] == [OTHER.client_id]


def test_a_refusal_about_the_broker_itself_ends_nobodys_access_k18() -> None:
    """K18: an expired client secret of the broker's is 503, and the same token works when it is mended."""
    world = World()
    first = world.redeem(world.code()).json
    world.entra = EntraRefused(
        "No.", hint="Mend it.", fixer=Fixer.ADMINISTRATOR, error="invalid_client", aadsts="7000222"
    )
    assert world.refresh(first["refresh_token"]).status == 503
    world.entra = None
    assert world.refresh(first["refresh_token"]).status == 200


def test_an_unreachable_entra_ends_nothing() -> None:
    """503, and the same refresh token works when Entra is back."""
    world = World()
    first = world.redeem(world.code()).json
    world.entra = EntraUnavailable(reason="time-out")
    assert world.refresh(first["refresh_token"]).status == 503
    world.entra = None
    assert world.refresh(first["refresh_token"]).status == 200


def test_a_lost_answer_does_not_lock_an_installation_out() -> None:
    """The token before the newest is taken for a minute: the answer to it may have been lost on the way."""
    world = World()
    first = world.redeem(world.code()).json
    world.refresh(first["refresh_token"])
    assert world.refresh(first["refresh_token"]).status == 200


def test_a_refresh_token_that_was_replaced_long_ago_ends_everything() -> None:
    """Two hold it, and nobody can say who is the thief (RFC 9700, 4.14.2)."""
    world = World()
    first = world.redeem(world.code()).json
    second = world.refresh(first["refresh_token"]).json
    world.clock.move(timedelta(minutes=2))
    assert world.refresh(first["refresh_token"]).error == "invalid_grant"
    assert world.refresh(second["refresh_token"]).error == "invalid_grant"


def test_a_thief_who_refreshes_twice_at_once_is_noticed_too() -> None:
    """Also a token that was replaced several times is known again, and ends what it stood on."""
    world = World()
    stolen = world.redeem(world.code()).json["refresh_token"]
    newest = stolen
    for _ in range(3):
        newest = world.refresh(newest).json["refresh_token"]
    assert world.refresh(stolen).error == "invalid_grant"
    assert world.refresh(newest).error == "invalid_grant"


def test_a_made_up_refresh_token_ends_nothing() -> None:
    """Who knows a sign-in's `sid`, or has another one's token, cannot end it by that."""
    world = World()
    token, other = (world.redeem(world.code()).json["refresh_token"] for _ in range(2))
    grant_id, secret, mark = token.split(".")
    made_up = (
        f"{grant_id}.{'A' * 43}",
        f"{grant_id}.{'A' * 43}.{other.split('.')[2]}",
        f"{grant_id}.{secret}",
        f"{grant_id}.{secret}.{mark[:-1]}",
    )
    for one in made_up:
        assert world.refresh(one).error == "invalid_grant"
    assert world.refresh(token).status == 200


def test_another_installations_refresh_token_opens_nothing() -> None:
    """One installation's compromise is worth that installation alone."""
    world = World()
    first = world.redeem(world.code()).json
    assert world.refresh(first["refresh_token"], client_id=OTHER.client_id).error == "invalid_grant"


def test_no_refresh_token_unless_asked_for() -> None:
    """offline_access is what a refresh token is for."""
    world = World()
    answer = world.redeem(world.code(scopes=frozenset({"openid"})))
    assert "refresh_token" not in answer.json
    assert "email" not in world.claims_of(answer.json["id_token"])


@pytest.mark.parametrize("grant_type", ["password", "client_credentials", "implicit", "", None])
def test_other_grants_are_refused(grant_type: str | None) -> None:
    """A27: nothing here makes a sign-in of a caller's own password or token."""
    world = World()
    assert world.redeem(world.code(), grant_type=grant_type).error == "unsupported_grant_type"


@pytest.mark.parametrize(
    "body",
    ["", "grant_type=authorization_code&grant_type=x&client_id=a", "%", "client_id", "&&&", "client_id=%00"],
)
def test_whatever_is_sent_gets_the_specifications_error(body: str) -> None:
    """Never a 500 and never a traceback."""
    response = token(World().provider, form_request(body))
    assert response.status in (400, 401)
    assert b'"error"' in response.body
