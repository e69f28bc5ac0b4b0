"""Entra's signing keys: which of them may verify a token, and a ring that keeps them fresh.

Owns `read_keys` (pure: a key document becomes a `KeySet`) and `KeyRing` (I/O: fetches, caches, refreshes).
Refuses keys that are weak, ambiguous or meant for something else.
Never forgets good keys over a bad answer; forgets a key that a good answer no longer holds.

    keys_for(kid)   fresh set → return it at once
                    older than an hour → return it, refresh in the background
                    twice as old → refresh first; keep the old set if that fails, for up to a day
                    unknown kid → refetch, at most once per five minutes, one fetch for all who ask

Source: RFC 7517, sections 4 and 5; RFC 7518, section 6.3; Microsoft, "Access tokens in the Microsoft identity
platform" (validating the signature and the signing key's issuer) and "Signing key rollover".
"""

from __future__ import annotations

import logging
import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from weakref import WeakSet

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from entrada.entra.jws import KID_LIMIT_CHARS, decode_base64url, is_printable_ascii
from entrada.entra.transport import HttpTransport
from entrada.errors import EntraUnavailable
from entrada.strict_json import JsonRefused, read_json_object

DOCUMENT_LIMIT_BYTES = 512 * 1024
KEY_COUNT_LIMIT = 100
MODULUS_BITS = range(2048, 8192 + 1)
EXPONENTS = range(65537, 2**32)

REFRESH_AFTER = timedelta(hours=1)
KEEP_FOR = timedelta(hours=24)
UNKNOWN_KID_PAUSE = timedelta(minutes=5)
RETRY_PAUSE = timedelta(minutes=1)  # between refreshes while they fail and good keys are held
FIRST_RETRY_PAUSE = timedelta(seconds=5)  # the same while no keys are held
WAIT_LIMIT = timedelta(seconds=20)  # for someone else's fetch; the transport gives up sooner

_TENANT_TEMPLATE = "{tenantid}"
_log = logging.getLogger("entrada.entra.keys")


@dataclass(frozen=True, kw_only=True)
class SigningKey:
    """An RSA key that may verify RS256. `issuer`, if Entra named one, is the only issuer it may speak for."""

    kid: str | None
    public_key: RSAPublicKey = field(repr=False)
    issuer: str | None

    def speaks_for(self, issuer: str, tenant_id: str) -> bool:
        """Whether a token of that issuer and tenant may be verified by this key.

        A key's issuer may be the template `https://…/{tenantid}/v2.0`, which stands for every tenant's own.
        """
        return self.issuer is None or self.issuer.replace(_TENANT_TEMPLATE, tenant_id) == issuer


@dataclass(frozen=True, kw_only=True)
class KeySet:
    """The keys that may verify, at one moment."""

    keys: tuple[SigningKey, ...]

    def find(self, kid: str | None) -> SigningKey | None:
        """The one key of that name; without a name, the only key there is; else None."""
        candidates = [key for key in self.keys if kid is None or key.kid == kid]
        return candidates[0] if len(candidates) == 1 else None


def read_keys(document: bytes) -> KeySet:
    """The usable keys of a key document. Keys that may not verify are left out; at least one must remain.

    Raises:
        EntraUnavailable: not a key document, or no usable key in it.
    Source: RFC 7517, section 5.
    """
    if len(document) > DOCUMENT_LIMIT_BYTES:
        raise _unusable("the key document is too large")
    try:
        entries = read_json_object(document).get("keys")
    except JsonRefused as refused:
        raise _unusable(f"the key document is {refused}") from None
    if not isinstance(entries, list) or len(entries) > KEY_COUNT_LIMIT:
        raise _unusable("the key document holds no list of keys, or too long a one")
    jwks = [entry for entry in entries if isinstance(entry, dict)]
    # Of two keys with one name, nobody can say which was meant: neither verifies, whatever their kind.
    times_named = Counter(kid for jwk in jwks if isinstance(kid := jwk.get("kid"), str))
    found = (_read_key(jwk) for jwk in jwks)
    usable = tuple(key for key in found if key and (key.kid is None or times_named[key.kid] == 1))
    if not usable:
        raise _unusable("the key document holds no usable key")
    return KeySet(keys=usable)


def may_verify(jwk: Mapping[str, Any], algorithm: str) -> bool:
    """Whether the key's own words allow it to verify signatures of `algorithm`.

    Source: RFC 7517, sections 4.2 (`use`), 4.3 (`key_ops`) and 4.4 (`alg`).
    """
    operations = jwk.get("key_ops", ["verify"])
    return (
        jwk.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and jwk.get("alg", algorithm) == algorithm
    )


def _read_key(jwk: Mapping[str, Any]) -> SigningKey | None:
    kid, issuer = jwk.get("kid"), jwk.get("issuer")
    # With `d`, the private half is public too: anyone may have signed.
    if jwk.get("kty") != "RSA" or "d" in jwk or not may_verify(jwk, "RS256"):
        return None
    if "kid" in jwk and not (isinstance(kid, str) and is_printable_ascii(kid, limit=KID_LIMIT_CHARS)):
        return None
    if "issuer" in jwk and not (isinstance(issuer, str) and issuer):
        return None
    modulus, exponent = _read_number(jwk.get("n")), _read_number(jwk.get("e"))
    if modulus is None or exponent is None or not _is_strong(modulus, exponent):
        return None
    try:
        public_key = RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError:
        return None
    return SigningKey(kid=kid, public_key=public_key, issuer=issuer)


def _read_number(text: object) -> int | None:
    if not isinstance(text, str) or not 0 < len(text) <= 2048:
        return None
    try:
        return int.from_bytes(decode_base64url(text.encode("ascii")), "big")
    except ValueError:
        return None


def _is_strong(modulus: int, exponent: int) -> bool:
    return (
        modulus.bit_length() in MODULUS_BITS
        and modulus % 2 == 1
        and exponent in EXPONENTS
        and exponent % 2 == 1
        and not _has_roca_fingerprint(modulus)
    )


# CVE-2017-15361 ("ROCA"): a flawed generator made primes of the form k·M + (65537^a mod M), M a product of
# small primes. Modulo each of those, such a modulus is a power of 65537, as by chance none ever is.
_ROCA_RESIDUES = {
    prime: frozenset(pow(65537, power, prime) for power in range(prime))
    for prime in (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
}


def _has_roca_fingerprint(modulus: int) -> bool:
    return all(modulus % prime in residues for prime, residues in _ROCA_RESIDUES.items())


def _unusable(reason: str) -> EntraUnavailable:
    return EntraUnavailable("Microsoft's signing keys could not be read.", reason=reason)


@dataclass(frozen=True, kw_only=True)
class _Held:
    keys: KeySet
    fetched_at: datetime
    refresh_at: datetime


@dataclass(frozen=True, kw_only=True)
class _Failure:
    """What is kept of a failed fetch: each thread raises an exception of its own."""

    sentence: str
    reason: str
    hint: str
    at: datetime

    def again(self) -> EntraUnavailable:
        return EntraUnavailable(self.sentence, reason=self.reason, hint=self.hint)


class _Flight:
    """One fetch under way. Whoever wants its outcome waits for `landed`."""

    def __init__(self) -> None:
        self.landed = threading.Event()
        self.failure: _Failure | None = None


@dataclass(frozen=True, kw_only=True)
class KeyRingState:
    """What a diagnosis shows."""

    kids: tuple[str, ...]
    fetched_at: datetime | None
    last_failure: str | None


def in_daemon_thread(work: Callable[[], None]) -> None:
    """Runs `work` beside the caller; a process that wants to end does not wait for it."""
    threading.Thread(target=work, name="entrada-keys", daemon=True).start()


class KeyRing:
    """The current keys of one authority, for any number of threads.

    There is no thread while nothing is asked: a refresh is decided when keys are used.
    A forked process starts with the keys of its parent and its own locks and moments of refresh.
    `clock` gives aware UTC; `chance` gives numbers from 0 to 1 and spreads the refreshes of many processes.
    """

    def __init__(
        self,
        transport: HttpTransport,
        jwks_uri: str,
        *,
        clock: Callable[[], datetime],
        chance: Callable[[], float] = random.random,
        in_background: Callable[[Callable[[], None]], None] = in_daemon_thread,
    ) -> None:
        self._transport = transport
        self._jwks_uri = jwks_uri
        self._clock = clock
        self._chance = chance
        self._in_background = in_background
        self._lock = threading.Lock()
        self._held: _Held | None = None
        self._flight: _Flight | None = None
        self._failure: _Failure | None = None
        self._unknown_kid_asked_at: datetime | None = None
        _rings.add(self)

    def keys_for(self, kid: str | None) -> KeySet:
        """The keys to verify a token that names `kid`; whether it is among them, verification decides.

        Raises:
            EntraUnavailable: no keys are held, or only keys a day old, and none could be fetched.
        """
        keys = self._current()
        if kid is None or keys.find(kid) is not None:
            return keys
        return self._refetched_for(kid)

    @property
    def state(self) -> KeyRingState:
        held, failure = self._held, self._failure
        return KeyRingState(
            kids=tuple(key.kid or "" for key in held.keys.keys) if held else (),
            fetched_at=held.fetched_at if held else None,
            last_failure=failure.reason if failure else None,
        )

    def _current(self) -> KeySet:
        held, failure, now = self._held, self._failure, self._clock()
        if held is None or now - held.fetched_at > KEEP_FOR:
            return self._first(failure, now)
        # A clock that was set back makes the set look newer than now; then it is refreshed too.
        if held.fetched_at <= now < held.refresh_at:
            return held.keys
        tried_at = failure.at if failure else held.fetched_at
        if now - held.fetched_at > 2 * REFRESH_AFTER and now - tried_at > REFRESH_AFTER:
            # Nobody came for a while: a key withdrawn meanwhile must not verify the first token after that.
            with suppress(EntraUnavailable):
                self._fetch_or_join()
            return (self._held or held).keys
        if failure is None or _has_passed(RETRY_PAUSE, failure.at, now):
            self._refresh_in_background()
        return held.keys

    def _first(self, failure: _Failure | None, now: datetime) -> KeySet:
        if failure and not _has_passed(FIRST_RETRY_PAUSE, failure.at, now):
            raise failure.again()
        self._fetch_or_join()
        assert self._held is not None, "a fetch that lands without an error has brought keys"
        return self._held.keys

    def _refetched_for(self, kid: str) -> KeySet:
        # Twice at most: a fetch already under way may have been answered before the key was published.
        for _ in range(2):
            with self._lock:
                held, flight, now = self._held, self._flight, self._clock()
                if held is not None and held.keys.find(kid) is not None:
                    return held.keys
                mine = flight is None
                if flight is None:
                    asked_at = self._unknown_kid_asked_at
                    if asked_at is not None and not _has_passed(UNKNOWN_KID_PAUSE, asked_at, now):
                        break
                    self._unknown_kid_asked_at = now
                    flight = self._flight = _Flight()
            try:
                self._fly(flight) if mine else self._join(flight)
            except EntraUnavailable:
                break
        return self._held.keys if self._held else KeySet(keys=())

    def _refresh_in_background(self) -> None:
        with self._lock:
            if self._flight is not None:
                return
            flight = self._flight = _Flight()

        def refresh() -> None:
            try:
                self._fly(flight)
            except EntraUnavailable as unavailable:
                _log.warning("entra_keys_refresh_failed", extra={"reason": unavailable.reason})

        try:
            self._in_background(refresh)
        except RuntimeError:  # no thread to be had: too many, or the interpreter is going down
            self._land(flight, _unusable("no thread for the refresh"))

    def _fetch_or_join(self) -> None:
        with self._lock:
            flight, mine = self._flight, self._flight is None
            if flight is None:
                flight = self._flight = _Flight()
        self._fly(flight) if mine else self._join(flight)

    def _join(self, flight: _Flight) -> None:
        if not flight.landed.wait(WAIT_LIMIT.total_seconds()):
            raise _unusable("the fetch of the keys takes too long")
        if flight.failure is not None:
            raise flight.failure.again()

    def _fly(self, flight: _Flight) -> None:
        outcome: _Held | EntraUnavailable = _unusable("the fetch of the keys broke off")
        try:
            outcome = self._fetch()
        except EntraUnavailable as unavailable:
            outcome = unavailable
            raise
        finally:
            # Whatever happened: nobody must wait for ever on a fetch that is over.
            self._land(flight, outcome)

    def _fetch(self) -> _Held:
        answer = self._transport.send("GET", self._jwks_uri, headers={"accept": "application/json"})
        if answer.status != 200:
            raise _unusable(f"the key document was answered with HTTP {answer.status}")
        keys, now = read_keys(answer.body), self._clock()
        return _Held(keys=keys, fetched_at=now, refresh_at=now + self._spread())

    def _land(self, flight: _Flight, outcome: _Held | EntraUnavailable) -> None:
        with self._lock:
            if isinstance(outcome, _Held):
                self._held, self._failure = outcome, None
            else:
                self._failure = flight.failure = _Failure(
                    sentence=outcome.marked_sentence,
                    reason=outcome.reason,
                    hint=outcome.marked_hint,
                    at=self._clock(),
                )
            if self._flight is flight:
                self._flight = None
        flight.landed.set()

    def _spread(self) -> timedelta:
        return REFRESH_AFTER * (0.9 + 0.1 * self._chance())

    def _start_over_in_child(self) -> None:
        # A thread of the parent may have held the lock or been fetching; here that thread does not exist.
        self._lock = threading.Lock()
        self._flight = None
        held = self._held
        if held is not None:
            self._held = replace(held, refresh_at=held.fetched_at + self._spread())


def _has_passed(pause: timedelta, since: datetime, now: datetime) -> bool:
    # A clock set back must not stretch a pause without end.
    return not timedelta(0) <= now - since < pause


_rings: WeakSet[KeyRing] = WeakSet()


def _start_over_in_child() -> None:
    for ring in list(_rings):
        ring._start_over_in_child()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_start_over_in_child)
