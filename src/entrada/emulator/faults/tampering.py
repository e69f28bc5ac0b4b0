"""Spoiling what the emulator says: one change in the next token or document, so each check can be tried.

Owns the `tamper` fault.  A token is spoiled before it is signed, so that its signature is right unless the
signature is what is being spoiled.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from ..directory.records import App
from ..protocol.encoding import b64url, compact_json
from ..state.keys import SigningKey
from ..state.switched_faults import Fault
from ..state.world import World
from .other_keys import elliptic_key_id, elliptic_signature, other_kinds

_NOTHING: Mapping[str, str] = MappingProxyType({})
SIGNATURES = (
    "none",
    "empty",
    "corrupt",
    "hs256",
    "hs256_corrupt",
    "hs256_public_key",
    "es256",
    "es256_corrupt",
    "rs512",
    "ps256",
    "unknown_key",
    "personal_key",
)
"""What `signature` may be."""


def tamper_document(
    world: World,
    target: str,
    document: dict[str, Any],
    *,
    right: Mapping[str, str] = _NOTHING,
    **match: object,
) -> dict[str, Any]:
    """`document` after every `tamper` fault for this target; members that are no member stay as flags.

    `right` holds values that the document could have and has not, for faults that put something behind them.
    """
    for fault in world.faults.take_all(("tamper",), target_endpoint(target), target=target, **match):
        _change(document, fault.parameters, right=right, now=world.clock.now())
        if "keys" in document:
            document["keys"] = _other_keys(document["keys"], fault.parameters, world)
        if fault.parameters.get("fresh_jwks_uri") and "jwks_uri" in document:
            document["jwks_uri"] += f"?fresh={b64url(compact_json(world.clock.now()))}"
    return document


def target_endpoint(target: str) -> str:
    """The endpoint at which a target is spoken."""
    return {
        "discovery": "discovery",
        "keys": "keys",
        "userinfo": "userinfo",
        "authorization_response": "authorize",
        "logout_response": "logout",
    }.get(target, "token")


def sign_token(
    world: World,
    claims: dict[str, Any],
    *,
    target: str,
    client: App,
    grant: str,
    key: SigningKey | None = None,
    right: Mapping[str, str] = _NOTHING,
) -> str:
    """The claims as a signed token; ordinarily one prepared header and one signature.

    `right` is as in `tamper_document`.
    """
    if not world.faults:
        return (key or world.keys.current).sign(claims)
    rotated = world.faults.take(("key_rotated",), "token")
    if rotated is not None:
        world.keys.rotate(keep_old=bool(rotated.parameters.get("keep_old", True)))
    faults = world.faults.take_all(("tamper",), "token", target=target, grant=grant)
    signing_key = key or world.keys.current
    token = (
        _spoiled(world, claims, faults, client, signing_key, right) if faults else signing_key.sign(claims)
    )
    after = world.faults.take(("rotate_after_signing",), "token")
    if after is not None:
        world.keys.rotate(keep_old=bool(after.parameters.get("keep_old", True)))
    return token


def _change(
    document: dict[str, Any], parameters: dict[str, Any], *, right: Mapping[str, str], now: float
) -> None:
    if "replace" in parameters:
        kept = {name: document[name] for name in ("state",) if name in document}
        document.clear()
        document.update(parameters["replace"], **kept)
    document.update(parameters.get("set", {}))
    for name in parameters.get("remove", ()):
        document.pop(name, None)
    for name, seconds in parameters.get("shift", {}).items():
        document[name] = document.get(name, 0) + seconds
    for name, seconds in parameters.get("from_now", {}).items():
        document[name] = int(now) + seconds
    for name, text in parameters.get("append", {}).items():
        document[name] = f"{document.get(name, right.get(name, ''))}{text}"
    if parameters.get("add_audience"):
        document["aud"] = [document.get("aud"), parameters["add_audience"]]
    if parameters.get("aud_as_array"):
        document["aud"] = [document.get("aud")]


def _other_keys(
    entries: list[dict[str, Any]], parameters: dict[str, Any], world: World
) -> list[dict[str, Any]]:
    """The key set with fewer of our keys, or with keys of other kinds, or without their ids."""
    if parameters.get("only_signing_key"):
        entries = [entry for entry in entries if entry["kid"] == world.keys.current.kid]
    if parameters.get("other_kinds"):
        entries = [*entries, *other_kinds()]
    if parameters.get("without_kid"):
        entries = [
            {k: v for k, v in entry.items() if k not in ("kid", "x5t") or entry["use"] == "enc"}
            for entry in entries
        ]
    return entries


def _spoiled(
    world: World,
    claims: dict[str, Any],
    faults: list[Fault],
    client: App,
    key: SigningKey,
    right: Mapping[str, str],
) -> str:
    header = dict(key.header)
    duplicates: dict[str, Any] = {}
    signature = ""
    for fault in faults:
        _change(claims, fault.parameters, right=right, now=world.clock.now())
        header = dict(fault.parameters.get("header", header))
        header.update(fault.parameters.get("header_set", {}))
        for name in fault.parameters.get("header_remove", ()):
            header.pop(name, None)
        duplicates.update(fault.parameters.get("duplicate", {}))
        signature = fault.parameters.get("signature", signature)
    if not any("header" in fault.parameters for fault in faults):
        header.update(_header_for(signature, world))
    payload = compact_json(claims)
    if duplicates:
        # Two members of one name: no serialiser writes them, so the text is put together by hand.
        payload = payload[:-1] + b"," + compact_json(duplicates)[1:]
    signed = f"{b64url(compact_json(header))}.{b64url(payload)}".encode()
    return f"{signed.decode()}.{b64url(_sign(signature, signed, world, client, key))}"


def _header_for(signature: str, world: World) -> dict[str, Any]:
    algorithm = {
        "none": "none",
        "hs256": "HS256",
        "hs256_corrupt": "HS256",
        "hs256_public_key": "HS256",
        "es256": "ES256",
        "rs512": "RS512",
        "ps256": "PS256",
    }.get(signature)
    if algorithm:
        return {"alg": algorithm}
    if signature == "es256_corrupt":
        return {"alg": "ES256", "kid": elliptic_key_id()}
    if signature == "personal_key":
        return {"kid": world.keys.personal.kid}
    if signature == "unknown_key":
        return {"kid": _stranger().kid}
    return {}


def _sign(signature: str, message: bytes, world: World, client: App, key: SigningKey) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding

    secret = client.secrets[0].value.encode() if client.secrets else b"no secret"
    match signature:
        case "none" | "empty":
            return b""
        case "corrupt":
            made = key.sign_bytes(message)
            return bytes([made[0] ^ 1]) + made[1:]
        case "hs256":
            return hmac.digest(secret, message, hashlib.sha256)
        case "hs256_corrupt":
            return hmac.digest(secret + b"!", message, hashlib.sha256)
        case "hs256_public_key":
            return hmac.digest(json.dumps(key.jwk).encode(), message, hashlib.sha256)
        case "es256":
            return ec.generate_private_key(ec.SECP256R1()).sign(message, ec.ECDSA(hashes.SHA256()))[-64:]
        case "es256_corrupt":
            made = elliptic_signature(message)
            return bytes([made[0] ^ 1]) + made[1:]
        case "rs512":
            return key.private_key.sign(message, padding.PKCS1v15(), hashes.SHA512())
        case "ps256":
            pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
            return key.private_key.sign(message, pss, hashes.SHA256())
        case "unknown_key":
            return _stranger().sign_bytes(message)
        case "personal_key":
            return world.keys.personal.sign_bytes(message)
    return key.sign_bytes(message)


@lru_cache(maxsize=1)
def _stranger() -> SigningKey:
    """A key that no key set ever names."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    return SigningKey(rsa.generate_private_key(public_exponent=65537, key_size=2048))
