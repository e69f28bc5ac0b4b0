"""What an installation is told: Entra's word passed on whole, its own wishes checked, its switches kept."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from broker.client import Client, listed_client
from broker.conftest import BehindBroker
from clients.plain_browser import PlainBrowser
from entrada.emulator.seed import CLIENT_ID

NewBrowser = Callable[[], PlainBrowser]


@pytest.fixture
def client(behind_broker: BehindBroker) -> Client:
    return listed_client(behind_broker)


def last_asked(broker: BehindBroker) -> dict[str, str]:
    """What Entra's authorization endpoint was last sent."""
    return [one for one in broker.entra.requests if one.endpoint == "authorize"][-1].query


def everything(client: Client, tokens: dict[str, Any]) -> list[dict[str, Any]]:
    """The claims of the ID token, of userinfo, and of a refreshed ID token."""
    return [client.claims(tokens), client.userinfo(tokens), client.claims(client.refresh(tokens))]


def test_how_somebody_signed_in_is_passed_on(
    behind_broker: BehindBroker, client: Client, new_browser: NewBrowser
) -> None:
    """`amr`, `acr`, `acrs` and `auth_time` of Entra's token stand in the broker's."""
    before = int(time.time())
    said = {"amr": ["pwd", "mfa"], "acr": "1", "acrs": ["c2", "c1"], "auth_time": before}
    behind_broker.entra.fail("tamper", set=said)
    claims = client.claims(client.redeem(client.sign_in(new_browser(), "ada@contoso.test")))
    assert set(claims["amr"]) == {"pwd", "mfa"}
    assert claims["acr"] == "1"
    assert claims["acrs"] == ["c1", "c2"]
    assert claims["auth_time"] == before


def test_nothing_is_made_up(client: Client, new_browser: NewBrowser) -> None:
    """Entra's v2.0 tokens say neither by default, and then the broker's don't."""
    claims = client.claims(client.redeem(client.sign_in(new_browser(), "ada@contoso.test")))
    assert not {"amr", "acr", "acrs"} & claims.keys()


def test_an_authentication_context_is_an_acr_for_who_reads_no_other(
    behind_broker: BehindBroker, client: Client, new_browser: NewBrowser
) -> None:
    """Where Entra says `acrs` alone, `acr` is one of those that were met."""
    behind_broker.entra.fail("tamper", set={"acrs": ["c1"]})
    claims = client.claims(client.redeem(client.sign_in(new_browser(), "ada@contoso.test")))
    assert (claims["acr"], claims["acrs"]) == ("c1", ["c1"])


@pytest.mark.parametrize("amr", ["mfa", [5], None, {"mfa": True}], ids=repr)
def test_odd_methods_are_refused(
    behind_broker: BehindBroker, client: Client, new_browser: NewBrowser, amr: Any
) -> None:
    """B29: what decides elsewhere is not guessed at."""
    behind_broker.entra.fail("tamper", set={"amr": amr})
    page = client.sign_in(new_browser(), "ada@contoso.test")
    assert page.url.startswith(behind_broker.url)
    assert page.status == 400


@pytest.mark.parametrize(("said", "told"), [(True, True), (False, False), (None, False)])
def test_an_e_mail_address_is_told_with_its_verification(
    behind_broker: BehindBroker, client: Client, new_browser: NewBrowser, said: bool | None, told: bool
) -> None:
    """C2: `email_verified` is Entra's yes and nothing else; silence is no yes."""
    if said is not None:
        behind_broker.entra.fail("tamper", set={"xms_edov": said}, times=None)
    else:
        behind_broker.entra.fail("tamper", remove=["xms_edov"], times=None)
    tokens = client.redeem(client.sign_in(new_browser(), "ada@contoso.test"))
    for claims in everything(client, tokens):
        assert claims["email"] == "ada@contoso.test"
        assert claims["email_verified"] is told


def test_a_sign_in_is_refreshed_again_and_again(
    behind_broker: BehindBroker, client: Client, new_browser: NewBrowser
) -> None:
    """B31: each time compared with the sign-in itself, whose nonce no refreshed token of Entra's repeats."""
    behind_broker.entra.add_person("stays@contoso.test", mail="stays@contoso.test")
    tokens = client.redeem(client.sign_in(new_browser(), "stays@contoso.test"))
    for _ in range(4):
        tokens = client.refresh(tokens)
    behind_broker.entra.change_person("stays@contoso.test", enabled=False)
    answer = client.ask(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


# --- what an installation wishes ---


@pytest.mark.parametrize("wish", [{"prompt": "login"}, {"max_age": "0"}, {"max_age": "60"}], ids=str)
def test_b29_a_fresh_sign_in_is_asked_for_and_shown(
    behind_broker: BehindBroker, client: Client, new_browser: NewBrowser, wish: dict[str, str]
) -> None:
    """Entra is asked for it, and `auth_time` says when it was."""
    before = int(time.time())
    claims = client.claims(client.redeem(client.sign_in(new_browser(), "ada@contoso.test", **wish)))
    assert last_asked(behind_broker)["max_age"] == wish.get("max_age", "0")
    assert claims["auth_time"] >= before


@pytest.mark.parametrize("wish", [{"prompt": "login"}, {"max_age": "60"}], ids=str)
@pytest.mark.parametrize("stale", ["an hour ago", "not said"])
def test_b29_a_stale_sign_in_is_no_fresh_one(
    behind_broker: BehindBroker, client: Client, new_browser: NewBrowser, wish: dict[str, str], stale: str
) -> None:
    """B29: asked for a fresh sign-in, whatever the browser dropped on its way; the installation is told."""
    change: dict[str, Any] = {"remove": ["auth_time"]}
    if stale == "an hour ago":
        change = {"set": {"auth_time": int(time.time()) - 3600}}
    behind_broker.entra.fail("tamper", **change)
    page = client.sign_in(new_browser(), "ada@contoso.test", **wish)
    assert page.parameters["error"] == "login_required", page.text
    assert page.parameters["state"] == "s-1"
    assert page.parameters["iss"] == behind_broker.url


def test_without_the_wish_an_old_sign_in_will_do(
    behind_broker: BehindBroker, client: Client, new_browser: NewBrowser
) -> None:
    """One sign-in at Entra for all installations is the point of it."""
    behind_broker.entra.fail("tamper", set={"auth_time": int(time.time()) - 3600})
    assert "code" in client.sign_in(new_browser(), "ada@contoso.test").parameters


def test_hints_are_passed_on(behind_broker: BehindBroker, client: Client, new_browser: NewBrowser) -> None:
    """`login_hint` and `domain_hint` reach Entra; the nonce does not, it is the installation's alone."""
    browser = new_browser()
    page = client.sign_in(browser, "", login_hint="ada@contoso.test", domain_hint="contoso.test")
    asked = last_asked(behind_broker)
    assert asked["login_hint"] == "ada@contoso.test", page.text
    assert asked["domain_hint"] == "contoso.test"
    assert asked["nonce"] != "n-1"


@pytest.mark.parametrize(
    "hint", ["ada\r\nx: y", "a" * 10_000, "ada&prompt=none", "\u202eada", "ada\x00"], ids=ascii
)
def test_a21_odd_hints_do_nothing(
    behind_broker: BehindBroker, client: Client, new_browser: NewBrowser, hint: str
) -> None:
    """A21: encoded or left out, never a parameter more."""
    client.sign_in(new_browser(), "ada@contoso.test", login_hint=hint, domain_hint=hint)
    asked = last_asked(behind_broker)
    assert asked.get("login_hint", "ada&prompt=none") == "ada&prompt=none"
    assert "prompt" not in asked


@pytest.mark.parametrize("nonce", ["n-1", None, "~" * 512])
def test_the_nonce_comes_back(client: Client, new_browser: NewBrowser, nonce: str | None) -> None:
    """B24: letter for letter, in the first ID token alone; none where none was sent."""
    tokens = client.redeem(client.sign_in(new_browser(), "ada@contoso.test", nonce=nonce))
    assert client.claims(tokens).get("nonce") == nonce
    assert "nonce" not in client.claims(client.refresh(tokens))


@pytest.mark.parametrize(
    "claims",
    ["", "{", "[]", "5", '{"id_token":{"acr":{"essential":true,"values":["urn:never"]}}}', "x" * 20_000],
    ids=lambda text: text[:20],
)
def test_the_claims_parameter_is_ignored(client: Client, new_browser: NewBrowser, claims: str) -> None:
    """The metadata says that it is not supported; whatever stands in it changes nothing (Core 1.0, 5.5)."""
    page = client.sign_in(new_browser(), "ada@contoso.test", claims=claims)
    assert client.claims(client.redeem(page))["preferred_username"] == "ada@contoso.test"


# --- what an installation may learn ---

TOLD = {
    "name": {"name", "preferred_username"},
    "email": {"email", "email_verified", "xms_edov"},
    "roles": {"roles", "user_roles"},
    "groups": {"groups"},
}
"""By switch, the claims that it is for."""


@pytest.mark.parametrize("switch", TOLD)
@pytest.mark.parametrize("is_on", [True, False], ids=["on", "off"])
def test_a_switch_is_for_its_claims_alone(
    behind_broker: BehindBroker, new_browser: NewBrowser, switch: str, is_on: bool
) -> None:
    """On, they are told in ID token, userinfo and after a refresh; off, in none. Who it is, always."""
    crowd = behind_broker.entra.person("olga@contoso.test").groups
    behind_broker.entra.change_person("ada@contoso.test", groups=crowd)
    others = frozenset(TOLD) - {switch}
    client = listed_client(
        behind_broker, claims=frozenset({switch}) if is_on else others, roles_claim="user_roles"
    )
    tokens = client.redeem(client.sign_in(new_browser(), "ada@contoso.test"))
    for claims in everything(client, tokens):
        assert {"sub", "tid", "oid"} <= claims.keys()
        told = {name for name in set().union(*TOLD.values()) if name in claims}
        assert told == (TOLD[switch] if is_on else set().union(*(TOLD[one] for one in others)))


def test_groups_are_told_with_the_overage_resolved(
    behind_broker: BehindBroker, new_browser: NewBrowser
) -> None:
    """C19: all 250, though no token of Entra's holds them; or those alone that this installation may know."""
    olga = behind_broker.entra.person("olga@contoso.test")
    whole = listed_client(behind_broker, "whole")
    claims = whole.claims(whole.redeem(whole.sign_in(new_browser(), "olga@contoso.test")))
    assert set(claims["groups"]) == set(olga.groups)
    one = frozenset({olga.groups[0], "dddddddd-ffff-4000-8000-000000000001"})
    narrow = listed_client(behind_broker, "narrow", groups=one)
    for told in everything(narrow, narrow.redeem(narrow.sign_in(new_browser(), "olga@contoso.test"))):
        assert told["groups"] == [olga.groups[0]]


@pytest.mark.parametrize("claims", [{"roles"}, {"roles", "groups"}], ids=["roles", "and groups"])
@pytest.mark.parametrize("groups", [None, "one"])
def test_roles_may_be_mapped_at_the_broker(
    behind_broker: BehindBroker, new_browser: NewBrowser, claims: set[str], groups: str | None
) -> None:
    """From app roles and from groups by their ids, the overage resolved; what the mapping does not name is no
    role, and the groups that are told are as many as before.
    """
    crowd = behind_broker.entra.person("olga@contoso.test").groups
    behind_broker.entra.change_person("ada@contoso.test", groups=crowd)
    client = listed_client(
        behind_broker,
        claims=frozenset(claims),
        groups=None if groups is None else frozenset({crowd[0]}),
        roles_mapping={"Admin": ("Owner", "Editor"), crowd[-1]: ("Crowd",), "Viewer": ("Guest",)},
    )
    for told in everything(client, client.redeem(client.sign_in(new_browser(), "ada@contoso.test"))):
        assert told["roles"] == ["Crowd", "Editor", "Owner"]
        expected = set() if "groups" not in claims else set(crowd) if groups is None else {crowd[0]}
        assert set(told.get("groups", [])) == expected
    nobody = client.redeem(client.sign_in(new_browser(), "ed@contoso.test"))
    assert "roles" not in client.claims(nobody)


def test_an_e_mail_address_is_told_to_who_asked_for_it(client: Client, new_browser: NewBrowser) -> None:
    """Without the scope `email` there is none, whatever the switch says (Core 1.0, 5.4)."""
    tokens = client.redeem(client.sign_in(new_browser(), "ada@contoso.test", scope="openid"))
    for claims in (client.claims(tokens), client.userinfo(tokens)):
        assert not TOLD["email"] & claims.keys()
    assert "refresh_token" not in tokens


def test_no_token_of_entras_is_handed_on(
    behind_broker: BehindBroker, client: Client, new_browser: NewBrowser
) -> None:
    """C1 of the tokens: an installation holds nothing that Graph or Entra would take."""
    tokens = client.redeem(client.sign_in(new_browser(), "ada@contoso.test"))
    written = json.dumps([tokens, *everything(client, tokens)])
    assert behind_broker.entra.https_url not in written
    assert CLIENT_ID not in written
