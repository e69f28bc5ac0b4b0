"""Global roles and projects from app roles and groups, at each sign-in to the real dstack."""

from __future__ import annotations

import pytest

from clients.dstack import Dstack
from entrada.emulator import RunningEmulator
from integrations.dstack.administrator import Administrator
from integrations.dstack.conftest import NewPerson
from integrations.dstack.visitor import Visitor

pytestmark = [pytest.mark.heavy, pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture
def admin(dstack: Dstack) -> Administrator:
    return Administrator(dstack)


def test_C16_roles_follow_entra(
    admin: Administrator, visitor: Visitor, new_person: NewPerson, emulator: RunningEmulator
) -> None:
    """The global role and the project follow Entra at each sign-in; without roles nothing is kept of them."""
    pat = new_person("Admin", "Editor")
    name = visitor.sign_in_as(pat)["username"]
    expected = {
        ("Admin", "Editor"): ("admin", {"main": "manager"}),
        ("Viewer",): ("user", {"main": "user"}),
        (): ("user", {}),
        ("Admin",): ("admin", {}),
    }
    for roles, (role, projects) in expected.items():
        emulator.change_person(pat.user_principal_name, roles=list(roles))
        assert visitor.sign_in_as(pat)["global_role"] == role
        assert admin.memberships(name, "main") == projects


def test_a_membership_made_by_hand_is_kept(
    admin: Administrator, visitor: Visitor, new_person: NewPerson, emulator: RunningEmulator
) -> None:
    """What an administrator gave stays, whatever Entra gives and takes."""
    pat = new_person("Viewer")
    name = visitor.sign_in_as(pat)["username"]
    admin.make_project(f"of-{name}")
    admin.add_member(f"of-{name}", name, "manager")
    emulator.change_person(pat.user_principal_name, roles=[])
    visitor.sign_in_as(pat)
    assert admin.memberships(name, "main", f"of-{name}") == {f"of-{name}": "manager"}
    admin.add_member("main", name, "user")
    for roles in (["Viewer"], []):
        emulator.change_person(pat.user_principal_name, roles=roles)
        visitor.sign_in_as(pat)
    assert admin.memberships(name, "main") == {"main": "user"}


def test_a_group_gives_a_project(
    admin: Administrator, dstack: Dstack, visitor: Visitor, new_person: NewPerson
) -> None:
    """A group puts its members into a project, as soon as dstack has that project."""
    pat = new_person("Viewer", groups=["Finance"])
    name = visitor.sign_in_as(pat)["username"]
    assert admin.memberships(name, "main") == {"main": "user"}
    assert "budget" in dstack.log, "the log names the project that is missing"
    admin.make_project("budget")
    visitor.sign_in_as(pat)
    assert admin.memberships(name, "main", "budget") == {"main": "user", "budget": "manager"}


def test_C19_more_groups_than_a_token_holds(admin: Administrator, visitor: Visitor) -> None:
    """Of 250 groups the one that counts is found at Graph; the highest of two roles in a project is given."""
    told = visitor.sign_in_as("olga@contoso.test")
    assert admin.memberships(told["username"], "main") == {"main": "admin"}


def test_C19_no_answer_about_groups_is_no_sign_in(
    admin: Administrator, visitor: Visitor, emulator: RunningEmulator
) -> None:
    """Where Graph does not say, nobody signs in with fewer roles, or more, than they have."""
    before = visitor.sign_in_as("olga@contoso.test")
    emulator.fail("graph_error", endpoint="graph", times=None, status=503)
    visitor.begin()
    visitor.approve_as("olga@contoso.test")
    assert visitor.complete().status_code == 503
    assert admin.memberships(before["username"], "main") == {"main": "admin"}
