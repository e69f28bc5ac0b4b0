"""Whether an address lies in a domain: when in doubt it does not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrada.accounts.email import is_in_domains

OURS = frozenset({"corp.com"})


@pytest.mark.parametrize("email", ["ada@corp.com", "ada.lovelace+x@CORP.com", "a_b-c@Corp.Com"])
def test_a_plain_address_of_the_domain_is_in_it(email: str) -> None:
    """An ordinary address matches, whatever the case of its domain."""
    assert is_in_domains(email, OURS)


@pytest.mark.parametrize(
    "email",
    [
        "victim@corp.com@evil.com",
        "a@evil.com,victim@corp.com",
        "a@evil.com, victim@corp.com",
        "a@evil.com;victim@corp.com",
        "victim\uff20corp.com",
        "victim@corp.com\uff20evil.com",
        "victim@corp.com.",
        "victim@\u0441orp.com",
        "victim@corp\u3002com",
        "victim@corp.com\u200b",
        "victim@corp.com\n",
        "victim@corp.com\x00",
        " victim@corp.com",
        "victim @corp.com",
        '"a@evil.com"@corp.com',
        "<victim@corp.com>",
        "Victim <victim@corp.com>",
        "victim@[corp.com]",
        "victim@sub.corp.com",
        "victim@evilcorp.com",
        "victim@corp.com.evil.com",
        "victim@xn--orp-5cd.com",
        "@corp.com",
        "victim@",
        "corp.com",
        "",
        "a" * 65 + "@corp.com",
        "victím@corp.com",
    ],
)
def test_C4_an_address_that_can_be_read_two_ways_is_in_no_domain(email: str) -> None:
    """Several @, lists, look-alikes, quotes, dots and spaces never match a domain."""
    assert not is_in_domains(email, OURS)


def test_no_domain_is_nobodys() -> None:
    """Without owned domains, no address is verified by its domain."""
    assert not is_in_domains("ada@corp.com", frozenset())


@settings(deadline=None)
@given(local=st.text(max_size=30), rest=st.text(max_size=30))
def test_C4_whatever_matches_ends_in_the_domain_after_its_only_at(local: str, rest: str) -> None:
    """Any text that is accepted has exactly one @, and behind it exactly the domain."""
    email = f"{local}@corp.com{rest}"
    assert not is_in_domains(email, OURS) or (email.count("@") == 1 and email.lower().endswith("@corp.com"))
