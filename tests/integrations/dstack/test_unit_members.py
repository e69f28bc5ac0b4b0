"""Roles and memberships that Entra gives, over tables of dstack's shape."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy.orm import Session

from entrada.accounts.identity import GrantSource, RoleGrant, UserId
from entrada.compatibility import UTC
from entrada.integrations.dstack.members import give_roles, memberships_of
from entrada.integrations.kit import links
from integrations.dstack.unit_world import (
    GlobalRole,
    MemberModel,
    ProjectModel,
    ProjectRole,
    UserModel,
    dstacks_engine,
    hooks_on,
)

NOW = datetime(2026, 11, 22, tzinfo=UTC)


HOOKS: Any = hooks_on(None)


class Desk:
    """One person, two projects, and a colleague who administrates."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.user = UserModel(name="pat")
        self.boss = UserModel(name="admin", global_role=GlobalRole.ADMIN)
        self.projects = {name: ProjectModel(name=name) for name in ("main", "ml")}
        session.add_all([self.user, self.boss, *self.projects.values()])
        session.flush()

    def entra_gives(self, *roles: str) -> None:
        grants = [
            RoleGrant(role=role, source=GrantSource.ENTRA, granted_by="app role X", granted_at=NOW)
            for role in roles
        ]
        give_roles(self.session, HOOKS, self.user, grants)
        self.session.flush()

    def by_hand(self, project: str, role: str | None) -> None:
        """What an administrator does: give a role, change it, or take the membership away."""
        present = self.session.query(MemberModel).filter_by(project_id=self.projects[project].id).all()
        for member in present:
            self.session.delete(member)
        if role is not None:
            self.session.add(
                MemberModel(
                    project_id=self.projects[project].id,
                    user_id=self.user.id,
                    project_role=ProjectRole(role),
                )
            )
        self.session.flush()

    @property
    def memberships(self) -> dict[str, str]:
        found = memberships_of(self.session, HOOKS, self.user.id)
        return {name: membership.role for name, membership in found.items()}

    @property
    def recorded(self) -> set[str]:
        grants = links.grants_of(self.session.connection(), UserId(str(self.user.id)))
        return {grant.role for grant in grants}


@pytest.fixture
def desk() -> Iterator[Desk]:
    engine = dstacks_engine("sqlite://")
    with Session(engine, autoflush=False) as session:
        yield Desk(session)
    engine.dispose()


def test_C16_projects_come_change_and_go(desk: Desk) -> None:
    """A membership that Entra gave follows Entra, up, down and away."""
    for roles, expected in (
        (["project:main/user"], {"main": "user"}),
        (["project:main/manager", "project:ml/user"], {"main": "manager", "ml": "user"}),
        (["project:main/user", "project:main/admin"], {"main": "admin"}),
        ([], {}),
    ):
        desk.entra_gives(*roles)
        assert desk.memberships == expected
    assert desk.recorded == set()


def test_a_membership_made_by_hand_is_never_touched(desk: Desk) -> None:
    """It keeps its role, higher or lower, while Entra gives the project and when it no longer does."""
    desk.by_hand("main", "manager")
    for roles in (["project:main/user"], ["project:main/admin"], []):
        desk.entra_gives(*roles)
        assert desk.memberships == {"main": "manager"}
    assert desk.recorded == set()


def test_a_membership_changed_by_hand_is_by_hand_from_then_on(desk: Desk) -> None:
    """An administrator's later word on what Entra gave stands."""
    desk.entra_gives("project:main/user")
    desk.by_hand("main", "admin")
    desk.entra_gives("project:main/user")
    desk.entra_gives()
    assert desk.memberships == {"main": "admin"}


def test_a_membership_taken_by_hand_comes_back_while_entra_gives_it(desk: Desk) -> None:
    """Entra is where it is taken away."""
    desk.entra_gives("project:main/user")
    desk.by_hand("main", None)
    desk.entra_gives("project:main/user")
    assert desk.memberships == {"main": "user"}


def test_an_unknown_or_deleted_project_is_left_out(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """It is named in the log, the rest is given, and it is made up for once the project exists."""
    desk.projects["ml"].deleted = True
    desk.session.flush()
    desk.entra_gives("project:main/user", "project:ml/user", "project:none/user")
    assert desk.memberships == {"main": "user"}
    assert "'none'" in caplog.text
    assert "'ml'" in caplog.text
    desk.session.add(ProjectModel(name="none"))
    desk.session.flush()
    desk.entra_gives("project:main/user", "project:none/user")
    assert desk.memberships == {"main": "user", "none": "user"}


def test_C16_the_global_role_follows_entra(desk: Desk) -> None:
    """admin while Entra gives it, user afterwards."""
    desk.entra_gives("admin")
    assert desk.user.global_role is GlobalRole.ADMIN
    assert desk.recorded == {"admin"}
    desk.entra_gives("admin", "user")
    desk.entra_gives("user")
    assert desk.user.global_role is GlobalRole.USER
    assert desk.recorded == {"user"}


def test_an_administrator_made_by_hand_stays_one(desk: Desk) -> None:
    """Entra neither gave it nor takes it, not even after giving the same."""
    desk.user.global_role = GlobalRole.ADMIN
    for roles in ([], ["admin"], []):
        desk.entra_gives(*roles)
        assert desk.user.global_role is GlobalRole.ADMIN


def test_C22_the_last_administrator_is_not_demoted(desk: Desk) -> None:
    """With no other active administrator the role stays, until there is one."""
    desk.entra_gives("admin")
    desk.boss.active = False
    desk.session.flush()
    desk.entra_gives()
    assert desk.user.global_role is GlobalRole.ADMIN
    desk.boss.active = True
    desk.session.flush()
    desk.entra_gives()
    assert desk.user.global_role is GlobalRole.USER
    assert desk.recorded == set()
