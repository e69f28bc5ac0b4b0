"""A sign-in under way: sealed, for ten minutes, for one name."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import timedelta

import pytest

from entra.tokens import CLIENT_ID, NOW
from entrada.flows.pending import (
    PENDING_LIFE,
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
        json.dumps({**asdict(PENDING), "of_a_later_version": 1}).encode(),
        json.dumps({key: value for key, value in asdict(PENDING).items() if key != "nonce"}).encode(),
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
        (PENDING_LIFE, False),
        (PENDING_LIFE + timedelta(seconds=1), True),
        (timedelta(days=400), True),
        (timedelta(seconds=-60), False),
        (timedelta(seconds=-61), True),
    ],
)
def test_A6_a_sign_in_lives_ten_minutes(age: timedelta, expired: bool) -> None:
    """Within ten minutes it can be finished; later, or from a future beyond a minute of skew, it cannot."""
    assert replace(PENDING).is_expired(NOW + age) is expired


def test_the_limit_is_ten_minutes() -> None:
    """The sentence people read says ten minutes, and so does the limit."""
    assert timedelta(minutes=10) == PENDING_LIFE
