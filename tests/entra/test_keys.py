"""Signing keys: which may verify, and how the ring keeps them fresh without ever forgetting good ones."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from entra.tokens import (
    ABSENT,
    KID,
    NOW,
    TEMPLATE,
    TENANT,
    b64,
    document,
    jwk,
    key_set,
    number,
    private_key,
    verify,
)
from entra.tokens import token as signed_token
from entrada.entra.authority import PERSONAL_ACCOUNTS
from entrada.entra.key_ring import KEEP_FOR, REFRESH_AFTER, UNKNOWN_KID_PAUSE, KeyRing
from entrada.entra.keys import DOCUMENT_LIMIT_BYTES, KEY_COUNT_LIMIT, KeySet, read_keys
from entrada.entra.transport import HttpResponse
from entrada.errors import EntraUnavailable, TokenRefused

URI = "https://login.microsoftonline.com/common/discovery/v2.0/keys"


# --- which keys may verify ---


def test_a_key_as_entra_publishes_it_is_usable() -> None:
    """RSA, use sig, no alg, with certificate members and an issuer beside it: the real shape."""
    entry = jwk(x5t=KID, x5c=["MIIC"], cloud_instance_name="microsoftonline.com", issuer=TEMPLATE)
    (key,) = key_set(entry).keys
    assert key.kid == KID
    assert key.issuer == TEMPLATE
    assert key.public_key.public_numbers() == private_key().public_key().public_numbers()


UNUSABLE: Mapping[str, Mapping[str, Any]] = {
    "use enc": {"use": "enc"},
    "use null": {"use": None},
    "use list": {"use": ["sig"]},
    "key_ops without verify": {"key_ops": ["encrypt"]},
    "key_ops sign": {"key_ops": ["sign"]},
    "key_ops empty": {"key_ops": []},
    "key_ops text": {"key_ops": "verify"},
    "key_ops null": {"key_ops": None},
    "alg of encryption": {"alg": "RSA-OAEP"},
    "alg RS512": {"alg": "RS512"},
    "alg PS256": {"alg": "PS256"},
    "alg null": {"alg": None},
    "kty oct": {"kty": "oct", "k": "AAAA"},
    "kty EC": {"kty": "EC", "crv": "P-256"},
    "kty of another case": {"kty": "rsa"},
    "kty missing": {"kty": ABSENT},
    "e = 1": {"e": "AQ"},
    "e = 3": {"e": "Aw"},
    "e even": {"e": number(65538)},
    "e huge": {"e": number(2**64 + 1)},
    "e with a leading text": {"e": "AQAB="},
    "e missing": {"e": ABSENT},
    "e a number": {"e": 65537},
    "n missing": {"n": ABSENT},
    "n even": {"n": number(2**2047 + 2)},
    "n of 1024 bits": {"n": number(2**1023 + 1)},
    "n of 2047 bits": {"n": number(2**2046 + 1)},
    "n of 8193 bits": {"n": number(2**8192 + 1)},
    "n of a megabyte": {"n": "A" * 300_000},
    "n with padding": {"n": number(2**2047 + 1) + "="},
    "n not text": {"n": ["AA"]},
    "kid not text": {"kid": 5},
    "kid empty": {"kid": ""},
    "kid null": {"kid": None},
    "kid with a line end": {"kid": "a\nb"},
    "kid too long": {"kid": "a" * 257},
    "issuer not text": {"issuer": 5},
    "issuer empty": {"issuer": ""},
    "issuer null": {"issuer": None},
    "private half published": {"d": "AQAB"},
}


@pytest.mark.parametrize("why", UNUSABLE)
def test_B9_an_unusable_key_never_verifies(why: str) -> None:
    """A key that is weak, malformed or meant for something else is left out; the good one beside it stays."""
    good = jwk("good")
    assert [key.kid for key in key_set(good, jwk(**UNUSABLE[why])).keys] == ["good"]


def test_B9_keys_for_encryption_never_verify() -> None:
    """A token signed by the very key that is published for encryption is refused."""
    with pytest.raises(TokenRefused) as refused:
        verify(signed_token(), keys=key_set(jwk(use="enc"), jwk("other")))
    assert refused.value.check == "kid"


def test_B9_a_1024_bit_key_never_verifies() -> None:
    """A real key of 1024 bits is left out."""
    small = jwk("small", 1024)
    assert [key.kid for key in key_set(small, jwk()).keys] == [KID]


@pytest.mark.parametrize("twin", [jwk(), jwk("other", kid=KID), {"kty": "oct", "kid": KID, "k": "AAAA"}])
def test_B9_of_keys_with_one_name_none_verifies(twin: dict[str, Any]) -> None:
    """Two keys of one name, even the same key twice or one of another kind, leave open which was meant."""
    keys = key_set(jwk(), twin, jwk("good"))
    assert [key.kid for key in keys.keys] == ["good"]
    with pytest.raises(TokenRefused):
        verify(signed_token(), keys=keys)


def test_a_key_set_made_by_hand_with_twins_finds_neither() -> None:
    """The rule of one name, one key holds in the look-up, too."""
    (key,) = key_set().keys
    assert KeySet(keys=(key, key)).find(KID) is None


def test_B8_a_token_without_kid_is_verified_by_the_only_key() -> None:
    """No name and one usable key leave no doubt."""
    raw = signed_token(head={"kid": ABSENT})
    symmetric = {"kty": "oct", "kid": "mac", "k": "AAAA"}
    assert verify(raw, keys=key_set(jwk(), symmetric)).name == "Ada Lovelace"


def test_B8_a_token_without_kid_is_refused_when_there_are_several_keys() -> None:
    """No name and two keys: neither is tried."""
    with pytest.raises(TokenRefused) as refused:
        verify(signed_token(head={"kid": ABSENT}), keys=key_set(jwk(), jwk("other")))
    assert refused.value.check == "kid"


def test_a_key_without_kid_verifies_only_tokens_without_kid() -> None:
    """A name that the key does not bear is not guessed to be its own."""
    keys = key_set(jwk(kid=ABSENT))
    assert verify(signed_token(head={"kid": ABSENT}), keys=keys)
    with pytest.raises(TokenRefused):
        verify(signed_token(), keys=keys)


@pytest.mark.parametrize("issuer", [TEMPLATE, TEMPLATE.replace("{tenantid}", TENANT), ABSENT])
def test_a_key_of_this_issuer_or_of_all_verifies(issuer: Any) -> None:
    """The template stands for every tenant's issuer; a key without issuer is the tenant's own set."""
    assert verify(signed_token(), keys=key_set(jwk(issuer=issuer)))


@pytest.mark.parametrize(
    "issuer",
    [
        TEMPLATE.replace("{tenantid}", PERSONAL_ACCOUNTS),
        TEMPLATE.replace("{tenantid}", "99998888-7777-6666-5555-444433332222"),
        "https://sts.windows.net/{tenantid}/",
        "https://login.microsoftonline.us/{tenantid}/v2.0",
        TEMPLATE + "/",
        "{tenantid}",
    ],
)
def test_B18_a_key_of_another_issuer_never_verifies(issuer: str) -> None:
    """A key of the personal accounts' tenant, or of any other issuer, cannot speak for this tenant."""
    with pytest.raises(TokenRefused) as refused:
        verify(signed_token(), keys=key_set(jwk(issuer=issuer)))
    assert refused.value.check == "key_issuer"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b"{}",
        b'{"keys":null}',
        b'{"keys":{}}',
        b'{"keys":[]}',
        b'{"keys":[null,5,"x",[]]}',
        document(jwk())[:-20],
        document(jwk(use="enc")),
        b'{"keys":[],"keys":[]}',
        document(*[jwk(kid=f"k{index}") for index in range(101)]),
        b"{" + b" " * 600_000 + b"}",
        b"\xff",
    ],
    ids=range(15),
)
def test_an_unusable_document_raises(body: bytes) -> None:
    """A document with no usable key is an outage of Entra, never an empty set."""
    with pytest.raises(EntraUnavailable):
        read_keys(body)


def test_the_bounds_of_a_document_are_exact() -> None:
    """512 kB and 100 keys are read, a byte or a key more is not."""
    good = document(jwk())
    assert read_keys(good + b" " * (DOCUMENT_LIMIT_BYTES - len(good)))
    with pytest.raises(EntraUnavailable):
        read_keys(good + b" " * (DOCUMENT_LIMIT_BYTES - len(good) + 1))
    hundred = [jwk(), *({"kty": "oct"} for _ in range(KEY_COUNT_LIMIT - 1))]
    assert read_keys(document(*hundred))
    with pytest.raises(EntraUnavailable):
        read_keys(document(*hundred, {"kty": "oct"}))


def test_a_roca_modulus_is_recognised() -> None:
    """A modulus that is a power of 65537 modulo every small prime comes from the flawed generator."""
    from entrada.entra.keys import _has_roca_fingerprint

    product = 1
    for prime in (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157):
        product *= prime
    flawed = pow(65537, 12345, product) + product * (2**2040 // product)
    assert _has_roca_fingerprint(flawed)
    assert not _has_roca_fingerprint(private_key().public_key().public_numbers().n)


# --- the ring ---


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)


class Entra:
    """Serves a key document from memory, counts how often, and fails when told to."""

    def __init__(self, *jwks: Mapping[str, Any]) -> None:
        self.body = document(*(jwks or (jwk(),)))
        self.status = 200
        self.failure: Exception | None = None
        self.fetches: list[str] = []
        self.arrived = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()

    def send(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> HttpResponse:
        self.fetches.append(f"{method} {url}")
        self.arrived.set()
        assert self.may_answer.wait(10)
        if self.failure:
            raise self.failure
        return HttpResponse(status=self.status, headers={}, body=self.body)

    def close(self) -> None: ...


class Later:
    """Keeps background work until the test runs it."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def __call__(self, work: Callable[[], None]) -> None:
        self.waiting.append(work)

    def run(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def entra() -> Entra:
    return Entra()


@pytest.fixture
def later() -> Later:
    return Later()


@pytest.fixture
def ring(entra: Entra, clock: Clock, later: Later) -> KeyRing:
    return KeyRing(entra, URI, clock=clock, chance=lambda: 1.0, in_background=later)


def kids(keys: KeySet) -> list[str | None]:
    return [key.kid for key in keys.keys]


def outage() -> EntraUnavailable:
    return EntraUnavailable(reason="connection refused", hint="Check the network.")


def in_threads(count: int, work: Callable[[], Any]) -> list[threading.Thread]:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def test_the_first_use_fetches_and_the_next_do_not(ring: KeyRing, entra: Entra, clock: Clock) -> None:
    """Within the hour, keys come from memory."""
    assert kids(ring.keys_for(KID)) == [KID]
    clock.advance(minutes=59)
    assert kids(ring.keys_for(KID)) == [KID]
    assert entra.fetches == [f"GET {URI}"]


def test_a_set_older_than_an_hour_is_refreshed_in_the_background(
    ring: KeyRing, entra: Entra, clock: Clock, later: Later
) -> None:
    """The caller gets the old set at once; the next one after the refresh gets the new set."""
    ring.keys_for(KID)
    entra.body = document(jwk(), jwk("new"))
    clock.advance(hours=1)
    assert kids(ring.keys_for(KID)) == [KID]
    assert kids(ring.keys_for(KID)) == [KID]
    assert len(later.waiting) == 1
    later.run()
    assert kids(ring.keys_for(KID)) == [KID, "new"]
    assert len(entra.fetches) == 2


def test_up_to_two_hours_the_refresh_stays_in_the_background(
    ring: KeyRing, entra: Entra, clock: Clock, later: Later
) -> None:
    """A quiet hour and a half does not make the next person wait for a fetch."""
    ring.keys_for(KID)
    clock.advance(hours=2)
    ring.keys_for(KID)
    assert len(entra.fetches) == len(later.waiting) == 1


def test_in_a_long_outage_nobody_waits_for_the_next_attempt(
    ring: KeyRing, entra: Entra, clock: Clock, later: Later
) -> None:
    """After one attempt that somebody waited for, the further ones are made in the background."""
    ring.keys_for(KID)
    entra.failure = outage()
    clock.advance(hours=3)
    ring.keys_for(KID)
    assert len(entra.fetches) == 2
    clock.advance(hours=1)
    ring.keys_for(KID)
    assert len(entra.fetches) == 2
    assert len(later.waiting) == 1


def test_a_token_without_kid_never_causes_a_fetch(ring: KeyRing, entra: Entra) -> None:
    """Where it names no key, there is none to look for."""
    entra.body = document(jwk(), jwk("other"))
    for _ in range(3):
        assert ring.keys_for(None).find(None) is None
    assert len(entra.fetches) == 1


def test_refreshes_are_spread(entra: Entra, clock: Clock, later: Later) -> None:
    """Processes that start together do not refresh together: chance moves the moment by up to a tenth."""
    ring = KeyRing(entra, URI, clock=clock, chance=lambda: 0.0, in_background=later)
    ring.keys_for(KID)
    clock.advance(minutes=54)
    ring.keys_for(KID)
    assert len(later.waiting) == 1


def test_the_background_refresh_runs_in_a_daemon_thread(entra: Entra, clock: Clock) -> None:
    """By default the refresh runs beside the caller, in a thread that no process waits for when it ends."""
    ring = KeyRing(entra, URI, clock=clock)
    ring.keys_for(KID)
    entra.may_answer.clear()
    entra.arrived.clear()
    clock.advance(hours=1)
    assert kids(ring.keys_for(KID)) == [KID]
    assert entra.arrived.wait(10)
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "entrada-keys"]
    assert thread.daemon
    entra.may_answer.set()
    thread.join(10)
    assert ring.state.fetched_at == clock.now


def test_no_thread_to_be_had_is_no_failure_of_the_sign_in(entra: Entra, clock: Clock) -> None:
    """When no thread can start, the old set serves and a later use tries again."""

    def no_thread(_work: Callable[[], None]) -> None:
        raise RuntimeError("can't start new thread")

    ring = KeyRing(entra, URI, clock=clock, in_background=no_thread)
    ring.keys_for(KID)
    clock.advance(hours=1)
    assert kids(ring.keys_for(KID)) == [KID]
    assert ring.state.last_failure == "no thread for the refresh"
    clock.advance(hours=24)
    assert kids(ring.keys_for(KID)) == [KID]
    assert ring.state.last_failure is None


def test_B6_an_unknown_kid_refetches_once_per_five_minutes_then_is_refused(
    ring: KeyRing, entra: Entra, clock: Clock
) -> None:
    """A flood of invented key names costs one fetch in five minutes."""
    ring.keys_for(KID)
    for index in range(100):
        assert ring.keys_for(f"unknown{index}").find(f"unknown{index}") is None
    assert len(entra.fetches) == 2
    clock.advance(seconds=UNKNOWN_KID_PAUSE.total_seconds() - 1)
    ring.keys_for("unknown")
    assert len(entra.fetches) == 2
    clock.advance(seconds=1)
    ring.keys_for("unknown")
    assert len(entra.fetches) == 3
    with pytest.raises(TokenRefused) as refused:
        verify(signed_token(head={"kid": "unknown"}), keys=ring.keys_for("unknown"))
    assert refused.value.check == "kid"
    assert "five minutes" in refused.value.hint


def test_keys_rotated_just_before_signing_are_found_at_once(ring: KeyRing, entra: Entra) -> None:
    """A key published a moment after the first fetch verifies the first token that names it."""
    ring.keys_for(KID)
    entra.body = document(jwk("new"))
    assert verify(signed_token(head={"kid": "new"}, key=private_key("new")), keys=ring.keys_for("new"))
    assert len(entra.fetches) == 2


def test_known_kids_cost_nothing_while_unknown_ones_flood(ring: KeyRing, entra: Entra) -> None:
    """While a refetch for an unknown name hangs, good requests are answered from memory."""
    ring.keys_for(KID)
    entra.may_answer.clear()
    entra.arrived.clear()
    flood = in_threads(20, lambda: ring.keys_for("unknown"))
    assert entra.arrived.wait(10)
    assert kids(ring.keys_for(KID)) == [KID]
    entra.may_answer.set()
    join(flood)
    assert len(entra.fetches) == 2


def test_500_parallel_callers_of_a_new_kid_make_one_fetch(ring: KeyRing, entra: Entra) -> None:
    """One fetches, the others wait for it, and every one of them gets the new key."""
    ring.keys_for(KID)
    entra.body = document(jwk(), jwk("new"))
    entra.may_answer.clear()
    found: list[bool] = []
    callers = in_threads(500, lambda: found.append(ring.keys_for("new").find("new") is not None))
    entra.may_answer.set()
    join(callers)
    assert found == [True] * 500
    assert len(entra.fetches) == 2


def test_500_first_callers_make_one_fetch(ring: KeyRing, entra: Entra) -> None:
    """A cold start under load fetches once."""
    entra.may_answer.clear()
    found: list[bool] = []
    callers = in_threads(500, lambda: found.append(ring.keys_for(KID).find(KID) is not None))
    entra.may_answer.set()
    join(callers)
    assert found == [True] * 500
    assert len(entra.fetches) == 1


def test_an_unknown_kid_that_meets_a_running_refresh_asks_once_more(
    ring: KeyRing, entra: Entra, clock: Clock, later: Later
) -> None:
    """An answer that was on its way before the key was published is not the last word."""
    ring.keys_for(KID)
    clock.advance(hours=1)
    ring.keys_for(KID)
    entra.arrived.clear()
    entra.may_answer.clear()
    refresh = in_threads(1, later.run)
    assert entra.arrived.wait(10)
    found: list[bool] = []
    caller = in_threads(1, lambda: found.append(ring.keys_for("new").find("new") is not None))
    # The running refresh is answered with the old document, every later fetch with the new one.
    old_send = entra.send

    def send(*args: Any, **kwargs: Any) -> HttpResponse:
        entra.body = document(jwk("new"))
        return old_send(*args, **kwargs)

    entra.send = send  # type: ignore[method-assign]  # the second answer differs from the first
    entra.may_answer.set()
    join(refresh + caller)
    assert found == [True]


BAD_ANSWERS: Mapping[str, Callable[[Entra], None]] = {
    "HTTP 500": lambda entra: setattr(entra, "status", 500),
    "redirect": lambda entra: setattr(entra, "status", 302),
    "empty": lambda entra: setattr(entra, "body", b""),
    "no keys": lambda entra: setattr(entra, "body", b'{"keys":[]}'),
    "HTML": lambda entra: setattr(entra, "body", b"<!DOCTYPE html><title>Sign in to the network</title>"),
    "half JSON": lambda entra: setattr(entra, "body", document(jwk())[:100]),
    "only unusable keys": lambda entra: setattr(entra, "body", document(jwk(use="enc"))),
    "no connection": lambda entra: setattr(entra, "failure", outage()),
}


@pytest.mark.parametrize("fault", BAD_ANSWERS)
def test_fault_2_a_failed_refresh_keeps_the_last_good_keys_for_a_day(
    fault: str, ring: KeyRing, entra: Entra, clock: Clock, later: Later
) -> None:
    """Whatever the endpoint answers, the cache is not emptied; after a day the old keys are given up."""
    ring.keys_for(KID)
    BAD_ANSWERS[fault](entra)
    clock.advance(hours=1)
    for _ in range(23 * 2):
        assert kids(ring.keys_for(KID)) == [KID]
        later.run()
        assert kids(ring.keys_for("unknown")) == [KID]
        clock.advance(minutes=30)
    assert clock.now - NOW == KEEP_FOR
    assert kids(ring.keys_for(KID)) == [KID]
    assert ring.state.last_failure
    later.run()
    clock.advance(seconds=5)
    with pytest.raises(EntraUnavailable):
        ring.keys_for(KID)


def test_a_failed_refresh_is_tried_again_after_a_minute_not_at_each_use(
    ring: KeyRing, entra: Entra, clock: Clock, later: Later
) -> None:
    """An outage costs one attempt a minute."""
    ring.keys_for(KID)
    entra.failure = outage()
    clock.advance(hours=1)
    for _ in range(10):
        ring.keys_for(KID)
        later.run()
    assert len(entra.fetches) == 2
    clock.advance(minutes=1)
    entra.failure = None
    ring.keys_for(KID)
    later.run()
    assert len(entra.fetches) == 3
    assert ring.state.last_failure is None


def test_a_failed_background_refresh_is_logged_with_its_reason(
    ring: KeyRing, entra: Entra, clock: Clock, later: Later, caplog: pytest.LogCaptureFixture
) -> None:
    """Someone who reads the log learns that keys grow old, and why."""
    ring.keys_for(KID)
    entra.failure = outage()
    clock.advance(hours=1)
    ring.keys_for(KID)
    with caplog.at_level(logging.WARNING):
        later.run()
    (record,) = caplog.records
    assert record.message == "entra_keys_refresh_failed"
    assert record.__dict__["reason"] == "connection refused"


def test_fault_4_a_key_that_vanished_from_a_refresh_is_no_longer_used(
    ring: KeyRing, entra: Entra, clock: Clock, later: Later
) -> None:
    """A withdrawn key verifies nothing once a refresh succeeded, and a refresh runs within the hour."""
    entra.body = document(jwk(), jwk("stolen"))
    ring.keys_for("stolen")
    entra.body = document(jwk())
    clock.advance(hours=1)
    ring.keys_for(KID)
    later.run()
    assert kids(ring.keys_for("stolen")) == [KID]


def test_fault_4_after_a_long_pause_a_withdrawn_key_does_not_verify_the_first_token(
    ring: KeyRing, entra: Entra, clock: Clock, later: Later
) -> None:
    """When nobody came for hours, the refresh comes before the answer."""
    entra.body = document(jwk(), jwk("stolen"))
    ring.keys_for("stolen")
    entra.body = document(jwk())
    clock.advance(hours=2, seconds=1)
    assert kids(ring.keys_for("stolen")) == [KID]


def test_fault_4_the_same_after_a_failure_that_nobody_followed_up(
    ring: KeyRing, entra: Entra, clock: Clock, later: Later
) -> None:
    """One failed refresh and then hours without a visitor do not keep a withdrawn key alive either."""
    entra.body = document(jwk(), jwk("stolen"))
    ring.keys_for("stolen")
    entra.failure = outage()
    clock.advance(hours=1)
    ring.keys_for("stolen")
    later.run()
    entra.failure, entra.body = None, document(jwk())
    clock.advance(hours=1, seconds=1)
    assert kids(ring.keys_for("stolen")) == [KID]


def test_without_any_keys_an_outage_is_an_error_and_recovers_by_itself(
    ring: KeyRing, entra: Entra, clock: Clock
) -> None:
    """A first fetch that fails keeps the transport's own hint, spares Entra for five seconds, then works."""
    entra.failure = outage()
    with pytest.raises(EntraUnavailable):
        ring.keys_for(KID)
    with pytest.raises(EntraUnavailable) as again:
        ring.keys_for(KID)
    assert again.value.hint == "Check the network."
    assert len(entra.fetches) == 1
    entra.failure = None
    clock.advance(seconds=5)
    assert kids(ring.keys_for(KID)) == [KID]


def test_waiting_callers_all_hear_of_a_failure(ring: KeyRing, entra: Entra) -> None:
    """Nobody hangs when the one fetch that all wait for fails."""
    entra.failure = outage()
    entra.may_answer.clear()
    reasons: list[str] = []

    def ask() -> None:
        try:
            ring.keys_for(KID)
        except EntraUnavailable as unavailable:
            reasons.append(unavailable.reason)

    callers = in_threads(50, ask)
    entra.may_answer.set()
    join(callers)
    assert reasons == ["connection refused"] * 50


def test_an_unforeseen_exception_leaves_nobody_waiting(ring: KeyRing, entra: Entra, clock: Clock) -> None:
    """A fetch that breaks off with a bug is over for everyone; the next use starts anew."""
    entra.failure = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        ring.keys_for(KID)
    entra.failure = None
    clock.advance(seconds=5)
    assert kids(ring.keys_for(KID)) == [KID]


def test_fault_19_a_clock_set_back_neither_freezes_the_keys_nor_the_pause(
    ring: KeyRing, entra: Entra, clock: Clock, later: Later
) -> None:
    """With the clock an hour back, the set is refreshed and an unknown kid may ask."""
    ring.keys_for("unknown")
    clock.advance(hours=-1)
    ring.keys_for(KID)
    later.run()
    ring.keys_for("unknown")
    assert len(entra.fetches) == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_fault_32_a_forked_child_has_its_own_lock_and_no_fetch_under_way(
    ring: KeyRing, entra: Entra, clock: Clock
) -> None:
    """A child born while the parent held the lock and fetched uses the parent's keys and can fetch itself."""
    ring.keys_for(KID)
    ring._lock.acquire()
    ring._under_way = object()  # type: ignore[assignment]  # a fetch of a thread that the child will not have
    child = os.fork()
    if child == 0:  # pragma: no cover - runs in the child
        status = 1
        try:
            entra.body = document(jwk(), jwk("new"))
            fine = kids(ring.keys_for(KID)) == [KID] and ring.keys_for("new").find("new") is not None
            status = 0 if fine else 2
        finally:
            os._exit(status)
    ring._lock.release()
    assert os.waitpid(child, 0)[1] == 0


def test_fault_32_a_ring_without_keys_survives_a_fork(ring: KeyRing) -> None:
    """A process that forks before it ever fetched has nothing to carry over."""
    ring.start_over_in_child()
    assert kids(ring.keys_for(KID)) == [KID]


def test_the_state_names_the_keys_and_the_last_failure(ring: KeyRing, entra: Entra, clock: Clock) -> None:
    """A diagnosis can show what is held, since when, and what went wrong."""
    assert ring.state.kids == ()
    ring.keys_for(KID)
    assert ring.state.kids == (KID,)
    assert ring.state.fetched_at == NOW
    assert ring.state.last_failure is None


def test_the_promised_times() -> None:
    """Microsoft's guidance: hourly, a day, five minutes."""
    promised = [timedelta(hours=1), timedelta(hours=24), timedelta(minutes=5)]
    assert promised == [REFRESH_AFTER, KEEP_FOR, UNKNOWN_KID_PAUSE]


def test_b64_of_the_tests_agrees_with_json() -> None:
    """The helpers of these tests write what the code reads."""
    assert json.loads(document(jwk()))["keys"][0]["e"] == b64(b"\x01\x00\x01")
