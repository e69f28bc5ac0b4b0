"""The part of Graph that signing in and registering needs."""

from __future__ import annotations

import json
from base64 import b64decode
from urllib.parse import urlsplit

import pytest

from emulator.relying_party import CALLBACK, Entra
from entrada.emulator.seed import CLIENT_ID, ENGINEERS, PLATFORM, STAFF

PRINCIPAL = "e0000000-0000-4000-8000-00000000000c"


def test_me(entra: Entra) -> None:
    """The person of the token; $select chooses members."""
    token = entra.tokens()["access_token"]
    me = entra.graph(token, "/me").json()
    assert me["userPrincipalName"] == "ada@contoso.test"
    assert me["mail"] == "ada@contoso.test"
    chosen = entra.graph(token, "/me?$select=id,accountEnabled").json()
    assert set(chosen) == {"@odata.context", "id", "accountEnabled"}


@pytest.mark.parametrize("header", ["", "Basic x", "Bearer", "Bearer a.b.c", "Bearer x"])
def test_without_a_token(entra: Entra, header: str) -> None:
    """401 in Graph's words, with a challenge."""
    response = entra.http.get(f"{entra.emulator.https_url}/v1.0/me", headers={"Authorization": header})
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "InvalidAuthenticationToken"
    assert response.headers["www-authenticate"].startswith("Bearer ")


def test_tokens_for_others_do_not_open_graph(entra: Entra) -> None:
    """An ID token, a token for an own API, a changed and an expired Graph token: 401."""
    answer = entra.tokens()
    api = entra.tokens(scope=f"api://{CLIENT_ID}/access_as_user")["access_token"]
    changed = answer["access_token"][:-5] + "AAAAA"
    for token in (answer["id_token"], api, changed):
        assert entra.graph(token, "/me").status_code == 401
    entra.emulator.clock(3 * 3600)
    assert entra.graph(answer["access_token"], "/me").status_code == 401


def test_check_member_groups(entra: Entra) -> None:
    """Up to twenty ids a call, nested membership counted; twenty-one are too many."""
    token = entra.tokens()["access_token"]
    asked = [PLATFORM, ENGINEERS, STAFF, "90000000-0000-4000-8000-000000000004"]
    answer = entra.graph(token, "/me/checkMemberGroups", method="POST", body={"groupIds": asked}).json()
    assert answer["value"] == [PLATFORM, ENGINEERS, STAFF]
    many = entra.graph(token, "/me/checkMemberGroups", method="POST", body={"groupIds": asked * 6})
    assert (many.status_code, many.json()["error"]["code"]) == (400, "Directory_ResultSizeLimitExceeded")
    assert entra.graph(token, "/me/checkMemberGroups", method="POST", body={}).status_code == 400


def test_get_member_objects(entra: Entra) -> None:
    """Everything olga is in, above the token's limit."""
    token = entra.tokens("olga@contoso.test")["access_token"]
    body = {"securityEnabledOnly": True}
    assert len(entra.graph(token, "/me/getMemberObjects", method="POST", body=body).json()["value"]) == 250


def test_member_of_is_direct_and_paged(entra: Entra) -> None:
    """memberOf lists direct groups, transitiveMemberOf nested ones; pages of 100 hang together."""
    token = entra.tokens()["access_token"]
    direct = {group["displayName"] for group in entra.graph(token, "/me/memberOf").json()["value"]}
    assert direct == {"Platform Team", "App Admins"}
    all_ = {group["displayName"] for group in entra.graph(token, "/me/transitiveMemberOf").json()["value"]}
    assert all_ == {"Platform Team", "App Admins", "Engineers", "Contoso Staff"}
    token = entra.tokens("olga@contoso.test", prompt="login")["access_token"]
    seen: list[str] = []
    path = "/me/transitiveMemberOf/microsoft.graph.group?$select=id,displayName&$count=true"
    while path:
        page = entra.graph(token, path).json()
        seen += [group["id"] for group in page["value"]]
        following = page.get("@odata.nextLink", "")
        parts = urlsplit(following)
        path = f"{parts.path.removeprefix('/v1.0')}?{parts.query}" if following else ""
        assert page["@odata.count"] == 250
    assert len(set(seen)) == 250


def test_what_mage_asks(entra: Entra) -> None:
    """Requests 3 to 6 of Mage, with its spelling of spaces and its odd content type."""
    token = entra.tokens()["access_token"]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application\\json"}
    base = f"{entra.emulator.http_url}/v1.0"
    assert entra.http.get(f"{base}/me", headers=headers).json()["userPrincipalName"] == "ada@contoso.test"
    query = f"$filter=appId+eq+'{CLIENT_ID}'&$select=id"
    principal = entra.http.get(f"{base}/servicePrincipals?{query}", headers=headers).json()["value"][0]["id"]
    assert principal == PRINCIPAL
    roles = entra.http.get(f"{base}/servicePrincipals/{principal}/appRoles", headers=headers).json()["value"]
    by_id = {role["id"]: role["value"] for role in roles}
    query = f"$filter=resourceId+eq+{principal}"
    held = entra.http.get(f"{base}/me/appRoleAssignments?{query}", headers=headers).json()["value"]
    assert [by_id[one["appRoleId"]] for one in held] == ["Admin"]


def test_permissions_are_enforced(entra: Entra) -> None:
    """User.Read alone cannot read service principals: 403 Authorization_RequestDenied."""
    entra.emulator.change_app(CLIENT_ID, admin_consented=["User.Read"])
    token = entra.tokens(scope="User.Read")["access_token"]
    assert entra.graph(token, "/me").status_code == 200
    response = entra.graph(token, "/servicePrincipals")
    assert response.status_code == 403
    assert response.json()["error"]["code"] == "Authorization_RequestDenied"
    assert entra.graph(token, "/users").status_code == 403


def test_application_permissions(entra: Entra) -> None:
    """A token of the application itself has no /me; users need User.Read.All."""
    token = entra.application_token("User.Read.All")
    assert entra.graph(token, "/me").status_code in (400, 403)
    users = entra.graph(token, "/users?$top=3").json()
    assert len(users["value"]) == 3
    assert "@odata.nextLink" in users
    assert entra.graph(token, "/groups").status_code == 403
    assert entra.graph(token, "/users/ada@contoso.test").json()["displayName"] == "Ada Lovelace"
    assert entra.graph(token, "/users/mallory@fabrikam.test").status_code == 404


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("userPrincipalName eq 'ada@contoso.test'", {"Ada Lovelace"}),
        ("startswith(displayName,'Ed')", {"Ed Codd"}),
        ("accountEnabled eq false", {"Dan Disabled"}),
        ("userType eq 'Guest'", {"Gus Guest"}),
        ("mail eq 'vi@contoso.test' or givenName eq 'Ed'", {"Vi Hart", "Ed Codd"}),
        ("displayName in ('Vi Hart','Ed Codd')", {"Vi Hart", "Ed Codd"}),
        ("not (accountEnabled eq true) and surname ne null", {"Dan Disabled"}),
    ],
)
def test_filters(entra: Entra, text: str, names: set[str]) -> None:
    """The forms of $filter that clients use."""
    token = entra.application_token("User.Read.All")
    found = entra.graph(token, f"/users?$filter={text}").json()["value"]
    assert {user["displayName"] for user in found} == names


def test_a_filter_over_a_list(entra: Entra) -> None:
    """`any` finds an application by its redirect URI or identifier."""
    token = entra.application_token("Application.Read.All")
    found = entra.graph(token, f"/applications?$filter=identifierUris/any(u:u eq 'api://{CLIENT_ID}')")
    assert [app["appId"] for app in found.json()["value"]] == [CLIENT_ID]
    path = "/applications?$filter=web/redirectUris/any(p:p eq 'http://nowhere/')"
    assert entra.graph(token, path).json()["value"] == []


@pytest.mark.parametrize(
    "query", ["$filter=displayName like 'x'", "$filter=(", "$filter=displayName eq", "$top=0", "$top=x"]
)
def test_bad_queries_are_refused(entra: Entra, query: str) -> None:
    """What is not understood is a 400, never ignored."""
    token = entra.application_token("User.Read.All")
    assert entra.graph(token, f"/users?{query}").status_code == 400


def test_registering_an_application(entra: Entra) -> None:
    """Create, give a secret, change redirect URIs and roles, sign in with it, remove the secret."""
    token = entra.application_token("Application.ReadWrite.All", "AppRoleAssignment.ReadWrite.All")
    made = entra.graph(
        token, "/applications", method="POST", body={"displayName": "New", "web": {"redirectUris": []}}
    )
    assert made.status_code == 201
    path = f"/applications/{made.json()['id']}"
    secret = entra.graph(token, f"{path}/addPassword", method="POST",
                         body={"passwordCredential": {"displayName": "ci"}}).json()  # fmt: skip
    role = {"id": "51000000-0000-4000-8000-000000000001", "value": "Boss", "displayName": "Boss",
            "allowedMemberTypes": ["User"], "isEnabled": True}  # fmt: skip
    change = {"web": {"redirectUris": [CALLBACK]}, "appRoles": [role]}
    assert entra.graph(token, path, method="PATCH", body=change).status_code == 204
    client_id = made.json()["appId"]
    principal = entra.graph(token, f"/servicePrincipals(appId='{client_id}')").json()["id"]
    assign = {"principalId": entra.emulator.person("ed@contoso.test").object_id, "resourceId": principal,
              "appRoleId": role["id"]}  # fmt: skip
    answer = entra.graph(
        token, f"/servicePrincipals/{principal}/appRoleAssignedTo", method="POST", body=assign
    )
    assert answer.status_code == 201
    code = entra.sign_in("ed@contoso.test", client_id=client_id)["code"]
    redeemed = entra.redeem(code, client_id=client_id, client_secret=secret["secretText"])
    assert redeemed.status_code == 200
    assert entra.graph(token, f"{path}/removePassword", method="POST",
                       body={"keyId": secret["keyId"]}).status_code == 204  # fmt: skip
    assert entra.emulator.app(client_id).secrets == ()
    shown = entra.graph(token, path).json()
    assert shown["passwordCredentials"] == []
    assert entra.graph(token, path, method="DELETE").status_code == 204
    assert entra.graph(token, path).status_code == 404


def test_photo(entra: Entra) -> None:
    """Ada has a photo, most people a 404 ImageNotFound."""
    photo = entra.graph(entra.tokens()["access_token"], "/me/photo/$value")
    assert photo.headers["content-type"] == "image/jpeg"
    assert photo.content.startswith(b"\xff\xd8\xff")
    none = entra.graph(entra.tokens("ed@contoso.test", prompt="login")["access_token"], "/me/photo/$value")
    assert (none.status_code, none.json()["error"]["code"]) == (404, "ImageNotFound")


def test_userinfo(entra: Entra) -> None:
    """The userinfo endpoint knows sub, and the name by scope."""
    token = entra.tokens()["access_token"]
    url = f"{entra.emulator.https_url}/oidc/userinfo"
    claims = entra.http.get(url, headers={"Authorization": f"Bearer {token}"}).json()
    assert claims["name"] == "Ada Lovelace"
    assert "sub" in claims


def test_continuous_access_evaluation(entra: Entra) -> None:
    """After a revocation a cp1 client gets a claims challenge that leads to a sign-in; another goes on."""
    wants = '{"access_token":{"xms_cc":{"values":["cp1"]}}}'
    able = entra.redeem(entra.sign_in("ed@contoso.test")["code"], claims=wants).json()
    assert able["expires_in"] >= 72_000
    plain = entra.tokens("ed@contoso.test")["access_token"]
    entra.emulator.clock(5)
    entra.emulator.revoke_sessions("ed@contoso.test")
    response = entra.graph(able["access_token"], "/me")
    assert response.status_code == 401
    challenge = response.headers["www-authenticate"]
    assert 'error="insufficient_claims"' in challenge
    claims = b64decode(challenge.partition('claims="')[2].rstrip('"')).decode()
    assert "nbf" in json.loads(claims)["access_token"]
    assert entra.graph(plain, "/me").status_code == 200
    answer = entra.token(grant_type="refresh_token", refresh_token=able["refresh_token"], claims=claims)
    assert answer.json()["error"] == "invalid_grant"
    assert "Pick an account" in entra.authorize(claims=claims).text
    again = entra.redeem(entra.sign_in("ed@contoso.test", claims=claims)["code"], claims=wants).json()
    assert entra.graph(again["access_token"], "/me").status_code == 200


def test_revoking_through_graph(entra: Entra) -> None:
    """revokeSignInSessions ends refresh tokens."""
    refresh = entra.tokens("vi@contoso.test")["refresh_token"]
    token = entra.application_token("User.RevokeSessions.All")
    answer = entra.graph(token, "/users/vi@contoso.test/revokeSignInSessions", method="POST")
    assert answer.json()["value"] is True
    assert entra.token(grant_type="refresh_token", refresh_token=refresh).status_code == 400


def test_graph_fails_on_demand(entra: Entra) -> None:
    """429 with Retry-After and 403 in Graph's words, for one path if wished."""
    token = entra.tokens()["access_token"]
    entra.emulator.fail("too_many_requests", endpoint="graph:/v1.0/me/checkMemberGroups", retry_after=7)
    assert entra.graph(token, "/me").status_code == 200
    answer = entra.graph(token, "/me/checkMemberGroups", method="POST", body={"groupIds": [STAFF]})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert answer.json()["error"]["code"] == "TooManyRequests"
    entra.emulator.fail("graph_error", status=403)
    assert entra.graph(token, "/me").json()["error"]["code"] == "Authorization_RequestDenied"
    assert entra.graph(token, "/me").status_code == 200
