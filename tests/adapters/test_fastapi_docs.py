"""What a FastAPI application tells the "Authorize" of its documentation, done as Swagger UI does it."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx

from adapters.serving import Setup, serving
from entrada.emulator import RunningEmulator
from walks.visitor import Visitor


def test_what_the_documentation_says_signs_in_by_pkce(
    emulator: RunningEmulator, http: httpx.Client, tmp_path: Path
) -> None:
    """Its addresses, client id and scope lead to a token that the application takes: without a secret."""
    setup = Setup(application="on_fastapi", server="uvicorn")
    with serving(emulator, setup, tmp_path) as place:
        Visitor(place, http).sign_in_as("ada@contoso.test")
        described = http.get(f"{place.public_url}/openapi.json").json()
        (scheme,) = described["components"]["securitySchemes"].values()
        flow = scheme["flows"]["authorizationCode"]
        page = http.get(f"{place.public_url}/docs").text
        told = json.loads("{" + page.partition("ui.initOAuth({")[2].partition("})")[0] + "}")
        assert told["usePkceWithAuthorizationCodeGrant"] is True
        assert [told["scopes"]] == list(flow["scopes"])

        back, verifier = f"{place.public_url}/docs/oauth2-redirect", "v" * 43
        emulator.change_app("Entrada (emulated)", spa_redirect_uris=[back])
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": told["clientId"],
            "redirect_uri": back,
            "scope": told["scopes"],
            "state": "s",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "login_hint": "ada@contoso.test",
            "_emulator_approve": "1",
        }
        came_back = http.get(f"{flow['authorizationUrl']}?{urlencode(asked)}").headers["location"]
        (code,) = parse_qs(urlsplit(came_back).query)["code"]
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "client_id": told["clientId"],
            "redirect_uri": back,
            "code_verifier": verifier,
        }
        trust = ssl.create_default_context(cafile=emulator.ca_file)
        token = httpx.post(
            flow["tokenUrl"], data=form, headers={"origin": place.public_url}, verify=trust, trust_env=False
        ).json()
        answer = http.get(
            f"{place.public_url}/files", headers={"authorization": f"Bearer {token['access_token']}"}
        )
    emulator.reset()
    assert answer.json()["name"] == "Ada Lovelace"
