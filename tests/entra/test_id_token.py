"""Each claim of an ID token spoiled in turn: every check refuses, and names itself."""

from __future__ import annotations

import ast
import copy
import dataclasses
import hashlib
import hmac
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

import entrada
from entra.tokens import (
    ABSENT,
    CLIENT_ID,
    EXPECTED,
    ISSUER,
    KID,
    NONCE,
    NOW,
    OBJECT_ID,
    OTHER_TENANT,
    TEMPLATE,
    TENANT,
    b64,
    claims,
    header,
    jwk,
    key_set,
    private_key,
    sign,
    token,
    verified,
    verify,
)
from entrada.entra.authority import PERSONAL_ACCOUNTS
from entrada.entra.checks import verify_signature
from entrada.entra.id_token import IdToken, IdTokenExpectations, verify_refreshed_id_token
from entrada.entra.jws import RawIdToken, decode_base64url, read_jws
from entrada.entra.keys import KeySet
from entrada.errors import EntradaError, PersonalAccountRefused, TenantRefused, TokenRefused

NOW_SECONDS = int(NOW.timestamp())


def refusal(raw: str, **arguments: Any) -> TokenRefused:
    with pytest.raises(TokenRefused) as refused:
        verify(raw, **arguments)
    return refused.value


def refused_check(**changes: Any) -> str:
    """The check that refuses Ada's token with these claims changed."""
    return refusal(token(**changes)).check


# --- the good token ---


def test_a_token_as_entra_makes_it_is_believed() -> None:
    """Every value comes out under its own name, and times are aware UTC."""
    found = verified(roles=["Admin"], auth_time=NOW_SECONDS - 60)
    assert found.issuer == ISSUER
    assert (found.tenant_id, found.object_id) == (TENANT, OBJECT_ID)
    assert found.subject == "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ"
    assert found.audience == CLIENT_ID
    assert found.name == "Ada Lovelace"
    assert found.preferred_username == found.email == "ada@contoso.test"
    assert found.roles == {"Admin"}
    assert found.groups is None
    assert not found.has_group_overage
    assert not found.is_guest
    assert found.home_tenant == TENANT
    assert found.issued_at == NOW - timedelta(seconds=10)
    assert found.expires_at == found.issued_at + timedelta(hours=1)
    assert found.auth_time == NOW - timedelta(minutes=1)
    assert found.session_id == "003d5f7a-0c1e-4d59-a1a5-1d4d6c1b0a22"
    assert found.token_id == "uMn9vJkCEEaqYlbJ2QlyAA"


def test_what_could_be_replayed_does_not_show_in_a_repr() -> None:
    """Nonce and login hint stay out of logs; the claims carry no raw token at all."""
    printed = repr(verified(login_hint="O.CiRkZGRk"))
    assert NONCE not in printed
    assert "O.CiRkZGRk" not in printed
    assert NONCE not in repr(EXPECTED)


# --- only verification makes the type ---


def test_an_id_token_cannot_be_made_by_hand() -> None:
    """Neither the constructor nor dataclasses.replace makes a verified token out of nothing."""
    good = verified()
    values = {field.name: getattr(good, field.name) for field in dataclasses.fields(good)}
    for proof in (None, True, object(), "verified"):
        with pytest.raises(TypeError, match="verify_id_token"):
            IdToken(verified=proof, **values)
    with pytest.raises(TypeError):
        IdToken(**values)
    with pytest.raises((TypeError, ValueError)):
        dataclasses.replace(good, roles=frozenset({"Admin"}))
    with pytest.raises(dataclasses.FrozenInstanceError):
        good.roles = frozenset({"Admin"})  # type: ignore[misc]  # that it cannot be set is the point
    assert copy.deepcopy(good) == good


def test_only_verification_holds_the_proof() -> None:
    """In the whole source, no module but id_token names the proof or builds an IdToken."""
    source = Path(entrada.__file__).parent
    owners = {source / "entra/id_token.py"}
    for path in set(source.rglob("*.py")) - owners:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            names = {getattr(node, "id", None), getattr(node, "attr", None), getattr(node, "name", None)}
            assert "_MADE_BY_VERIFICATION" not in names, path
            assert "IdToken" not in {getattr(called, "id", None), getattr(called, "attr", None)}, path


@pytest.mark.parametrize("empty", [{"client_id": ""}, {"nonce": ""}, {"allowed_tenants": frozenset()}])
def test_empty_expectations_are_refused(empty: dict[str, Any]) -> None:
    """Missing never equals missing: an expectation that expects nothing cannot be made."""
    with pytest.raises(ValueError, match="must not be empty"):
        dataclasses.replace(EXPECTED, **empty)


@pytest.mark.parametrize(
    "odd", [{"issuer_template": ISSUER}, {"skew": timedelta(minutes=6)}, {"skew": timedelta(seconds=-1)}]
)
def test_odd_expectations_are_refused(odd: dict[str, Any]) -> None:
    """A fixed issuer in place of the template, and a skew beyond reason, are mistakes of the caller."""
    with pytest.raises(ValueError, match=r"issuer_template|skew"):
        dataclasses.replace(EXPECTED, **odd)


def test_now_must_be_aware() -> None:
    """A naive clock would be read as local time."""
    with pytest.raises(ValueError, match="aware"):
        verify(token(), now=NOW.replace(tzinfo=None))


# --- B1 to B9: algorithm, signature, key ---


@pytest.mark.parametrize("alg", ["none", "None", "nOnE", ABSENT])
def test_B1_an_unsigned_token_is_refused(alg: Any) -> None:
    """alg none in every spelling, with and without a signature behind it."""
    raw = token(head={"alg": alg})
    assert refusal(raw).check == "alg"
    assert refusal(raw.rpartition(".")[0] + ".").check == "form"


def mac_secrets() -> dict[str, bytes]:
    public = private_key().public_key()
    return {
        "PEM": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "DER": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "PKCS1": public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        "JWK": json.dumps(jwk()).encode(),
        "client_secret": b"the application's client secret",
    }


@pytest.mark.parametrize("secret", ["PEM", "DER", "PKCS1", "JWK", "client_secret"])
def test_B2_B3_a_mac_with_what_everybody_knows_is_refused(secret: str) -> None:
    """HS256 keyed with the public key in any form, or with the client secret, is no signature of Entra's."""
    signing_input = f"{b64(json.dumps(header(alg='HS256')).encode())}.{b64(json.dumps(claims()).encode())}"
    mac = hmac.digest(mac_secrets()[secret], signing_input.encode(), "sha256")
    assert refusal(f"{signing_input}.{b64(mac)}").check == "alg"


@pytest.mark.parametrize("position", [0, 100, 255])
def test_B4_a_flipped_bit_in_the_signature_is_refused(position: int) -> None:
    """One bit of the signature decides."""
    signed, _, signature = token().rpartition(".")
    flipped = bytearray(decode_base64url(signature.encode()))
    flipped[position] ^= 1
    assert refusal(f"{signed}.{b64(bytes(flipped))}").check == "signature"


@pytest.mark.parametrize(
    "signature", [b"\0", b"\0" * 256, b"\xff" * 256, b"\0" * 255, b"\0" * 257, b"\1" * 4096]
)
def test_B4_an_invented_signature_is_refused(signature: bytes) -> None:
    """Signatures of any length and content are compared, not trusted."""
    assert refusal(token().rpartition(".")[0] + "." + b64(signature)).check == "signature"


@pytest.mark.parametrize(
    "change", [{"oid": OTHER_TENANT}, {"roles": ["Admin"]}, {"exp": NOW_SECONDS + 10**6}]
)
def test_B4_a_changed_claim_breaks_the_signature(change: dict[str, Any]) -> None:
    """Claims altered after signing are noticed before they are read."""
    head, _, signature = token().split(".")
    assert refusal(f"{head}.{b64(json.dumps(claims(**change)).encode())}.{signature}").check == "signature"


@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c", "x5t"])
def test_B5_a_key_brought_along_by_the_token_is_ignored(member: str) -> None:
    """A valid signature by a key in the header, or at an address in it, stays a stranger's signature.

    Verification has no transport, so it cannot fetch anything.
    """
    value = {"jwk": jwk("mallory"), "x5c": ["MIIC"]}.get(member, "https://mallory.test/keys")
    raw = token(head={member: value}, key=private_key("mallory"))
    assert refusal(raw).check == "signature"
    assert refusal(token(head={member: value, "kid": "mallory"}, key=private_key("mallory"))).check == "kid"


def test_B5_such_a_member_does_not_spoil_a_good_token() -> None:
    """Ignored means ignored: Entra's own tokens carry x5t."""
    assert verify(token(head={"x5t": KID, "jku": "https://mallory.test/keys"}))


def test_B6_an_unknown_kid_is_refused_with_advice_about_rollover() -> None:
    """The person is told to try again in five minutes, when the keys may be asked for again."""
    refused = refusal(token(head={"kid": "unknown"}))
    assert refused.check == "kid"
    assert "five minutes" in refused.hint


def test_the_signature_check_itself_knows_only_rs256() -> None:
    """Also behind a gate that was opened for another algorithm, no other mathematics runs."""
    jws = read_jws(token(head={"alg": "ES256"}), algorithms=frozenset({"ES256"}))
    with pytest.raises(TokenRefused) as refused:
        verify_signature(jws, key_set().keys[0])
    assert refused.value.check == "alg"


def test_a_genuine_signature_of_another_key_of_the_set_is_refused() -> None:
    """The named key must have signed, not just any key that is known."""
    assert refusal(token(head={"kid": "other"}), keys=key_set(jwk(), jwk("other"))).check == "signature"


def test_an_empty_key_set_verifies_nothing() -> None:
    """Without keys, also a token without kid is refused."""
    assert refusal(token(), keys=KeySet(keys=())).check == "kid"
    assert refusal(token(head={"kid": ABSENT}), keys=KeySet(keys=())).check == "kid"


@pytest.mark.parametrize("member", [{"crit": ["exp"]}, {"crit": []}, {"b64": True}, {"zip": "DEF"}])
def test_B10_B11_a_correctly_signed_token_of_another_construction_is_refused(member: dict[str, Any]) -> None:
    """Also with Entra's own signature."""
    assert refusal(token(head=member)).check in ("crit", "header")


@pytest.mark.parametrize("name", ["sub", "iss", "aud", "tid", "oid", "nonce", "exp"])
def test_B14_a_signed_claim_named_twice_is_refused(name: str) -> None:
    """Also under a good signature, also if both say the same."""
    text = json.dumps(claims())
    doubled = text[:-1] + f", {json.dumps(name)}: {json.dumps(claims()[name])}}}"
    assert refusal(sign(json.dumps(header()).encode(), doubled.encode())).check == "json"


# --- B15 to B19: issuer and tenant ---


@pytest.mark.parametrize(
    "iss",
    [
        ABSENT,
        None,
        "",
        5,
        [ISSUER],
        {"iss": ISSUER},
        ISSUER + "/",
        ISSUER.upper(),
        ISSUER.replace(TENANT, TENANT.upper()),
        ISSUER.replace("https", "http"),
        ISSUER.replace("login.microsoftonline.com", "login.microsoftonline.com:443"),
        ISSUER.replace("login.microsoftonline.com", "login.microsoftonline.us"),
        ISSUER.replace("login.microsoftonline.com", "login.microsoftonline.com.mallory.test"),
        TEMPLATE,
        TEMPLATE.replace("{tenantid}", "common"),
        TEMPLATE.replace("{tenantid}", OTHER_TENANT),
        f"https://sts.windows.net/{TENANT}/",
        f"https://login.microsoftonline.com/{TENANT}/",
        " " + ISSUER,
    ],
)
def test_B15_any_issuer_but_the_tenants_own_is_refused(iss: Any) -> None:
    """The issuer is compared to the letter with the one of the tenant in tid."""
    assert refused_check(iss=iss) == "iss"


def test_B16_a_genuine_token_of_a_tenant_that_is_not_allowed_is_refused() -> None:
    """With the keys that all tenants share, only the allow-list keeps another tenant out."""
    raw = token(tid=OTHER_TENANT, iss=TEMPLATE.replace("{tenantid}", OTHER_TENANT))
    with pytest.raises(TenantRefused):
        verify(raw)
    assert verify(raw, allowed_tenants=frozenset({TENANT, OTHER_TENANT})).tenant_id == OTHER_TENANT


@pytest.mark.parametrize(
    "tid",
    [ABSENT, None, "", 5, [TENANT], "contoso.test", "common", "{tenantid}", TENANT + "\n", f"{{{TENANT}}}"],
)
def test_B17_a_tid_that_is_no_guid_is_refused(tid: Any) -> None:
    """Without a tenant there is no issuer to compare with."""
    assert refused_check(tid=tid) == "tid"


def test_B17_a_tid_that_differs_from_the_issuer_is_refused() -> None:
    """The two must name one tenant, also if both are allowed."""
    raw = token(tid=OTHER_TENANT)
    assert refusal(raw, allowed_tenants=frozenset({TENANT, OTHER_TENANT})).check == "iss"


def test_B18_a_key_of_the_personal_accounts_cannot_sign_for_a_work_tenant() -> None:
    """The shared key document says which issuer a key speaks for."""
    keys = key_set(jwk(issuer=TEMPLATE.replace("{tenantid}", PERSONAL_ACCOUNTS)))
    assert refusal(token(), keys=keys).check == "key_issuer"


def personal() -> RawIdToken:
    return token(tid=PERSONAL_ACCOUNTS, iss=TEMPLATE.replace("{tenantid}", PERSONAL_ACCOUNTS), idp="live.com")


def test_B19_a_personal_account_has_its_own_refusal() -> None:
    """Who signed in with a private account is told to use the one of work."""
    with pytest.raises(PersonalAccountRefused) as refused:
        verify(personal())
    assert "work" in refused.value.hint


def test_B19_personal_accounts_may_be_allowed_by_name() -> None:
    """Their tenant is allowed like any other; such a person is at home there, not a guest."""
    found = verify(personal(), allowed_tenants=frozenset({PERSONAL_ACCOUNTS}))
    assert not found.is_guest
    assert found.home_tenant == PERSONAL_ACCOUNTS


def test_C8_tid_and_oid_in_capitals_name_the_same_person() -> None:
    """GUIDs are compared in lower case."""
    found = verified(tid=TENANT.upper(), oid=OBJECT_ID.upper())
    assert (found.tenant_id, found.object_id) == (TENANT, OBJECT_ID)


@pytest.mark.parametrize("ver", [ABSENT, None, "1.0", "2", 2.0, 2, ["2.0"], "2.0 "])
def test_a_token_of_another_version_is_refused(ver: Any) -> None:
    """Tokens of v1.0 have other claims under the same names."""
    assert refused_check(ver=ver) == "ver"


# --- B20: audience ---


@pytest.mark.parametrize(
    "aud",
    [
        ABSENT,
        None,
        "",
        5,
        {"aud": CLIENT_ID},
        [],
        [[CLIENT_ID]],
        [CLIENT_ID, 5],
        "other",
        ["other"],
        CLIENT_ID.upper(),
        CLIENT_ID + " ",
        f"api://{CLIENT_ID}",
        f"{CLIENT_ID},other",
    ],
)
def test_B20_a_token_for_someone_else_is_refused(aud: Any) -> None:
    """The audience is this application's client id to the letter."""
    assert refused_check(aud=aud) == "aud"


def test_B20_the_audience_may_be_a_list_of_one() -> None:
    """A list with nobody else in it means the same."""
    assert verified(aud=[CLIENT_ID]).audience == CLIENT_ID


@pytest.mark.parametrize("azp", [ABSENT, None, "other", [CLIENT_ID], ""])
@pytest.mark.parametrize("aud", [[CLIENT_ID, "other"], ["other", CLIENT_ID], [CLIENT_ID, CLIENT_ID]])
def test_B20_several_audiences_need_azp_to_be_this_application(aud: Any, azp: Any) -> None:
    """Who else may have got this token could replay it here."""
    assert refused_check(aud=aud, azp=azp) == "azp"
    assert verified(aud=aud, azp=CLIENT_ID)


@pytest.mark.parametrize("azp", [None, "", "other", 5, [CLIENT_ID]])
def test_B20_another_azp_is_refused_also_with_the_right_audience(azp: Any) -> None:
    """If the token says to whom it was issued, it was issued to this application."""
    assert refused_check(azp=azp) == "azp"


# --- B21 to B23, B32: times ---

NO_MOMENT = [
    None,
    "",
    str(NOW_SECONDS + 600),
    "string",
    True,
    False,
    0,
    -1,
    1e300,
    float(NOW_SECONDS + 600),
    NOW_SECONDS + 0.5,
    [NOW_SECONDS + 600],
    {"s": 1},
    10**19,
    32_503_680_001,
]


@pytest.mark.parametrize("value", NO_MOMENT, ids=repr)
@pytest.mark.parametrize("name", ["exp", "nbf", "iat", "auth_time"])
def test_B21_a_time_that_is_no_whole_number_of_seconds_is_refused(name: str, value: Any) -> None:
    """Text, true, fractions, lists and the far future are not moments."""
    assert refused_check(**{name: value}) == name


@pytest.mark.parametrize("name", ["exp", "iat"])
def test_B21_a_missing_time_is_refused(name: str) -> None:
    """A token that never expires, or was never issued, is none."""
    assert refused_check(**{name: ABSENT}) == name


@pytest.mark.parametrize("text", ["1e400", "NaN", "Infinity", "9" * 5000])
def test_B21_numbers_beyond_json_are_refused(text: str) -> None:
    """Also when signed."""
    payload = json.dumps(claims(exp=0)).replace('"exp": 0', f'"exp": {text}')
    assert refusal(sign(json.dumps(header()).encode(), payload.encode())).check == "json"


@pytest.mark.parametrize("skew", [120, 60, 0])
def test_B22_exp_at_the_edge_of_the_skew(skew: int) -> None:
    """Expired as long ago as the skew passes; one second longer does not."""
    arguments = {"skew": timedelta(seconds=skew)}
    assert verify(token(exp=NOW_SECONDS - skew), **arguments)
    assert refusal(token(exp=NOW_SECONDS - skew - 1), **arguments).check == "exp"


@pytest.mark.parametrize("skew", [120, 60, 0])
@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_B22_nbf_and_iat_at_the_edge_of_the_skew(name: str, skew: int) -> None:
    """As far in the future as the skew passes; one second further does not."""
    arguments = {"skew": timedelta(seconds=skew)}
    assert verify(token(**{name: NOW_SECONDS + skew}), **arguments)
    assert refusal(token(**{name: NOW_SECONDS + skew + 1}), **arguments).check == name


def test_B22_the_default_skew_is_two_minutes() -> None:
    """No more than the 120 seconds that are promised."""
    assert EXPECTED.skew == timedelta(seconds=120)


def test_nbf_may_be_absent() -> None:
    """OpenID Connect does not ask for it."""
    assert verified(nbf=ABSENT)


@pytest.mark.parametrize("iat", [NOW_SECONDS - 7 * 86400, NOW_SECONDS - 3600 - 121, NOW_SECONDS + 86400])
def test_B23_a_token_issued_long_ago_or_tomorrow_is_refused(iat: int) -> None:
    """A sign-in brings a token made for it, whatever its exp says."""
    assert refused_check(iat=iat, exp=NOW_SECONDS + 3600) == "iat"


def test_B23_a_token_issued_within_the_hour_passes() -> None:
    """Entra dates tokens back a few minutes; the limit is an hour and the skew."""
    assert verified(iat=NOW_SECONDS - 3600 - 120)


def test_times_refused_say_by_how_much_and_name_the_clock() -> None:
    """A wrong clock is the usual cause, and the page can say so."""
    refused = refusal(token(exp=NOW_SECONDS - 500))
    assert "500 s" in str(refused)
    assert "clock" in refused.hint


@pytest.mark.parametrize("year", [2038, 2039, 2106, 2107, 2999])
def test_B32_a_far_expiry_is_handled(year: int) -> None:
    """Nothing here counts in 32 bits."""
    exp = int(datetime(year, 2, 8, tzinfo=NOW.tzinfo).timestamp())
    assert verified(exp=exp).expires_at.year == year


def test_B32_a_sign_in_in_2040_works() -> None:
    """The clock of the server may be past 2038, too."""
    now = datetime(2040, 1, 1, tzinfo=NOW.tzinfo)
    second = int(now.timestamp())
    assert verify(token(iat=second, nbf=second, exp=second + 60), now=now).issued_at == now


# --- B24: nonce ---


@pytest.mark.parametrize(
    "nonce", [ABSENT, None, "", "other", NONCE + " ", NONCE.upper(), 5, [NONCE], True, "ü"]
)
def test_B24_a_token_without_this_sign_ins_nonce_is_refused(nonce: Any) -> None:
    """A token of another sign-in does not fit, and a missing nonce equals nothing."""
    assert refused_check(nonce=nonce) == "nonce"


def test_B24_nonce_supported_false_excuses_nothing() -> None:
    """A claim that says nonces are not supported does not switch the check off."""
    assert refused_check(nonce=ABSENT, nonce_supported=False) == "nonce"


# --- B25, B26: who it is ---


@pytest.mark.parametrize("sub", [ABSENT, None, "", 5, ["a"], "a" * 256, "a\x00", "a\n", "é", "\u202e"])
def test_B25_an_unusable_subject_is_refused(sub: Any) -> None:
    """1 to 255 printable ASCII characters, as OpenID Connect says."""
    assert refused_check(sub=sub) == "sub"


def test_B25_a_subject_of_255_characters_passes() -> None:
    """The limit is exact."""
    assert verified(sub="a" * 255).subject == "a" * 255


def test_B25_half_a_surrogate_pair_anywhere_is_refused() -> None:
    """It could be neither stored nor logged."""
    assert refused_check(sub="\ud800") == "json"
    assert refused_check(name="\udfff") == "json"


@pytest.mark.parametrize(
    "oid", [ABSENT, None, "", 5, [OBJECT_ID], "ada", OBJECT_ID + " ", OBJECT_ID.replace("-", "")]
)
def test_B26_a_token_without_an_object_id_is_refused_and_names_the_fix(oid: Any) -> None:
    """The administrator learns that the scope profile is missing."""
    refused = refusal(token(oid=oid))
    assert refused.check == "oid"
    assert "`profile`" in refused.hint


# --- B27: hashes of what came along ---


def half_hash(text: str) -> str:
    return b64(hashlib.sha256(text.encode()).digest()[:16])


HASHES = [("at_hash", "access_token"), ("c_hash", "code")]


@pytest.mark.parametrize(("name", "argument"), HASHES)
def test_B27_a_right_hash_passes(name: str, argument: str) -> None:
    """The left half of SHA-256, as the signature's algorithm says."""
    assert verify(token(**{name: half_hash("opaque")}), **{argument: "opaque"})


@pytest.mark.parametrize(("name", "argument"), HASHES)
@pytest.mark.parametrize(
    "value", [half_hash("other"), "", None, 5, [half_hash("opaque")], half_hash("opaque") + "=", "ü"]
)
def test_B27_a_wrong_hash_is_refused(name: str, argument: str, value: Any) -> None:
    """The token belongs to another access token or code."""
    assert refusal(token(**{name: value}), **{argument: "opaque"}).check == name


@pytest.mark.parametrize(("name", "argument"), HASHES)
@pytest.mark.parametrize("given_text", [None, ""])
def test_B27_a_hash_of_something_that_is_not_there_is_refused(
    name: str, argument: str, given_text: str | None
) -> None:
    """A hash that cannot be checked is wrong, also if it is the hash of nothing."""
    assert refusal(token(**{name: half_hash("")}), **{argument: given_text}).check == name


def test_B27_no_hash_is_no_failure() -> None:
    """Entra's token endpoint sends none."""
    assert verify(token(), access_token="opaque", code="opaque")


# --- B28: the kind of token ---


@pytest.mark.parametrize("typ", ["logout+jwt", "at+jwt", "application/at+jwt", "dpop+jwt"])
def test_B28_another_type_of_token_is_refused(typ: str) -> None:
    """Also with every claim right."""
    assert refusal(token(head={"typ": typ})).check == "typ"


@pytest.mark.parametrize(
    "member",
    [
        {"scp": "openid profile"},
        {"appid": CLIENT_ID},
        {"azpacr": "1"},
        {"appidacr": "1"},
        {"idtyp": "user"},
        {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}},
    ],
    ids=lambda member: next(iter(member)),
)
def test_B28_an_access_or_logout_token_in_place_of_an_id_token_is_refused(member: dict[str, Any]) -> None:
    """An access token for this very application has the right issuer and audience, but proves no sign-in."""
    assert refused_check(**member) == "token_use"


# --- B29: how fresh and how strong ---


def test_B29_a_sign_in_older_than_asked_for_is_refused() -> None:
    """max_age counts from auth_time, with the skew and not a second more."""
    hour = timedelta(hours=1)
    assert verify(token(auth_time=NOW_SECONDS - 3720), max_age=hour)
    assert refusal(token(auth_time=NOW_SECONDS - 3721), max_age=hour).check == "auth_time"


def test_B29_max_age_needs_auth_time() -> None:
    """Who asked for a recent sign-in does not take an unknown one."""
    assert refusal(token(), max_age=timedelta(hours=1)).check == "auth_time"


@pytest.mark.parametrize(
    ("acrs", "met"), [(["c1", "c2"], True), ("c1", True), (["c2"], False), (ABSENT, False)]
)
def test_B29_a_required_authentication_context_must_be_met(acrs: Any, met: bool) -> None:
    """acrs may be a list or one text; what is asked for must be in it."""
    raw, wanted = token(acrs=acrs), frozenset({"c1"})
    if met:
        assert wanted <= verify(raw, auth_contexts=wanted).auth_contexts
    else:
        assert refusal(raw, auth_contexts=wanted).check == "acrs"


@pytest.mark.parametrize("acrs", [None, 5, [5], {"c1": True}])
def test_B29_odd_acrs_are_refused(acrs: Any) -> None:
    """A context is a text."""
    assert refused_check(acrs=acrs) == "acrs"


# --- B31: the token of a refresh ---


def refreshed(previous: IdToken, **changes: Any) -> IdToken:
    return verify_refreshed_id_token(
        token(**changes), keys=key_set(), expected=ANY_TENANT, previous=previous.remembered, now=NOW
    )


ANY_TENANT = dataclasses.replace(EXPECTED, allowed_tenants=frozenset({TENANT, OTHER_TENANT}))


def test_B31_a_refresh_of_the_same_person_passes_with_or_without_nonce() -> None:
    """A refreshed token need not repeat the nonce."""
    first = verified(auth_time=NOW_SECONDS - 600)
    assert refreshed(first, auth_time=NOW_SECONDS - 600).object_id == OBJECT_ID
    assert refreshed(first, nonce=ABSENT, auth_time=NOW_SECONDS).nonce is None


def test_B31_auth_time_is_compared_only_where_both_tokens_name_it() -> None:
    """Entra sends it when the registration asks for it; a change of that setting ends no session."""
    assert refreshed(verified(auth_time=NOW_SECONDS - 600)).auth_time is None
    assert refreshed(verified(), auth_time=NOW_SECONDS - 600).auth_time


def test_B31_a_refreshed_token_with_a_hash_of_something_else_is_refused() -> None:
    """at_hash is checked at a refresh as at sign-in."""
    with pytest.raises(TokenRefused) as refused:
        refreshed(verified(), at_hash=half_hash("opaque"))
    assert refused.value.check == "at_hash"


@pytest.mark.parametrize(
    "change",
    [
        {"sub": "someone else"},
        {"oid": OTHER_TENANT},
        {"tid": OTHER_TENANT, "iss": TEMPLATE.replace("{tenantid}", OTHER_TENANT)},
        {"auth_time": NOW_SECONDS - 601},
    ],
    ids=["sub", "oid", "tid", "auth_time"],
)
def test_B31_a_refresh_that_names_another_person_or_sign_in_is_refused(change: dict[str, Any]) -> None:
    """The session that refreshed must end."""
    with pytest.raises(TokenRefused) as refused:
        refreshed(verified(auth_time=NOW_SECONDS - 600), **change)
    assert refused.value.check == "refresh"


@pytest.mark.parametrize("change", [{"aud": "other"}, {"iss": "other"}, {"nonce": "other"}, {"nonce": None}])
def test_B31_a_refreshed_token_passes_every_other_check_too(change: dict[str, Any]) -> None:
    """Another application, issuer or nonce is refused as at sign-in."""
    with pytest.raises(TokenRefused) as refused:
        refreshed(verified(), **change)
    assert refused.value.check == next(iter(change))


# --- C2, C3: whose address it is ---


@pytest.mark.parametrize("vouched", [True, 1, "1"])
def test_C2_an_address_the_tenant_vouches_for_is_verified(vouched: Any) -> None:
    """xms_edov says that the tenant owns the domain."""
    assert verified(xms_edov=vouched).email_is_verified


@pytest.mark.parametrize(
    "vouched", [ABSENT, False, "0", "false", 0, None, "true", "yes", 2, 1.0, [1], {}, ""]
)
def test_C2_anything_else_does_not_verify_an_address(vouched: Any) -> None:
    """Absent is no, and so is every value that is not one of the three."""
    assert not verified(xms_edov=vouched).email_is_verified


def test_K14_silence_is_told_apart_from_a_no() -> None:
    """Only where Entra says nothing may a list of domains decide."""
    assert verified(xms_edov=ABSENT).email_is_verified is None
    assert verified(xms_edov=ABSENT, email_verified=True).email_is_verified is None
    for no in (False, 0, "0", "false", "False", "no", "", None, [], {}, 2):
        assert verified(xms_edov=no).email_is_verified is False
        assert verified(email_verified=no).email_is_verified is False
        assert verified(xms_edov=True, email_verified=no).email_is_verified is False


@pytest.mark.parametrize("said", [False, None, "false", 0, "", "true", 1])
def test_C3_an_explicit_no_wins(said: Any) -> None:
    """email_verified that is anything but true overrules xms_edov."""
    assert not verified(xms_edov=True, email_verified=said).email_is_verified


def test_C3_email_verified_alone_verifies_nothing() -> None:
    """Entra does not send it; only the tenant's own word counts."""
    assert not verified(email_verified=True).email_is_verified
    assert verified(email_verified=True, xms_edov=True).email_is_verified


@pytest.mark.parametrize(
    "email",
    [
        ABSENT,
        None,
        5,
        "",
        "ada",
        "victim@corp.com@evil.com",
        "a@evil.com,victim@corp.com",
        "a@evil.com;victim@corp.com",
        "victim\uff20corp.com",
        "victim@corp.com.",
        "victim@cοrp.com",
        "victim@corp.com\n",
        "<victim@corp.com>\x00",
        "victim @corp.com",
        "@corp.com",
        "a" * 65 + "@corp.com",
        "a@" + "b" * 256,
        ["ada@contoso.test"],
    ],
)
def test_C4_an_address_that_is_not_one_plain_address_is_none(email: Any) -> None:
    """It is dropped, so it can match no account and no domain; it is never "verified"."""
    found = verified(email=email, xms_edov=True)
    assert found.email is None
    assert not found.email_is_verified


@pytest.mark.parametrize("email", ["ada@contoso.test", "Ada.O'Neil+x@mail.Contoso.test", "a@b"])
def test_a_plain_address_is_kept_as_it_is(email: str) -> None:
    """Upper case and the usual marks are ordinary."""
    assert verified(email=email).email == email


# --- C7: guests ---

STS = "https://sts.windows.net/{}/"


@pytest.mark.parametrize(
    ("said", "home"),
    [
        ({"acct": 1}, None),
        ({"acct": "1"}, None),
        ({"acct": 1, "idp": STS.format(TENANT)}, None),
        ({"idp": STS.format(OTHER_TENANT)}, OTHER_TENANT),
        ({"idp": STS.format(OTHER_TENANT.upper())}, OTHER_TENANT),
        ({"acct": 1, "idp": STS.format(OTHER_TENANT)}, OTHER_TENANT),
        ({"acct": 2, "idp": STS.format(OTHER_TENANT)}, OTHER_TENANT),
        ({"acct": False}, None),
        ({"acct": None}, None),
        ({"acct": "member"}, None),
        ({"acct": 0.0}, None),
        ({"idp": TEMPLATE.replace("{tenantid}", OTHER_TENANT)}, OTHER_TENANT),
        ({"idp": f"https://sts.chinacloudapi.cn/{OTHER_TENANT}/"}, OTHER_TENANT),
        ({"idp": "live.com"}, PERSONAL_ACCOUNTS),
        ({"idp": "google.com"}, None),
        ({"idp": "mail"}, None),
        ({"idp": None}, None),
        ({"idp": 5}, None),
        ({"preferred_username": "gus_fabrikam.test#EXT#@contoso.test"}, None),
        ({"upn": "gus_fabrikam.test#ext#@contoso.test"}, None),
    ],
    ids=repr,
)
def test_C7_one_sign_of_a_guest_is_enough(said: dict[str, Any], home: str | None) -> None:
    """acct, idp and the user name each mark a guest; the home tenant is known only if idp names one."""
    found = verified(**said)
    assert found.is_guest
    assert found.home_tenant == home


@pytest.mark.parametrize("said", [{}, {"acct": 0}, {"idp": ISSUER}, {"idp": STS.format(TENANT)}], ids=repr)
def test_C7_a_member_is_no_guest(said: dict[str, Any]) -> None:
    """An idp that is this very tenant means home."""
    found = verified(**said)
    assert not found.is_guest
    assert found.home_tenant == TENANT


@pytest.mark.parametrize("account", [0, "0"])
@pytest.mark.parametrize(
    ("said", "home"),
    [
        ({"idp": STS.format(OTHER_TENANT)}, OTHER_TENANT),
        ({"idp": "live.com"}, PERSONAL_ACCOUNTS),
        ({"idp": "google.com"}, None),
        ({"preferred_username": "gus_fabrikam.test#EXT#@contoso.test"}, None),
    ],
    ids=repr,
)
def test_K69_an_external_member_is_a_member(account: Any, said: dict[str, Any], home: str | None) -> None:
    """`acct` 0 says member, wherever the account lives; that it lives elsewhere is still known."""
    found = verified(acct=account, **said)
    assert not found.is_guest
    assert found.home_tenant == home


@pytest.mark.parametrize(
    "idp",
    [
        f"https://mallory.test/{OTHER_TENANT}/",
        f"https://sts.windows.net.mallory.test/{OTHER_TENANT}/",
        f"http://sts.windows.net/{OTHER_TENANT}/",
        f"https://sts.windows.net/{OTHER_TENANT}/x",
        f"https://mallory.test/?https://sts.windows.net/{OTHER_TENANT}/",
        f"https://sts.windows.net/{OTHER_TENANT}/\n",
        f"https://sts.windows.net/{'-' * 36}/",
        f"https://login.micr0softonline.com/{OTHER_TENANT}/v2.0",
        f"https://login.microsoftonline.com/{OTHER_TENANT}/v3.0",
    ],
)
def test_C7_only_entras_own_addresses_name_a_home_tenant(idp: str) -> None:
    """A federated organisation chooses its own issuer, and must not write an allowed tenant into it."""
    found = verified(idp=idp)
    assert found.is_guest
    assert found.home_tenant is None


def test_C7_the_home_tenant_is_known_also_at_a_login_host_of_ones_own() -> None:
    """With another authority host in the settings, tenants of that host are recognised by its own address."""
    template = "https://localhost:8443/{tenantid}/v2.0"

    def home_of(idp: str) -> tuple[bool, str | None]:
        raw = token(iss=template.replace("{tenantid}", TENANT), idp=idp)
        found = verify(raw, issuer_template=template)
        return found.is_guest, found.home_tenant

    assert home_of(template.replace("{tenantid}", OTHER_TENANT)) == (True, OTHER_TENANT)
    assert home_of(template.replace("{tenantid}", TENANT)) == (False, TENANT)
    assert home_of(f"https://localhost:8444/{OTHER_TENANT}/v2.0") == (True, None)
    assert home_of(f"https://localhost:8443/{OTHER_TENANT}/v3.0") == (True, None)


# --- C17, C18: roles ---


@pytest.mark.parametrize(
    "roles", ["Admin", None, 5, True, [1], ["Admin", 1], [["Admin"]], {"Admin": 1}, [""], [None]]
)
def test_C17_roles_that_are_no_list_of_texts_are_refused(roles: Any) -> None:
    """Guessing "no roles" would take roles away, or give the default one, in silence."""
    assert refused_check(roles=roles) == "roles"


def test_C17_ten_thousand_roles_are_refused_and_two_thousand_are_not() -> None:
    """The number is bounded well above what Entra can assign."""
    assert len(verified(roles=[f"r{index}" for index in range(2000)]).roles) == 2000
    assert refused_check(roles=[f"r{index}" for index in range(2001)]) == "roles"
    assert refused_check(roles=["r"] * 10_000) == "size"
    assert refused_check(roles=["r" * 257]) == "roles"


@pytest.mark.parametrize("roles", [ABSENT, []])
def test_C17_no_roles_are_no_roles(roles: Any) -> None:
    """Entra leaves the claim out when nothing is assigned."""
    assert verified(roles=roles).roles == frozenset()


def test_C18_roles_are_kept_to_the_letter() -> None:
    """No trimming, no folding: a look-alike stays another role."""
    odd = ["admin ", "ADMIN", "Admin\u200b", "Аdmin"]
    assert verified(roles=odd).roles == frozenset(odd)
    assert "Admin" not in verified(roles=odd).roles


# --- C19: groups ---

GROUP = "11111111-2222-3333-4444-555555555555"


def test_C19_groups_are_kept_with_object_ids_in_lower_case() -> None:
    """A registration may send names instead of ids; those are kept to the letter."""
    assert verified(groups=[GROUP.upper().replace("1", "A"), "CONTOSO\\Ops"]).groups == {
        GROUP.replace("1", "a"),
        "CONTOSO\\Ops",
    }
    assert verified(groups=[]).groups == frozenset()


@pytest.mark.parametrize(
    "said",
    [
        {
            "_claim_names": {"groups": "src1"},
            "_claim_sources": {"src1": {"endpoint": "https://mallory.test/x"}},
        },
        {"_claim_names": {"groups": "src1"}},
        {"_claim_names": {"groups": None}},
        {"hasgroups": True},
        {"hasgroups": "true"},
        {"hasgroups": None},
        {"groups": [GROUP], "_claim_names": {"groups": "src1"}},
    ],
    ids=repr,
)
def test_C19_overage_is_seen_and_the_address_in_the_token_is_not_kept(said: dict[str, Any]) -> None:
    """The token only says that Graph must be asked; where Graph is, the settings say."""
    found = verified(**said)
    assert found.has_group_overage
    assert "mallory" not in repr(dataclasses.asdict(found))


@pytest.mark.parametrize(
    "said", [{}, {"_claim_names": {}}, {"_claim_names": {"roles": "src1"}}, {"hasgroups": False}]
)
def test_C19_without_overage_there_is_none(said: dict[str, Any]) -> None:
    """Other distributed claims are none of our business."""
    assert not verified(**said).has_group_overage


@pytest.mark.parametrize("groups", ["x", None, [5], {}, [""], [[GROUP]]])
def test_C19_groups_of_a_wrong_shape_are_refused(groups: Any) -> None:
    """No guess is made about what was meant."""
    assert refused_check(groups=groups) == "groups"


@pytest.mark.parametrize("names", [None, "groups", ["groups"], 5])
def test_C19_claim_names_of_a_wrong_shape_are_refused(names: Any) -> None:
    """Whether groups are missing could not be told."""
    assert refused_check(_claim_names=names) == "groups"


# --- what is only shown, and what is only kept ---


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Ada", "Ada"),
        ("  Ada\u00a0 ", "Ada"),
        ("<script>", "<script>"),
        ("Ada\x00\x1b[31m\r\nX-Evil: 1", "Ada[31mX-Evil: 1"),
        ("Ada \u202egnp.exe", "Ada gnp.exe"),
        ("😀 Ådá", "😀 Ådá"),
        ("x" * 10_000, "x" * 256),
        ("\x00", "ada@contoso.test"),
        (None, "ada@contoso.test"),
        (5, "ada@contoso.test"),
        (ABSENT, "ada@contoso.test"),
    ],
)
def test_C24_a_name_is_cleaned_for_showing(name: Any, shown: str) -> None:
    """Control characters and direction overrides go, markup stays text, length is bounded."""
    assert verified(name=name).name == shown


def test_a_person_without_any_name_has_an_empty_one() -> None:
    """Nobody is refused for having no name."""
    found = verified(name=ABSENT, preferred_username=ABSENT)
    assert found.name == ""
    assert found.preferred_username is None
    assert verified(preferred_username="\x00").preferred_username is None


@pytest.mark.parametrize("claim", ["sid", "uti"])
@pytest.mark.parametrize("value", [None, "", 5, ["a"], "a\n", "a" * 257])
def test_an_identifier_of_a_wrong_shape_is_refused(claim: str, value: Any) -> None:
    """A sid that cannot be compared later would make sign-out at Entra miss this session."""
    assert refused_check(**{claim: value}) == claim


@pytest.mark.parametrize(
    ("hint", "kept"), [("O.Ci", "O.Ci"), (ABSENT, None), (5, None), ("a\r\nb", None), ("a" * 2049, None)]
)
def test_A21_a_login_hint_that_cannot_stand_in_an_address_is_dropped(hint: Any, kept: str | None) -> None:
    """It only saves a click at sign-out."""
    assert verified(login_hint=hint).login_hint == kept


def test_sid_and_uti_may_be_absent() -> None:
    """The registration must ask for sid."""
    found = verified(sid=ABSENT, uti=ABSENT)
    assert (found.session_id, found.token_id) == (None, None)


# --- whatever comes in ---


@pytest.mark.parametrize(
    "raw",
    [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "\x00",
        "null",
        "[]",
        "eyJ",
        "🎟.🎟.🎟",
        "\ud800",
        "a" * 10**6,
        "." * 65_536,
    ],
)
def test_rubbish_is_refused_as_a_token(raw: str) -> None:
    """What is no token at all ends in the same kind of refusal."""
    assert refusal(raw).check in ("form", "size", "json")


@settings(deadline=None)
@given(st.text() | st.from_regex(r"[\w-]{0,40}\.[\w-]{0,40}\.[\w-]{0,40}", fullmatch=True))
def test_no_text_raises_anything_but_an_error_of_ours(raw: str) -> None:
    """Fuzzed: whatever stands in place of a token."""
    with pytest.raises(EntradaError):
        verify(raw)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KNOWN_CLAIMS = sorted(
    {
        *claims(),
        *(
            "azp",
            "roles",
            "groups",
            "_claim_names",
            "hasgroups",
            "acct",
            "idp",
            "acrs",
            "auth_time",
            "at_hash",
        ),
        *("c_hash", "xms_edov", "email_verified", "login_hint", "upn"),
    }
)


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(st.sampled_from(KNOWN_CLAIMS), JSON_VALUES, min_size=1, max_size=4))
def test_no_signed_claims_raise_anything_but_an_error_of_ours(changes: dict[str, Any]) -> None:
    """Fuzzed: any JSON value in any claim, under a good signature, gives a token or a refusal."""
    try:
        found = verify(token(**changes))
    except EntradaError:
        return
    assert (found.tenant_id, found.audience, found.nonce) == (TENANT, CLIENT_ID, NONCE)
    repr(found).encode()


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "jwk", "x5c", "zip", "x"]), JSON_VALUES))
def test_no_header_raises_anything_but_an_error_of_ours(changes: dict[str, Any]) -> None:
    """Fuzzed: any JSON value in any header member."""
    try:
        verify(token(head=changes))
    except EntradaError:
        return


def test_no_refusal_quotes_the_token() -> None:
    """Whatever is refused, neither sentence nor hint nor detail repeats a value of the token."""
    secret = "s3cr3t-value"
    for name in KNOWN_CLAIMS:
        said = ""
        try:
            verify(token(**{name: secret}))
        except EntradaError as refused:
            said = f"{refused} {refused.hint} {getattr(refused, 'detail', '')}"
        assert secret not in said


def test_expectations_are_made_of_values() -> None:
    """The walk hands over values, never settings."""
    assert [field.name for field in dataclasses.fields(IdTokenExpectations)] == [
        "issuer_template",
        "client_id",
        "allowed_tenants",
        "nonce",
        "max_age",
        "auth_contexts",
        "is_one_issuer",
        "skew",
        "oldest_issue",
    ]


BROKER = "https://login.example.test"
FROM_BROKER: dict[str, Any] = {"issuer_template": BROKER, "is_one_issuer": True}
AT_BROKER = dataclasses.replace(EXPECTED, **FROM_BROKER)


def test_a_broker_is_one_issuer_for_the_one_tenant_that_is_allowed() -> None:
    """Its token is taken for the tenant in `tid`, and only from exactly that issuer."""
    keys = key_set(jwk(issuer=ABSENT))
    assert verify(token(iss=BROKER), keys=keys, **FROM_BROKER).tenant_id == TENANT
    for other in (BROKER + "/", f"{BROKER}/{TENANT}/v2.0", ISSUER):
        assert refusal(token(iss=other), keys=keys, **FROM_BROKER).check == "iss"


def test_a_brokers_token_of_another_tenant_is_refused_a7() -> None:
    """A7: an installation of tenant A takes nobody of tenant B, though the issuer is the same."""
    with pytest.raises(TenantRefused):
        verify(token(iss=BROKER, tid=OTHER_TENANT), keys=key_set(jwk(issuer=ABSENT)), **FROM_BROKER)


@pytest.mark.parametrize(
    "odd",
    [
        {"issuer_template": BROKER + "/{tenantid}"},
        {"allowed_tenants": frozenset({TENANT, OTHER_TENANT})},
        {"is_one_issuer": False},
    ],
    ids=str,
)
def test_one_issuer_goes_with_one_tenant(odd: dict[str, Any]) -> None:
    """Anything between the two readings cannot be made."""
    with pytest.raises(ValueError):
        dataclasses.replace(AT_BROKER, **odd)
