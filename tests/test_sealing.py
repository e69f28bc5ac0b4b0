"""Seals: what a browser keeps for us can be neither read, nor changed, nor used for anything else."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrada.errors import ConfigurationError
from entrada.sealing import Sealer

KEY = b"the first key, of thirty-two bytes or more"
NEWER = b"another key, of thirty-two bytes or more too"
SEALER = Sealer([KEY], purpose="pending sign-in")
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@settings(deadline=None)
@given(plain=st.binary(max_size=3000), context=st.text(max_size=30))
def test_what_was_sealed_opens_with_the_same_context(plain: bytes, context: str) -> None:
    """Any bytes come out as they went in."""
    assert SEALER.unseal(SEALER.seal(plain, context=context), context=context) == plain


def test_a_seal_is_text_for_a_cookie_and_shows_nothing() -> None:
    """A seal is plain base64url, holds nothing readable, and never comes out the same twice."""
    one, other = (SEALER.seal(b"the verifier", context="a") for _ in range(2))
    assert set(one) <= set(ALPHABET)
    assert b"verifier" not in base64.urlsafe_b64decode(one + "=" * (-len(one) % 4))
    assert one != other


def test_F7_every_altered_character_breaks_a_seal() -> None:
    """Changing any one character, to any other, leaves nothing that opens."""
    sealed = SEALER.seal(b"state and verifier", context="a")
    for position, present in enumerate(sealed):
        for replacement in {"A", "_", "z", "=", "!", " ", "é"} - {present}:
            altered = sealed[:position] + replacement + sealed[position + 1 :]
            assert SEALER.unseal(altered, context="a") is None


def test_F7_a_seal_has_one_spelling() -> None:
    """Other last bits, padding, and characters put in between are all refused."""
    sealed = SEALER.seal(b"x" * 15, context="a")
    spellings = [sealed[:-1] + character for character in ALPHABET if character != sealed[-1]]
    spellings += [sealed + "=", sealed + "==", sealed + "\n", f" {sealed}", sealed[:9] + "!" + sealed[9:]]
    assert [text for text in spellings if SEALER.unseal(text, context="a") is not None] == []


def test_F7_every_shortened_or_lengthened_seal_is_refused() -> None:
    """A seal cut at any place, or with anything behind it, does not open."""
    sealed = SEALER.seal(b"state and verifier", context="a")
    lengths = [
        length for length in range(len(sealed)) if SEALER.unseal(sealed[:length], context="a") is not None
    ]
    assert lengths == []
    assert SEALER.unseal(sealed + sealed, context="a") is None


def test_F7_a_seal_moved_to_another_name_is_refused() -> None:
    """A seal made for one context opens for no other."""
    assert SEALER.unseal(SEALER.seal(b"x", context="a"), context="b") is None


def test_F7_a_seal_of_another_purpose_is_refused() -> None:
    """The same key seals different things with different derived keys."""
    other = Sealer([KEY], purpose="something else")
    assert SEALER.unseal(other.seal(b"x", context="a"), context="a") is None


@settings(deadline=None)
@given(st.text(max_size=200))
def test_no_text_makes_unsealing_raise(text: str) -> None:
    """Any text that is not a seal of ours is None."""
    assert SEALER.unseal(text, context="a") is None


def test_F8_a_rotated_key_still_opens_and_the_new_one_seals() -> None:
    """After a key was put in front, old seals open, and new ones open with the new key alone."""
    rotated = Sealer([NEWER, KEY], purpose="pending sign-in")
    assert rotated.unseal(SEALER.seal(b"old", context="a"), context="a") == b"old"
    assert (
        Sealer([NEWER], purpose="pending sign-in").unseal(rotated.seal(b"new", context="a"), context="a")
        == b"new"
    )


def test_F8_a_removed_key_opens_nothing() -> None:
    """Once a key is gone its seals are nothing, without an error."""
    assert (
        Sealer([NEWER], purpose="pending sign-in").unseal(SEALER.seal(b"x", context="a"), context="a") is None
    )


@pytest.mark.parametrize("keys", [[], [b""], [b"x" * 31], [KEY, b"short"]])
def test_F9_short_keys_are_refused(keys: list[bytes]) -> None:
    """No key, or one below 32 bytes among good ones, makes no sealer."""
    with pytest.raises(ConfigurationError) as refusal:
        Sealer(keys, purpose="pending sign-in")
    assert refusal.value.setting == "ENTRADA_SECRET_KEYS"
