"""OpenID's conformance modules for relying parties, from the provider's side: what each insists on, we give.

`MODULES` names every module of the suite and the tests that prove its counterpart here, or why there is none;
`CASES` does the same for the catalogue's attacks on a provider. Both name functions, so that a test which is
renamed or gone takes its line with it.

Source: OpenID Foundation conformance suite, commit 12f2a4da, modules oidcc-client-test*.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
import pytest

from broker import (
    test_admission,
    test_attacks,
    test_authorization_request,
    test_backchannel_logout,
    test_claims,
    test_client_authentication,
    test_discovery,
    test_foreign_clients,
    test_foreign_clients_apache,
    test_foreign_clients_grafana,
    test_foreign_clients_mage,
    test_installations,
    test_strangers,
    test_token,
    test_userinfo_and_sign_out,
    test_walk,
)
from broker.world import APP, CALLBACK, ISSUER, World
from entra import test_logout_token
from entrada.broker.authorization_request import ReturnAddress
from entrada.broker.authorization_response import code_response, error_response
from entrada.broker.discovery import jwks_document, metadata
from entrada.broker.end_session import read_sign_out_request
from entrada.broker.oauth_errors import OAuthError
from entrada.broker.signing_keys import make_signing_key, sign
from entrada.broker.userinfo import userinfo
from entrada.web.messages import WebRequest, WebResponse

Proof = Callable[..., object]


def redeemed(world: World) -> dict[str, object]:
    return dict(world.redeem(world.code()).json)


# --- what relying parties insist on ---


def test_the_id_token_holds_what_every_module_looks_at() -> None:
    """iss, sub, aud, iat, exp, nonce: there, of the right kind, for this client alone."""
    world = World()
    claims = world.claims_of(str(redeemed(world)["id_token"]))
    now = int(world.clock.now().timestamp())
    assert claims["iss"] == ISSUER
    assert claims["aud"] == APP.client_id
    assert "azp" not in claims
    assert isinstance(claims["sub"], str)
    assert 0 < len(claims["sub"]) <= 255
    assert claims["sub"].isascii()
    assert type(claims["iat"]) is int
    assert claims["iat"] == now
    assert now < claims["exp"] <= now + 3600
    assert claims["nonce"] == "n-1"
    assert not {"at_hash", "c_hash", "_claim_names", "_claim_sources"} & claims.keys()


def test_the_id_token_names_its_key_and_is_signed_by_it() -> None:
    """RS256 by the one published key of that name; never `none`, never a secret."""
    world = World()
    token = str(redeemed(world)["id_token"])
    head = jwt.get_unverified_header(token)
    assert (head["alg"], head["typ"]) == ("RS256", "JWT")
    assert not {"jwk", "jku", "x5u", "x5c", "crit"} & head.keys()
    document = jwks_document(world.provider, WebRequest(method="GET", path="/")).body
    keys = jwt.PyJWKSet.from_json(document.decode())
    assert [key.key_id for key in keys.keys].count(head["kid"]) == 1
    assert all(key.key_type == "RSA" for key in keys.keys)
    decoded = jwt.decode(
        token,
        keys[head["kid"]],
        algorithms=["RS256"],
        options={"verify_exp": False, "verify_aud": False, "verify_iat": False, "verify_nbf": False},
    )
    assert decoded["iss"] == ISSUER


def test_each_key_has_a_name_of_its_own() -> None:
    """After many rolls, too: no relying party has to try all keys."""
    world = World()
    for _ in range(5):
        world.provider.rotate_keys()
    document = jwks_document(world.provider, WebRequest(method="GET", path="/")).body
    names = [key.key_id for key in jwt.PyJWKSet.from_json(document.decode()).keys]
    assert len(names) == len(set(names)) >= 2
    assert all(names)


def asked(world: World, request: WebRequest) -> WebResponse:
    return userinfo(world.provider, request)


FORM = {"content-type": "application/x-www-form-urlencoded"}


def test_userinfo_takes_its_token_in_the_header_or_a_posted_form() -> None:
    """RFC 6750, 2.1 and 2.2; in both, twice or in the address (G9) is none."""
    world = World()
    token = str(redeemed(world)["access_token"])
    bearer = {"authorization": f"Bearer {token}"}
    body = f"access_token={token}".encode()
    good = [
        WebRequest(method="GET", path="/", headers=bearer),
        WebRequest(method="POST", path="/", headers=bearer),
        WebRequest(method="POST", path="/", headers=FORM, body=body),
    ]
    assert [asked(world, one).status for one in good] == [200, 200, 200]
    bad = [
        WebRequest(method="GET", path="/", query=f"access_token={token}"),
        WebRequest(method="POST", path="/", query=f"access_token={token}"),
        WebRequest(method="GET", path="/", headers=FORM, body=body),
        WebRequest(method="POST", path="/", headers=FORM, body=body + b"&" + body),
        WebRequest(method="POST", path="/", headers={**FORM, "authorization": "Basic eDp5"}, body=body),
        WebRequest(method="POST", path="/", headers=FORM, body=b"access_token="),
    ]
    assert [asked(world, one).status for one in bad] == [401] * len(bad)


def test_a_token_of_a_false_signature_names_nobody() -> None:
    """At userinfo and as a hint: another key, no key, and what was cut off."""
    world = World()
    tokens = redeemed(world)
    for name in ("access_token", "id_token"):
        good = str(tokens[name])
        claims = world.claims_of(good)
        head = jwt.get_unverified_header(good)
        foreign = sign(claims, make_signing_key(world.clock.now()), typ=head["typ"])
        unsigned = jwt.encode(claims, "", algorithm="none", headers={"kid": head["kid"], "typ": head["typ"]})
        cut = good.rpartition(".")[0] + "."
        for spoiled in (foreign, unsigned, cut, good[:-4] + "AAAA"):
            bearer = WebRequest(method="GET", path="/", headers={"authorization": f"Bearer {spoiled}"})
            assert asked(world, bearer).status == 401
            hint = WebRequest(method="GET", path="/", query=f"id_token_hint={spoiled}")
            assert read_sign_out_request(world.provider, hint).grant is None


def test_a_refreshed_id_token_is_about_the_same_sign_in() -> None:
    """Core 1.0, 12.2: same iss, sub, aud, auth_time; a later iat; no nonce."""
    world = World()
    first = redeemed(world)
    before = world.claims_of(str(first["id_token"]))
    world.clock.at = world.clock.at.replace(hour=13)
    after = world.claims_of(world.refresh(str(first["refresh_token"])).json["id_token"])
    for name in ("iss", "sub", "aud", "auth_time", "sid", "tid", "oid"):
        assert after[name] == before[name]
    assert after["iat"] > before["iat"]
    assert "nonce" not in after


def test_a_token_response_says_kind_life_and_scope() -> None:
    """RFC 6749, 5.1: token_type, expires_in and scope, in JSON that nobody stores."""
    world = World()
    answer = world.redeem(world.code())
    assert answer.json["token_type"] == "Bearer"
    assert answer.json["expires_in"] == 3600
    assert set(answer.json["scope"].split()) == {"openid", "email", "offline_access"}
    fields = dict(answer.response.headers)
    assert fields["content-type"].startswith("application/json")
    assert fields["cache-control"] == "no-store"


@pytest.mark.parametrize("mode", ["query", "form_post"])
@pytest.mark.parametrize("kind", ["code", "error"])
def test_an_answer_goes_back_the_way_that_was_asked_for(mode: str, kind: str) -> None:
    """In the address or in a form; with state and iss; an error no less."""
    address = ReturnAddress(redirect_uri=CALLBACK, response_mode=mode, state='s"><script>')
    error = OAuthError("access_denied", "said <no>")
    answer = (
        code_response(address, "c", issuer=ISSUER)
        if kind == "code"
        else error_response(address, error, issuer=ISSUER)
    )
    if mode == "query":
        got = parse_qs(urlsplit(dict(answer.headers)["location"]).query)
        assert (answer.status, got["state"], got["iss"]) == (303, ['s"><script>'], [ISSUER])
        assert kind in got
        return
    page = answer.body.decode()
    assert answer.status == 200
    assert f'name="{kind}"' in page
    assert f'action="{CALLBACK}"' in page
    assert "<script>" not in page.replace("<script>document.forms", "")
    assert "frame-ancestors 'none'" in dict(answer.headers)["content-security-policy"]


def test_discovery_promises_what_there_is_and_no_more() -> None:
    """Every address below the issuer; nothing that the modules would then ask for in vain."""
    world = World()
    document = metadata(world.provider)
    assert document["issuer"] == ISSUER
    for name, value in document.items():
        if name.endswith(("_endpoint", "_uri")):
            assert value.startswith(f"{ISSUER}/"), name
    assert document["response_types_supported"] == ["code"]
    assert document["id_token_signing_alg_values_supported"] == ["RS256"]
    for name in (
        "claims_parameter_supported",
        "request_parameter_supported",
        "request_uri_parameter_supported",
    ):
        assert document[name] is False
    assert not {"registration_endpoint", "check_session_iframe", "mtls_endpoint_aliases"} & document.keys()
    assert document["authorization_response_iss_parameter_supported"] is True


@pytest.mark.parametrize("state", [None, "s 1", "&evil=1", "x" * 2_048])
def test_signing_out_gives_the_state_back(state: str | None) -> None:
    """RP-Initiated Logout 1.0, section 3: as it was sent, or none; never a parameter more."""
    world = World()
    hint = str(redeemed(world)["id_token"])
    back = APP.post_logout_redirect_uris[0]
    query = {"id_token_hint": hint, "post_logout_redirect_uri": back}
    if state is not None:
        query["state"] = state
    request = WebRequest(method="GET", path="/auth/broker/logout", query=urlencode(query))
    asked_for = read_sign_out_request(world.provider, request).return_to
    assert asked_for is not None
    assert parse_qs(urlsplit(asked_for).query) == ({} if state is None else {"state": [state]})


# --- the tables ---

MODULES: dict[str, tuple[Proof, ...] | str] = {
    # Basic
    "oidcc-client-test": (test_foreign_clients.test_openid_client, test_foreign_clients.test_authlib),
    "-invalid-iss": (test_the_id_token_holds_what_every_module_looks_at,),
    "-missing-sub": (test_the_id_token_holds_what_every_module_looks_at,),
    "-invalid-aud": (test_the_id_token_holds_what_every_module_looks_at,),
    "-missing-aud": (test_the_id_token_holds_what_every_module_looks_at,),
    "-missing-iat": (test_the_id_token_holds_what_every_module_looks_at,),
    "-kid-absent-single-jwks": (test_the_id_token_names_its_key_and_is_signed_by_it,),
    "-kid-absent-multiple-jwks": (test_each_key_has_a_name_of_its_own,),
    "-idtoken-sig-rs256": (test_the_id_token_names_its_key_and_is_signed_by_it,),
    "-idtoken-sig-none": (
        test_the_id_token_names_its_key_and_is_signed_by_it,
        test_a_token_of_a_false_signature_names_nobody,
    ),
    "-invalid-sig-rs256": (test_a_token_of_a_false_signature_names_nobody,),
    "-invalid-sig-es256": (test_a_token_of_a_false_signature_names_nobody,),
    "-invalid-sig-hs256": (test_client_authentication.test_any_other_assertion_is_refused,),
    "-userinfo-invalid-sub": (test_userinfo_and_sign_out.test_userinfo_is_the_person_of_the_id_token,),
    "-nonce-invalid": (test_claims.test_the_nonce_comes_back,),
    "-nonce-unless-code-flow": (test_claims.test_the_nonce_comes_back,),
    "-scope-userinfo-claims": (test_claims.test_an_e_mail_address_is_told_to_who_asked_for_it,),
    "-client-secret-basic": (
        test_client_authentication.test_a_secret_in_the_header_or_in_the_form_a31,
        test_foreign_clients_apache.test_a_protected_page_after_signing_in,
        test_foreign_clients_grafana.test_grafanas_requests,
    ),
    # Config
    "-discovery-openid-config": (test_discovery_promises_what_there_is_and_no_more,),
    "-discovery-jwks-uri-keys": (test_discovery.test_keys_are_public_and_alone,),
    "-discovery-issuer-mismatch": (test_discovery_promises_what_there_is_and_no_more,),
    "-signing-key-rotation": (test_discovery.test_a_rolled_key_is_believed_as_long_as_what_it_signed_lives,),
    "-signing-key-rotation-just-before-signing": (
        test_discovery.test_keys_rolled_one_after_the_other_sign_in_their_order,
    ),
    # Dynamic
    "-dynamic-registration": "installations are listed by an operator, or ask a person",
    "-discovery-webfinger-acct": "an installation is told the broker's address",
    "-discovery-webfinger-url": "an installation is told the broker's address",
    "-request-uri-signed-none": (test_authorization_request.test_a_mistake_goes_back_to_the_installation,),
    "-request-uri-signed-rs256": (test_authorization_request.test_a_mistake_goes_back_to_the_installation,),
    "-userinfo-signed": "userinfo is JSON, as discovery says",
    # Form post
    "-form-post-error": (test_an_answer_goes_back_the_way_that_was_asked_for,),
    # Refresh
    "-refresh-token": (test_a_refreshed_id_token_is_about_the_same_sign_in,),
    "-refresh-token-invalid-issuer": (test_a_refreshed_id_token_is_about_the_same_sign_in,),
    "-refresh-token-invalid-sub": (test_a_refreshed_id_token_is_about_the_same_sign_in,),
    # Implicit and hybrid
    "-invalid-athash": (test_the_id_token_holds_what_every_module_looks_at,),
    "-missing-athash": "the code flow alone, where at_hash is optional",
    "-invalid-chash": (test_the_id_token_holds_what_every_module_looks_at,),
    "-missing-chash": "the code flow alone",
    # Comprehensive
    "-userinfo-bearer-header": (test_userinfo_takes_its_token_in_the_header_or_a_posted_form,),
    "-userinfo-bearer-body": (test_userinfo_takes_its_token_in_the_header_or_a_posted_form,),
    "-aggregated-claims": (test_claims.test_groups_are_told_with_the_overage_resolved,),
    "-distributed-claims": (test_claims.test_groups_are_told_with_the_overage_resolved,),
    "-mtls-endpoint-aliases": "no client certificates, and discovery promises none",
    "-3rd-party-init-login": "a person begins at the installation; the broker starts no sign-in there",
    # Signing out
    "-rp-init-logout": (
        test_userinfo_and_sign_out.test_signing_out_ends_the_sign_in_at_every_installation,
        test_foreign_clients_apache.test_signing_out_at_the_site,
    ),
    "-rp-init-logout-no-state": (test_signing_out_gives_the_state_back,),
    "-rp-init-logout-other-state": (test_signing_out_gives_the_state_back,),
    "-rp-frontchannel-rpinitlogout": "the broker tells installations by the back channel",
    "-rp-frontchannel-opinitlogout": "the broker tells installations by the back channel",
    "-rp-backchannel-rpinitlogout": (
        test_backchannel_logout.test_one_sign_in_ends_at_every_installation,
        test_foreign_clients_apache.test_signing_out_elsewhere,
    ),
    "-rp-backchannel-alg-none": (test_logout_token.test_a_spoiled_header_is_refused,),
    "-rp-backchannel-wrong-alg": (test_logout_token.test_a_spoiled_header_is_refused,),
    "-rp-backchannel-wrong-aud": (test_logout_token.test_a_spoiled_claim_is_refused,),
    "-rp-backchannel-wrong-iss": (test_logout_token.test_a_spoiled_claim_is_refused,),
    "-rp-backchannel-wrong-event": (test_logout_token.test_a_spoiled_claim_is_refused,),
    "-rp-backchannel-no-event": (test_logout_token.test_a_spoiled_claim_is_refused,),
    "-rp-backchannel-with-nonce": (
        test_backchannel_logout.test_a_logout_token_says_who_and_which_sign_in,
        test_logout_token.test_a_spoiled_claim_is_refused,
    ),
    "-session-management": "there is no check_session_iframe",
    # FAPI
    "invalid-authorization-response-iss": (test_attacks.test_a11_every_answer_names_its_issuer,),
    "remove-authorization-response-iss": (test_attacks.test_a11_every_answer_names_its_issuer,),
    "ensure-authorization-response-with-invalid-state-fails": (
        test_an_answer_goes_back_the_way_that_was_asked_for,
    ),
    "invalid-missing-state-fails": (test_an_answer_goes_back_the_way_that_was_asked_for,),
    "invalid-expired-exp": (test_userinfo_and_sign_out.test_an_access_token_is_over_after_an_hour,),
    "invalid-missing-exp": (test_the_id_token_holds_what_every_module_looks_at,),
    "invalid-missing-nonce": (test_claims.test_the_nonce_comes_back,),
    "invalid-null-alg": (test_the_id_token_names_its_key_and_is_signed_by_it,),
    "invalid-secondary-aud": (test_the_id_token_holds_what_every_module_looks_at,),
    "valid-aud-as-array": (test_the_id_token_holds_what_every_module_looks_at,),
    "invalid-alternate-alg": (test_the_id_token_names_its_key_and_is_signed_by_it,),
    "token-endpoint-response-without-expires_in": (test_a_token_response_says_kind_life_and_scope,),
    "token-type-case-insensitivity": (test_a_token_response_says_kind_life_and_scope,),
    "iat-is-week-in-past": (test_the_id_token_holds_what_every_module_looks_at,),
}

CASES: dict[str, tuple[Proof, ...]] = {
    "A4 code replay, every token of it ends": (
        test_attacks.test_a4_every_token_of_a_replayed_code_ends,
        test_token.test_a_code_counts_once_a4,
    ),
    "A5 the same code at the same moment": (test_token.test_a_code_at_the_same_moment_counts_once_a5,),
    "A7 mix-up between installations": (
        test_attacks.test_a7_a_code_of_one_installation_at_another_ends_at_both,
        test_token.test_another_installations_refresh_token_opens_nothing,
        test_walk.test_two_installations_of_two_tenants_at_once,
    ),
    "A7 an installation of tenant A asks for tenant B": (
        test_attacks.test_a7_an_installation_of_one_tenant_asks_for_another,
        test_attacks.test_a7_a_sign_in_at_one_installation_is_none_at_another_of_another_tenant,
        test_token.test_a_code_for_another_tenant_is_refused_a7,
        test_foreign_clients_apache.test_somebody_of_another_tenant,
    ),
    "A8 parameters twice": (test_authorization_request.test_a_doubled_parameter_is_refused_a8,),
    "A11 A12 the issuer in every answer": (test_attacks.test_a11_every_answer_names_its_issuer,),
    "A19 PKCE": (
        test_authorization_request.test_a_mistake_goes_back_to_the_installation,
        test_authorization_request.test_a19_pkce_is_left_out_only_by_who_has_another_proof,
        test_token.test_a19_no_downgrade_of_pkce,
        test_token.test_a19_a_code_without_challenge_is_for_its_secret_alone,
        test_foreign_clients_grafana.test_grafana_without_pkce_is_told_to_use_it,
        test_foreign_clients_mage.test_without_the_switch_it_is_told_why,
    ),
    "A21 hints": (test_claims.test_a21_odd_hints_do_nothing,),
    "B28 one kind of token for another": (
        test_userinfo_and_sign_out.test_an_id_token_is_no_access_token_b28,
        test_logout_token.test_an_id_token_of_the_same_issuer_is_refused_b28,
    ),
    "B29 fresh sign-ins": (
        test_claims.test_b29_a_fresh_sign_in_is_asked_for_and_shown,
        test_claims.test_b29_a_stale_sign_in_is_no_fresh_one,
    ),
    "C21 an administrator of another tenant": (
        test_admission.test_c21_an_administrator_answers_for_their_own_tenant_alone,
    ),
    "E1 E2 I4 redirect matching": (
        test_attacks.test_e1_e2_i4_no_payload_is_an_address_to_answer_to,
        test_attacks.test_e1_i4_no_payload_leads_out_of_signing_out,
        test_installations.test_an_address_is_compared_letter_for_letter,
        test_installations.test_e1_only_addresses_that_a_code_may_travel_to_can_be_listed,
    ),
    "forged or stolen client": (
        test_attacks.test_a_forged_client_gets_nothing_for_a_stolen_code,
        test_attacks.test_a_stolen_client_without_the_verifier_gets_nothing,
        test_client_authentication.test_a_client_with_a_key_is_not_let_through_without_it,
    ),
    "CVE-2026-135300 both ways of a secret are looked at": (
        test_client_authentication.test_a_missing_or_wrong_secret_is_refused_in_both_places,
        test_foreign_clients_apache.test_a_wrong_secret,
        test_foreign_clients_grafana.test_grafana_with_another_secret,
    ),
    "CVE-2026-27124 consent is the browser's that gave it": (
        test_attacks.test_cve_2026_27124_consent_counts_in_the_browser_that_gave_it,
        test_admission.test_a_yes_is_for_the_tenant_that_the_page_showed,
    ),
    "consent phishing by an unlisted address": (
        test_attacks.test_consent_phishing_by_an_unlisted_address,
        test_authorization_request.test_an_address_that_is_not_the_installations_gets_a_page,
        test_walk.test_an_installation_that_is_not_listed_gets_a_page_at_the_broker,
    ),
    "K19 K27 odd names and sizes": (
        test_strangers.test_k19_a_client_id_that_is_no_text_is_nobody_s,
        test_strangers.test_k27_a_request_too_long_to_be_kept_goes_back_with_an_error,
    ),
}


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_its_counterpart_or_a_reason(module: str) -> None:
    """Each is proved by tests that say what they prove, or a sentence says why there is nothing to prove."""
    proof = MODULES[module]
    if isinstance(proof, str):
        assert len(proof.split()) > 2
    else:
        assert proof
        assert all((one.__doc__ or "").strip() for one in proof)


@pytest.mark.parametrize("case", CASES)
def test_every_case_has_its_tests(case: str) -> None:
    """Each of the catalogue's attacks on a provider names the tests that make the right outcome sure."""
    assert CASES[case]
    assert all((one.__doc__ or "").strip() for one in CASES[case])
