"""The ten faults of Mage's own sign-in: each is there in Mage as it comes, and gone with entrada.

Every test runs at both. `faults` tries; here stands what each of the two must answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from clients.mage import running_mage
from entrada.emulator import RunningEmulator
from integrations.mage import faults
from integrations.mage.conftest import BOTH
from integrations.mage.desk import Desk
from integrations.mage.faults import SignedOut, Traces

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

# `browser` for all of them, so that they run together and each Mage is started once; `timeout` because the
# first may install it.
pytestmark = [pytest.mark.heavy, pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def as_it_comes(entra: RunningEmulator) -> Iterator[Desk]:
    with running_mage(entra, settings=BOTH) as mage:
        yield Desk(mage=mage, entra=entra)


@pytest.fixture(scope="module", params=["as it comes", "with entrada"])
def either(request: pytest.FixtureRequest) -> Desk:
    found: Desk = request.getfixturevalue(
        "running_desk" if request.param == "with entrada" else "as_it_comes"
    )
    return found


@pytest.fixture
def mage(either: Desk) -> Desk:
    return either.as_new()


@pytest.fixture
def ours(mage: Desk) -> bool:
    """Whether entrada is in it."""
    return mage.mage.with_entrada


@pytest.mark.parametrize("provider", ["active_directory", "azure_devops"])
def test_fault_01_graph_token_substitution(mage: Desk, ours: bool, provider: str) -> None:
    """C1, A27: anybody's Graph token of any application opens the owner's session; with us nobody's does."""
    assert faults.graph_token_substitution(mage, provider) == ("" if ours else "admin")


def test_fault_02_login_csrf(mage: Desk, ours: bool, visitor: BrowserContext) -> None:
    """A3: a link signs whoever follows it in as its author; with us a link signs nobody in."""
    assert faults.login_csrf(mage, visitor) == ("" if ours else "mallory@fabrikam.test")


@pytest.mark.parametrize(("target", "stock"), [(faults.EVIL, "left"), (faults.SCRIPT, "script")])
def test_fault_03_open_redirect_and_script(
    mage: Desk, ours: bool, visitor: BrowserContext, target: str, stock: str
) -> None:
    """The sign-in page goes wherever its address says, even into a script; with us to the dashboard."""
    assert faults.open_redirect(mage, visitor, target) == ("dashboard" if ours else stock)


def test_fault_04_tokens_in_addresses(mage: Desk, ours: bool, visitor: BrowserContext) -> None:
    """A Graph token is in addresses, in Referers and in the log; with us no token is in any of them."""
    expected = Traces(in_addresses=not ours, in_referers=not ours, in_the_log=not ours)
    assert faults.tokens_in_addresses(mage, visitor) == expected


def test_fault_05_sign_out_revokes_nothing(mage: Desk, ours: bool, visitor: BrowserContext) -> None:
    """After "Sign out" a copy of the session still opens Mage; with us it is dead, and Entra's ended, too."""
    expected = SignedOut(session_still_opens=not ours, entra_was_told=ours)
    assert faults.sign_out(mage, visitor) == expected


def test_fault_06_state_never_issued(mage: Desk, ours: bool) -> None:
    """A2: an answer with an invented state is redeemed; with us no request leaves for it."""
    assert faults.state_never_issued(mage) == (0 if ours else 1)


def test_fault_07_declined_consent(mage: Desk, ours: bool, visitor: BrowserContext) -> None:
    """Who declines sees a blank page; with us a sentence that says what happened and what to do."""
    words = faults.declined_consent(mage, visitor)
    assert ("declined" in words or "cancelled" in words) == ours, words
    assert ("try again" in words.lower()) == ours, words


def test_fault_08_lost_roles_stay(mage: Desk, ours: bool) -> None:
    """A role lost at Entra stays for ever, whatever UPDATE_ROLES_ON_LOGIN says; with us it is gone."""
    assert faults.lost_role(mage, who="fay@contoso.test") == ([] if ours else ["Editor"])


def test_fault_09_graph_forbids_and_nobody_hears(mage: Desk, ours: bool) -> None:
    """When Graph refuses to tell the roles, the user is made without; with us Graph is not asked for them."""
    assert faults.graph_forbids(mage, who="gil@contoso.test") == (["Editor"] if ours else [])


def test_fault_10_capitals_make_another_user(mage: Desk, ours: bool) -> None:
    """The same account in capitals is a second user; with us it is the same."""
    assert faults.same_person_in_capitals(mage, who="hal@contoso.test") == (1 if ours else 2)


def test_fault_10_a_new_name_makes_another_user(mage: Desk, ours: bool) -> None:
    """The same account under a new name is a second user; with us it is the same."""
    users = faults.renamed_person(mage, who="ida.may@contoso.test", then="ida.june@contoso.test")
    assert users == (1 if ours else 2)


def test_fault_10_a_reused_name_inherits(mage: Desk, ours: bool) -> None:
    """Who gets the name of somebody who left inherits their user; with us they do not."""
    assert faults.reused_name(mage, who="joe@contoso.test") is (not ours)


def test_fault_10_guests_get_an_address_that_is_none(mage: Desk, ours: bool) -> None:
    """A guest becomes a user with an invented address; with us guests stay out until they are let in."""
    expected = "" if ours else "gus_fabrikam.test#EXT#@contoso.test"
    assert faults.guest(mage) == expected
