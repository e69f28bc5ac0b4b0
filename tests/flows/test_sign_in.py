"""The walk of a sign-in: each step refuses what it must, and what is refused leaves nothing behind."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Event
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from entra.tokens import ABSENT, OBJECT_ID, OTHER_TENANT, document, jwk, without_absent
from entrada.accounts.admission import AdmissionPolicy, GuestRule, LinkByEmail
from entrada.accounts.identity import EntraIdentity, Profile, UserId
from entrada.accounts.roles import RolesSync, role_mapping
from entrada.entra.authority import ObjectId
from entrada.entra.transport import HttpResponse
from entrada.errors import (
    AccountDisabled,
    EntradaError,
    EntraRefused,
    EntraUnavailable,
    GuestRefused,
    PersonalAccountRefused,
    ResponseRefused,
    RoleRequired,
    SignInAlreadyUsed,
    SignInExpired,
    TenantRefused,
    TokenRefused,
)
from entrada.flows.authorization_response import AuthorizationResponse
from entrada.flows.background_prune import PRUNE_EVERY
from entrada.flows.leased_job import LeasedJob
from entrada.flows.pending import PendingSignIn
from entrada.flows.relying_party import RelyingParty
from entrada.flows.sign_in import SignedIn
from entrada.sessions.token import new_session_token
from entrada.storage.memory_leases import MemoryLeases
from flows.world import CLIENT_ID, LOGIN, NOW, TENANT, FakeEntra, answer, metadata, relying_party

REDIRECT_URI = "https://app.contoso.test/auth/entra/callback"
ISSUER = f"{LOGIN}/{TENANT}/v2.0"


def begin(party: RelyingParty, **asked: Any) -> tuple[PendingSignIn, str]:
    return party.begin_sign_in(**({"redirect_uri": REDIRECT_URI, "next_path": "/reports"} | asked))


def response(brought: Mapping[str, str], **changes: Any) -> AuthorizationResponse:
    return AuthorizationResponse(**{"code": brought["code"], "state": brought["state"], **changes})


def sign_in(party: RelyingParty, entra: FakeEntra, **claims: Any) -> SignedIn:
    pending, url = begin(party)
    return party.complete_sign_in(response(entra.approve(url, **claims)), pending)


def turned_away(
    party: RelyingParty, entra: FakeEntra, error: type[EntradaError], **claims: Any
) -> EntradaError:
    """Refused with that error; no account was made, no session opened, and the sign-in is spent."""
    pending, url = begin(party)
    brought = response(entra.approve(url, **claims))
    accounts = party.accounts.list_users()
    with pytest.raises(error) as refusal:
        party.complete_sign_in(brought, pending)
    assert party.accounts.list_users() == accounts
    assert party.sessions._sessions == {}  # type: ignore[attr-defined]
    with pytest.raises(SignInAlreadyUsed):
        party.complete_sign_in(brought, pending)
    return refusal.value


@pytest.fixture
def entra() -> FakeEntra:
    return FakeEntra()


@pytest.fixture
def party(entra: FakeEntra) -> RelyingParty:
    return relying_party(entra)


# --- out ---


def asked_of(url: str) -> dict[str, str]:
    """The parameters of an authorization request, each of which stands once."""
    parameters = parse_qs(urlsplit(url).query, keep_blank_values=True)
    assert [name for name, values in parameters.items() if len(values) != 1] == []
    return {name: values[0] for name, values in parameters.items()}


def test_the_request_asks_for_a_code_and_for_what_identifies_a_person(party: RelyingParty) -> None:
    """Code flow, response mode query, the registered redirect URI, and the scopes of a sign-in."""
    _, url = begin(party)
    asked = asked_of(url)
    assert url.startswith(f"{LOGIN}/{TENANT}/oauth2/v2.0/authorize?")
    assert asked["response_type"] == "code"
    assert asked["response_mode"] == "query"
    assert asked["client_id"] == CLIENT_ID
    assert asked["redirect_uri"] == REDIRECT_URI
    assert set(asked["scope"].split()) == {"openid", "profile", "email", "offline_access"}


def test_A19_every_request_carries_a_fresh_S256_challenge(party: RelyingParty) -> None:
    """The method is S256, and verifier, state and nonce are long and new each time."""
    begun = [begin(party) for _ in range(20)]
    assert {asked_of(url)["code_challenge_method"] for _, url in begun} == {"S256"}
    assert len({asked_of(url)["code_challenge"] for _, url in begun}) == 20
    verifiers = {pending.code_verifier for pending, _ in begun}
    assert len(verifiers) == 20
    assert all(re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", verifier) for verifier in verifiers)
    assert len({pending.state for pending, _ in begun}) == len({pending.nonce for pending, _ in begun}) == 20


def test_the_browser_sees_neither_verifier_nor_nonce(party: RelyingParty) -> None:
    """What proves the sign-in later does not stand in the address."""
    pending, url = begin(party)
    assert pending.code_verifier not in url
    assert pending.nonce not in url
    assert asked_of(url)["nonce"] == pending.sent_nonce


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("login_hint", "ada@contoso.test&prompt=none"),
        ("domain_hint", "contoso.test\r\nX: y"),
        ("prompt", "login"),
    ],
)
def test_A21_hints_are_encoded_as_one_parameter(party: RelyingParty, name: str, value: str) -> None:
    """Whatever a hint holds, it is one value of one parameter."""
    _, url = begin(party, **{name: value})
    assert asked_of(url)[name] == value
    assert asked_of(url).get("prompt", "login") == "login"


def test_form_post_is_asked_for_where_it_is_set(entra: FakeEntra) -> None:
    """The response mode of the settings is the one in the request."""
    _, url = begin(relying_party(entra, response_mode="form_post"))
    assert asked_of(url)["response_mode"] == "form_post"


# --- back ---


def test_a_person_who_comes_back_is_signed_in(party: RelyingParty, entra: FakeEntra) -> None:
    """Account, roles and session follow from the token; the session knows `sid` and logout hint."""
    signed_in = sign_in(party, entra, roles=["Editor"], sid="the-sid", login_hint="O.hint")
    assert signed_in.user.roles == {"Editor"}
    assert signed_in.session.entra_session_id == "the-sid"
    assert signed_in.session.logout_hint == "O.hint"
    assert signed_in.session.absolute_expires_at == NOW + timedelta(hours=24)
    checked = party.check_session(signed_in.token.cookie_value)
    assert checked is not None
    assert checked.principal.user_id == signed_in.user.id


def test_the_code_is_redeemed_once_with_its_verifier(party: RelyingParty, entra: FakeEntra) -> None:
    """One token request leaves, with the verifier of this sign-in and the redirect URI it began with."""
    pending, url = begin(party)
    brought = entra.approve(url)
    party.complete_sign_in(response(brought), pending)
    (request,) = entra.token_requests()
    assert request.form["grant_type"] == "authorization_code"
    assert request.form["code"] == brought["code"]
    assert request.form["code_verifier"] == pending.code_verifier
    assert request.form["redirect_uri"] == REDIRECT_URI


def test_A2_another_sign_ins_state_is_refused_before_the_token_request(
    party: RelyingParty, entra: FakeEntra
) -> None:
    """An answer to one sign-in does not finish another, and its code stays unused."""
    pending, _ = begin(party)
    _, other_url = begin(party)
    with pytest.raises(ResponseRefused):
        party.complete_sign_in(response(entra.approve(other_url)), pending)
    assert entra.token_requests() == []


def test_A4_an_answer_is_taken_once(party: RelyingParty, entra: FakeEntra) -> None:
    """The same answer again is refused, without a second token request, and the session stays."""
    pending, url = begin(party)
    brought = response(entra.approve(url))
    signed_in = party.complete_sign_in(brought, pending)
    with pytest.raises(SignInAlreadyUsed):
        party.complete_sign_in(brought, pending)
    assert len(entra.token_requests()) == 1
    assert party.check_session(signed_in.token.cookie_value) is not None


def test_A6_an_answer_after_an_hour_is_refused(party: RelyingParty, entra: FakeEntra) -> None:
    """Too late is refused, and no token request leaves; trying again leads to the same page."""
    pending, url = begin(party)
    entra.clock.advance(hours=1, seconds=1)
    with pytest.raises(SignInExpired):
        party.complete_sign_in(response(entra.approve(url)), pending)
    assert entra.token_requests() == []


@pytest.mark.parametrize(
    "changes",
    [{"authority_url": f"{LOGIN}/{OTHER_TENANT}"}, {"client_id": "another-application"}],
    ids=["tenant", "application"],
)
def test_A7_a_sign_in_begun_elsewhere_is_refused(
    party: RelyingParty, entra: FakeEntra, changes: dict[str, str]
) -> None:
    """State, nonce and verifier of another tenant or application finish nothing here."""
    pending, url = begin(party)
    with pytest.raises(ResponseRefused):
        party.complete_sign_in(response(entra.approve(url)), replace(pending, **changes))
    assert entra.token_requests() == []


@pytest.mark.parametrize(
    "issuer", [f"{LOGIN}/{OTHER_TENANT}/v2.0", "https://evil.test", f"{ISSUER}/", ISSUER.upper(), ""]
)
def test_A11_an_answer_of_another_issuer_is_refused(
    party: RelyingParty, entra: FakeEntra, issuer: str
) -> None:
    """An `iss` that is not exactly ours ends the sign-in before the token request."""
    pending, url = begin(party)
    with pytest.raises(ResponseRefused):
        party.complete_sign_in(response(entra.approve(url), issuer=issuer), pending)
    assert entra.token_requests() == []


def test_A11_an_answer_of_our_issuer_is_taken(party: RelyingParty, entra: FakeEntra) -> None:
    """An `iss` that names this tenant's issuer is right."""
    pending, url = begin(party)
    assert party.complete_sign_in(response(entra.approve(url), issuer=ISSUER), pending)


def test_A12_silence_where_an_issuer_was_promised_is_refused(entra: FakeEntra) -> None:
    """If the metadata promises `iss` and it does not come, the answer is not taken."""
    entra.metadata = metadata(authorization_response_iss_parameter_supported=True)
    party = relying_party(entra)
    pending, url = begin(party)
    with pytest.raises(ResponseRefused):
        party.complete_sign_in(response(entra.approve(url)), pending)
    assert entra.token_requests() == []


def test_A9_an_error_is_not_redeemed(party: RelyingParty, entra: FakeEntra) -> None:
    """An error ends the sign-in with Entra's words explained, and no token request leaves."""
    pending, _ = begin(party)
    refused = AuthorizationResponse(
        state=pending.state, error="access_denied", error_description="AADSTS65004: User declined."
    )
    with pytest.raises(EntraRefused) as refusal:
        party.complete_sign_in(refused, pending)
    assert (refusal.value.error, refusal.value.aadsts) == ("access_denied", "65004")
    assert entra.token_requests() == []


def test_a_refusal_of_the_token_endpoint_is_explained(party: RelyingParty, entra: FakeEntra) -> None:
    """An expired secret, for one, is told with its code and by whom it is mended."""
    entra.token_response = lambda form: answer(
        {"error": "invalid_client", "error_description": "AADSTS7000222: expired"}, status=401
    )
    refusal = turned_away(party, entra, EntraRefused)
    assert isinstance(refusal, EntraRefused)
    assert refusal.aadsts == "7000222"


# --- what the token endpoint may answer ---


def tokens_with(**changes: Any) -> HttpResponse:
    return FakeEntra.tokens({}, **changes)


@pytest.mark.parametrize(
    "got",
    [
        answer({"token_type": "Bearer", "access_token": "x"}),
        answer(b"<html>maintenance</html>"),
        answer(b"null"),
        answer(b"[]"),
        answer(b'"text"'),
        answer(b""),
        answer(b"\xff\xfe"),
        answer(b"[" * 100_000),
        answer({}, status=500),
        answer({}, status=503),
        answer({}, status=307, location="https://evil.test/"),
    ],
    ids=["no id_token", "html", "null", "array", "text", "empty", "bytes", "deep", "500", "503", "307"],
)
def test_A29_an_answer_that_is_none_signs_nobody_in(
    party: RelyingParty, entra: FakeEntra, got: HttpResponse
) -> None:
    """What is not a token answer is Entra being unavailable: nothing made, nothing sent twice."""
    entra.token_response = lambda form: got
    turned_away(party, entra, EntraUnavailable)
    assert len(entra.token_requests()) == 1


@pytest.mark.parametrize(
    "id_token", ["", "x", "a.b.c", "eyJ.eyJ.x", 5, ["a"], {"a": 1}, "é.é.é", "." * 200_000]
)
def test_A29_an_id_token_that_is_none_signs_nobody_in(
    party: RelyingParty, entra: FakeEntra, id_token: object
) -> None:
    """Whatever stands where the ID token should, no exception of a library comes through."""
    entra.token_response = lambda form: tokens_with(id_token=id_token)
    refusal = turned_away(party, entra, EntradaError)
    assert isinstance(refusal, TokenRefused | EntraUnavailable)


def redeem_with(entra: FakeEntra, **changes: Any) -> None:
    """From here on the token endpoint answers with these members changed, or ABSENT."""

    def redeem(form: Mapping[str, str]) -> HttpResponse:
        return answer(without_absent({**json.loads(entra.redeem(form).body), **changes}))

    entra.token_response = redeem


@pytest.mark.parametrize("token_type", ["Bearer", "bearer", "BEARER"])
def test_A30_bearer_is_bearer_in_any_case(party: RelyingParty, entra: FakeEntra, token_type: str) -> None:
    """The token type is compared without case, and a missing expires_in is no error."""
    redeem_with(entra, token_type=token_type, expires_in=ABSENT)
    assert sign_in(party, entra)


@pytest.mark.parametrize("token_type", ["DPoP", "mac", "", ABSENT, None, ["Bearer"]], ids=repr)
def test_A30_another_type_of_token_is_refused(
    party: RelyingParty, entra: FakeEntra, token_type: object
) -> None:
    """A token that needs a proof we cannot give is not treated as one that needs none."""
    redeem_with(entra, token_type=token_type)
    turned_away(party, entra, EntraUnavailable)


def test_Entra_down_is_unavailable_with_a_reason(party: RelyingParty, entra: FakeEntra) -> None:
    """A network failure is said to be one, and a person can try again."""
    pending, url = begin(party)
    brought = response(entra.approve(url))
    entra.down = True
    with pytest.raises(EntraUnavailable) as refusal:
        party.complete_sign_in(brought, pending)
    assert refusal.value.reason == "the connection was refused"


def test_a_throttled_token_endpoint_says_when_to_come_back(party: RelyingParty, entra: FakeEntra) -> None:
    """429 with Retry-After is passed on in seconds."""
    entra.token_response = lambda form: answer({}, status=429, **{"retry-after": "17"})
    refusal = turned_away(party, entra, EntraUnavailable)
    assert isinstance(refusal, EntraUnavailable)
    assert refusal.retry_after_seconds == 17


# --- what the token says ---


@pytest.mark.parametrize(
    ("claims", "check"),
    [
        ({"nonce": "another"}, "nonce"),
        ({"nonce": ABSENT}, "nonce"),
        ({"aud": "another"}, "aud"),
        ({"iss": "https://evil.test"}, "iss"),
        ({"exp": int(NOW.timestamp()) - 600}, "exp"),
        ({"oid": ABSENT}, "oid"),
        ({"roles": "Admin"}, "roles"),
        ({"roles": None}, "roles"),
        ({"roles": [1]}, "roles"),
        ({"roles": [["Admin"]]}, "roles"),
        ({"roles": [f"r{number}" for number in range(3000)]}, "roles"),
    ],
    ids=lambda part: str(part)[:30],
)
def test_a_token_that_fails_a_check_signs_nobody_in(
    party: RelyingParty, entra: FakeEntra, claims: dict[str, Any], check: str
) -> None:
    """B24, C17 and others: the walk asks verification, and believes it."""
    refusal = turned_away(party, entra, TokenRefused, **claims)
    assert isinstance(refusal, TokenRefused)
    assert refusal.check == check


def test_B4_a_token_that_somebody_else_signed_signs_nobody_in(party: RelyingParty, entra: FakeEntra) -> None:
    """A key that Entra does not publish verifies nothing."""
    entra.keys = document(jwk("another key", kid="nOo3ZDrODXEK1jKWhXslHR_KXEg"))
    turned_away(party, entra, TokenRefused)


def test_a_token_of_another_tenant_signs_nobody_in(party: RelyingParty, entra: FakeEntra) -> None:
    """B16: a genuine token of an organisation that is not allowed is refused by name."""
    issuer = f"{LOGIN}/{OTHER_TENANT}/v2.0"
    turned_away(party, entra, TenantRefused, tid=OTHER_TENANT, iss=issuer)


def test_a_personal_account_is_told_so(entra: FakeEntra) -> None:
    """B19: somebody who signs in with a personal account is told to use the work account."""
    personal = "9188040d-6c67-4c5b-b112-36a304b66dad"
    party = relying_party(entra)
    turned_away(party, entra, PersonalAccountRefused, tid=personal, iss=f"{LOGIN}/{personal}/v2.0")


def test_B17_several_tenants_may_be_allowed_and_no_others() -> None:
    """With an allow-list, people of each listed organisation come in, and of no other."""
    entra = FakeEntra(metadata=metadata("organizations", issuer=f"{LOGIN}/{{tenantid}}/v2.0"))
    party = relying_party(entra, tenant="organizations", tenants=frozenset({TENANT, OTHER_TENANT}))
    other = {"tid": OTHER_TENANT, "iss": f"{LOGIN}/{OTHER_TENANT}/v2.0"}
    assert sign_in(party, entra).session.identity.tenant_id == TENANT
    assert sign_in(party, entra, **other).session.identity.tenant_id == OTHER_TENANT
    stranger = "12121212-3434-5656-7878-909090909090"
    with pytest.raises(TenantRefused):
        sign_in(party, entra, tid=stranger, iss=f"{LOGIN}/{stranger}/v2.0")


# --- accounts ---


@pytest.mark.parametrize(
    "claims",
    [{"oid": OBJECT_ID.upper()}, {"tid": TENANT.upper(), "oid": OBJECT_ID.upper()}],
    ids=["oid", "both"],
)
def test_C8_capitals_make_no_second_account(
    party: RelyingParty, entra: FakeEntra, claims: dict[str, str]
) -> None:
    """The same GUIDs in capitals are the same person."""
    first = sign_in(party, entra)
    assert sign_in(party, entra, **claims).user.id == first.user.id


def test_C6_the_same_sub_with_another_oid_is_another_account(party: RelyingParty, entra: FakeEntra) -> None:
    """`sub` decides nothing: tenant and object id do."""
    first = sign_in(party, entra)
    assert sign_in(party, entra, oid="ffffffff-ffff-4fff-8fff-ffffffffffff").user.id != first.user.id


def test_C5_a_renamed_person_keeps_their_account(party: RelyingParty, entra: FakeEntra) -> None:
    """Another preferred_username and e-mail, same oid: same account."""
    first = sign_in(party, entra)
    again = sign_in(party, entra, preferred_username="king@contoso.test", email="king@contoso.test")
    assert again.user.id == first.user.id


def linking(entra: FakeEntra, **others: Any) -> RelyingParty:
    rules = AdmissionPolicy(roles=role_mapping({}), link_by_email=LinkByEmail.VERIFIED)
    return relying_party(entra, admission=rules, **others)


def of_another_tenant(party: RelyingParty) -> UserId:
    """An account with the verified address, to which nobody of the tenant signs in yet."""
    identity = EntraIdentity(
        tenant_id=OTHER_TENANT, object_id=ObjectId("eeeeeeee-eeee-4eee-8eee-eeeeeeeeeeee")
    )
    profile = Profile(
        name="Ada", email="ada@contoso.test", username="ada@contoso.test", email_is_verified=True
    )
    user = party.accounts.create(
        user_id=UserId("a" * 32), identity=identity, profile=profile, entra_grants=[], now=party.clock.now()
    )
    return user.id


SOMEBODY_ELSE = {"oid": "ffffffff-ffff-4fff-8fff-ffffffffffff"}


@pytest.mark.parametrize(
    "vouched", [ABSENT, False, "0", "false", 0, None, "", "yes", 2, [True], {"a": 1}], ids=repr
)
def test_C2_without_a_clear_yes_no_address_is_verified(entra: FakeEntra, vouched: object) -> None:
    """xms_edov that is absent, no, or odd links to nobody."""
    party = linking(entra)
    first = of_another_tenant(party)
    assert sign_in(party, entra, xms_edov=vouched).user.id != first


@pytest.mark.parametrize("vouched", [True, "1", 1], ids=repr)
def test_C2_a_clear_yes_verifies_the_address(entra: FakeEntra, vouched: object) -> None:
    """xms_edov in each of Entra's ways to say yes links where linking is on."""
    party = linking(entra)
    first = of_another_tenant(party)
    assert sign_in(party, entra, xms_edov=vouched).user.id == first


def test_C3_an_explicit_no_wins(entra: FakeEntra) -> None:
    """email_verified false makes an address unverified, whatever xms_edov says."""
    party = linking(entra)
    first = of_another_tenant(party)
    assert sign_in(party, entra, xms_edov=True, email_verified=False).user.id != first


def test_K13_a_leavers_address_leads_to_a_new_account(entra: FakeEntra) -> None:
    """Somebody new with the verified address of somebody of their tenant inherits nothing."""
    party = linking(entra)
    leaver = sign_in(party, entra, xms_edov=True).user
    party.accounts.grant_role(leaver.id, role="Admin", granted_by="root", now=entra.clock.now())
    new = sign_in(party, entra, **SOMEBODY_ELSE, xms_edov=True).user
    assert new.id != leaver.id
    assert new.roles == frozenset()


@pytest.mark.parametrize(
    "no",
    [{"xms_edov": no} for no in (False, 0, "0", "false", None)]
    + [{"email_verified": no} for no in (False, 0, "false", None)],
    ids=str,
)
def test_K14_an_explicit_no_wins_over_the_domain_list(entra: FakeEntra, no: dict[str, Any]) -> None:
    """Where Entra says that the address is not the tenant's, the administrator's list does not decide."""
    party = linking(entra, verified_domains=frozenset({"contoso.test"}))
    assert not sign_in(party, entra, **no).user.profile.email_is_verified


def test_K69_an_external_member_comes_in_and_no_domain_vouches_for_them(entra: FakeEntra) -> None:
    """Guests are denied, members are not; but their address is not vouched for by this tenant's domains."""
    party = linking(entra, verified_domains=frozenset({"contoso.test"}))
    user = sign_in(party, entra, acct=0, idp=f"https://sts.windows.net/{OTHER_TENANT}/").user
    assert not user.profile.is_guest
    assert not user.profile.email_is_verified


def test_C4_an_address_in_an_owned_domain_is_verified(entra: FakeEntra) -> None:
    """The single tenant's own domains vouch for its members' addresses."""
    party = linking(entra, verified_domains=frozenset({"contoso.test"}))
    assert sign_in(party, entra).user.profile.email_is_verified


@pytest.mark.parametrize(
    "claims",
    [
        {"email": "ada@contoso.test@evil.test"},
        {"email": "ada@evil.test,ada@contoso.test"},
        {"email": "ada\uff20contoso.test"},
        {"email": "ada@contoso.test."},
        {"email": "ada@sub.contoso.test"},
        {"email": ABSENT},
        {"email": ["ada@contoso.test"]},
    ],
    ids=str,
)
def test_C4_an_odd_address_is_verified_by_no_domain(entra: FakeEntra, claims: dict[str, Any]) -> None:
    """An address that can be read two ways is not in the domain."""
    party = linking(entra, verified_domains=frozenset({"contoso.test"}))
    assert not sign_in(party, entra, **claims).user.profile.email_is_verified


def test_C4_a_guests_address_is_verified_by_no_domain(entra: FakeEntra) -> None:
    """A guest who writes an address of the owned domain is not vouched for by it."""
    rules = AdmissionPolicy(
        roles=role_mapping({}), guests=GuestRule(homes=None), link_by_email=LinkByEmail.VERIFIED
    )
    party = relying_party(entra, admission=rules, verified_domains=frozenset({"contoso.test"}))
    member = sign_in(party, entra)
    guest = sign_in(party, entra, **SOMEBODY_ELSE, acct=1)
    assert guest.user.id != member.user.id


@pytest.mark.parametrize(
    "claims",
    [
        {"acct": 1},
        {"preferred_username": "gus_fabrikam.test#EXT#@contoso.test"},
        {"idp": f"https://sts.windows.net/{OTHER_TENANT}/"},
        {"idp": "live.com"},
    ],
    ids=str,
)
def test_C7_a_guest_is_refused_by_default(
    party: RelyingParty, entra: FakeEntra, claims: dict[str, Any]
) -> None:
    """Each sign of a guest is enough to be refused where guests are denied."""
    turned_away(party, entra, GuestRefused, **claims)


def test_C7_a_guest_of_a_listed_home_comes_in(entra: FakeEntra) -> None:
    """Guests whose home tenant is on the list are let in, into an account of their own."""
    party = relying_party(entra, guests=GuestRule(homes=frozenset({OTHER_TENANT})))
    member = sign_in(party, entra)
    guest = sign_in(party, entra, **SOMEBODY_ELSE, idp=f"https://sts.windows.net/{OTHER_TENANT}/")
    assert guest.user.id != member.user.id
    assert guest.user.profile.is_guest


def test_C15_a_disabled_account_signs_in_no_more(party: RelyingParty, entra: FakeEntra) -> None:
    """A valid Entra sign-in to a disabled account is refused, and its sessions have ended."""
    signed_in = sign_in(party, entra)
    party.set_disabled(signed_in.user.id, disabled=True)
    assert party.check_session(signed_in.token.cookie_value) is None
    turned_away(party, entra, AccountDisabled)


def test_C15_an_account_enabled_again_signs_in(party: RelyingParty, entra: FakeEntra) -> None:
    """Enabling brings the account back, and old sessions do not come back with it."""
    before = sign_in(party, entra)
    party.set_disabled(before.user.id, disabled=True)
    party.set_disabled(before.user.id, disabled=False)
    assert party.check_session(before.token.cookie_value) is None
    assert sign_in(party, entra).user.id == before.user.id


def test_C16_no_roles_claim_is_no_role(party: RelyingParty, entra: FakeEntra) -> None:
    """A token without roles takes every role that Entra had given."""
    assert sign_in(party, entra, roles=["Admin"]).user.roles == {"Admin"}
    assert sign_in(party, entra).user.roles == frozenset()


def test_C16_no_roles_claim_gives_the_default_role(entra: FakeEntra) -> None:
    """Where a default role is set, losing the others leaves that one."""
    roles = role_mapping({"Admin": "Admin"}, default_role="Viewer")
    party = relying_party(entra, admission=AdmissionPolicy(roles=roles))
    assert sign_in(party, entra, roles=["Admin"]).user.roles == {"Admin"}
    assert sign_in(party, entra).user.roles == {"Viewer"}


def test_roles_required_refuses_somebody_without(entra: FakeEntra) -> None:
    """Where a role is required, a genuine person without one gets neither account nor session."""
    roles = role_mapping({"Admin": "Admin"}, required=True)
    party = relying_party(entra, admission=AdmissionPolicy(roles=roles))
    turned_away(party, entra, RoleRequired, roles=["Unmapped"])
    assert sign_in(party, entra, roles=["Admin"]).user.roles == {"Admin"}


def test_first_sign_in_keeps_the_roles_of_the_first(entra: FakeEntra) -> None:
    """Mage's documented behaviour: later sign-ins change no role."""
    roles = role_mapping({"Admin": "Admin", "Editor": "Editor"}, sync=RolesSync.FIRST_SIGN_IN)
    party = relying_party(entra, admission=AdmissionPolicy(roles=roles))
    sign_in(party, entra, roles=["Editor"])
    assert sign_in(party, entra, roles=["Admin"]).user.roles == {"Editor"}


@pytest.mark.parametrize(
    "name",
    ["<script>alert(1)</script>", "\u202egnp.exe", "😀" * 300, "a" * 10_240, "a\x00b", ABSENT, 5],
    ids=repr,
)
def test_C24_any_name_signs_in(party: RelyingParty, entra: FakeEntra, name: object) -> None:
    """A name is only shown: whatever it is, the sign-in works and the name is bounded and printable."""
    shown = sign_in(party, entra, name=name).user.profile.name
    assert shown
    assert len(shown) <= 512
    assert shown.isprintable()


# --- sessions ---


def test_F1_every_sign_in_makes_a_new_session(party: RelyingParty, entra: FakeEntra) -> None:
    """Id and secret are new at each sign-in; nothing that was known before is used."""
    one, other = sign_in(party, entra), sign_in(party, entra)
    assert one.session.id != other.session.id
    assert one.token.secret != other.token.secret


def test_F1_the_session_the_browser_had_ends(party: RelyingParty, entra: FakeEntra) -> None:
    """A sign-in in a browser that has a session replaces it."""
    first = sign_in(party, entra)
    pending, url = begin(party)
    party.complete_sign_in(response(entra.approve(url)), pending, replaces=first.token)
    entra.clock.advance(seconds=1)
    assert party.check_session(first.token.cookie_value) is None


def test_F1_a_session_that_the_browser_cannot_prove_does_not_end(
    party: RelyingParty, entra: FakeEntra
) -> None:
    """Somebody who knows only the id of a session cannot end it by signing in."""
    victim = sign_in(party, entra)
    forged = replace(new_session_token(), id=victim.session.id)
    pending, url = begin(party)
    party.complete_sign_in(response(entra.approve(url)), pending, replaces=forged)
    entra.clock.advance(seconds=1)
    assert party.check_session(victim.token.cookie_value) is not None


def test_F1_the_session_named_when_the_sign_in_began_ends_without_its_cookie(
    party: RelyingParty, entra: FakeEntra
) -> None:
    """An answer by cross-site POST comes without the session's cookie; the sealed sign-in remembers it."""
    first = sign_in(party, entra)
    pending, url = begin(party, replaces=first.session.id)
    party.complete_sign_in(response(entra.approve(url)), pending)
    entra.clock.advance(seconds=1)
    assert party.check_session(first.token.cookie_value) is None


def test_a_refused_sign_in_leaves_the_running_session_alone(party: RelyingParty, entra: FakeEntra) -> None:
    """A sign-in that fails ends nobody's session."""
    first = sign_in(party, entra)
    pending, url = begin(party, replaces=first.session.id)
    with pytest.raises(TokenRefused):
        party.complete_sign_in(response(entra.approve(url, aud="x")), pending, replaces=first.token)
    entra.clock.advance(seconds=1)
    assert party.check_session(first.token.cookie_value) is not None


# --- housekeeping ---


def test_old_rows_are_forgotten_now_and_then(party: RelyingParty, entra: FakeEntra) -> None:
    """Spent sign-ins and dead sessions are pruned by later sign-ins, not kept for ever."""
    for _ in range(5):
        sign_in(party, entra)
    entra.clock.advance(hours=25)
    sign_in(party, entra)
    party.prune.wait()
    assert len(party.sessions._sessions) == 1  # type: ignore[attr-defined]
    assert len(party.sessions._spent) == 1  # type: ignore[attr-defined]


def test_one_of_several_servers_prunes(entra: FakeEntra, party: RelyingParty) -> None:
    """While another has the lease, nothing is pruned here; when that one is gone, it is."""
    leases = MemoryLeases(monotonic=entra.clock.monotonic)
    party.prune.lease = LeasedJob(name="prune", leases=leases, clock=entra.clock, life=2 * PRUNE_EVERY)
    other = leases.take("prune", holder="another server", life=timedelta(hours=26))
    assert other is not None
    for _ in range(5):
        sign_in(party, entra)
    entra.clock.advance(hours=25)
    sign_in(party, entra)
    party.prune.wait()
    assert len(party.sessions._sessions) == 6  # type: ignore[attr-defined]
    entra.clock.advance(hours=2)
    sign_in(party, entra)
    party.prune.wait()
    assert len(party.sessions._sessions) == 2  # type: ignore[attr-defined]


def test_nobody_who_signs_in_waits_for_what_is_forgotten(
    entra: FakeEntra, party: RelyingParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the store takes: sign-ins go on, one thread forgets, and closing waits for it."""
    began, may_end, ended = Event(), Event(), []

    def prune(*, now: datetime) -> int:
        began.set()
        assert may_end.wait(20)
        ended.append(now)
        return 0

    monkeypatch.setattr(party.sessions, "prune", prune)
    sign_in(party, entra)
    for _ in range(3):
        entra.clock.advance(minutes=2)
        assert sign_in(party, entra).user is not None
    assert began.wait(20)
    assert not ended
    may_end.set()
    party.close()
    assert len(ended) == 1
    entra.clock.advance(minutes=2)
    party.prune.begin()
    party.prune.wait()
    assert len(ended) == 1


def test_a_forked_process_forgets_by_a_thread_of_its_own(
    entra: FakeEntra, party: RelyingParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the parent's was under way, and its lock held, at the fork."""
    sign_in(party, entra)
    entra.clock.advance(minutes=2)
    party.prune._lock.acquire()
    monkeypatch.setattr(party.prune, "_pid", -1)  # as a child finds it
    pruned: list[datetime] = []
    monkeypatch.setattr(party.sessions, "prune", lambda *, now: pruned.append(now))
    party.prune.begin()
    party.prune.wait()
    assert pruned == [entra.clock.now()]
