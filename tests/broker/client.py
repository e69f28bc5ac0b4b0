"""A client of the broker by hand, to send what no library would: one request each, and what came back."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx
import jwt

from broker.conftest import BehindBroker
from clients.plain_browser import Page, PlainBrowser
from entrada.broker.grants import hash_of
from entrada.broker.installations import ClientId, Installation, Proof
from entrada.emulator.seed import CONTOSO_ID
from entrada.entra.authority import TenantId

CALLBACK = "http://localhost:9/callback"
"""Nobody serves it: a browser with this in `stop_at` ends there, with the answer in its address."""

SECRET = "s3cret"
VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@dataclass(frozen=True, kw_only=True)
class Client:
    """An installation with a secret at that broker."""

    broker: BehindBroker
    name: str

    def address(self, **changes: str | None) -> str:
        """The authorization request; None takes a parameter away."""
        asked: dict[str, str | None] = {
            "client_id": self.name,
            "redirect_uri": CALLBACK,
            "response_type": "code",
            "scope": "openid profile email offline_access",
            "state": "s-1",
            "nonce": "n-1",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            **changes,
        }
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        return f"{self.broker.url}/auth/broker/authorize?{query}"

    def sign_in(self, browser: PlainBrowser, who: str, **changes: str | None) -> Page:
        """That person at Entra; the page where their browser ends."""
        browser.stop_at = (CALLBACK,)
        page = browser.open(self.address(**changes))
        if "Pick an account" in page.text:
            page = browser.press("Next", name=who)
        return browser.press("Accept") if "Permissions requested" in page.text else page

    def ask(self, **form: str) -> httpx.Response:
        """A token request with the client's name and secret in the form."""
        shown = {"client_id": self.name, "client_secret": SECRET, **form}
        return httpx.post(f"{self.broker.url}/auth/broker/token", data=shown, trust_env=False, timeout=30)

    def redeem(self, page: Page) -> dict[str, Any]:
        """The tokens for the code in that page's address."""
        answer = self.ask(
            grant_type="authorization_code",
            code=page.parameters["code"],
            redirect_uri=CALLBACK,
            code_verifier=VERIFIER,
        )
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    def refresh(self, tokens: dict[str, Any]) -> dict[str, Any]:
        answer = self.ask(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
        assert answer.status_code == 200, answer.text
        newer: dict[str, Any] = answer.json()
        return newer

    def userinfo(self, tokens: dict[str, Any]) -> dict[str, Any]:
        answer = httpx.get(
            f"{self.broker.url}/auth/broker/userinfo",
            headers={"authorization": f"Bearer {tokens['access_token']}"},
            trust_env=False,
        )
        told: dict[str, Any] = answer.json()
        return told

    def claims(self, tokens: dict[str, Any]) -> dict[str, Any]:
        """The ID token's, verified by what the broker publishes."""
        keys = httpx.get(f"{self.broker.url}/auth/broker/jwks.json", trust_env=False).json()
        kid = jwt.get_unverified_header(tokens["id_token"])["kid"]
        key = jwt.PyJWKSet.from_dict(keys)[kid]
        claims: dict[str, Any] = jwt.decode(
            tokens["id_token"], key, algorithms=["RS256"], audience=self.name, issuer=self.broker.url
        )
        return claims


def listed_client(broker: BehindBroker, name: str = "client", **changes: Any) -> Client:
    """A client with a secret, as an operator lists it."""
    values: dict[str, Any] = {
        "client_id": ClientId(name),
        "tenant_id": TenantId(CONTOSO_ID),
        "redirect_uris": (CALLBACK,),
        "proof": Proof.SECRET,
        "secret_hashes": (hash_of(SECRET),),
        **changes,
    }
    broker.broker.broker.provider.store.save_installation(Installation(**values))
    return Client(broker=broker, name=name)
