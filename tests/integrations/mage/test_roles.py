"""Roles follow Entra at every sign-in: gained, lost, and never those that somebody gave by hand."""

from __future__ import annotations

import pytest

from integrations.mage.desk import Desk

pytestmark = [pytest.mark.heavy, pytest.mark.browser, pytest.mark.timeout(300)]


def test_a_gained_role_is_added(desk: Desk) -> None:
    """A viewer becomes an editor, too, and then only that: at the next sign-in it is as Entra says."""
    desk.entra.add_person("kim@contoso.test", roles=["Viewer"])
    assert desk.roles_of(desk.sign_in("kim@contoso.test")) == ["Viewer"]
    desk.entra.change_person("kim@contoso.test", roles=["Viewer", "Editor"])
    assert desk.roles_of(desk.sign_in("kim@contoso.test")) == ["Editor", "Viewer"]
    desk.entra.change_person("kim@contoso.test", roles=["Editor"])
    assert desk.roles_of(desk.sign_in("kim@contoso.test")) == ["Editor"]


def test_a_role_given_by_hand_stays(desk: Desk) -> None:
    """What an owner gave in Mage is not Entra's to take, even when Entra gives and takes another."""
    desk.entra.add_person("lou@contoso.test", roles=["Viewer"])
    user = desk.behind(desk.sign_in("lou@contoso.test"))
    assert user is not None
    desk.give_role(user.user_id, "Editor")
    assert desk.roles_of(desk.sign_in("lou@contoso.test")) == ["Editor", "Viewer"]
    desk.entra.change_person("lou@contoso.test", roles=[])
    assert desk.roles_of(desk.sign_in("lou@contoso.test")) == ["Editor"]


def test_a_role_that_both_gave_stays(desk: Desk) -> None:
    """Who was an editor by hand before Entra said so, too, stays one when Entra no longer does."""
    desk.entra.add_person("mo@contoso.test", roles=[])
    user = desk.behind(desk.sign_in("mo@contoso.test"))
    assert user is not None
    desk.give_role(user.user_id, "Editor")
    desk.entra.change_person("mo@contoso.test", roles=["Editor"])
    assert desk.roles_of(desk.sign_in("mo@contoso.test")) == ["Editor"]
    desk.entra.change_person("mo@contoso.test", roles=[])
    assert desk.roles_of(desk.sign_in("mo@contoso.test")) == ["Editor"]


def test_an_unmapped_role_gives_nothing(desk: Desk) -> None:
    """A role of the application that the mapping does not name is no role in Mage."""
    app = desk.entra.app("Entrada (emulated)")
    desk.entra.change_app(
        app.client_id,
        app_roles=[
            *({"value": role.value, "role_id": role.role_id} for role in app.app_roles),
            {"value": "Owner"},
        ],
    )
    desk.entra.add_person("ned@contoso.test", roles=["Owner"])
    assert desk.roles_of(desk.sign_in("ned@contoso.test")) == []
