"""What a person is called in dstack: names within what its database and its commands take.

A name is made once, at the first sign-in, and never looked up again: it says nothing about who somebody is.

Source: dstack, `is_valid_username` (letters, digits, - and _) and the 50 characters of `users.name`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from entrada.accounts.identity import EntraIdentity, Profile

LONGEST_NAME = 50
_NUMBERED = 20
_UNWANTED = re.compile(r"[^a-z0-9_-]+", re.ASCII)


def names_for(profile: Profile, identity: EntraIdentity) -> Iterator[str]:
    """Names to try, the plainest first: ada, ada-2, … and at last one that nobody else has."""
    plain = _plain(profile.username or "") or _plain(profile.name) or "user"
    yield plain[:LONGEST_NAME]
    for number in range(2, _NUMBERED + 1):
        yield _with_tail(plain, str(number))
    # Somebody's own object id: taken only by themselves.
    yield _with_tail(plain, identity.object_id.partition("-")[0])
    yield identity.object_id


def _plain(text: str) -> str:
    """The part before the @, without accents, and a hyphen for everything dstack does not take."""
    local = text.partition("@")[0].partition("#")[0]
    ascii_only = unicodedata.normalize("NFKD", local).encode("ascii", "ignore").decode().lower()
    return _UNWANTED.sub("-", ascii_only).strip("-_")


def _with_tail(plain: str, tail: str) -> str:
    return f"{plain[: LONGEST_NAME - len(tail) - 1].rstrip('-_')}-{tail}"
