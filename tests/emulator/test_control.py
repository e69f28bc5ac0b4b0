"""The control API and its page."""

from __future__ import annotations

import httpx
import pytest

from emulator.relying_party import Entra, code_of
from entrada.emulator.seed import CLIENT_ID


def _call(entra: Entra, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
    url = f"{entra.emulator.http_url}/_emulator/{path}"
    return entra.http.request(method, url, json=body if body is not None else {}, headers=headers)


def _look(entra: Entra, path: str) -> object:
    return entra.http.get(f"{entra.emulator.http_url}/_emulator/{path}").json()


def test_people_come_change_and_go(entra: Entra) -> None:
    """Create with roles and groups by name, change, delete; each takes effect at the next request."""
    made = _call(entra, "POST", "people", {"user_principal_name": "zoe@contoso.test", "roles": ["Editor"],
                                           "groups": ["Engineers"]})  # fmt: skip
    assert made.status_code == 200
    claims = entra.claims("zoe@contoso.test")
    assert claims["roles"] == ["Editor"]
    assert len(claims["groups"]) == 2
    assert _call(entra, "POST", "people", {"user_principal_name": "Zoe@contoso.test"}).status_code == 409
    _call(entra, "PATCH", "people/zoe@contoso.test", {"roles": ["Admin"], "display_name": "Zoe Z"})
    claims = entra.claims("zoe@contoso.test")
    assert (claims["roles"], claims["name"]) == (["Admin"], "Zoe Z")
    _call(entra, "PATCH", "people/zoe@contoso.test", {"enabled": False})
    assert code_of(entra.authorize(login_hint="zoe@contoso.test", _emulator_approve="1")) == 50057
    _call(entra, "DELETE", "people/zoe@contoso.test")
    assert code_of(entra.authorize(login_hint="zoe@contoso.test", _emulator_approve="1")) == 50034


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"user_principal_name": "a@nowhere.test"}, "No tenant"),
        ({"user_principal_name": "a@contoso.test", "enabled": "yes"}, "not of type bool"),
        ({"user_principal_name": "a@contoso.test", "colour": "red"}, "no field 'colour'"),
        ({"user_principal_name": "a@contoso.test", "groups": ["none"]}, "No group"),
        ({"user_principal_name": "a@contoso.test", "roles": ["King"]}, "no role"),
    ],
)
def test_mistakes_are_explained(entra: Entra, body: object, says: str) -> None:
    """A wrong field, type, group or role is a 400 with a sentence."""
    answer = _call(entra, "POST", "people", body)
    assert answer.status_code == 400
    assert says in answer.json()["error"]


def test_apps_change(entra: Entra) -> None:
    """Redirect URIs and secrets of an application, by JSON."""
    answer = _call(entra, "PATCH", f"apps/{CLIENT_ID}", {"secrets": [{"value": "new"}]})
    assert answer.json()["secrets"][0]["value"] == "new"
    assert (
        entra.token(grant_type="client_credentials", scope=f"api://{CLIENT_ID}/.default").status_code == 401
    )
    made = _call(entra, "POST", "apps", {"display_name": "Second"}).json()
    assert made["client_id"] in [app["client_id"] for app in _look(entra, "apps")]  # type: ignore[attr-defined]


def test_tenants_come_and_apps_go(entra: Entra) -> None:
    """A new tenant takes people at once; a deleted application is unknown."""
    assert _call(entra, "POST", "tenants", {"domain": "acme.test"}).status_code == 200
    made = _call(entra, "POST", "people", {"user_principal_name": "wile@acme.test"})
    assert made.json()["tenant_id"] == entra.emulator.directory.tenant("acme.test").tenant_id  # type: ignore[union-attr]
    assert _call(entra, "DELETE", f"apps/{CLIENT_ID}").status_code == 200
    assert code_of(entra.authorize()) == 700016


def test_faults_by_json(entra: Entra) -> None:
    """POST switches on, GET lists, DELETE clears."""
    assert _call(entra, "POST", "faults", {"fault": "server_error", "endpoint": "keys"}).status_code == 200
    listed = entra.http.get(f"{entra.emulator.http_url}/_emulator/faults").json()
    assert listed["active"][0]["fault"] == "server_error"
    assert "oidcc-client-test-invalid-iss" in listed["conformance"]
    assert _call(entra, "DELETE", "faults").json() == {"active": []}
    assert _call(entra, "POST", "faults", {"fault": "nonsense"}).status_code == 400
    assert _call(entra, "POST", "faults", {}).status_code == 400


def test_requests_are_kept_without_their_secrets(entra: Entra) -> None:
    """What was asked can be read; secrets, codes and tokens are masked."""
    tokens = entra.tokens()
    entra.graph(tokens["access_token"], "/me")
    text = entra.http.get(f"{entra.emulator.http_url}/_emulator/requests").text
    secret = entra.emulator.env("entrada")["ENTRADA_CLIENT_SECRET"]
    assert secret not in text
    assert tokens["access_token"] not in text
    last = [one for one in entra.emulator.requests if one.endpoint == "token"][-1]
    assert last.form["grant_type"] == "authorization_code"
    assert last.form["code"] == last.form["client_secret"] == last.form["code_verifier"] == "***"
    assert last.status == 200
    entra.emulator.clear_requests()
    assert entra.emulator.requests == []


def test_rotate_revoke_clock_reset(entra: Entra) -> None:
    """The other switches."""
    kid = _call(entra, "POST", "keys/rotate", {}).json()["kid"]
    assert _look(entra, "state")["keys"][0] == kid  # type: ignore[index]
    refresh = entra.tokens()["refresh_token"]
    assert _call(entra, "POST", "sessions/revoke", {"person": "ada@contoso.test"}).json()["revoked"]
    assert code_of(entra.token(grant_type="refresh_token", refresh_token=refresh)) == 50173
    _call(entra, "POST", "clock", {"offset_seconds": 60})
    assert _look(entra, "state")["clock_offset_seconds"] == 60  # type: ignore[index]
    assert _call(entra, "POST", "clock", {"offset_seconds": "x"}).status_code == 400
    _call(entra, "DELETE", "people/ada@contoso.test")
    _call(entra, "POST", "reset")
    assert entra.emulator.person("ada@contoso.test")


def test_foreign_pages_change_nothing(entra: Entra) -> None:
    """Without a JSON content type, or from another site, a change is refused."""
    url = f"{entra.emulator.http_url}/_emulator/reset"
    assert entra.http.post(url, data={"a": "b"}).status_code == 415
    assert entra.http.post(url, content="{}", headers={"Content-Type": "text/plain"}).status_code == 415
    for site in ("cross-site", "same-site"):
        assert _call(entra, "POST", "reset", **{"Sec-Fetch-Site": site}).status_code == 403
    assert _call(entra, "POST", "reset", **{"Sec-Fetch-Site": "same-origin"}).status_code == 200
    forged = entra.http.get(f"{entra.emulator.http_url}/_emulator/state", headers={"Host": "evil.example"})
    assert forged.status_code == 403
    answer = entra.http.options(url, headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers


def test_the_page_shows_it_all(entra: Entra) -> None:
    """People, applications, faults and requests on one page under a strict policy."""
    entra.emulator.fail("server_error", endpoint="keys")
    entra.tokens()
    page = entra.http.get(f"{entra.emulator.http_url}/_emulator/")
    for text in ("Ada Lovelace", CLIENT_ID, "server_error", "authorization_code"):
        assert text in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for name in ("style.css", "control.js", "icon.svg", "post.js", "signout.js"):
        assert entra.http.get(f"{entra.emulator.http_url}/_emulator/assets/{name}").status_code == 200


def test_the_authority_can_be_downloaded(entra: Entra) -> None:
    """The PEM to trust, and nothing private."""
    pem = entra.http.get(f"{entra.emulator.http_url}/_emulator/ca.pem").text
    assert pem.startswith("-----BEGIN CERTIFICATE-----")
    assert "PRIVATE" not in pem


@pytest.mark.parametrize(("method", "path"), [("POST", "nowhere"), ("GET", "nowhere"), ("PUT", "people")])
def test_unknown_paths(entra: Entra, method: str, path: str) -> None:
    """A path that is none is a 404 in JSON."""
    answer = _call(entra, method, path)
    assert answer.status_code == 404
    assert answer.json()["error"]
