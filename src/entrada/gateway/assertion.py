"""The signed assertion: who is asking, for an application that believes nobody's word
(`X-Entrada-Assertion`).

A JWT (ES256) of two minutes, for one route's audience. Keys are stored in a file beside the secret keys,
readable by its owner alone; a new one is made every `ROTATE_AFTER`, published `PUBLISH_BEFORE` it signs, and
goes a day after the last assertion it signed has expired.

Source: RFC 7515; RFC 7517; RFC 7519; RFC 8725, section 3.11 (explicit typing).
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from entrada.adapters.assertion import ALGORITHM, TYPE
from entrada.clock import Clock
from entrada.compatibility import UTC
from entrada.errors import ConfigurationError
from entrada.gateway.caller import Caller

LIFE = timedelta(minutes=2)
ROTATE_AFTER = timedelta(days=30)
PUBLISH_BEFORE = timedelta(minutes=10)
KEEP_AFTER = timedelta(days=1)
LOOK_EVERY = timedelta(minutes=1)
MOST_MADE = 10_000


@dataclass(frozen=True, kw_only=True)
class AssertionKey:
    kid: str
    made_at: datetime
    private: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def jwk(self) -> dict[str, Any]:
        """The public half."""
        document: dict[str, Any] = json.loads(ECAlgorithm.to_jwk(self.private.public_key()))
        return {**document, "kid": self.kid, "use": "sig", "alg": ALGORITHM}


def new_assertion_key(now: datetime) -> AssertionKey:
    return AssertionKey(
        kid=secrets.token_urlsafe(9), made_at=now, private=ec.generate_private_key(ec.SECP256R1())
    )


def rotated(keys: Sequence[AssertionKey], now: datetime) -> Sequence[AssertionKey]:
    """The keys as they should stand now, oldest first: the same sequence if nothing is due."""
    by_age = sorted(keys, key=lambda key: key.made_at)
    if not by_age or now - by_age[-1].made_at >= ROTATE_AFTER:
        by_age.append(new_assertion_key(now))
    # A key has signed until its successor began to, and then stays until nobody can hold anything of it.
    gone = LIFE + PUBLISH_BEFORE + KEEP_AFTER
    kept = [key for key, after in pairwise(by_age) if now - after.made_at < gone]
    return [*kept, by_age[-1]]


def signing_key(keys: Sequence[AssertionKey], now: datetime) -> AssertionKey:
    """The newest that has been published long enough; the oldest there is while none has."""
    published = [key for key in keys if now - key.made_at >= PUBLISH_BEFORE]
    return (
        max(published, key=lambda key: key.made_at) if published else min(keys, key=lambda key: key.made_at)
    )


def key_document(keys: Sequence[AssertionKey]) -> dict[str, Any]:
    """What stands at `/.well-known/jwks.json`."""
    return {"keys": [key.jwk for key in keys]}


def sign(caller: Caller, *, key: AssertionKey, issuer: str, audience: str, now: datetime) -> str:
    """The assertion about this caller for one route.

    Raises:
        ValueError: no audience; an assertion for anybody would be good anywhere.
    """
    if not audience:
        raise ValueError("audience must not be empty")
    issued_at = int(now.timestamp())
    claims = {
        "iss": issuer,
        "aud": audience,
        "sub": caller.object_id,
        "tid": caller.tenant_id,
        "oid": caller.object_id,
        "iat": issued_at,
        "exp": issued_at + int(LIFE.total_seconds()),
        "user_id": caller.user_id,
        "name": caller.name,
        "email": caller.email,
        "preferred_username": caller.username,
        "roles": sorted(caller.roles),
        "groups": sorted(caller.groups),
    }
    told = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(told, key.private, algorithm=ALGORITHM, headers={"kid": key.kid, "typ": TYPE})


def load_keys(path: Path, now: datetime) -> Sequence[AssertionKey]:
    """The keys in this file, rotated if that was due; the file is made where there is none.

    Raises:
        ConfigurationError: the file cannot be read or written, or holds something else.
    """
    try:
        entries = json.loads(path.read_text("utf-8"))["keys"] if path.exists() else []
        found = [_read(entry) for entry in entries]
        keys = rotated(found, now)
        if [key.kid for key in keys] != [key.kid for key in found]:
            _write(path, keys)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"The file of assertion keys {str(path)!r} cannot be used ({type(error).__name__}).",
            hint="Check that the user Entrada runs as may read and write it; deleted, it is made anew.",
        ) from None
    return keys


def _read(entry: dict[str, str]) -> AssertionKey:
    private = serialization.load_pem_private_key(entry["private"].encode(), password=None)
    if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
        raise ValueError("no P-256 key")  # noqa: TRY004  # the content of a file, not an argument
    made_at = datetime.fromisoformat(entry["made_at"]).astimezone(UTC)
    return AssertionKey(kid=entry["kid"], made_at=made_at, private=private)


def _write(path: Path, keys: Sequence[AssertionKey]) -> None:
    entries = [
        {
            "kid": key.kid,
            "made_at": key.made_at.isoformat(),
            "private": key.private.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ).decode(),
        }
        for key in keys
    ]
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({"keys": entries}, file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


@dataclass(kw_only=True)
class Assertions:
    """Signs for one gateway. Looks at its keys again every `LOOK_EVERY`, so that they rotate while it runs.

    One assertion serves a caller for half its life: signing costs more than everything else about a request.
    """

    path: Path
    issuer: str
    clock: Clock
    _keys: Sequence[AssertionKey] = ()
    _looked_at: datetime | None = None
    _made: dict[tuple[Caller, str], tuple[datetime, str]] = field(default_factory=dict, repr=False)

    def keys(self) -> Sequence[AssertionKey]:
        """
        Raises:
            ConfigurationError: see `load_keys`.
        """
        now = self.clock.now()
        if self._looked_at is None or not timedelta(0) <= now - self._looked_at < LOOK_EVERY:
            self._keys, self._looked_at = load_keys(self.path, now), now
        return self._keys

    @property
    def newest_made_at(self) -> datetime | None:
        """When the newest of the keys that were last looked at was made."""
        return max((key.made_at for key in self._keys), default=None)

    def about(self, caller: Caller, audience: str) -> str:
        now = self.clock.now()
        made = self._made.get((caller, audience))
        if made is not None and timedelta(0) <= now - made[0] < LIFE / 2:
            return made[1]
        keys = self.keys()
        raw = sign(caller, key=signing_key(keys, now), issuer=self.issuer, audience=audience, now=now)
        if len(self._made) >= MOST_MADE:
            self._made.clear()
        self._made[caller, audience] = now, raw
        return raw
