"""A relying party by hand: every parameter can be changed or left out, every answer read."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CLIENT_ID, CLIENT_SECRET, CONTOSO_ID

CALLBACK = "http://localhost:5000/auth/entra/callback"
VERIFIER = "a" * 43
CHALLENGE = "ZtNPunH49FD35FWYhT5Tv8I7vRKQJ8uxMaL0_9eHjNA"


class Entra:
    """What a relying party does by hand: authorize, redeem, read tokens."""

    def __init__(self, emulator: RunningEmulator, http: httpx.Client) -> None:
        self.emulator = emulator
        self.http = http

    def url(self, path: str, *, tenant: str = CONTOSO_ID, secure: bool = True) -> str:
        base = self.emulator.https_url if secure else self.emulator.http_url
        return f"{base}/{tenant}/{path}"

    def authorize(
        self, *, tenant: str = CONTOSO_ID, version: int = 2, **changes: str | None
    ) -> httpx.Response:
        """An authorization request in a browser; None leaves a parameter out."""
        parameters: dict[str, str | None] = {
            "client_id": CLIENT_ID,
            "response_type": "code",
            "redirect_uri": CALLBACK,
            "scope": "openid profile email offline_access User.Read",
            "state": "the-state",
            "nonce": "the-nonce",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            **changes,
        }
        query = urlencode({name: value for name, value in parameters.items() if value is not None})
        path = "oauth2/v2.0/authorize" if version == 2 else "oauth2/authorize"
        return self.http.get(f"{self.url(path, tenant=tenant, secure=False)}?{query}")

    def sign_in(
        self, who: str = "ada@contoso.test", *, tenant: str = CONTOSO_ID, **changes: str | None
    ) -> dict[str, str]:
        """The authorization response's parameters after signing in without a page."""
        response = self.authorize(tenant=tenant, login_hint=who, _emulator_approve="1", **changes)
        assert response.status_code == 302, response.text
        return answered(response)

    def token(self, *, tenant: str = CONTOSO_ID, version: int = 2, **form: str | None) -> httpx.Response:
        """A token request of the seeded application; None leaves a parameter out."""
        fields: dict[str, str | None] = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, **form}
        path = "oauth2/v2.0/token" if version == 2 else "oauth2/token"
        return self.http.post(
            self.url(path, tenant=tenant),
            data={name: value for name, value in fields.items() if value is not None},
        )

    def redeem(self, granted: str, *, tenant: str = CONTOSO_ID, **changes: str | None) -> httpx.Response:
        form: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "code": granted,
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
            **changes,
        }
        return self.token(tenant=tenant, **form)

    def tokens(
        self, who: str = "ada@contoso.test", *, tenant: str = CONTOSO_ID, **changes: str | None
    ) -> dict[str, Any]:
        """The token answer of a whole sign-in."""
        response = self.redeem(self.sign_in(who, tenant=tenant, **changes)["code"], tenant=tenant)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def claims(
        self, who: str = "ada@contoso.test", *, tenant: str = CONTOSO_ID, **changes: str | None
    ) -> dict[str, Any]:
        """The ID token's claims of a whole sign-in."""
        return payload(self.tokens(who, tenant=tenant, **changes)["id_token"])

    def application_token(self, *permissions: str, resource: str = "https://graph.microsoft.com") -> str:
        """A Graph token of the application itself with these permissions."""
        self.emulator.change_app(CLIENT_ID, application_permissions=list(permissions))
        answer = self.token(grant_type="client_credentials", scope=f"{resource}/.default").json()
        token: str = answer["access_token"]
        return token

    def graph(self, token: str, path: str, *, method: str = "GET", body: Any = None) -> httpx.Response:
        """A request to Graph; `path` begins with a slash."""
        headers = {"Authorization": f"Bearer {token}"}
        return self.http.request(method, f"{self.emulator.https_url}/v1.0{path}", headers=headers, json=body)


def answered(response: httpx.Response) -> dict[str, str]:
    """The parameters of a redirect, from its query or fragment."""
    parts = urlsplit(response.headers["location"])
    return dict(parse_qsl(parts.query or parts.fragment))


def _part(token: str, index: int) -> dict[str, Any]:
    part = token.split(".")[index]
    read: dict[str, Any] = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return read


def header(token: str) -> dict[str, Any]:
    return _part(token, 0)


def payload(token: str) -> dict[str, Any]:
    return _part(token, 1)


def code_of(response: httpx.Response) -> int:
    """The AADSTS number of an error answer: JSON, redirect or page."""
    if "location" in response.headers:
        return int(answered(response)["error_description"].split(":")[0].removeprefix("AADSTS"))
    if response.headers["content-type"].startswith("application/json"):
        number: int = response.json()["error_codes"][0]
        return number
    return int(response.text.partition("AADSTS")[2].partition(":")[0])
