"""ID tokens spoiled in one place each, by Entra's emulator, over the wire: cases B1 to B28.

The vectors of `tests/entra` try every check in every form; here each check is met by a whole sign-in, which
must end with a page, one log line and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from entrada.emulator import RunningEmulator
from walks.conftest import NewVisitor, NewWatch, Serve
from walks.visitor import Visitor

OTHER = "99999999-7777-4666-8555-444433332222"
PERSONAL = "9188040d-6c67-4c5b-b112-36a304b66dad"
NOW = int(time.time())

SignInSpoiled = Callable[..., str]


@pytest.fixture
def refused(visitor: Visitor, emulator: RunningEmulator, pat: Any, watch: NewWatch) -> SignInSpoiled:
    """`refused("iss", set={"iss": …})`: a sign-in with that ID token is refused; the text of its page."""

    def sign_in(*checks: str, code: str = "id_token_refused", status: int = 400, **spoiled: Any) -> str:
        visitor.begin()
        visitor.approve_as(pat)
        emulator.fail("tamper", target="id_token", **spoiled)
        watching = watch(visitor)
        page = watching.refused(visitor.complete(), status, code, token_requests=1)
        (line,) = watching.events
        if checks:
            assert any(f" check={check} " in f"{line} " for check in checks), line
        assert visitor.pending == {}
        assert visitor.whoami() is None
        return page

    return sign_in


@pytest.mark.parametrize(
    "spoiled",
    [
        {"signature": "none"},
        {"signature": "none", "header_set": {"alg": "None"}},
        {"signature": "empty", "header_set": {"alg": "nOnE"}},
        {"signature": "empty", "header_set": {"alg": ""}},
        {"signature": "empty", "header_remove": ["alg"]},
        {"header_set": {"alg": None}},
        {"header_set": {"alg": ["RS256"]}},
    ],
)
def test_B1_unsigned(spoiled: dict[str, Any], refused: SignInSpoiled) -> None:
    """A token that says it is unsigned, in any spelling, is refused."""
    refused("alg", "form", **spoiled)


def test_B2_public_key_as_hmac_secret(refused: SignInSpoiled) -> None:
    """HS256 with the public key for a secret is refused."""
    refused("alg", signature="hs256_public_key")


@pytest.mark.parametrize("signature", ["hs256", "hs256_corrupt"])
def test_B3_client_secret_as_hmac_secret(signature: str, refused: SignInSpoiled) -> None:
    """HS256 with the client secret, right or wrong, is refused."""
    refused("alg", signature=signature)


@pytest.mark.parametrize("signature", ["es256", "rs512", "ps256"])
def test_B3_other_algorithms(signature: str, refused: SignInSpoiled) -> None:
    """Good algorithms that Entra does not use are refused."""
    refused("alg", signature=signature)


@pytest.mark.parametrize("signature", ["corrupt", "empty"])
def test_B4_wrong_signature(signature: str, refused: SignInSpoiled) -> None:
    """One bit of the signature changed, or no signature: refused."""
    refused("signature", "form", signature=signature)


@pytest.mark.parametrize("header", ["jku", "x5u", "jwk", "x5c"])
def test_B5_key_in_the_header(
    header: str, refused: SignInSpoiled, visitor: Visitor, pat: Any, emulator: RunningEmulator
) -> None:
    """A key that the token brings along, or the address of one, is neither used nor fetched."""
    visitor.sign_in_as(pat)  # so that the site has its keys
    visitor.jar.cookies.clear()
    emulator.clear_requests()
    value: Any = f"{emulator.https_url}/bring-your-own" if header.endswith("u") else {"kty": "RSA"}
    refused(signature="corrupt", header_set={header: [value] if header == "x5c" else value})
    assert [request for request in emulator.requests if request.endpoint not in ("authorize", "token")] == []


def test_B6_unknown_key(refused: SignInSpoiled) -> None:
    """A good signature by a key that Entra does not publish is refused."""
    assert "Microsoft may have changed its signing keys" in refused("kid", signature="unknown_key")


@pytest.mark.parametrize(
    "kid",
    ["../../x", "' OR 1=1 --", "\u0000", "\ud800", "", "é", "k" * 100_000, 7, None, ["a"], {"a": 1}],
    ids=lambda kid: repr(kid)[:12],
)
def test_B7_odd_kid(kid: Any, refused: SignInSpoiled) -> None:
    """Whatever stands in kid, the token is refused and nothing breaks."""
    refused("kid", "form", "json", "size", header_set={"kid": kid})


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["unknown"], "unknown": 1},
        {"crit": []},
        {"crit": ["b64"], "b64": True},
        {"crit": "exp"},
        {"zip": "DEF"},
        {"b64": False, "crit": ["b64"]},
    ],
)
def test_B10_critical_header_parameters(header: dict[str, Any], refused: SignInSpoiled) -> None:
    """A header parameter that must be understood, or an empty list of such, is refused."""
    refused(header_set=header)


def test_B12_token_over_64_kB(refused: SignInSpoiled) -> None:
    """A genuine token of more than 64 kB is refused before it is read."""
    refused("size", set={"padding": "x" * 70_000})


@pytest.mark.parametrize("name", ["sub", "iss", "aud", "exp", "nonce", "oid", "tid", "roles"])
def test_B14_doubled_member(name: str, refused: SignInSpoiled) -> None:
    """A signed token with a member twice is refused: readers differ about which one counts."""
    refused("json", "nonce", duplicate={name: "something else"})


@pytest.mark.parametrize(
    "issuer",
    [
        "",
        None,
        7,
        [],
        "https://login.microsoftonline.com/{tenantid}/v2.0",
        f"https://login.microsoftonline.com/{OTHER}/v2.0",
        "https://sts.windows.net/c0000000-0000-4000-8000-000000000001/",
    ],
)
def test_B15_other_issuer(issuer: Any, refused: SignInSpoiled) -> None:
    """Any issuer but the tenant's own is refused."""
    refused("iss", set={"iss": issuer})


def test_B15_almost_our_issuer(refused: SignInSpoiled, emulator: RunningEmulator, pat: Any) -> None:
    """A slash more, capitals, the http address, a list of it: refused."""
    ours = f"{emulator.https_url}/{pat.tenant_id}/v2.0"
    spelled = (
        f"{ours}/",
        ours.upper(),
        ours.replace("https", "http"),
        [ours],
        f" {ours}",
        ours[:-5],
        f"{ours}#",
    )
    for issuer in spelled:
        refused("iss", set={"iss": issuer})
    refused("iss", remove=["iss"])


def test_B16_token_of_another_tenant(refused: SignInSpoiled, emulator: RunningEmulator) -> None:
    """A good signature of another tenant's issuer does not make it this tenant's."""
    issuer = f"{emulator.https_url}/{OTHER}/v2.0"
    refused("key_issuer", set={"iss": issuer, "tid": OTHER})


@pytest.mark.parametrize("tenant", ["contoso.test", "", None, 7, OTHER, "{tenantid}", "common"])
def test_B17_tid(tenant: Any, refused: SignInSpoiled) -> None:
    """A tid that is no GUID, or not the one of iss, is refused; so is none."""
    refused("tid", "iss", set={"tid": tenant})
    refused("tid", remove=["tid"])


def test_B18_key_of_the_personal_tenant(refused: SignInSpoiled) -> None:
    """The key of the personal-account tenant does not sign for this tenant."""
    refused("kid", "key_issuer", signature="personal_key")


def several_tenants(serve: Serve, emulator: RunningEmulator, *tenants: str, **settings: str) -> Any:
    """A site that several tenants may sign in to."""
    emulator.change_app("Entrada (emulated)", audience="AzureADMultipleOrgs")
    return serve(
        **{
            "ENTRADA_TENANT_ID": "organizations",
            "ENTRADA_ALLOWED_TENANTS": ",".join(tenants),
            **settings,
        }
    )


def test_B18_key_of_the_personal_tenant_among_ours(
    serve: Serve, emulator: RunningEmulator, new_visitor: NewVisitor, pat: Any, watch: NewWatch
) -> None:
    """Where it is published beside the others, the personal tenant's key still signs for that tenant only."""
    visitor = new_visitor(several_tenants(serve, emulator, pat.tenant_id))
    visitor.begin()
    visitor.approve_as(pat)
    emulator.fail("tamper", signature="personal_key")
    watching = watch(visitor)
    watching.refused(visitor.complete(), 400, "id_token_refused", token_requests=1)
    assert " check=key_issuer" in watching.events[0]


def test_B19_personal_accounts(
    serve: Serve, emulator: RunningEmulator, new_visitor: NewVisitor, pat: Any, watch: NewWatch
) -> None:
    """A genuine personal account hears that such accounts are not let in, and what to do."""
    visitor = new_visitor(several_tenants(serve, emulator, pat.tenant_id))
    visitor.begin()
    visitor.approve_as(pat)
    claims = {"tid": PERSONAL, "iss": f"{emulator.https_url}/{PERSONAL}/v2.0"}
    emulator.fail("tamper", set=claims, signature="personal_key")
    watching = watch(visitor)
    page = watching.refused(visitor.complete(), 403, "personal_account_refused", token_requests=1)
    assert "Personal Microsoft accounts are not let in here." in page
    assert "You can fix this" in page


def test_B16_tenant_that_is_not_allowed(
    serve: Serve, emulator: RunningEmulator, new_visitor: NewVisitor, pat: Any, watch: NewWatch
) -> None:
    """Where several tenants may sign in, a genuine person of another one is refused and may not guess."""
    site = several_tenants(serve, emulator, pat.tenant_id)
    visitor = new_visitor(site)
    visitor.begin()
    visitor.approve_as("mallory@fabrikam.test")
    watching = watch(visitor)
    page = watching.refused(visitor.complete(), 403, "tenant_refused", token_requests=1)
    assert "Your organisation is not one of those that may sign in here." in page
    assert visitor.sign_in_as(pat).status_code == 303


@pytest.mark.parametrize("audience", [OTHER, "", None, 7, {"a": 1}, [], [OTHER], [[]]])
def test_B20_aud(audience: Any, refused: SignInSpoiled) -> None:
    """A token for another application, or for none, is refused."""
    refused("aud", set={"aud": audience})
    refused("aud", remove=["aud"])


def test_B20_aud_of_several(refused: SignInSpoiled, emulator: RunningEmulator) -> None:
    """A token for us and another is refused unless it says that it was issued to us."""
    refused("azp", add_audience=OTHER)
    refused("azp", set={"azp": OTHER})


@pytest.mark.parametrize(
    "moment", [0, -1, NOW - 200, "4102444800", True, 1e300, 4102444800.5, [NOW + 60], None, 10**40]
)
def test_B21_exp(moment: Any, refused: SignInSpoiled) -> None:
    """An expiry that is past, or no whole number of seconds, is refused."""
    refused("exp", "json", set={"exp": moment})
    refused("exp", remove=["exp"])


@pytest.mark.parametrize(
    ("claim", "seconds"), [("exp", -4_000), ("nbf", 900), ("iat", 900), ("iat", -7 * 86_400), ("iat", 86_400)]
)
def test_B22_B23_times_out_of_bounds(claim: str, seconds: int, refused: SignInSpoiled) -> None:
    """Beyond the skew a token is refused, and the page speaks of the clock."""
    assert "Check the clock of this server" in refused(claim, shift={claim: seconds})


@pytest.mark.parametrize("seconds", [-90, 90])
def test_B22_clock_within_the_skew(
    seconds: int, visitor: Visitor, emulator: RunningEmulator, pat: Any
) -> None:
    """Entra's clock a minute and a half off does no harm."""
    emulator.clock(seconds)
    assert visitor.sign_in_as(pat).status_code == 303


@pytest.mark.parametrize("seconds", [-7_200, 600])
def test_B22_clock_far_off(
    seconds: int, visitor: Visitor, emulator: RunningEmulator, pat: Any, watch: NewWatch
) -> None:
    """Clocks that are far apart are named as the reason, with how far they are apart."""
    visitor.begin()
    emulator.clock(seconds)
    visitor.approve_as(pat)
    watching = watch(visitor)
    page = watching.refused(visitor.complete(), 400, "id_token_refused")
    assert "Check the clock of this server" in page


@pytest.mark.parametrize("nonce", ["", None, 7, "x" * 64, "\ud800"])
def test_B24_nonce(nonce: Any, refused: SignInSpoiled) -> None:
    """A nonce that is not the one of this sign-in is refused; so is none, whatever the token says of it."""
    refused("nonce", "form", set={"nonce": nonce})
    refused("nonce", "form", remove=["nonce"], set={"nonce_supported": False})


def test_B24_nonce_of_another_sign_in(
    visitor: Visitor, emulator: RunningEmulator, pat: Any, watch: NewWatch
) -> None:
    """The nonce of another sign-in of the same browser is refused."""
    other = visitor.begin()
    visitor.begin()
    visitor.approve_as(pat)
    emulator.fail("tamper", set={"nonce": other.partition("&nonce=")[2].partition("&")[0]})
    watching = watch(visitor)
    watching.refused(visitor.complete(), 400, "id_token_refused")


@pytest.mark.parametrize("subject", ["", None, 5, "\ud800", "s" * 256, ["a"], "a\u0000b"])
def test_B25_sub(subject: Any, refused: SignInSpoiled) -> None:
    """A subject that names nobody is refused."""
    refused("sub", "json", set={"sub": subject})
    refused("sub", remove=["sub"])


@pytest.mark.parametrize("object_id", ["", None, 5, "pat@contoso.test", "c0000000-0000-4000-8000"])
def test_B26_oid(object_id: Any, refused: SignInSpoiled) -> None:
    """Without the person's object id the token is refused, and the page names the fix."""
    assert "ask for the scope profile" in refused("oid", set={"oid": object_id}).replace("`", "")
    refused("oid", remove=["oid"])


@pytest.mark.parametrize("name", ["at_hash", "c_hash"])
@pytest.mark.parametrize("value", ["AAAAAAAAAAAAAAAAAAAAAA", "", None, 7, [], "\ud800", "é"])
def test_B27_hashes(name: str, value: Any, refused: SignInSpoiled) -> None:
    """A hash of code or access token that is there and wrong is refused."""
    refused(name, "form", "json", set={name: value})


@pytest.mark.parametrize("kind", ["logout+jwt", "at+jwt", "JWE", "", 7, None])
def test_B28_typ(kind: Any, refused: SignInSpoiled) -> None:
    """A token of another kind is refused by its header."""
    refused("typ", "form", header_set={"typ": kind})


@pytest.mark.parametrize(
    "claims",
    [
        {"scp": "openid"},
        {"idtyp": "app"},
        {"appid": OTHER},
        {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}},
        {"ver": "1.0"},
        {"ver": None},
    ],
)
def test_B28_claims_of_another_kind(claims: dict[str, Any], refused: SignInSpoiled) -> None:
    """A token with an access token's or logout token's claims, or of version 1, is refused."""
    refused("token_use", "ver", set=claims)


def test_B28_access_token_in_place_of_an_id_token(
    visitor: Visitor, emulator: RunningEmulator, pat: Any, watch: NewWatch
) -> None:
    """The access token in the ID token's place is refused."""
    visitor.begin()
    visitor.approve_as(pat)
    emulator.fail("tamper", target="token_response", set={"id_token": "eyJhbGciOiJSUzI1NiJ9.e30.AAAA"})
    watching = watch(visitor)
    watching.refused(visitor.complete(), 400, "id_token_refused")


@pytest.mark.parametrize(
    "claims",
    [
        {"name": 7, "email": ["a@b.c"], "preferred_username": None},
        {"name": "<b>x</b>\u202e\u0000", "given_name": {}},
        {"exp": 4_102_444_800},
        {"exp": 4_294_967_296},
        {"xms_unknown": {"deep": [[[[1]]]]}},
    ],
)
def test_B32_odd_but_good(
    claims: dict[str, Any], visitor: Visitor, emulator: RunningEmulator, pat: Any
) -> None:
    """Claims that only describe may be odd, and expiry may lie beyond 2038 and 2106."""
    emulator.fail("tamper", set=claims)
    assert visitor.sign_in_as(pat).status_code == 303
    assert visitor.whoami()["object_id"] == pat.object_id
    assert "<b>" not in visitor.open("/auth/account").text


def test_K7_the_code_is_redeemed_with_the_scopes_of_the_request(
    visitor: Visitor, pat: Any, emulator: RunningEmulator
) -> None:
    """A provider that takes the redemption's `scope` literally gives all that was asked for."""
    emulator.clear_requests()
    assert visitor.sign_in_as(pat).status_code == 303
    (asked,) = (one.query for one in emulator.requests if one.endpoint == "authorize")
    (redeemed,) = (one.form for one in emulator.requests if one.endpoint == "token")
    assert set(redeemed["scope"].split()) == set(asked["scope"].split()) >= {"openid", "offline_access"}
