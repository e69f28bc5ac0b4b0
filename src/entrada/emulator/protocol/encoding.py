"""How tokens are spelt: base64url without padding, and JSON without spaces.

Source: RFC 7515, 2.
"""

from __future__ import annotations

import json
from binascii import b2a_base64

# What is encoded was made here and holds no circle.
_ENCODE = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def b64url(data: bytes) -> str:
    """Base64url without padding."""
    return b2a_base64(data, newline=False).translate(_URL_SAFE).rstrip(b"=").decode()


def compact_json(value: object) -> bytes:
    """JSON without spaces."""
    return _ENCODE(value).encode()
