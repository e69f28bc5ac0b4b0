"""A sign-in under way: sealed, for ten minutes, for one name."""

from __future__ import annotations

import json
import random
import string
import zlib
from dataclasses import asdict, replace
from datetime import timedelta

import pytest

from entra.tokens import CLIENT_ID, NOW
from entrada.flows.pending import (
    MOST_PENDING_CHARACTERS,
    SIGN_IN_LIFE,
    PendingSignIn,
    seal_pending,
    tag_of,
    unseal_pending,
)
from entrada.sealing import Sealer
from entrada.sessions.session import SessionId

SEALER = Sealer([b"a key of thirty-two bytes or so, for tests"], purpose="pending sign-in")
PENDING = PendingSignIn(
    state="abcdefghijklmnopqrstuvwxyz",
    code_verifier="v" * 43,
    nonce="n" * 16,
    sent_nonce="5" * 64,
    redirect_uri="https://app.contoso.test/auth/entra/callback",
    next_path="/reports?year=2026",
    authority_url="https://login.microsoftonline.com/contoso.test",
    client_id=CLIENT_ID,
    begun_at=int(NOW.timestamp()),
    replaces=SessionId("s" * 22),
    silent=True,
    max_age_seconds=300,
)


def test_a_pending_sign_in_survives_the_cookie() -> None:
    """Everything that is needed to finish comes back as it was."""
    assert unseal_pending(seal_pending(PENDING, SEALER), tag=PENDING.tag, sealer=SEALER) == PENDING


def test_a_pending_sign_in_shows_no_secret() -> None:
    """Verifier and nonce stay out of a representation."""
    assert PENDING.code_verifier not in repr(PENDING)
    assert PENDING.sent_nonce not in repr(PENDING)


def test_F7_a_seal_under_another_name_is_no_sign_in() -> None:
    """A cookie copied to another sign-in's name is nothing."""
    assert unseal_pending(seal_pending(PENDING, SEALER), tag=tag_of("zyxwvutsrq"), sealer=SEALER) is None


@pytest.mark.parametrize(
    "plain",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"no json",
        b"\xff",
        zlib.compress(json.dumps({**asdict(PENDING), "of_a_later_version": 1}).encode()),
        json.dumps(asdict(PENDING)).encode(),
        zlib.compress(b"0" * 10_000_000),
        zlib.compress(json.dumps({k: v for k, v in asdict(PENDING).items() if k != "nonce"}).encode()),
    ],
)
def test_F7_another_versions_cookie_is_no_sign_in(plain: bytes) -> None:
    """What an older or newer version has sealed is nothing, and no error."""
    sealed = SEALER.seal(plain, context=PENDING.tag)
    assert unseal_pending(sealed, tag=PENDING.tag, sealer=SEALER) is None


@pytest.mark.parametrize(
    ("age", "expired"),
    [
        (timedelta(0), False),
        (SIGN_IN_LIFE, False),
        (SIGN_IN_LIFE + timedelta(seconds=1), True),
        (timedelta(days=400), True),
        (timedelta(seconds=-60), False),
        (timedelta(seconds=-61), True),
    ],
)
def test_A6_a_sign_in_lives_as_long_as_it_may(age: timedelta, expired: bool) -> None:
    """Within its life it can be finished; later, or from a future beyond a minute of skew, it cannot."""
    assert replace(PENDING).is_expired(NOW + age, SIGN_IN_LIFE) is expired


def test_K28_the_usual_limit_is_an_hour() -> None:
    """A first registration for MFA takes longer than ten minutes."""
    assert timedelta(hours=1) == SIGN_IN_LIFE


def test_K68_two_of_the_longest_addresses_fit() -> None:
    """Two tabs with addresses of 2,048 characters that nothing can compress below their information."""
    chance = random.Random(68)
    alphabet = string.ascii_letters + string.digits + "-_"
    sealed = [
        seal_pending(replace(PENDING, next_path="/" + "".join(chance.choices(alphabet, k=2_047))), SEALER)
        for _ in range(2)
    ]
    assert sum(map(len, sealed)) <= MOST_PENDING_CHARACTERS - 200
    assert max(map(len, sealed)) < 4_000, "what browsers keep of one cookie"
