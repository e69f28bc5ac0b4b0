"""A broker's logout token: each part spoiled in turn is refused by its own check."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from entra.tokens import ABSENT, KID, NOW, jwk, key_set, private_key, sign, token, without_absent
from entrada.entra.logout_token import LOGOUT_EVENT, LogoutToken, RawLogoutToken, verify_logout_token
from entrada.errors import TokenRefused

BROKER, CLIENT = "https://login.example.test", "https://app.example.test"
SECONDS = int(NOW.timestamp())
HEADER = {"alg": "RS256", "typ": "logout+jwt", "kid": KID}
GOOD: dict[str, Any] = {
    "iss": BROKER,
    "aud": CLIENT,
    "iat": SECONDS,
    "exp": SECONDS + 120,
    "jti": "j-1",
    "sid": "s-1",
    "sub": "u-1",
    "events": {LOGOUT_EVENT: {}},
}


def read(raw: str, *, later: timedelta = timedelta(0)) -> LogoutToken:
    return verify_logout_token(
        RawLogoutToken(raw), keys=key_set(jwk()), issuer=BROKER, client_id=CLIENT, now=NOW + later
    )


def logout_token(header: dict[str, Any] | None = None, **changes: Any) -> str:
    return signed({**HEADER, **(header or {})}, without_absent({**GOOD, **changes}))


def signed(header: dict[str, Any], claims: dict[str, Any], **how: Any) -> str:
    return sign(json.dumps(header).encode(), json.dumps(claims).encode(), **how)


def test_a_good_token_names_the_sign_in() -> None:
    """By session and by person; a list of one audience is that audience."""
    assert read(logout_token()) == LogoutToken(session_id="s-1", subject="u-1")
    assert read(logout_token(aud=[CLIENT], sub=ABSENT)).subject is None
    assert read(logout_token(sid=ABSENT)).session_id is None


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"iss": "https://login.example.test/"}, "iss"),
        ({"iss": ABSENT}, "iss"),
        ({"aud": "https://other.test"}, "aud"),
        ({"aud": ABSENT}, "aud"),
        ({"aud": [CLIENT, "https://other.test"]}, "aud"),
        ({"events": ABSENT}, "events"),
        ({"events": {}}, "events"),
        ({"events": {"http://schemas.openid.net/event/other": {}}}, "events"),
        ({"events": [LOGOUT_EVENT]}, "events"),
        ({"nonce": "n"}, "nonce"),
        ({"sid": ABSENT, "sub": ABSENT}, "sid"),
        ({"jti": ABSENT}, "jti"),
        ({"iat": ABSENT}, "iat"),
        ({"iat": SECONDS - 3600}, "iat"),
        ({"iat": SECONDS + 3600}, "iat"),
        ({"exp": SECONDS - 3600}, "exp"),
        ({"exp": ABSENT}, "exp"),
        ({"exp": True}, "exp"),
    ],
    ids=str,
)
def test_a_spoiled_claim_is_refused(changes: dict[str, Any], check: str) -> None:
    """The back-channel modules -wrong-iss, -wrong-aud, -no-event, -wrong-event, -with-nonce, and more."""
    with pytest.raises(TokenRefused) as refused:
        read(logout_token(**changes))
    assert refused.value.check == check


@pytest.mark.parametrize(
    ("header", "check"),
    [
        ({"alg": "none"}, "alg"),
        ({"alg": "HS256"}, "alg"),
        ({"typ": "JWT"}, "typ"),
        ({"kid": "unknown"}, "kid"),
        ({"crit": ["exp"]}, "crit"),
    ],
    ids=str,
)
def test_a_spoiled_header_is_refused(header: dict[str, Any], check: str) -> None:
    """-alg-none, -wrong-alg, and B28: an ID token is not taken for a logout token."""
    with pytest.raises(TokenRefused) as refused:
        read(logout_token(header))
    assert refused.value.check == check


def test_an_id_token_of_the_same_issuer_is_refused_b28() -> None:
    """B28: with or without a typ."""
    with pytest.raises(TokenRefused):
        read(token(iss=BROKER, aud=CLIENT))


def test_a_token_without_typ_is_refused() -> None:
    """A missing typ never equals the right one."""
    untyped = {name: value for name, value in HEADER.items() if name != "typ"}
    with pytest.raises(TokenRefused, match="typ"):
        read(signed(untyped, GOOD))


def test_another_key_is_refused() -> None:
    """Signed by somebody else under the same name."""
    head, body, _ = logout_token().split(".")
    _, _, signature = signed(HEADER, GOOD, key=private_key("other")).split(".")
    with pytest.raises(TokenRefused, match="signature"):
        read(f"{head}.{body}.{signature}")


def test_a_late_delivery_is_signed_anew() -> None:
    """A token from an hour ago is refused: whoever recorded it cannot send it again."""
    with pytest.raises(TokenRefused):
        read(logout_token(), later=timedelta(hours=1))
