"""A sign-in that has begun and not yet come back.

It lives in a sealed cookie of its own: several tabs can sign in at once, another browser cannot finish it,
and the server remembers nothing until it is used. Using it up is the session store's `spend_sign_in`.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from entrada.sealing import Sealer
from entrada.sessions.session import SessionId

SIGN_IN_LIFE = timedelta(hours=1)
"""How long a person may take at Microsoft, unless set otherwise: a first MFA registration is slow."""
MOST_PENDING = 5
MOST_PENDING_CHARACTERS = 6_000
"""Together with their names; servers and proxies commonly allow 8 kB for all cookies of a request."""

TAG_CHARACTERS = 10
_LARGEST_PLAIN_BYTES = 32 * 1024
_WINDOW_BITS, _MEMORY_LEVEL = 13, 6
"""Compresses 8 kB as well as zlib's own 15 and 8, which clear a quarter of a megabyte for it first."""


@dataclass(frozen=True, kw_only=True)
class PendingSignIn:
    """Everything needed to finish, and everything the answer is compared with.

    `authority_url` and `client_id` say where it was begun; an answer is taken nowhere else.
    `begun_at` is in seconds since 1970. `tenant_id`, if set, is the one tenant whose people may come back.
    `context` is whatever the ending of this sign-in wants to have again; nobody else reads it.
    """

    state: str
    code_verifier: str = field(repr=False)
    nonce: str = field(repr=False)
    sent_nonce: str = field(repr=False)
    redirect_uri: str
    next_path: str
    authority_url: str
    client_id: str
    begun_at: int
    replaces: SessionId | None = None
    """The session this browser had when it began."""
    silent: bool = False
    """Begun with prompt=none: a refusal is answered by one interactive try."""
    max_age_seconds: int | None = None
    tenant_id: str | None = None
    context: str = field(default="", repr=False)
    scopes: Sequence[str] = ()
    """Those of an API that is to be called later, whole; see `entrada.entra.api_scopes`."""
    claims: str = ""
    """The claims request that this sign-in answers, as JSON."""

    @property
    def tag(self) -> str:
        return tag_of(self.state)

    def is_expired(self, now: datetime, life: timedelta) -> bool:
        age = now.timestamp() - self.begun_at
        return not -60 <= age <= life.total_seconds()


def tag_of(state: str) -> str:
    """What names the cookie of that sign-in: finds the right one among several, proves nothing."""
    return hashlib.sha256(state.encode("utf-8", "replace")).hexdigest()[:TAG_CHARACTERS]


def seal_pending(pending: PendingSignIn, sealer: Sealer) -> str:
    """Compressed first: two tabs with long addresses have to fit into what proxies let through.

    Nothing secret can be guessed from the length: every sign-in has secrets of its own.
    """
    # What is not asked for is left out: an older version beside this one reads the rest.
    asked = {name for name in ("scopes", "claims") if getattr(pending, name)}
    kept = {
        name: value
        for name, value in vars(pending).items()
        if name in asked or name not in ("scopes", "claims")
    }
    plain = json.dumps(kept, separators=(",", ":")).encode()
    packer = zlib.compressobj(9, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL)
    return sealer.seal(packer.compress(plain) + packer.flush(), context=pending.tag)


def unseal_pending(sealed: str, *, tag: str, sealer: Sealer) -> PendingSignIn | None:
    """The pending sign-in, or None: not ours, changed, moved to another name, or of another version."""
    plain = sealer.unseal(sealed, context=tag)
    if plain is None:
        return None
    try:
        return PendingSignIn(**json.loads(zlib.decompressobj().decompress(plain, _LARGEST_PLAIN_BYTES)))
    except (TypeError, ValueError, zlib.error):
        return None
