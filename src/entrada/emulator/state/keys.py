"""The keys Entra signs with: made, kept, published, rotated.

Owns one ring of RSA-2048 keys.  Several are valid at any time, as at the live service; the first signs.
A further key belongs to the personal-account tenant alone and is published with that issuer.
Serialising a token is here too, because its header is prepared once per key: signing is the only
expensive step left.  Source: RFC 7515, 7517; Microsoft, "Access tokens", "Validate the signature".
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..compatibility import UTC
from ..private_file import write_private
from ..protocol.encoding import b64url, compact_json

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_FILE = "signing-keys.pem"
_PEM_END = b"-----END PRIVATE KEY-----\n"


class SigningKey:
    """One RSA key with its certificate, key id and prepared token header."""

    def __init__(self, private_key: RSAPrivateKey) -> None:
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import padding

        self.private_key = private_key
        self._padding = padding.PKCS1v15()
        self._hash = hashes.SHA256()
        certificate = _self_signed(private_key)
        numbers = private_key.public_key().public_numbers()
        # Entra's key id is the certificate's SHA-1 thumbprint; nothing rests on its strength.
        self.kid = b64url(hashlib.sha1(certificate, usedforsecurity=False).digest())
        self.jwk: dict[str, Any] = {
            "kty": "RSA",
            "use": "sig",
            "kid": self.kid,
            "x5t": self.kid,
            "n": b64url(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")),
            "e": b64url(numbers.e.to_bytes(3, "big")),
            "x5c": [_b64(certificate)],
        }
        self.header: dict[str, Any] = {"typ": "JWT", "alg": "RS256", "kid": self.kid}
        self._prepared_header = b64url(compact_json(self.header)) + "."
        self.pem = private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def sign_bytes(self, message: bytes) -> bytes:
        """The RS256 signature over `message`."""
        return self.private_key.sign(message, self._padding, self._hash)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether this key made `signature` over `message`."""
        from cryptography.exceptions import InvalidSignature

        try:
            self.private_key.public_key().verify(signature, message, self._padding, self._hash)
        except InvalidSignature:
            return False
        return True

    def sign(self, claims: dict[str, Any]) -> str:
        """The claims as a compact RS256 token with the ordinary header."""
        signed = self._prepared_header + b64url(compact_json(claims))
        return f"{signed}.{b64url(self.sign_bytes(signed.encode()))}"


class KeyRing:
    """The current key, those published beside it, and the personal-account tenant's own key.

    Keys are made by a background thread, and the next one ahead of need: generation takes about 70 ms.
    `open` starts it, which is best done when the listeners already answer.
    """

    def __init__(self, state_dir: Path) -> None:
        self._file = state_dir / _FILE
        self._lock = threading.Lock()
        self._spare: SigningKey | None = None
        self._removed: set[str] = set()
        self._published: list[SigningKey] = []
        self._first: list[SigningKey] = []
        self._personal: SigningKey | None = None
        self._ready = threading.Event()
        self._closing = False
        self._maker: threading.Thread | None = None

    @property
    def current(self) -> SigningKey:
        """The key that signs now."""
        if not self._published:
            self._ready.wait()
        return self._published[0]

    @property
    def personal(self) -> SigningKey:
        """The key that signs for the personal-account tenant and for no other."""
        self._ready.wait()
        assert self._personal is not None
        return self._personal

    @property
    def published(self) -> list[SigningKey]:
        """The keys a client may find, the personal tenant's aside."""
        self._ready.wait()
        return [key for key in self._published if key.kid not in self._removed]

    @property
    def known(self) -> list[SigningKey]:
        """Every key this ring still holds, published or withdrawn."""
        self._ready.wait()
        return list(self._published)

    def rotate(self, *, keep_old: bool = True) -> str:
        """Sign with a new key from now on; the old ones stay published unless told otherwise.

        Returns the new key's id.
        """
        self._ready.wait()
        with self._lock:
            new = self._spare or _generate()
            self._spare = None
            self._published = [new, *(self._published[:2] if keep_old else [])]
            self._save()
            self._maker = self._begin(self._refill)
        return new.kid

    def withdraw(self, kid: str) -> None:
        """Publish the key no longer, as after a compromise; it may still sign."""
        self._removed.add(kid)

    def begin_anew(self) -> None:
        """Sign with the key of the start again, and publish those of the start alone."""
        self._ready.wait()
        with self._lock:
            self._removed.clear()
            if self._published != self._first:
                self._published = list(self._first)
                self._save()

    def restore(self) -> None:
        """Publish every key again, and at least two; what was rotated stays rotated."""
        self._removed.clear()
        self._ready.wait()
        with self._lock:
            if len(self._published) < 2:
                self._published.append(self._spare or _generate())
                self._spare = None
                self._save()

    def open(self) -> None:
        """Begin to load or make the keys; whoever needs one before it is there waits."""
        self._maker = self._begin(self._fill)

    def close(self) -> None:
        """Make and save no more keys."""
        self._closing = True
        if self._maker is not None:
            self._maker.join()

    def _begin(self, work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=work, name="emulator-keys", daemon=True)
        thread.start()
        return thread

    def _fill(self) -> None:
        try:
            self._make()
            self._first = list(self._published)
        finally:
            self._ready.set()
        self._refill()

    def _make(self) -> None:
        keys = self._load()
        if keys:
            self._personal, self._published = keys[0], keys[1:]
        else:
            self._published = [_generate()]
            if self._closing:
                return
            self._published.append(_generate())
            self._personal = _generate()
            self._save()

    def _refill(self) -> None:
        with self._lock:
            if self._spare is None and not self._closing:
                self._spare = _generate()

    def _load(self) -> list[SigningKey]:
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            blocks = self._file.read_bytes().split(_PEM_END)[:-1]
            keys = [
                # The file is our own, mode 0600; checking the numbers again would cost the quick start.
                load_pem_private_key(block + _PEM_END, None, unsafe_skip_rsa_key_validation=True)
                for block in blocks
            ]
        except (OSError, ValueError):
            return []
        rsa_keys = [SigningKey(key) for key in keys if isinstance(key, RSAPrivateKey)]
        return rsa_keys if len(rsa_keys) >= 2 else []

    def _save(self) -> None:
        assert self._personal is not None
        write_private(self._file, b"".join(key.pem for key in (self._personal, *self._published)))


def _generate() -> SigningKey:
    from cryptography.hazmat.primitives.asymmetric import rsa

    return SigningKey(rsa.generate_private_key(public_exponent=65537, key_size=2048))


def _b64(data: bytes) -> str:
    from base64 import b64encode

    return b64encode(data).decode()


def _self_signed(private_key: RSAPrivateKey) -> bytes:
    """A certificate for the key, dated by the key alone so that its thumbprint stays the same."""
    from datetime import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import NameOID

    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "accounts.emulator.test")])
    modulus = private_key.public_key().public_numbers().n
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private_key.public_key())
        .serial_number(modulus % (1 << 120) + 1)
        .not_valid_before(datetime(2024, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2044, 1, 1, tzinfo=UTC))
        .sign(private_key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.DER)
