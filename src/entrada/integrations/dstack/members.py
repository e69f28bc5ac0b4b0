"""What Entra gives and takes in dstack: the global role, and memberships of projects.

Only what was recorded as given by Entra is ever taken away or changed. A membership that somebody made or
changed by hand, and an administrator whom somebody appointed by hand, stay as they are.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from entrada.accounts.identity import RoleGrant, UserId
from entrada.errors import named
from entrada.integrations.dstack.hooks import Hooks
from entrada.integrations.dstack.roles import ADMIN, project_role, projects_in
from entrada.integrations.kit import links

log = logging.getLogger("entrada")


@dataclass(frozen=True, kw_only=True)
class Membership:
    project: str
    role: str
    row_id: Any


def memberships_of(session: Session, hooks: Hooks, user_id: Any) -> Mapping[str, Membership]:
    """By project name, as it stands in dstack's table now."""
    member, project = hooks.MemberModel, hooks.ProjectModel
    rows = session.execute(
        select(project.name, member.project_role, member.id)
        .join(project, project.id == member.project_id)
        .where(member.user_id == user_id, project.deleted.is_(False))
    )
    return {
        row.name: Membership(project=row.name, role=row.project_role.value, row_id=row.id) for row in rows
    }


def give_roles(session: Session, hooks: Hooks, user: Any, wanted: Sequence[RoleGrant]) -> None:
    """Makes the user's roles what Entra says now, and records which of them are Entra's.

    Raises:
        ValueError: one of `wanted` is not Entra's.
    """
    links.require_from_entra(wanted)
    connection, user_id = session.connection(), UserId(str(user.id))
    reasons = {grant.role: grant for grant in wanted}
    recorded = {grant.role: grant for grant in links.grants_of(connection, user_id)}
    given = {role for role in reasons if not projects_in([role]) and role != ADMIN}
    if _give_admin(session, hooks, user, wanted=ADMIN in reasons, recorded=ADMIN in recorded):
        given.add(ADMIN)
    given |= _give_projects(session, hooks, user, wanted=projects_in(reasons), recorded=projects_in(recorded))
    links.replace_grants(connection, user_id, [reasons.get(role) or recorded[role] for role in given])


def _give_admin(session: Session, hooks: Hooks, user: Any, *, wanted: bool, recorded: bool) -> bool:
    """Whether the user is an administrator because Entra says so."""
    is_admin = user.global_role == hooks.GlobalRole.ADMIN
    if wanted and not is_admin:
        user.global_role = hooks.GlobalRole.ADMIN
        _note(session, hooks, user)
        return True
    if not wanted and recorded and is_admin:
        if _is_last_admin(session, hooks, user):
            log.warning("%s is the only active administrator of dstack and stays one for now.", user.name)
            return True
        user.global_role = hooks.GlobalRole.USER
        _note(session, hooks, user)
    return wanted and recorded


def _is_last_admin(session: Session, hooks: Hooks, user: Any) -> bool:
    model = hooks.UserModel
    others = session.execute(
        select(func.count())
        .select_from(model)
        .where(
            model.global_role == hooks.GlobalRole.ADMIN,
            model.active.is_(True),
            model.deleted.is_(False),
            model.id != user.id,
        )
    ).scalar_one()
    return not others


def _give_projects(
    session: Session, hooks: Hooks, user: Any, *, wanted: Mapping[str, str], recorded: Mapping[str, str]
) -> set[str]:
    """The memberships that Entra gives, as texts. dstack's table has one role for each project and person."""
    present, member = memberships_of(session, hooks, user.id), hooks.MemberModel
    given = set()
    for project, role in wanted.items():
        now = present.get(project)
        if now is None:
            project_id = _project_id(session, hooks, project)
            if project_id is None:
                log.warning(
                    named("$[dstack_projects] names the project %r, which dstack does not have."), project
                )
                continue
            session.execute(
                insert(member).values(
                    id=uuid.uuid4(),
                    project_id=project_id,
                    user_id=user.id,
                    project_role=hooks.ProjectRole(role),
                )
            )
        elif now.role != recorded.get(project):
            continue  # made or changed by hand
        elif now.role != role:
            session.execute(
                update(member).where(member.id == now.row_id).values(project_role=hooks.ProjectRole(role))
            )
        given.add(project_role(project, role))
    for project in recorded.keys() - wanted.keys():
        now = present.get(project)
        if now is not None and now.role == recorded[project]:
            session.execute(delete(member).where(member.id == now.row_id))
    return given


def _project_id(session: Session, hooks: Hooks, name: str) -> Any:
    project = hooks.ProjectModel
    return session.execute(
        select(project.id).where(project.name == name, project.deleted.is_(False))
    ).scalar_one_or_none()


def _note(session: Session, hooks: Hooks, user: Any) -> None:
    """A line in dstack's own list of events."""
    message = f"User updated. Updated fields: global_role={user.global_role.value}"
    hooks.emit(session, message, actor=hooks.SystemActor(), targets=[hooks.Target.from_model(user)])
