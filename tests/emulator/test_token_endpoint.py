"""The token endpoint: grants, clients and refusals."""

from __future__ import annotations

import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor

import pytest

from emulator.relying_party import CALLBACK, Entra, code_of, header, payload
from entrada.emulator.seed import CLIENT_ID, CLIENT_SECRET, FABRIKAM_ID, SECOND_CLIENT_SECRET
from entrada.emulator.state.codes import _MOST_REMEMBERED, Codes
from entrada.emulator.state.grant import Grant

OTHER_CLIENT = "e0000000-0000-4000-8000-0000000000ee"
API = f"api://{CLIENT_ID}/.default"


def test_the_errors_shape(entra: Entra) -> None:
    """Every member of Entra's error, the description in one line with its ids and time."""
    response = entra.redeem("nonsense")
    body = response.json()
    assert set(body) == {"error", "error_description", "error_codes", "timestamp", "trace_id",
                         "correlation_id", "error_uri", "suberror"}  # fmt: skip
    assert body["error"] == "invalid_grant"
    assert body["error_description"].startswith(f"AADSTS{body['error_codes'][0]}: ")
    trace, correlation, timestamp = (body[name] for name in ("trace_id", "correlation_id", "timestamp"))
    ids = f"Trace ID: {trace} Correlation ID: {correlation} Timestamp: {timestamp}"
    assert body["error_description"].endswith(ids)
    assert response.status_code == 400


def test_a_code_is_redeemed_once(entra: Entra) -> None:
    """The second redemption is 54005."""
    code = entra.sign_in()["code"]
    assert entra.redeem(code).status_code == 200
    assert code_of(entra.redeem(code)) == 54005


def test_two_redemptions_at_once_make_one_answer(entra: Entra) -> None:
    """I4: of ten concurrent redemptions exactly one succeeds."""
    code = entra.sign_in()["code"]
    with ThreadPoolExecutor(10) as pool:
        statuses = list(pool.map(lambda _: entra.redeem(code).status_code, range(10)))
    assert sorted(statuses) == [200, *[400] * 9]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"code_verifier": "b" * 43}, 501481),
        ({"code_verifier": None}, 50148),
        ({"redirect_uri": "http://localhost:5000/oauth"}, 500112),
        ({"redirect_uri": None}, 500112),
        ({"client_secret": "wrong"}, 7000215),
        ({"client_secret": None}, 7000218),
        ({"client_id": None}, 900144),
        ({"client_id": OTHER_CLIENT}, 700016),
        ({"grant_type": "implicit"}, 70003),
        ({"code": None}, 900144),
    ],
)
def test_a_wrong_redemption_spends_nothing(entra: Entra, changes: dict[str, str | None], code: int) -> None:
    """Each mistake has its code, and the right request works afterwards."""
    granted = entra.sign_in()["code"]
    response = entra.redeem(granted, **changes)
    assert code_of(response) == code
    assert response.status_code == (401 if code in (7000215, 7000218) else 400)
    assert entra.redeem(granted).status_code == 200


def test_a_verifier_without_a_challenge(entra: Entra) -> None:
    """A code asked for without PKCE takes no verifier: 50147."""
    code = entra.sign_in(code_challenge=None, code_challenge_method=None)["code"]
    assert code_of(entra.redeem(code)) == 50147
    assert entra.redeem(code, code_verifier=None).status_code == 200


def test_a_code_of_another_client_or_tenant(entra: Entra) -> None:
    """700009 for another client, 700005 at another tenant's endpoint."""
    other = entra.emulator.add_app("Other", client_id=OTHER_CLIENT, audience="AzureADMultipleOrgs",
                                   secrets=[{"value": "other"}], web_redirect_uris=[CALLBACK])  # fmt: skip
    code = entra.sign_in()["code"]
    assert code_of(entra.redeem(code, client_id=other.client_id, client_secret="other")) == 700009
    entra.emulator.change_app(CLIENT_ID, audience="AzureADMultipleOrgs")
    response = entra.token(tenant=FABRIKAM_ID, grant_type="authorization_code", code=code,
                           redirect_uri=CALLBACK, code_verifier="a" * 43)  # fmt: skip
    assert code_of(response) == 700005


def test_codes_expire(entra: Entra) -> None:
    """After ten minutes: 70008."""
    code = entra.sign_in()["code"]
    entra.emulator.clock(601)
    assert code_of(entra.redeem(code)) == 70008


def test_redemption_at_organizations(entra: Entra) -> None:
    """Mage redeems a tenant's code at organizations, with a form parameter more."""
    code = entra.sign_in(redirect_uri="http://localhost:6789/oauth", code_challenge=None,
                         code_challenge_method=None, scope="User.Read", nonce=None)["code"]  # fmt: skip
    response = entra.token(tenant="organizations", grant_type="authorization_code", code=code,
                           redirect_uri="http://localhost:6789/oauth", tenant_id="x")  # fmt: skip
    assert response.status_code == 200
    assert "id_token" not in response.json()
    assert response.json()["access_token"]


def test_get_is_refused(entra: Entra) -> None:
    """The Back button: 900561."""
    assert code_of(entra.http.get(entra.url("oauth2/v2.0/token"))) == 900561


def test_both_secrets_and_basic(entra: Entra) -> None:
    """Two secrets are good at once, by post and by Basic, form-encoded inside."""
    form = {"grant_type": "client_credentials", "scope": API}
    assert entra.token(**form, client_secret=SECOND_CLIENT_SECRET).status_code == 200
    url = entra.url("oauth2/v2.0/token")
    assert entra.http.post(url, data=form, auth=(CLIENT_ID, CLIENT_SECRET)).status_code == 200
    odd = "a+%&=:~é"
    entra.emulator.change_app(CLIENT_ID, secrets=[{"value": odd}])
    encoded = b64encode(f"{CLIENT_ID}:a%2B%25%26%3D%3A~%C3%A9".encode()).decode()
    assert entra.http.post(url, data=form, headers={"Authorization": f"Basic {encoded}"}).status_code == 200
    assert entra.token(**form, client_secret=odd).status_code == 200


def test_an_expired_secret(entra: Entra) -> None:
    """7000222 for a secret past its end, 401."""
    entra.emulator.change_app(CLIENT_ID, secrets=[{"value": "old", "expires": time.time() - 1}])
    response = entra.token(grant_type="client_credentials", scope=API, client_secret="old")
    assert (response.status_code, code_of(response)) == (401, 7000222)


def test_client_credentials(entra: Entra) -> None:
    """The token has the live service's members and is the application's own."""
    answer = entra.token(grant_type="client_credentials", scope=API).json()
    assert set(answer) == {"token_type", "expires_in", "ext_expires_in", "access_token"}
    claims = payload(answer["access_token"])
    assert set(claims) == {"aio", "aud", "azp", "azpacr", "exp", "iat", "iss", "nbf", "oid", "rh", "sub",
                           "tid", "uti", "ver", "xms_ftd"}  # fmt: skip
    assert claims["aud"] == CLIENT_ID
    assert claims["sub"] == claims["oid"]
    assert set(header(answer["access_token"])) == {"typ", "alg", "kid"}


@pytest.mark.parametrize(
    ("scope", "code"),
    [("User.Read", 1002012), ("api://nobody/.default", 500011), ("", 900144), (f"{API} {API}", 1002012)],
)
def test_client_credentials_need_default(entra: Entra, scope: str, code: int) -> None:
    """Only one resource's .default will do."""
    assert code_of(entra.token(grant_type="client_credentials", scope=scope)) == code


def test_refreshing_keeps_the_old_token_good(entra: Entra) -> None:
    """Each use gives a new refresh token; the one before still works; no nonce in the new ID token."""
    first = entra.tokens()
    second = entra.token(grant_type="refresh_token", refresh_token=first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert entra.token(grant_type="refresh_token", refresh_token=first["refresh_token"]).status_code == 200
    before, after = payload(first["id_token"]), payload(second["id_token"])
    assert "nonce" not in after
    assert {name: before[name] for name in ("sub", "oid", "tid", "iss", "aud", "sid")} == {
        name: after[name] for name in ("sub", "oid", "tid", "iss", "aud", "sid")
    }


def test_without_offline_access_there_is_no_refresh_token(entra: Entra) -> None:
    """A refresh token is given when the sign-in asked for `offline_access`, and only then."""
    assert "refresh_token" in entra.tokens(scope="openid offline_access")
    assert "refresh_token" not in entra.tokens(scope="openid profile")


def test_a_refreshed_id_token_says_what_is_true_now(entra: Entra) -> None:
    """Roles and groups given or taken since the sign-in, and a new name, are in the next ID token."""
    first = entra.tokens("ed@contoso.test")
    assert payload(first["id_token"])["roles"] == ["Editor"]

    def refreshed() -> dict[str, object]:
        answer = entra.token(grant_type="refresh_token", refresh_token=first["refresh_token"]).json()
        return payload(answer["id_token"])

    entra.emulator.change_person("ed@contoso.test", roles=["Viewer"], display_name="Edgar Codd")
    assert (refreshed()["roles"], refreshed()["name"]) == (["Viewer"], "Edgar Codd")
    entra.emulator.change_person("ed@contoso.test", roles=[], groups=[])
    assert not {"roles", "groups"} & set(refreshed())


def test_a_password_reset_ends_refresh_tokens(entra: Entra) -> None:
    """After an administrator's reset the grant is 50173; any other change leaves it good."""
    token = entra.tokens("ed@contoso.test")["refresh_token"]
    entra.emulator.change_person("ed@contoso.test", job_title="Editor")
    assert entra.token(grant_type="refresh_token", refresh_token=token).status_code == 200
    entra.emulator.change_person("ed@contoso.test", password="Another-1")
    body = entra.token(grant_type="refresh_token", refresh_token=token).json()
    assert (body["error"], body["error_codes"]) == ("invalid_grant", [50173])


def test_ends_of_a_refresh_token(entra: Entra) -> None:
    """Disabled 50057, revoked 50173, deleted 50034, unused for 90 days 700082, foreign client 70000."""

    def refresh() -> int:
        return code_of(entra.token(grant_type="refresh_token", refresh_token=token))

    emulator = entra.emulator
    token = entra.tokens("ed@contoso.test")["refresh_token"]
    emulator.change_person("ed@contoso.test", enabled=False)
    assert refresh() == 50057
    emulator.change_person("ed@contoso.test", enabled=True)
    emulator.revoke_sessions("ed@contoso.test")
    assert refresh() == 50173
    token = entra.tokens("vi@contoso.test")["refresh_token"]
    emulator.clock(91 * 24 * 3600)
    assert refresh() == 700082
    emulator.clock(0)
    emulator.remove_person("vi@contoso.test")
    assert refresh() == 50034
    response = entra.token(grant_type="refresh_token", refresh_token="1.Anonsense")
    assert (code_of(response), response.json()["error"]) == (70000, "invalid_grant")


def test_a_client_that_loops_is_stopped(entra: Entra) -> None:
    """With a limit, the same request once too often within a minute is 50196; another one is answered."""
    first = entra.tokens()["refresh_token"]
    entra.emulator.limit_loops(3)

    def refreshed(token: str) -> int:
        answer = entra.token(grant_type="refresh_token", refresh_token=token)
        return 0 if answer.status_code == 200 else code_of(answer)

    assert [refreshed(first) for _ in range(5)] == [0, 0, 0, 50196, 50196]
    assert refreshed("1.Aother") == 70000
    entra.emulator.clock(61)
    assert refreshed(first) == 0
    entra.emulator.reset()
    assert [refreshed("1.Aother") for _ in range(5)] == [70000] * 5


def test_sign_in_frequency(entra: Entra) -> None:
    """A refresh beyond the policy's time is 70043, and the session no longer signs in silently."""
    entra.emulator.change_person("ed@contoso.test", sign_in_frequency_seconds=3600)
    token = entra.tokens("ed@contoso.test")["refresh_token"]
    entra.emulator.clock(3601)
    assert code_of(entra.token(grant_type="refresh_token", refresh_token=token)) == 70043
    assert code_of(entra.authorize(prompt="none")) == 50058


def test_a_blocked_person_cannot_refresh(entra: Entra) -> None:
    """53003 as invalid_grant with suberror and a claims challenge."""
    token = entra.tokens("ed@contoso.test")["refresh_token"]
    entra.emulator.change_person("ed@contoso.test", conditional_access="block")
    body = entra.token(grant_type="refresh_token", refresh_token=token).json()
    assert body["error"] == "invalid_grant"
    assert body["error_codes"] == [53003]
    assert body["suberror"] == "message_only"
    assert "capolids" in body["claims"]


def test_single_page_applications(entra: Entra) -> None:
    """A SPA redirect's codes need PKCE and an Origin, others refuse one; refresh tokens live a day."""
    entra.emulator.change_app(CLIENT_ID, spa_redirect_uris=["http://localhost/spa"])
    spa = {"redirect_uri": "http://localhost:3000/spa"}
    code = entra.sign_in(**spa)["code"]
    assert code_of(entra.redeem(code, client_secret=None, **spa)) == 9002327
    bare = entra.sign_in(**spa, code_challenge=None, code_challenge_method=None)["code"]
    assert code_of(entra.redeem(bare, client_secret=None, code_verifier=None, **spa)) == 9002325
    form = {"client_id": CLIENT_ID, "grant_type": "authorization_code", "code": code,
            "code_verifier": "a" * 43, **spa}  # fmt: skip
    url, origin = entra.url("oauth2/v2.0/token"), {"Origin": "http://localhost:3000"}
    answer = entra.http.post(url, data=form, headers=origin)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    entra.emulator.clock(24 * 3600 + 60)
    refresh = {"client_id": CLIENT_ID, "grant_type": "refresh_token",
               "refresh_token": answer.json()["refresh_token"]}  # fmt: skip
    assert code_of(entra.http.post(url, data=refresh, headers=origin)) == 700084
    entra.emulator.clock(0)
    web = entra.sign_in()["code"]
    form = {**form, "code": web, "redirect_uri": CALLBACK}
    assert code_of(entra.http.post(url, data=form, headers=origin)) == 9002326


def test_public_clients(entra: Entra) -> None:
    """A public client redeems without a secret and may not send one: 700025."""
    app = entra.emulator.add_app("Phone", public_client=True, admin_consented=["User.Read"],
                                 public_redirect_uris=["http://localhost/phone"])  # fmt: skip
    phone = {"client_id": app.client_id, "redirect_uri": "http://localhost:9/phone"}
    code = entra.sign_in(**phone)["code"]
    assert code_of(entra.redeem(code, **phone, client_secret="x")) == 700025
    assert entra.redeem(code, **phone, client_secret=None).status_code == 200


def test_the_password_grant_is_off_until_switched_on(entra: Entra) -> None:
    """Then it knows wrong and expired passwords and the policies."""

    def ask(name: str, password: str = "Emulated-1") -> int:
        response = entra.token(
            grant_type="password", username=name, password=password, scope="openid User.Read"
        )
        return 0 if response.status_code == 200 else code_of(response)

    assert ask("ada@contoso.test") == 70003
    entra.emulator.allow_password_grant()
    assert ask("ada@contoso.test") == 0
    assert ask("ada@contoso.test", "wrong") == 50126
    assert ask("nobody@contoso.test") == 50034
    assert ask("dan@contoso.test") == 50057
    assert ask("mia@contoso.test") == 50076
    assert ask("carla@contoso.test") == 53003
    entra.emulator.change_person("ed@contoso.test", password_expired=True)
    assert ask("ed@contoso.test") == 50055


def test_version_1(entra: Entra) -> None:
    """The older endpoints answer with version 1 tokens and texts where numbers are now."""
    response = entra.authorize(version=1, login_hint="ada@contoso.test", _emulator_approve="1", scope="",
                               resource="https://graph.microsoft.com")  # fmt: skip
    from emulator.relying_party import answered

    answer = entra.token(version=1, grant_type="authorization_code", code=answered(response)["code"],
                         redirect_uri=CALLBACK, code_verifier="a" * 43).json()  # fmt: skip
    assert isinstance(answer["expires_in"], str)
    claims = payload(answer["id_token"])
    assert claims["ver"] == "1.0"
    assert claims["iss"].endswith("1/")
    assert claims["upn"] == "ada@contoso.test"
    assert claims["amr"] == ["pwd"]
    assert payload(answer["access_token"])["aud"] == "https://graph.microsoft.com"


def test_very_many_codes_are_not_all_remembered() -> None:
    """The oldest codes are forgotten in the end, redeemed or not; the newest one is good."""
    codes = Codes()
    grant = Grant("t", "c", "o", "openid", "sid", 0.0, False, 0.0, 0.0)
    first = codes.issue(grant)
    assert codes.redeem(first)
    for _ in range(_MOST_REMEMBERED):
        last = codes.issue(grant)
    assert codes.grant_of(first) is None
    assert codes.grant_of(last) == grant
    assert (codes.redeem(last), codes.redeem(last)) == (True, False)


@pytest.mark.parametrize(
    ("asked", "has"),
    [
        pytest.param("email", set(), id="K7 email alone"),
        pytest.param("openid", {"id_token"}, id="K7 openid"),
        pytest.param("offline_access User.Read", {"refresh_token"}, id="K7 offline_access"),
        pytest.param("User.Read", set(), id="K7 a permission"),
        pytest.param(None, {"id_token", "refresh_token"}, id="K7 no scope: all that was granted"),
        pytest.param("openid profile email offline_access", {"id_token", "refresh_token"}, id="K7 all"),
    ],
)
@pytest.mark.parametrize("again", [False, True], ids=["code", "refresh token"])
def test_k7_tokens_are_narrowed_to_what_is_asked(
    entra: Entra, asked: str | None, has: set[str], again: bool
) -> None:
    """The scope of the redemption, or of the refresh, is taken literally; without one the grant's counts."""
    if again:
        known = entra.tokens()["refresh_token"]
        answer = entra.token(grant_type="refresh_token", refresh_token=known, scope=asked).json()
    else:
        answer = entra.redeem(entra.sign_in()["code"], scope=asked).json()
    assert {"id_token", "refresh_token"} & set(answer) == has
    assert "access_token" in answer


@pytest.mark.parametrize(
    "scope",
    [
        pytest.param(f"openid profile offline_access {API}", id="K8 before"),
        pytest.param(f"{API} openid profile offline_access", id="K8 behind"),
        pytest.param(f"openid {API} email", id="K8 around"),
        pytest.param(f"  {API}  ", id="K8 spaces"),
        pytest.param("openid https://graph.microsoft.com/.default", id="K8 Graph"),
    ],
)
def test_k8_reserved_scopes_beside_default_mean_nothing(entra: Entra, scope: str) -> None:
    """Client credentials take the OpenID scopes that several clients always send, and ignore them."""
    answer = entra.token(grant_type="client_credentials", scope=scope)
    assert answer.status_code == 200
    assert "id_token" not in answer.json()


@pytest.mark.parametrize(
    ("scope", "code"),
    [("openid profile", 1002012), (f"{API} User.Read", 1002012), ("   ", 900144), ("OPENID", 1002012)],
)
def test_k8_anything_else_beside_default_is_refused(entra: Entra, scope: str, code: int) -> None:
    """A scope without a resource's .default, or with another scope beside it, is none for an application."""
    assert code_of(entra.token(grant_type="client_credentials", scope=scope)) == code


def test_k41_an_empty_client_id_is_no_identifier(entra: Entra) -> None:
    """The id of zeros is AADSTS700038, an unknown one 700016; the first answer has no error_uri."""
    nobody, unknown = "00000000-0000-0000-0000-000000000000", "00000000-0000-4000-8000-000000000001"
    for client_id, code in ((nobody, 700038), (unknown, 700016)):
        assert code_of(entra.authorize(client_id=client_id)) == code
        refused = entra.token(client_id=client_id, grant_type="client_credentials", scope=API)
        assert code_of(refused) == code
        assert ("error_uri" in refused.json()) == (code == 700016)
