"""Roles from what Entra says: exact, never more than was said, and with the reason."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entra.tokens import NOW, OTHER_TENANT, TENANT
from entrada.accounts.identity import GrantSource
from entrada.accounts.roles import RoleMapping, role_mapping
from entrada.entra.authority import ObjectId, TenantId

EDITORS = ObjectId("11111111-2222-3333-4444-555555555555")
ADMINS = ObjectId("66666666-7777-8888-9999-000000000000")


def roles(
    mapping: RoleMapping,
    *app_roles: str,
    groups: frozenset[ObjectId] = frozenset(),
    names: frozenset[str] = frozenset(),
    tenant: TenantId = TENANT,
) -> dict[str, str]:
    """Role → what it was given for."""
    grants = mapping.grants(
        tenant_id=tenant, app_roles=frozenset(app_roles), group_ids=groups, group_names=names, now=NOW
    )
    assert all(grant.source is GrantSource.ENTRA and grant.granted_at == NOW for grant in grants)
    return {grant.role: grant.granted_by for grant in grants}


def test_an_app_role_gives_the_role_it_is_mapped_to() -> None:
    """The mapping's key is the app role value; the grant says which one it was."""
    assert roles(role_mapping({"Mage.Edit": "Editor"}), "Mage.Edit") == {"Editor": "app role Mage.Edit"}


def test_one_key_may_give_several_roles() -> None:
    """Each comes with the same reason; a role that two keys give is held once."""
    mapping = role_mapping({"Dev": ["main/user", "lab/admin"], EDITORS: ["main/user"]})
    assert roles(mapping, "Dev", groups=frozenset({EDITORS})) == {
        "main/user": "app role Dev",
        "lab/admin": "app role Dev",
    }


@pytest.mark.parametrize(
    "value", ["admin", "ADMIN", "Admin ", " Admin", "Admin\u200b", "Ａdmin", "Adm", "Admin2"]
)
def test_C18_a_role_value_matches_exactly(value: str) -> None:
    """Another case, a space or an invisible character gives no role."""
    assert roles(role_mapping({"Admin": "Admin"}), value) == {}


def test_an_app_role_outside_the_mapping_gives_nothing() -> None:
    """What the mapping does not hold is no role here, whatever its name."""
    assert roles(role_mapping({"Mage.Edit": "Editor"}), "Editor", "Admin") == {}


def test_a_group_gives_the_role_it_is_mapped_to() -> None:
    """A GUID as key, in either case, is a group's object id."""
    mapping = role_mapping({EDITORS.upper(): "Editor"})
    assert roles(mapping, groups=frozenset({EDITORS})) == {"Editor": f"group {EDITORS}"}


def test_an_app_role_named_like_a_group_id_is_no_group() -> None:
    """A GUID that comes as an app role gives nothing: groups come from groups only."""
    assert roles(role_mapping({EDITORS: "Editor"}), EDITORS) == {}


def test_C21_a_group_of_another_tenant_is_not_mapped() -> None:
    """A key `tenant/group` gives its role to people of that tenant only."""
    mapping = role_mapping({f"{TENANT}/{ADMINS}": "Admin"})
    held = frozenset({ADMINS})
    assert roles(mapping, groups=held) == {"Admin": f"group {ADMINS}"}
    assert roles(mapping, groups=held, tenant=OTHER_TENANT) == {}
    assert mapping.group_ids_of(OTHER_TENANT) == frozenset()


@pytest.mark.parametrize(("key", "name"), [("group:Editors", "Editors"), ("All Editors", "All Editors")])
def test_a_group_can_be_mapped_by_name(key: str, name: str) -> None:
    """`group:NAME`, or a name with a space, which no app role can have, is a group's name."""
    assert roles(role_mapping({key: "Editor"}), names=frozenset({name})) == {"Editor": f"group {name}"}


def test_a_bare_name_is_never_a_group() -> None:
    """Anyone in a tenant may create a group called Admin: only an app role can match a bare name."""
    mapping = role_mapping({"Admin": "Admin"})
    assert roles(mapping, names=frozenset({"Admin"})) == {}
    assert not mapping.groups
    assert not mapping.group_names


def test_one_role_for_several_reasons_is_one_grant() -> None:
    """App roles come before groups, and in the mapping's order: one grant with the first reason."""
    mapping = role_mapping({"B": "Editor", "A": "Editor", EDITORS: "Editor"})
    assert roles(mapping, "A", "B", groups=frozenset({EDITORS})) == {"Editor": "app role B"}


def test_several_roles_are_all_given() -> None:
    """A person may hold several roles at once."""
    mapping = role_mapping({"A": "Admin", EDITORS: "Editor"})
    assert set(roles(mapping, "A", groups=frozenset({EDITORS}))) == {"Admin", "Editor"}


def test_the_default_role_is_given_only_where_nothing_is_mapped() -> None:
    """Somebody with no mapped role gets the default one; somebody with one does not get it besides."""
    mapping = role_mapping({"A": "Admin"}, default_role="Viewer")
    assert roles(mapping) == {"Viewer": "default"}
    assert roles(mapping, "Unmapped") == {"Viewer": "default"}
    assert set(roles(mapping, "A")) == {"Admin"}


def test_C16_no_claim_and_no_default_is_no_role() -> None:
    """Without a mapped role and without a default, a person has none at all."""
    assert roles(role_mapping({"A": "Admin"})) == {}


def test_C17_ten_thousand_roles_give_only_the_mapped_ones() -> None:
    """However many values a token holds, only those of the mapping count."""
    many = [f"role{number}" for number in range(10_000)]
    assert roles(role_mapping({"role77": "Editor"}), *many) == {"Editor": "app role role77"}


KEYS = st.one_of(
    st.text(min_size=1, max_size=20),
    st.uuids().map(str),
    st.tuples(st.uuids(), st.uuids()).map(lambda pair: f"{pair[0]}/{pair[1]}"),
    st.text(min_size=1, max_size=10).map("group:{}".format),
)


@settings(deadline=None)
@given(
    mapping=st.dictionaries(KEYS, st.sampled_from(["Admin", "Editor"]), max_size=8),
    said=st.sets(KEYS, max_size=8),
)
def test_no_role_appears_that_was_not_said(mapping: Mapping[str, str], said: set[str]) -> None:
    """Whatever the mapping and the claims, a role is given only for an app role value that is its key."""
    given_roles = roles(role_mapping(mapping), *said)
    assert set(given_roles) <= {role for key, role in mapping.items() if key in said}
