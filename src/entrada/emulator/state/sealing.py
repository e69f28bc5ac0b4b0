"""Sealed texts: refresh tokens, which carry their own content and outlive the process.

A sealed text is AES-256-GCM over JSON under a key that never leaves the emulator; its `purpose` is
authenticated with it.  Nothing has to be remembered about a text that was never used.
"""

from __future__ import annotations

import json
import os
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..protocol.encoding import b64url, compact_json

_NONCE_BYTES = 12


class Sealer:
    """Seals and opens JSON lists under one 32-byte key."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, purpose: str, content: Sequence[Any]) -> str:
        """A URL-safe text that only `open` with the same purpose can read."""
        nonce = os.urandom(_NONCE_BYTES)
        return "1.A" + b64url(nonce + self._cipher.encrypt(nonce, compact_json(content), purpose.encode()))

    def open(self, purpose: str, text: str) -> list[Any] | None:
        """What was sealed, or None for anything this emulator did not seal for this purpose."""
        if not text.startswith("1.A") or len(text) > 20_000:
            return None
        try:
            sealed = urlsafe_b64decode(text[3:] + "=" * (-len(text[3:]) % 4))
            plain = self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], purpose.encode())
        except (ValueError, InvalidTag):
            return None
        content: list[Any] = json.loads(plain)
        return content
