"""The signed assertion, and the middleware that believes nothing else (D16, D23)."""

from __future__ import annotations

import asyncio
import hmac
import json
import stat
from base64 import urlsafe_b64encode
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest

from entrada.adapters.assertion import (
    KEY,
    REFETCH_SECONDS,
    TYPE,
    AssertionMiddleware,
    AssertionVerifier,
    WsgiAssertionMiddleware,
)
from entrada.compatibility import UTC
from entrada.errors import ConfigurationError, TokenRefused
from entrada.gateway.assertion import (
    KEEP_AFTER,
    LIFE,
    PUBLISH_BEFORE,
    ROTATE_AFTER,
    key_document,
    load_keys,
    new_assertion_key,
    rotated,
    sign,
    signing_key,
)

from .callers import ada

NOW = datetime(2026, 10, 1, 12, tzinfo=UTC)
ISSUER, AUDIENCE = "https://tool.contoso.com", "grafana"
KEYS = [new_assertion_key(NOW - timedelta(days=1))]


def assertion(**changes: Any) -> str:
    told: dict[str, Any] = {"key": KEYS[0], "issuer": ISSUER, "audience": AUDIENCE, "now": NOW, **changes}
    return sign(told.pop("caller", ada()), **told)


def verifier(**changes: Any) -> AssertionVerifier:
    given: dict[str, Any] = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "fetch": lambda: json.dumps(key_document(KEYS)).encode(),
        "clock": NOW.timestamp,
        **changes,
    }
    return AssertionVerifier(**given)


def test_what_the_gateway_signs_the_application_believes() -> None:
    """Who, in which tenant, with which roles; a value that is not there is not told."""
    claims = verifier().verify(assertion(caller=ada(email=None, name="Zoë")))
    assert (claims["sub"], claims["tid"]) == (ada().object_id, ada().tenant_id)
    assert (claims["roles"], claims["name"]) == (["Admin"], "Zoë")
    assert "email" not in claims


def unsigned() -> str:
    _, payload, _ = assertion().split(".")
    none = (
        urlsafe_b64encode(json.dumps({"alg": "none", "typ": TYPE, "kid": KEYS[0].kid}).encode())
        .rstrip(b"=")
        .decode()
    )
    return f"{none}.{payload}."


def by_secret() -> str:
    head = json.dumps({"alg": "HS256", "typ": TYPE, "kid": KEYS[0].kid}).encode()
    signed = f"{urlsafe_b64encode(head).rstrip(b'=').decode()}.{assertion().split('.')[1]}"
    digest = hmac.digest(json.dumps(KEYS[0].jwk).encode(), signed.encode(), "sha256")
    return f"{signed}.{urlsafe_b64encode(digest).rstrip(b'=').decode()}"


REFUSED = {
    "nothing": lambda: "",
    "alg none": unsigned,
    "HS256 with the public key": by_secret,
    "another key of that name": lambda: assertion(key=replace(new_assertion_key(NOW), kid=KEYS[0].kid)),
    "an unknown key": lambda: assertion(key=new_assertion_key(NOW)),
    "another audience": lambda: assertion(audience="wiki"),
    "another issuer": lambda: assertion(issuer="https://evil"),
    "expired": lambda: assertion(now=NOW - LIFE - timedelta(seconds=31)),
    "of the future": lambda: assertion(now=NOW + timedelta(seconds=31)),
    "a flipped bit": lambda: assertion()[:-6] + ("A" if assertion()[-6] != "A" else "B") + assertion()[-5:],
    "another type": lambda: jwt.encode({}, KEYS[0].private, algorithm="ES256", headers={"kid": KEYS[0].kid}),
    "two joined by a comma": lambda: f"{assertion()},{assertion()}",
}  # fmt: skip


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED.keys())
def test_d16_anything_else_is_refused(make: Any) -> None:
    """Unsigned, wrongly signed, for somebody else, too old: never reaches the application."""
    raw = make()
    with pytest.raises(TokenRefused):
        verifier().verify(raw)
    sent = [
        [(b"x-entrada-assertion", raw.encode())],
        [],
        [(b"x-entrada-assertion", assertion().encode())] * 2,
    ]
    for headers in sent:
        assert asgi(headers, forged=True)[0] == 401
    assert wsgi(raw)[0] == "401 Unauthorized"


def asgi(headers: list[tuple[bytes, bytes]], *, forged: bool = False) -> tuple[int, Any]:
    """The status, and what the application saw; `forged`: with an identity that nobody signed beside."""
    seen: list[Any] = []
    sent: list[Any] = []

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        seen.append(scope[KEY])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nobody asks for a body")

    more = [(b"x-forwarded-user", b"admin"), (b"remote-user", b"admin")] if forged else []
    middleware = AssertionMiddleware(app, issuer=ISSUER, audience=AUDIENCE, verifier=verifier())
    asyncio.run(middleware({"type": "http", "headers": headers + more}, receive, send))  # type: ignore[arg-type]
    return sent[0]["status"], seen


def wsgi(raw: str) -> tuple[str, Any]:
    seen: list[Any] = []
    statuses: list[str] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(environ[KEY])
        start_response("200 OK", [])
        return []

    middleware = WsgiAssertionMiddleware(app, issuer=ISSUER, audience=AUDIENCE, verifier=verifier())
    list(
        middleware(
            {"HTTP_X_ENTRADA_ASSERTION": raw, "HTTP_REMOTE_USER": "admin"},
            lambda status, _: statuses.append(status),
        )
    )
    return statuses[0], seen


def test_a_good_assertion_reaches_the_application_with_its_claims() -> None:
    """ASGI and WSGI alike."""
    status, seen = asgi([(b"x-entrada-assertion", assertion().encode())])
    assert (status, seen[0]["sub"]) == (200, ada().object_id)
    words, seen = wsgi(assertion())
    assert (words, seen[0]["email"]) == ("200 OK", "ada@contoso.test")


def test_keys_rotate_without_a_gap() -> None:
    """A new key is published before it signs, the old one stays until nothing of it is left."""
    first = rotated([], NOW)
    assert signing_key(first, NOW) is first[0]
    due = NOW + ROTATE_AFTER
    both = rotated(first, due)
    assert both[0].kid == first[0].kid
    assert signing_key(both, due) is both[0]
    assert signing_key(both, due + PUBLISH_BEFORE) is both[1]
    late = due + PUBLISH_BEFORE + LIFE + KEEP_AFTER
    assert len(rotated(both, late - timedelta(seconds=1))) == 2
    assert [key.kid for key in rotated(both, late)] == [both[1].kid]


def test_an_unknown_key_is_asked_for_once_a_minute() -> None:
    """A rotated key works at once; strangers' keys do not make the application ask again and again."""
    asked: list[int] = []
    published = [KEYS[0]]
    moment = [NOW.timestamp()]

    def fetch() -> bytes:
        asked.append(1)
        return json.dumps(key_document(published)).encode()

    checking = verifier(fetch=fetch, clock=lambda: moment[0])
    checking.verify(assertion())
    for _ in range(100):
        with pytest.raises(TokenRefused):
            checking.verify(assertion(key=new_assertion_key(NOW)))
    assert len(asked) == 1
    published.append(new_assertion_key(NOW))
    moment[0] += REFETCH_SECONDS
    assert checking.verify(assertion(key=published[1]))["sub"] == ada().object_id
    assert len(asked) == 2


def test_keys_are_kept_in_a_file_of_their_own(tmp_path: Path) -> None:
    """Made once, read again, for its owner alone; a spoiled file stops the start with a sentence."""
    path = tmp_path / "entrada.assertion-keys"
    made = load_keys(path, NOW)
    assert [key.kid for key in load_keys(path, NOW)] == [key.kid for key in made]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(load_keys(path, NOW + ROTATE_AFTER)) == 2
    path.write_text("{}")
    with pytest.raises(ConfigurationError) as refused:
        load_keys(path, NOW)
    assert "made anew" in refused.value.hint


def test_no_audience_is_no_assertion() -> None:
    """Missing never equals missing."""
    with pytest.raises(ValueError):
        assertion(audience="")
    with pytest.raises(ValueError):
        verifier(audience="")
