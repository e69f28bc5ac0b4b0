"""What a person is called in dstack."""

from __future__ import annotations

import re
from itertools import islice

import pytest

from entrada.accounts.identity import EntraIdentity, Profile
from entrada.entra.authority import ObjectId, TenantId
from entrada.integrations.dstack.names import LONGEST_NAME, names_for

IDENTITY = EntraIdentity(
    tenant_id=TenantId("c0000000-0000-4000-8000-000000000001"),
    object_id=ObjectId("a1b2c3d4-0000-4000-8000-000000000002"),
)
TAKEN_BY_DSTACK = re.compile(r"[a-zA-Z0-9-_]{1,50}", re.ASCII)


def names(username: str | None, name: str = "") -> list[str]:
    return list(names_for(Profile(name=name, email=None, username=username), IDENTITY))


@pytest.mark.parametrize(
    ("username", "name", "expected"),
    [
        ("ada@contoso.test", "Ada", "ada"),
        ("Ada.Lovelace@contoso.test", "", "ada-lovelace"),
        ("gus_fabrikam.test#EXT#@contoso.test", "", "gus_fabrikam-test"),
        ("josé.nuñez@contoso.test", "", "jose-nunez"),
        (None, "Ed Itor", "ed-itor"),
        ("李@contoso.test", "李", "user"),
        ("..@contoso.test", "", "user"),
        ("x" * 64 + "@contoso.test", "", "x" * LONGEST_NAME),
    ],
)
def test_the_first_name_is_the_plainest(username: str | None, name: str, expected: str) -> None:
    """The part before the @ in letters dstack takes, else the display name, else `user`."""
    assert names(username, name)[0] == expected


@pytest.mark.parametrize("username", ["ada@contoso.test", "x" * 64, "-" * 70, "a" * 49 + "-b", "\0\n@", ""])
def test_every_name_fits(username: str) -> None:
    """Whatever somebody is called, each name is one that dstack's database and commands take."""
    tried = names(username)
    assert all(TAKEN_BY_DSTACK.fullmatch(name) for name in tried), tried
    assert len(set(tried)) == len(tried)


def test_names_in_use_are_numbered_and_never_run_out() -> None:
    """ada, ada-2, ada-3 …, and at last the person's own object id, which nobody else has."""
    assert list(islice(names_for(Profile(name="", email=None, username="ada"), IDENTITY), 3)) == [
        "ada",
        "ada-2",
        "ada-3",
    ]
    assert names("ada")[-2:] == ["ada-a1b2c3d4", IDENTITY.object_id]
