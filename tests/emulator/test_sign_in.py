"""The authorize endpoint and its pages."""

from __future__ import annotations

import re
from urllib.parse import urlencode, urlsplit

import httpx
import pytest

from emulator.relying_party import CALLBACK, Entra, answered, code_of, payload
from entrada.emulator.control.actions import ControlError
from entrada.emulator.seed import CLIENT_ID, FABRIKAM_ID


def _step(entra: Entra, page: httpx.Response, **fields: str) -> httpx.Response:
    """Press a button of a page."""
    action = re.search(r'<form method="post" action="([^"]+)"', page.text)
    reference = re.search(r'name="ctx" value="([^"]+)"', page.text)
    assert action
    assert reference
    return entra.http.post(f"{entra.emulator.http_url}{action[1]}", data={"ctx": reference[1], **fields})


def _object_id(entra: Entra, name: str) -> str:
    return entra.emulator.person(name).object_id


def test_the_picker_shows_who_there_is_and_brings_the_code(entra: Entra) -> None:
    """Without a session the picker lists the tenant's people; picking one answers with code and state."""
    page = entra.authorize()
    assert page.status_code == 200
    assert "Ada Lovelace" in page.text
    assert "Mallory" not in page.text
    response = _step(entra, page, pick=_object_id(entra, "ada@contoso.test"))
    assert response.status_code == 302
    assert response.headers["location"].startswith(f"{CALLBACK}?code=")
    assert answered(response)["state"] == "the-state"
    assert response.headers["referrer-policy"] == "no-referrer"


def test_a_second_sign_in_needs_no_page(entra: Entra) -> None:
    """The session carries on: the next request is answered at once, with the same sid."""
    first = entra.claims()
    second = entra.authorize()
    assert second.status_code == 302
    again = payload(entra.redeem(answered(second)["code"]).json()["id_token"])
    assert again["sid"] == first["sid"]


def test_prompt_none_without_a_session_is_login_required(entra: Entra) -> None:
    """Silent sign-in never shows a page; it goes back with login_required and AADSTS50058."""
    response = entra.authorize(prompt="none")
    assert answered(response)["error"] == "login_required"
    assert code_of(response) == 50058
    entra.sign_in()
    assert "code" in answered(entra.authorize(prompt="none"))


@pytest.mark.parametrize("prompt", ["login", "select_account"])
def test_prompts_that_always_show_the_picker(entra: Entra, prompt: str) -> None:
    """With a session too, login and select_account ask."""
    entra.sign_in()
    assert "Pick an account" in entra.authorize(prompt=prompt).text


def test_prompt_consent_asks_again(entra: Entra) -> None:
    """consent shows the permissions even when all are granted."""
    entra.sign_in()
    page = entra.authorize(prompt="consent")
    assert "Permissions requested" in page.text
    assert "code" in answered(_step(entra, page, action="consent"))


def test_max_age_asks_when_the_session_is_older(entra: Entra) -> None:
    """A session of the past does not do for max_age, and auth_time tells when it was."""
    entra.sign_in()
    entra.emulator.clock(120)
    assert "Pick an account" in entra.authorize(max_age="60").text
    claims = entra.claims(max_age="3600", prompt="login")
    assert "auth_time" in claims


def test_cancel_on_the_picker_is_access_denied(entra: Entra) -> None:
    """Cancel goes back with access_denied, subcode cancel and AADSTS65004."""
    response = _step(entra, entra.authorize(), action="cancel")
    parameters = answered(response)
    assert parameters["error"] == "access_denied"
    assert parameters["error_subcode"] == "cancel"
    assert parameters["state"] == "the-state"
    assert code_of(response) == 65004


def test_declining_without_a_page(entra: Entra) -> None:
    """`_emulator_decline=1` does the same for scripts."""
    response = entra.authorize(_emulator_decline="1")
    assert answered(response)["error"] == "access_denied"


def test_response_modes(entra: Entra) -> None:
    """Fragment puts the answer behind the hash; form_post is a page that posts itself."""
    fragment = entra.authorize(login_hint="ada@contoso.test", _emulator_approve="1", response_mode="fragment")
    assert "code=" in urlsplit(fragment.headers["location"]).fragment
    form = entra.authorize(login_hint="ada@contoso.test", _emulator_approve="1", response_mode="form_post")
    assert form.status_code == 200
    assert f'action="{CALLBACK}"' in form.text
    assert 'name="code"' in form.text
    assert 'name="state" value="the-state"' in form.text
    assert "unsafe-inline" not in form.headers["content-security-policy"]


def test_an_error_is_posted_too(entra: Entra) -> None:
    """oidcc-client-test-form-post-error: max_age=0 with prompt=none posts the error."""
    page = entra.authorize(response_mode="form_post", prompt="none", max_age="0")
    assert 'name="error" value="login_required"' in page.text


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"client_id": "00000000-0000-4000-8000-000000000099"}, 700016),
        ({"client_id": None}, 900144),
        ({"redirect_uri": "http://localhost:5000/elsewhere"}, 50011),
        ({"redirect_uri": "https://evil.example/auth/entra/callback"}, 50011),
        ({"redirect_uri": None}, 900971),
    ],
)
def test_errors_before_the_redirect_uri_is_trusted_stay_here(
    entra: Entra, changes: dict[str, str | None], code: int
) -> None:
    """An unknown client or redirect URI gets a page, never a redirect."""
    response = entra.authorize(**changes)
    assert response.status_code == 200
    assert "location" not in response.headers
    assert code_of(response) == code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"response_type": None}, 900144),
        ({"response_type": "id_token"}, 700054),
        ({"response_type": "token"}, 700051),
        ({"scope": None}, 900144),
        ({"scope": "openid no:such"}, 70011),
        pytest.param({"scope": "   "}, 900144, id="K39 a scope of spaces"),
        pytest.param({"scope": "openid tools.read"}, 650053, id="K39 somebody else's short name"),
        pytest.param({"scope": "access_as_user"}, 650053, id="K39 a word"),
        pytest.param({"scope": "User.Fly"}, 650053, id="K39 no such operation"),
        pytest.param({"scope": "User"}, 650053, id="K39 half a name"),
        pytest.param({"scope": f"api://{CLIENT_ID}/nothing"}, 650053, id="K39 unknown to its resource"),
        pytest.param(
            {"scope": f"api://{CLIENT_ID}/access_as_user", "resource": "https://tool.test/mcp"},
            9010010,
            id="K39 a resource that is nobody's",
        ),
        pytest.param(
            {"scope": "User.Read", "resource": f"api://{CLIENT_ID}"},
            9010010,
            id="K39 a resource of other scopes",
        ),
        pytest.param(
            {"scope": f"api://{CLIENT_ID}/access_as_user", "resource": f"api://{CLIENT_ID}/"},
            9010010,
            id="K39 a slash more",
        ),
        pytest.param(
            {"scope": f"api://{CLIENT_ID}/access_as_user", "resource": f"API://{CLIENT_ID}"},
            9010010,
            id="K39 another case",
        ),
        pytest.param({"scope": "openid", "resource": "https://tool.test"}, 9010010, id="K39 resource alone"),
        ({"scope": "api://unknown/x"}, 500011),
        ({"scope": f"User.Read api://{CLIENT_ID}/access_as_user"}, 28000),
        ({"prompt": "nonsense"}, 90023),
        ({"code_challenge": "short"}, 501491),
        ({"code_challenge_method": "S512"}, 501491),
    ],
)
def test_errors_after_that(entra: Entra, changes: dict[str, str | None], code: int) -> None:
    """What is wrong besides is told, to the application where Entra does."""
    response = entra.authorize(**changes)
    assert code_of(response) == code
    if response.status_code == 302:
        assert answered(response)["state"] == "the-state"


def test_a_parameter_sent_twice_is_refused(entra: Entra) -> None:
    """Two redirect URIs are none."""
    page = entra.http.get(entra.url("oauth2/v2.0/authorize") + f"?client_id={CLIENT_ID}&client_id=x")
    assert code_of(page) == 9000411


def test_a_redirect_uri_with_a_query_is_another_one(entra: Entra) -> None:
    """Mage's address with a query is registered as such and keeps it; no other query will do: 50011."""
    mages = "http://localhost:6789/oauth?provider=active_directory"
    response = entra.authorize(redirect_uri=mages, login_hint="ada@contoso.test", _emulator_approve="1")
    assert response.headers["location"].startswith(f"{mages}&code=")
    for other in ("?provider=okta", "?provider=active_directory&x=1", "?", "?PROVIDER=active_directory"):
        assert code_of(entra.authorize(redirect_uri=f"http://localhost:6789/oauth{other}")) == 50011


def test_any_port_of_localhost_is_the_registered_one(entra: Entra) -> None:
    """Entra ignores the port of localhost, and nothing else."""
    assert entra.authorize(redirect_uri="http://localhost:61234/oauth").status_code == 200
    assert "Pick" in entra.authorize(redirect_uri="http://localhost/oauth").text


@pytest.mark.parametrize(
    "other",
    [
        "https://localhost:1/oauth",
        "http://localhost:1/oauth/",
        "http://localhost.evil:1/oauth",
        "http://localhost:1@evil/oauth",
        "http://LOCALHOST/oauth",
        "http://localhost:1/oauth?x=1",
    ],
)
def test_anything_else_must_be_equal(entra: Entra, other: str) -> None:
    """Scheme, case, a slash or a query more: 50011."""
    assert code_of(entra.authorize(redirect_uri=other)) == 50011


def test_a_disabled_account_stays_on_the_page(entra: Entra) -> None:
    """AADSTS50057 is Entra's own page, with the correlation id; prompt=none brings it back."""
    page = entra.authorize(login_hint="dan@contoso.test", _emulator_approve="1")
    assert code_of(page) == 50057
    assert 'id="correlation-id"' in page.text


def test_conditional_access_blocks_on_the_page_and_returns_when_asked(entra: Entra) -> None:
    """53003 is shown by Entra; `_emulator_errors=redirect` and the page's link bring access_denied."""
    page = entra.authorize(login_hint="carla@contoso.test", _emulator_approve="1")
    assert page.status_code == 200
    assert code_of(page) == 53003
    link = re.search(r'class="button" href="([^"]+)"', page.text)
    assert link
    assert link[1].startswith(f"{CALLBACK}?error=access_denied")
    response = entra.authorize(
        login_hint="carla@contoso.test", _emulator_approve="1", _emulator_errors="redirect"
    )
    assert answered(response)["error"] == "access_denied"
    assert "AADSTS53003" in answered(response)["error_description"]
    assert "Correlation ID: " in answered(response)["error_description"]


def test_the_clients_request_id_is_the_correlation_id(entra: Entra) -> None:
    """A GUID in client-request-id comes back in the error."""
    chosen = "11111111-2222-4333-8444-555555555555"
    response = entra.authorize(prompt="none", **{"client-request-id": chosen})
    assert f"Correlation ID: {chosen}" in answered(response)["error_description"]


def test_mia_types_a_code(entra: Entra) -> None:
    """A second factor is asked for; 000000 is wrong, other six digits right."""
    page = _step(entra, entra.authorize(), pick=_object_id(entra, "mia@contoso.test"))
    assert "Enter code" in page.text
    page = _step(entra, page, action="otp", otp="000000")
    assert "did not work" in page.text
    response = _step(entra, page, action="otp", otp="123456")
    assert "code" in answered(response)
    assert "code" in answered(entra.authorize(prompt="none"))


def test_a_step_up_by_claims_asks_for_the_second_factor(entra: Entra) -> None:
    """`acrs` in the claims request makes anyone show a code, and comes back in the token."""
    claims = '{"id_token":{"acrs":{"essential":true,"value":"c1"}}}'
    entra.sign_in()
    page = entra.authorize(claims=claims)
    assert "Enter code" in page.text
    response = _step(entra, page, action="otp", otp="123456")
    token = entra.redeem(answered(response)["code"]).json()["id_token"]
    assert payload(token)["acrs"] == ["c1"]
    silent = entra.authorize(prompt="none", claims='{"access_token":{"capolids":{"essential":true}}}')
    assert "code" in answered(silent)


def test_silent_step_up_is_interaction_required(entra: Entra) -> None:
    """Without a page the missing factor is interaction_required."""
    entra.sign_in()
    response = entra.authorize(prompt="none", claims='{"id_token":{"acrs":{"value":"c1"}}}')
    assert answered(response)["error"] == "interaction_required"
    assert code_of(response) == 50076


def test_somebody_of_another_tenant_is_refused(entra: Entra) -> None:
    """mallory@fabrikam.test is no guest of Contoso: AADSTS50020; a name nobody has: 50034."""
    page = _step(entra, entra.authorize(), action="name", name="mallory@fabrikam.test")
    assert code_of(page) == 50020
    page = _step(entra, entra.authorize(), action="name", name="nobody@contoso.test")
    assert "AADSTS50034" in page.text
    assert code_of(entra.authorize(login_hint="nobody@contoso.test", _emulator_approve="1")) == 50034


def test_a_name_finds_the_person_never_the_mail_of_another(entra: Entra) -> None:
    """Mallory carries Ada's address; Ada's name still means Ada."""
    assert entra.claims("ada@contoso.test")["name"] == "Ada Lovelace"


def test_single_tenant_applications_are_refused_at_the_shared_endpoints(entra: Entra) -> None:
    """50194 at common and organizations, 700016 in a foreign tenant."""
    assert code_of(entra.authorize(tenant="common")) == 50194
    assert code_of(entra.authorize(tenant="organizations")) == 50194
    assert code_of(entra.authorize(tenant="fabrikam.test")) == 700016


def test_a_multi_tenant_application_takes_both_tenants(entra: Entra) -> None:
    """At organizations people of both tenants sign in; the token says which, after consent."""
    entra.emulator.change_app(CLIENT_ID, audience="AzureADMultipleOrgs")
    page = entra.authorize(tenant="organizations")
    assert "Mallory" in page.text
    assert "Gus Guest" not in page.text
    page = _step(entra, page, pick=_object_id(entra, "mallory@fabrikam.test"))
    assert "Permissions requested" in page.text
    code = answered(_step(entra, page, action="consent"))["code"]
    answer = entra.token(tenant="organizations", grant_type="authorization_code", code=code,
                         redirect_uri=CALLBACK, code_verifier="a" * 43).json()  # fmt: skip
    claims = payload(answer["id_token"])
    assert claims["tid"] == "f0000000-0000-4000-8000-000000000002"
    assert claims["iss"].endswith("/f0000000-0000-4000-8000-000000000002/v2.0")


def test_permissions_that_need_an_administrator(entra: Entra) -> None:
    """Nobody but an administrator consents to .All: 90094; ada may."""
    page = entra.authorize(login_hint="ed@contoso.test", _emulator_approve="1", scope="User.Read.All")
    assert code_of(page) == 90094
    assert "code" in entra.sign_in("ada@contoso.test", scope="User.Read.All")


def test_missing_consent_in_silence(entra: Entra) -> None:
    """prompt=none with a permission nobody granted: consent_required, 65001."""
    entra.sign_in("ed@contoso.test")
    response = entra.authorize(prompt="none", scope="Mail.Read")
    assert answered(response)["error"] == "consent_required"
    assert code_of(response) == 65001


def test_an_assignment_may_be_required(entra: Entra) -> None:
    """With assignment_required Nora, who has no role, meets 50105."""
    entra.emulator.change_app(CLIENT_ID, assignment_required=True)
    assert code_of(entra.authorize(login_hint="nora@contoso.test", _emulator_approve="1")) == 50105
    assert "code" in entra.sign_in("ed@contoso.test")


def test_a_disabled_application(entra: Entra) -> None:
    """7000112 while the application is switched off."""
    entra.emulator.change_app(CLIENT_ID, enabled=False)
    assert code_of(entra.authorize()) == 7000112


def test_hybrid_when_it_is_switched_on(entra: Entra) -> None:
    """`code id_token` answers in the fragment with c_hash; many groups become hasgroups."""
    entra.emulator.change_app(CLIENT_ID, id_token_issuance=True)
    response = entra.authorize(
        login_hint="olga@contoso.test", _emulator_approve="1", response_type="code id_token"
    )
    claims = payload(answered(response)["id_token"])
    assert "c_hash" in claims
    assert claims["hasgroups"] is True


def test_a_page_cannot_be_answered_for_ever(entra: Entra) -> None:
    """After ten minutes the flow has expired: 50089."""
    page = entra.authorize()
    entra.emulator.clock(601)
    assert code_of(_step(entra, page, action="cancel")) == 50089


def test_administrators_consent_for_all(entra: Entra) -> None:
    """The consent endpoint grants for the tenant and goes back with admin_consent=True."""
    url = entra.url("v2.0/adminconsent", secure=False)
    query = {"client_id": CLIENT_ID, "redirect_uri": CALLBACK, "scope": "Mail.Read", "state": "s"}
    response = entra.http.get(url, params=query)
    assert answered(response)["admin_consent"] == "True"
    assert "code" in entra.sign_in("ed@contoso.test", scope="Mail.Read")


def test_admin_consent_in_another_tenant(entra: Entra) -> None:
    """Only its administrator lets a multi-tenant application into a tenant; a single-tenant one nobody."""

    def asked(segment: str, **more: str) -> httpx.Response:
        query = urlencode({"client_id": CLIENT_ID, "redirect_uri": CALLBACK, "state": "the-state", **more})
        return entra.http.get(f"{entra.url('adminconsent', tenant=segment, secure=False)}?{query}")

    assert code_of(asked("fabrikam.test")) == 700016
    entra.emulator.change_app(CLIENT_ID, audience="AzureADMultipleOrgs")
    assert code_of(asked("fabrikam.test")) == 90094
    entra.emulator.add_person("fay@fabrikam.test", administrator=True)
    canceled = answered(asked("fabrikam.test", _emulator_decline="1"))
    assert (canceled["error"], canceled["state"]) == ("permission_denied", "the-state")
    for segment in ("fabrikam.test", "organizations"):
        granted = answered(asked(segment, login_hint="fay@fabrikam.test"))
        assert granted == {"admin_consent": "True", "tenant": FABRIKAM_ID, "state": "the-state"}
    assert code_of(asked("fabrikam.test", login_hint="mallory@fabrikam.test")) == 90094
    assert (
        payload(entra.tokens("mallory@fabrikam.test", tenant="organizations")["id_token"])["tid"]
        == FABRIKAM_ID
    )


def test_k39_a_scope_that_does_not_exist_is_told_to_the_application(entra: Entra) -> None:
    """AADSTS650053 comes back as invalid_client, without error_uri; the permission's case does not matter."""
    told = answered(entra.authorize(scope="openid tools.read"))
    assert (told["error"], told["state"]) == ("invalid_client", "the-state")
    assert "error_uri" not in told
    assert (
        entra.tokens(scope="openid user.read mail.send.shared", prompt=None)["scope"].count("User.Read") == 1
    )


def test_k39_an_app_id_uri_that_is_a_web_address(entra: Entra) -> None:
    """`resource` equal to it letter for letter is taken; the audience is the client id."""
    address = "https://tool.test/mcp"
    entra.emulator.change_app(CLIENT_ID, identifier_uris=[f"api://{CLIENT_ID}", address])
    scope = f"openid offline_access {address}/access_as_user"
    tokens = entra.tokens(scope=scope, resource=address)
    assert payload(tokens["access_token"])["aud"] == CLIENT_ID
    refreshed = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert entra.token(**refreshed, resource=address, scope=scope).status_code == 200
    assert code_of(entra.token(**refreshed, resource=f"{address}/", scope=scope)) == 9010010
    assert code_of(entra.authorize(scope=scope, resource=f"{address}/")) == 9010010
    code = entra.sign_in(scope=scope, resource=address)["code"]
    assert code_of(entra.redeem(code, resource="https://tool.test", scope=scope)) == 9010010
    with pytest.raises(ControlError, match="version 2"):
        entra.emulator.change_app(CLIENT_ID, access_token_version=1)
    with pytest.raises(ControlError, match="version 2"):
        entra.emulator.add_app("Old", identifier_uris=["https://old.test"], access_token_version=1)


@pytest.mark.parametrize("path", ["/contoso.test//{}", "//contoso.test/{}", "/contoso.test///{}"])
@pytest.mark.parametrize(
    "rest", ["v2.0/.well-known/openid-configuration", "discovery/v2.0/keys", "oauth2/v2.0/token"]
)
def test_k38_slashes_behind_the_tenant_do_not_matter(entra: Entra, path: str, rest: str) -> None:
    """An authority that ends in a slash asks with two; the answer is the same, and names one."""
    answer = entra.http.get(entra.emulator.https_url + path.format(rest))
    plain = entra.http.get(entra.url(rest, tenant="contoso.test"))
    assert (answer.status_code, answer.status_code != 404) == (plain.status_code, True)
    if rest.endswith("configuration"):
        assert answer.json() == plain.json()
