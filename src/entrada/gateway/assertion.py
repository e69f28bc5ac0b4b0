"""The signed assertion: who is asking, for an application that believes nobody's word
(`X-Entrada-Assertion`).

A JWT (ES256 or RS256) of two minutes, for one audience: that of the route, or that the address of a proxy's
check asks for and $[assertion_audiences] lists. Keys: `entrada.gateway.assertion_keys`.

Source: RFC 7515; RFC 7519; RFC 8725, section 3.11 (explicit typing).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock

import jwt
from anyio import to_thread

from entrada.adapters.assertion import ES256, TYPE
from entrada.clock import Clock
from entrada.errors import ForwardAuthRefused, StoreUnavailable
from entrada.gateway.assertion_keys import LIFE, AssertionKey, AssertionKeys, current_keys, signing_key
from entrada.gateway.caller import Caller

LOOK_EVERY = timedelta(minutes=1)
MOST_MADE = 10_000

log = logging.getLogger("entrada")


def sign(caller: Caller, *, key: AssertionKey, issuer: str, audience: str, now: datetime) -> str:
    """The assertion about this caller for one audience.

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
    return jwt.encode(told, key.private, algorithm=key.algorithm, headers={"kid": key.kid, "typ": TYPE})


@dataclass(kw_only=True)
class Assertions:
    """Signs for one gateway. Looks at its keys again every `LOOK_EVERY`, so that they rotate while it runs.

    One assertion serves a caller for half its life: signing costs more than everything else about a request.
    `audiences` are those that the address of a check may ask for.
    """

    store: AssertionKeys
    issuer: str
    clock: Clock
    algorithm: str = ES256
    audiences: frozenset[str] = frozenset()
    _keys: Sequence[AssertionKey] = ()
    _looked_at: datetime | None = None
    _made: dict[tuple[Caller, str], tuple[datetime, str]] = field(default_factory=dict, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def keys(self) -> Sequence[AssertionKey]:
        """The keys, after a look at the store where one is due. While it does not answer, those known stand.

        Raises:
            ConfigurationError, StoreUnavailable: there are none yet, and the store has none to give.
        """
        with self._lock:
            now = self.clock.now()
            if self._is_due(now):
                try:
                    self._keys = current_keys(self.store, now, algorithm=self.algorithm)
                except StoreUnavailable:
                    if not self._keys:
                        raise
                    log.warning("The keys of assertions could not be looked at; those known stand.")
                self._looked_at = now
            return self._keys

    @property
    def newest_made_at(self) -> datetime | None:
        """When the newest of the keys that were last looked at was made."""
        return max((key.made_at for key in self._keys), default=None)

    async def about(self, caller: Caller, audience: str) -> str:
        """The assertion about this caller. May ask the database, in a thread."""
        now = self.clock.now()
        made = self._made.get((caller, audience))
        if made is not None and timedelta(0) <= now - made[0] < LIFE / 2:
            return made[1]
        keys = await to_thread.run_sync(self.keys) if self._is_due(now) else self._keys
        raw = sign(caller, key=signing_key(keys, now), issuer=self.issuer, audience=audience, now=now)
        if len(self._made) >= MOST_MADE:
            self._made.clear()
        self._made[caller, audience] = now, raw
        return raw

    def _is_due(self, now: datetime) -> bool:
        return self._looked_at is None or not timedelta(0) <= now - self._looked_at < LOOK_EVERY


def audience_for(asked: str | None, of_route: str | None, assertions: Assertions | None) -> str | None:
    """For whom an answer to a proxy is signed: whom its address names, or the route; None: it is not.

    Raises:
        ForwardAuthRefused: the address names an audience that is not listed.
    """
    if asked is None:
        return of_route
    if assertions is None or asked not in assertions.audiences:
        raise ForwardAuthRefused(
            f"The address of the check asks for the audience {asked[:80]!r}, which is not listed.",
            hint="Name it in $[assertion_audiences].",
        )
    return asked
