"""The keys that sign assertions: made here, stored sealed, shared by all servers on one database, rotated.

A new key is made every `ROTATE_AFTER`, published `PUBLISH_BEFORE` it signs, and goes a day after the last
assertion it signed has expired. Of two servers that rotate at once one makes the key: each key names the one
it follows, and one key has one successor.

Source: RFC 7517; RFC 7518, sections 3.3 and 3.4.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from threading import Lock
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

from entrada.adapters.assertion import ES256, RS256
from entrada.audit.acts import ENTRADA, Act, Action, Cause
from entrada.errors import ConfigurationError
from entrada.sealing import Sealer
from entrada.storage.sql import Database
from entrada.storage.sql.audit_entries import note
from entrada.storage.sql.repeating import repeats_transactions
from entrada.storage.sql.tables import assertion_keys

LIFE = timedelta(minutes=2)
"""How long an assertion is good."""
ROTATE_AFTER = timedelta(days=30)
PUBLISH_BEFORE = timedelta(minutes=10)
KEEP_AFTER = timedelta(days=1)
RSA_BITS = 2048
SEALED_ASSERTION_KEYS = "assertion signing key"
"""The purpose of the sealer for private keys."""


@dataclass(frozen=True, kw_only=True)
class AssertionKey:
    """`follows` is the key before it, empty for the first."""

    kid: str
    made_at: datetime
    private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = field(repr=False)
    follows: str = ""

    @property
    def algorithm(self) -> str:
        return RS256 if isinstance(self.private, rsa.RSAPrivateKey) else ES256

    @property
    def jwk(self) -> dict[str, Any]:
        """The public half."""
        if isinstance(self.private, rsa.RSAPrivateKey):
            text = RSAAlgorithm.to_jwk(self.private.public_key())
        else:
            text = ECAlgorithm.to_jwk(self.private.public_key())
        document: dict[str, Any] = json.loads(text)
        document.pop("key_ops", None)
        return {**document, "kid": self.kid, "use": "sig", "alg": self.algorithm}

    def to_der(self) -> bytes:
        """The private half, for sealing."""
        return self.private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


class AssertionKeys(Protocol):
    """Stores keys for all servers that sign for one public URL.

    Raises:
        StoreUnavailable: from any method, when the database does not answer in time.
    """

    def all(self) -> Sequence[AssertionKey]:
        """Every key there is.

        Raises:
            ConfigurationError: one cannot be opened.
        """

    def add(self, key: AssertionKey) -> bool:
        """Stores a key; False if the one it follows has a successor already."""

    def remove(self, key: AssertionKey) -> None:
        """Forgets a key, if it is there."""


def new_assertion_key(now: datetime, *, algorithm: str = ES256, follows: str = "") -> AssertionKey:
    private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    if algorithm == RS256:
        private = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    else:
        private = ec.generate_private_key(ec.SECP256R1())
    return AssertionKey(kid=secrets.token_urlsafe(9), made_at=now, private=private, follows=follows)


def current_keys(store: AssertionKeys, now: datetime, *, algorithm: str = ES256) -> Sequence[AssertionKey]:
    """The keys as they stand now, oldest first; rotated in the store, if that was due.

    Raises:
        ConfigurationError, StoreUnavailable: see `AssertionKeys`.
    """
    keys = _by_age(store.all())
    newest = keys[-1] if keys else None
    if newest is None or newest.algorithm != algorithm or now - newest.made_at >= ROTATE_AFTER:
        store.add(new_assertion_key(now, algorithm=algorithm, follows=newest.kid if newest else ""))
        keys = _by_age(store.all())
    # A key has signed until its successor began to, and then stays until nobody can hold anything of it.
    ended = [
        key for key, after in pairwise(keys) if now - after.made_at >= PUBLISH_BEFORE + LIFE + KEEP_AFTER
    ]
    for key in ended:
        store.remove(key)
    return [key for key in keys if key not in ended]


def _by_age(keys: Sequence[AssertionKey]) -> list[AssertionKey]:
    return sorted(keys, key=lambda key: key.made_at)


def signing_key(keys: Sequence[AssertionKey], now: datetime) -> AssertionKey:
    """The newest that has been published long enough; the oldest there is while none has."""
    published = [key for key in keys if now - key.made_at >= PUBLISH_BEFORE]
    return max(published, key=lambda key: key.made_at) if published else _by_age(keys)[0]


def key_document(keys: Sequence[AssertionKey]) -> dict[str, Any]:
    """What stands at `/.well-known/jwks.json`."""
    return {"keys": [key.jwk for key in keys]}


class MemoryAssertionKeys(AssertionKeys):
    """Of this process alone."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._keys: list[AssertionKey] = []

    def all(self) -> Sequence[AssertionKey]:
        """See `AssertionKeys`."""
        return list(self._keys)

    def add(self, key: AssertionKey) -> bool:
        """See `AssertionKeys`."""
        with self._lock:
            is_first = all(other.follows != key.follows for other in self._keys)
            if is_first:
                self._keys.append(key)
            return is_first

    def remove(self, key: AssertionKey) -> None:
        """See `AssertionKeys`."""
        with self._lock:
            self._keys = [other for other in self._keys if other.kid != key.kid]


@repeats_transactions
class SqlAssertionKeys(AssertionKeys):
    """In a database whose tables are up to date; private halves sealed: a read of it signs nothing."""

    def __init__(self, database: Database, *, sealer: Sealer) -> None:
        self._database, self._sealer = database, sealer

    def all(self) -> Sequence[AssertionKey]:
        """See `AssertionKeys`."""
        with self._database.reading() as connection:
            rows = connection.execute(select(assertion_keys)).all()
        return [self._key_of(row.kid, row.follows, row.sealed, row.made_at) for row in rows]

    def add(self, key: AssertionKey) -> bool:
        """See `AssertionKeys`."""
        sealed = self._sealer.seal(key.to_der(), context=key.kid)
        row = {"kid": key.kid, "follows": key.follows, "sealed": sealed, "made_at": key.made_at}
        try:
            with self._database.writing() as connection:
                connection.execute(insert(assertion_keys), row)
                cause = Cause(actor=ENTRADA, at=key.made_at)
                details = {"kid": key.kid, "key": "assertion"}
                note(connection, Act(action=Action.KEYS_ROTATED, cause=cause, details=details))
        except IntegrityError:
            return False
        return True

    def remove(self, key: AssertionKey) -> None:
        """See `AssertionKeys`."""
        with self._database.writing() as connection:
            connection.execute(delete(assertion_keys).where(assertion_keys.c.kid == key.kid))

    def _key_of(self, kid: str, follows: str, sealed: str, made_at: datetime) -> AssertionKey:
        der = self._sealer.unseal(sealed, context=kid)
        private = None if der is None else load_der_private_key(der, password=None)
        if not isinstance(private, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise ConfigurationError(
                "A key that signs assertions was sealed with another key than those of $[secret_keys].",
                hint="Give every server on this database the same keys, and keep the old one in the list "
                "while you change it.",
                setting="secret_keys",
            )
        return AssertionKey(kid=kid, made_at=made_at, private=private, follows=follows)
