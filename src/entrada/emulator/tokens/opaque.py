"""What only the service itself can read in its tokens: filler, and the note `aio`."""

from __future__ import annotations

import struct
from base64 import urlsafe_b64decode
from random import Random
from typing import Any

from ..protocol.encoding import b64url

BACKDATED_SECONDS = 300
"""How far back the dates of a token begin."""

_NOTE = struct.Struct(">d?")
_filler = Random()  # noqa: S311 it decides nothing, and asking the system four times a token costs


def opaque(prefix: str, size: int) -> str:
    """Filler where Entra writes something only it can read: different each time, and no secret."""
    return prefix + b64url(_filler.randbytes(size))


def note(now: float, *, mfa: bool) -> str:
    """`aio`, the service's own note on a token: to the fraction of a second when, and how strongly."""
    return opaque("A" + b64url(_NOTE.pack(now, mfa)), 31)


def read_note(claims: dict[str, Any]) -> tuple[float, bool]:
    """When a token was made, and whether with a second factor; without the note, as its dates tell."""
    try:
        made, mfa = _NOTE.unpack(urlsafe_b64decode(str(claims["aio"])[1:13]))
    except (KeyError, ValueError, struct.error):
        return float(claims["iat"]) + BACKDATED_SECONDS, False
    return made, mfa
