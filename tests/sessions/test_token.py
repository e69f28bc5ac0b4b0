"""The cookie's value: enough chance, only a hash kept, nothing but the whole value accepted."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrada.sessions.token import new_session_token, parse_session_token

LENGTH = 22 + 1 + 43


def test_F2_a_secret_has_256_bits_and_is_never_the_same() -> None:
    """43 characters of base64url are 256 bits; a thousand tokens have a thousand ids and secrets."""
    tokens = [new_session_token() for _ in range(1000)]
    assert {len(token.secret) for token in tokens} == {43}
    assert len({token.secret for token in tokens}) == len({token.id for token in tokens}) == 1000


def test_a_token_survives_the_cookie() -> None:
    """What is read from the cookie is what was made."""
    token = new_session_token()
    assert len(token.cookie_value) == LENGTH
    assert parse_session_token(token.cookie_value) == token


def test_F2_only_the_hash_of_the_secret_is_for_keeping() -> None:
    """The record's hash is SHA-256 of the secret, and a printed token does not show the secret."""
    token = new_session_token()
    assert token.secret_hash == hashlib.sha256(token.secret.encode()).digest()
    assert token.secret not in repr(token)


GOOD = new_session_token().cookie_value


@pytest.mark.parametrize(
    "value",
    [
        "",
        ".",
        GOOD[:-1],
        GOOD + "A",
        GOOD[1:],
        GOOD.replace(".", "_"),
        f'"{GOOD}"',
        f"{GOOD}\n",
        f" {GOOD}",
        GOOD[:-1] + "=",
        GOOD[:-1] + "é",
        GOOD[:-1] + "\N{FULLWIDTH DIGIT ONE}",
        GOOD * 1000,
        "\x00" * LENGTH,
    ],
)
def test_F2_what_is_cut_longer_or_odd_is_no_token(value: str) -> None:
    """Another length or another alphabet is refused before any store is asked."""
    assert parse_session_token(value) is None


@settings(deadline=None)
@given(st.text(max_size=100))
def test_any_text_is_a_token_or_none(value: str) -> None:
    """Reading a cookie never raises; what is accepted spells itself."""
    token = parse_session_token(value)
    assert token is None or token.cookie_value == value
