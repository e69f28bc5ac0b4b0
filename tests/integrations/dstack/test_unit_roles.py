"""dstack's roles as texts, and the mapping that gives them."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from entrada.compatibility import UTC
from entrada.entra.authority import ObjectId, TenantId
from entrada.errors import ConfigurationError
from entrada.integrations.dstack.roles import project_role, projects_in, roles_of
from entrada.settings import load_settings

TENANT = TenantId("c0000000-0000-4000-8000-000000000001")
GROUP = ObjectId("b0000000-0000-4000-8000-000000000001")


def given(app_roles: set[str], groups: set[ObjectId], **environ: str) -> set[str]:
    """The roles of a person with these app roles and groups."""
    mapping = roles_of(load_settings(environ)[0])
    grants = mapping.grants(
        tenant_id=TENANT,
        app_roles=frozenset(app_roles),
        group_ids=frozenset(groups),
        group_names=frozenset(),
        now=datetime(2026, 11, 22, tzinfo=UTC),
    )
    return {grant.role for grant in grants}


def test_global_role_and_projects_from_both_settings() -> None:
    """One key may give a global role and projects, another a project by group."""
    projects = {"Admin": {"main": "admin"}, GROUP: {"main": "user", "ml": "manager"}}
    environ = {
        "ENTRADA_ROLES_MAPPING": '{"Admin": "admin"}',
        "ENTRADA_DSTACK_PROJECTS": json.dumps(projects),
    }
    assert given({"Admin"}, set(), **environ) == {"admin", "project:main/admin"}
    assert given(set(), {GROUP}, **environ) == {"project:main/user", "project:ml/manager"}
    assert given({"admin", "Admin "}, set(), **environ) == set()


def test_of_several_roles_in_a_project_the_highest_counts() -> None:
    """admin beats manager beats user, in whatever order they were given; odd texts are no projects."""
    texts = [project_role("main", role) for role in ("user", "admin", "manager")]
    assert projects_in(texts) == {"main": "admin"}
    assert projects_in(reversed(texts)) == {"main": "admin"}
    assert projects_in(["project:a/b/user", "admin", "user", "project:x", "project:x/root"]) == {
        "a/b": "user"
    }


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"ENTRADA_ROLES_MAPPING": '{"Admin": "root"}'}, "gives the role 'root'"),
        ({"ENTRADA_DEFAULT_ROLE": "admin"}, "can only be user"),
        (
            {
                "ENTRADA_TENANT_ID": "organizations",
                "ENTRADA_ALLOWED_TENANTS": TENANT,
                "ENTRADA_DSTACK_PROJECTS": f'{{"{GROUP}": {{"main": "user"}}}}',
            },
            "without its tenant",
        ),
    ],
)
def test_C23_what_dstack_cannot_give_is_refused(environ: dict[str, str], words: str) -> None:
    """A role dstack lacks, a default that makes everybody admin, a group of nobody knows which tenant."""
    with pytest.raises(ConfigurationError, match=words):
        given(set(), set(), **environ)
