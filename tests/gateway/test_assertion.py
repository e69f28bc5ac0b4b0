"""The signed assertion, and the middleware that believes nothing else (D16, D23)."""

from __future__ import annotations

import asyncio
import hmac
import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import jwt
import pytest

from entrada.adapters.assertion import (
    KEY,
    REFETCH_SECONDS,
    RS256,
    TYPE,
    AssertionMiddleware,
    AssertionVerifier,
    WsgiAssertionMiddleware,
)
from entrada.compatibility import UTC
from entrada.errors import StoreUnavailable, TokenRefused
from entrada.gateway.assertion import Assertions, sign
from entrada.gateway.assertion_keys import (
    LIFE,
    AssertionKey,
    MemoryAssertionKeys,
    key_document,
    new_assertion_key,
)
from entrada.gateway.identity import STYLES
from flows.world import SetClock

from .callers import ada

NOW = datetime(2026, 10, 1, 12, tzinfo=UTC)
ISSUER, AUDIENCE = "https://tool.contoso.com", "grafana"
KEYS = [
    new_assertion_key(NOW - timedelta(days=1)),
    new_assertion_key(NOW - timedelta(days=1), algorithm=RS256),
]
BY_RSA = KEYS[1]


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


def test_what_rs256_signs_is_believed_alike() -> None:
    """For applications whose libraries know no other algorithm; the key says which it is for."""
    raw = assertion(key=BY_RSA)
    assert jwt.get_unverified_header(raw)["alg"] == "RS256"
    assert verifier().verify(raw)["sub"] == ada().object_id
    assert {key["alg"]: key["kty"] for key in key_document(KEYS)["keys"]} == {"ES256": "EC", "RS256": "RSA"}
    assert not any({"d", "p", "q"} & key.keys() for key in key_document(KEYS)["keys"])


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
    "RS256 by the name of an EC key": lambda: assertion(key=replace(BY_RSA, kid=KEYS[0].kid)),
    "ES256 by the name of an RSA key": lambda: assertion(key=replace(KEYS[0], kid=BY_RSA.kid)),
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


def test_d16_fields_that_nobody_signed_do_not_reach_the_application() -> None:
    """Beside a good assertion, in any spelling: whoever reads them by mistake finds none."""
    forged = [
        "X-Forwarded-User",
        "x_forwarded_email",
        "Remote-User",
        "X.Auth.Request.Groups",
        "X-MS-CLIENT-PRINCIPAL",
    ]
    every = [*forged, *(name for style in STYLES.values() for name in style)]
    sent = [(name.encode(), b"admin") for name in every] + [(b"accept", b"*/*")]
    seen: list[Any] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope["headers"])

    middleware = AssertionMiddleware(app, issuer=ISSUER, audience=AUDIENCE, verifier=verifier())
    scope: Any = {"type": "http", "headers": [*sent, (b"x-entrada-assertion", assertion().encode())]}
    asyncio.run(middleware(scope, None, None))  # type: ignore[arg-type]  # neither is called
    assert seen == [[(b"accept", b"*/*")]]

    def wsgi_app(environ: dict[str, Any], _: Any) -> list[bytes]:
        seen.append(environ)
        return []

    variables = {"HTTP_" + re.sub("[^A-Z0-9]", "_", name.upper()): "admin" for name in every}
    asked = {**variables, "HTTP_ACCEPT": "*/*", "HTTP_X_ENTRADA_ASSERTION": assertion()}
    in_front = WsgiAssertionMiddleware(wsgi_app, issuer=ISSUER, audience=AUDIENCE, verifier=verifier())
    list(in_front(asked, lambda *_: None))
    assert set(seen[1]) == {"HTTP_ACCEPT", KEY}


class Silent(MemoryAssertionKeys):
    """A database that answers only once."""

    def all(self) -> Sequence[AssertionKey]:
        if len(super().all()) > 0 and self.is_silent:
            raise StoreUnavailable
        return super().all()

    is_silent = False


def test_while_the_database_is_silent_the_known_keys_stand() -> None:
    """Signing goes on; without a key there is nothing to sign with, and that is said."""
    clock, store = SetClock(wall=NOW), Silent()
    signing = Assertions(store=store, issuer=ISSUER, clock=clock)
    kids = [key.kid for key in list(signing.keys())]
    store.is_silent = True
    clock.advance(minutes=5)
    assert [key.kid for key in list(signing.keys())] == kids
    assert asyncio.run(signing.about(ada(), AUDIENCE))
    with pytest.raises(StoreUnavailable):
        Assertions(store=store, issuer=ISSUER, clock=clock).keys()


def test_one_assertion_serves_for_half_its_life() -> None:
    """Then it is made anew, by a key that has been looked at since."""
    clock = SetClock(wall=NOW)
    signing = Assertions(store=MemoryAssertionKeys(), issuer=ISSUER, clock=clock)
    first = asyncio.run(signing.about(ada(), AUDIENCE))
    assert asyncio.run(signing.about(ada(), AUDIENCE)) == first
    assert asyncio.run(signing.about(ada(), "wiki")) != first
    clock.advance(minutes=1)
    assert asyncio.run(signing.about(ada(), AUDIENCE)) != first


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


def test_no_audience_is_no_assertion() -> None:
    """Missing never equals missing."""
    with pytest.raises(ValueError):
        assertion(audience="")
    with pytest.raises(ValueError):
        verifier(audience="")
