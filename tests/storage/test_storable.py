"""What every store makes of a profile, for any text there is."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as any_of

from entrada.accounts.identity import Profile
from entrada.storage.storable import email_key, storable_profile, verified_email_key

TEXT = any_of.text(any_of.characters(exclude_categories=()), max_size=600)
PROFILES = any_of.builds(
    Profile,
    name=TEXT,
    email=any_of.none() | TEXT,
    username=any_of.none() | TEXT,
    is_guest=any_of.booleans(),
    email_is_verified=any_of.booleans(),
)


@settings(deadline=None)
@given(PROFILES)
def test_a_kept_profile_can_be_written_anywhere(profile: Profile) -> None:
    """UTF-8, without NUL, of stated length; keeping it again changes nothing."""
    kept = storable_profile(profile)
    for text in (kept.name, kept.email or "", kept.username or "", verified_email_key(kept) or ""):
        assert "\0" not in text
        assert len(text.encode()) <= 4 * 512
    assert storable_profile(kept) == kept


@settings(deadline=None)
@given(PROFILES)
def test_an_email_is_kept_whole_or_not_at_all(profile: Profile) -> None:
    """And one that is not kept is not verified."""
    kept = storable_profile(profile)
    assert kept.email in (profile.email, None)
    assert kept.email is not None or verified_email_key(kept) is None


@settings(deadline=None)
@given(TEXT)
def test_comparing_addresses_changes_ascii_letters_only(email: str) -> None:
    """Every other character counts as it is."""
    key = email_key(email)
    assert len(key) == len(email)
    assert all(k == e or (e.isascii() and k == e.lower()) for k, e in zip(key, email, strict=True))
