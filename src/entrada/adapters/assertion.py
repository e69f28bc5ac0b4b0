"""For the application behind the gateway: who is asking, believed because it is signed.

    app = AssertionMiddleware(app, issuer="https://tool.contoso.com", audience="grafana")            # ASGI
    app = WsgiAssertionMiddleware(app, issuer="https://tool.contoso.com", audience="grafana")        # WSGI
    scope["entrada.assertion"], environ["entrada.assertion"]      # claims: sub, tid, name, roles, …

A request without a good `X-Entrada-Assertion` is answered 401 and never reaches the application, whatever
other fields say about a person (D16, D23). Nor do those fields beside a good one: what is not signed is not
passed on. Keys come from the issuer's `/.well-known/jwks.json`, ES256 or RS256 as each key says, and are
asked for anew when an unknown one signs, at most once a minute.

Source: RFC 7515; RFC 7519; RFC 8725, sections 3.1, 3.8, 3.9 and 3.11.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import threading
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from jwt import PyJWK, PyJWTError
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from entrada.adapters.identity_fields import is_identity
from entrada.entra.jws import read_claims, read_jws, read_kid
from entrada.errors import TokenRefused
from entrada.strict_json import JsonRefused, read_json_object

FIELD = "X-Entrada-Assertion"
TYPE = "entrada-assertion+jwt"
_WSGI_FIELD = "HTTP_" + FIELD.upper().replace("-", "_")
ES256, RS256 = "ES256", "RS256"
KEY = "entrada.assertion"
SKEW_SECONDS = 30
REFETCH_SECONDS = 60
DOCUMENT_LIMIT_BYTES = 64 * 1024
FETCH_SECONDS = 5

SMALLEST_RSA_BITS = 2048

_VERIFIERS: dict[str, ECAlgorithm | RSAAlgorithm] = {
    ES256: ECAlgorithm(ECAlgorithm.SHA256),
    RS256: RSAAlgorithm(RSAAlgorithm.SHA256),
}

Scope = MutableMapping[str, Any]
AsgiApp = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]
WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass(kw_only=True)
class AssertionVerifier:
    """`issuer` is the gateway's public URL; `audience` that of the route. `fetch` gets the key document."""

    issuer: str
    audience: str
    fetch: Callable[[], bytes] | None = None
    clock: Callable[[], float] = time.time
    _keys: dict[str, tuple[str, Any]] = field(default_factory=dict, repr=False)
    _fetched_at: float = float("-inf")
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        if not (self.issuer and self.audience):
            raise ValueError("issuer and audience must not be empty")

    def verify(self, raw: str) -> Mapping[str, Any]:
        """The claims of a good assertion.

        Raises:
            TokenRefused: a check failed; `check` names it.
        """
        jws = read_jws(raw, algorithms=frozenset(_VERIFIERS), types=frozenset({TYPE}))
        key = self._key(jws.kid)
        if key is None:
            raise TokenRefused("kid", "the gateway publishes no such key")
        algorithm, public = key
        if jws.algorithm != algorithm:
            raise TokenRefused("alg", "not that of the key")
        if not _VERIFIERS[algorithm].verify(jws.signing_input, public, jws.signature):
            raise TokenRefused("signature", "not made by the gateway")
        claims = read_claims(jws)
        for name, wanted in (("iss", self.issuer), ("aud", self.audience)):
            found = claims.get(name)
            if not isinstance(found, str) or not hmac.compare_digest(found.encode(), wanted.encode()):
                raise TokenRefused(name, "not the one expected here")
        expires, issued, now = claims.get("exp"), claims.get("iat"), self.clock()
        if type(expires) is not int or now > expires + SKEW_SECONDS:
            raise TokenRefused("exp", "expired")
        if type(issued) is not int or now < issued - SKEW_SECONDS:
            raise TokenRefused("iat", "issued in the future")
        if not isinstance(claims.get("sub"), str) or not claims["sub"]:
            raise TokenRefused("sub", "missing")
        return claims

    def has_key_for(self, raw: str) -> bool:
        """Whether `verify` will not have to ask for keys.

        Raises:
            TokenRefused: as `verify`, for what stands before and in the header.
        """
        return read_kid(raw) in self._keys

    def _key(self, kid: str | None) -> tuple[str, Any] | None:
        if kid is None:
            return None
        found = self._keys.get(kid)
        if found is None and self.clock() - self._fetched_at >= REFETCH_SECONDS:
            with self._lock:
                if self.clock() - self._fetched_at >= REFETCH_SECONDS:
                    self._fetched_at = self.clock()
                    self._keys = self._read(self._document()) or self._keys
            found = self._keys.get(kid)
        return found

    def _document(self) -> bytes:
        if self.fetch is not None:
            return self.fetch()
        url = f"{self.issuer}/.well-known/jwks.json"
        if not url.startswith(("https://", "http://")):
            return b""
        try:
            with urllib.request.urlopen(url, timeout=FETCH_SECONDS) as response:  # noqa: S310  # http(s)
                document: bytes = response.read(DOCUMENT_LIMIT_BYTES)
                return document
        except OSError:
            return b""  # the keys known so far stand

    def _read(self, document: bytes) -> dict[str, tuple[str, Any]]:
        try:
            entries = read_json_object(document).get("keys")
        except JsonRefused:
            return {}
        keys: dict[str, tuple[str, Any]] = {}
        for entry in entries if isinstance(entries, list) else ():
            if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str):
                continue
            if (found := _read_key(entry)) is not None:
                keys[entry["kid"]] = found
        return keys


def _read_key(entry: Mapping[str, Any]) -> tuple[str, Any] | None:
    """A key with the one algorithm that it is for; None: not one of ours."""
    is_p256 = entry.get("kty") == "EC" and entry.get("crv") == "P-256"
    algorithm = ES256 if is_p256 else (RS256 if entry.get("kty") == "RSA" else None)
    if algorithm is None or entry.get("alg", algorithm) != algorithm or "d" in entry:
        return None
    try:
        key = PyJWK(dict(entry), algorithm=algorithm).key
    except PyJWTError:
        return None
    is_too_short = algorithm == RS256 and key.key_size < SMALLEST_RSA_BITS
    return None if is_too_short else (algorithm, key)


class AssertionMiddleware:
    """ASGI. WebSockets are refused alike."""

    def __init__(
        self, app: AsgiApp, *, issuer: str, audience: str, verifier: AssertionVerifier | None = None
    ) -> None:
        self._app = app
        self._verifier = verifier or AssertionVerifier(issuer=issuer, audience=audience)

    async def __call__(
        self, scope: Scope, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        sent = [value for name, value in scope["headers"] if name.lower() == FIELD.lower().encode()]
        raw = sent[0].decode("latin-1") if len(sent) == 1 else ""
        try:
            if self._verifier.has_key_for(raw):
                claims = self._verifier.verify(raw)
            else:  # it may ask the gateway
                claims = await asyncio.get_running_loop().run_in_executor(None, self._verifier.verify, raw)
        except TokenRefused:
            await _refuse(scope, send)
            return
        signed = [(name, value) for name, value in scope["headers"] if not is_identity(name)]
        await self._app({**scope, "headers": signed, KEY: claims}, receive, send)


class WsgiAssertionMiddleware:
    """WSGI. Servers join repeated fields, and fold `_` to `-`: what comes of that is no assertion."""

    def __init__(
        self, app: WsgiApp, *, issuer: str, audience: str, verifier: AssertionVerifier | None = None
    ) -> None:
        self._app = app
        self._verifier = verifier or AssertionVerifier(issuer=issuer, audience=audience)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            claims = self._verifier.verify(environ.get(_WSGI_FIELD, ""))
        except TokenRefused:
            fields = [("Content-Type", "application/json"), ("Content-Length", str(len(_BODY)))]
            start_response("401 Unauthorized", fields)
            return [_BODY]
        signed = {name: value for name, value in environ.items() if not _says_who(name)}
        return self._app({**signed, KEY: claims}, start_response)


def _says_who(name: str) -> bool:
    return name.startswith("HTTP_") and is_identity(name.removeprefix("HTTP_").encode("latin-1", "replace"))


_BODY = json.dumps({"error": "assertion_required"}).encode()


async def _refuse(scope: Scope, send: Callable[[Any], Awaitable[None]]) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(_BODY)).encode())]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": _BODY})
