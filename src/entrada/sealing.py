"""Seals what a browser keeps for us, so that it can neither read nor change it.

AES-256-GCM with a random nonce. The first key seals, every key opens, so keys can be rotated.
Each purpose has a key of its own and is bound into the seal: a seal made for one purpose or one context
opens for no other.

Source: NIST SP 800-38D; RFC 5869 (HKDF).
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Iterable, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from entrada.errors import ConfigurationError

SMALLEST_KEY_BYTES = 32
MAKE_KEY_COMMAND = "python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"
_NONCE_BYTES = 12


class Sealer:
    """Seals and unseals for one purpose. `keys` are secrets of at least 32 bytes each.

    Raises:
        ConfigurationError: no key, or one that is too short.
    """

    def __init__(self, keys: Sequence[bytes], *, purpose: str) -> None:
        if not keys or any(len(key) < SMALLEST_KEY_BYTES for key in keys):
            raise ConfigurationError(
                f"$[secret_keys] needs keys of at least {SMALLEST_KEY_BYTES} bytes each.",
                hint=f"Make one with: {MAKE_KEY_COMMAND}",
                setting="secret_keys",
            )
        self._purpose = purpose.encode()
        self._ciphers = [AESGCM(_derive(key, self._purpose)) for key in keys]

    def seal(self, plain: bytes, *, context: str) -> str:
        """URL-safe text that only `unseal` with the same context opens."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _as_text(nonce + self._ciphers[0].encrypt(nonce, plain, context.encode()))

    def unseal_any(self, texts: Iterable[str], *, context: str) -> bytes | None:
        """What the first of these held that is a seal of ours; None if none is."""
        opened = (self.unseal(text, context=context) for text in texts)
        return next((plain for plain in opened if plain is not None), None)

    def unseal(self, sealed: str, *, context: str) -> bytes | None:
        """What was sealed, or None for anything that is not a whole, unchanged seal of ours."""
        try:
            raw = base64.urlsafe_b64decode(sealed.encode("ascii") + b"=" * (-len(sealed) % 4))
        except (UnicodeEncodeError, binascii.Error):
            return None
        # The decoder skips what is not base64; a seal has one spelling only.
        if len(raw) <= _NONCE_BYTES or _as_text(raw) != sealed:
            return None
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], context.encode())
            except InvalidTag:
                continue
        return None


def _as_text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _derive(key: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"entrada " + purpose).derive(key)
