"""dstack's own users: found, made, deactivated and let in again, each inside the caller's transaction.

An account is made by dstack's own `create_user`, so that its keys, events and hooks are as always; the link
rides along in the same transaction.

dstack adds people to projects by their e-mail address, so only one that is vouched for is written.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from sqlalchemy import event, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from entrada.accounts.identity import EntraIdentity, GrantSource, Profile, RoleGrant, User, UserId
from entrada.errors import IdentityAlreadyLinked
from entrada.integrations.dstack.hooks import Hooks
from entrada.integrations.dstack.loop_database import LoopDatabase
from entrada.integrations.dstack.members import memberships_of
from entrada.integrations.dstack.names import names_for
from entrada.integrations.dstack.roles import ADMIN, project_role
from entrada.integrations.kit import links

DstackUser: TypeAlias = Any
"""A row of dstack's `users`, as its `UserModel`."""

LONGEST_EMAIL = 200
_BY_HAND = "dstack"


def user_of(session: Session, hooks: Hooks, user_id: str, *, hold: bool = False) -> DstackUser | None:
    """The row, deleted ones included. `hold` keeps other servers off it until the transaction ends.

    Whoever holds a user and changes a link holds the user first: the other way round two servers end up
    waiting for each other.
    """
    model = hooks.UserModel
    query = select(model).where(model.id == uuid.UUID(user_id))
    return session.execute(query.with_for_update(key_share=True) if hold else query).scalar_one_or_none()


def existing(session: Session, hooks: Hooks, user_id: str) -> DstackUser:
    """The row, held.

    Raises:
        LookupError: there is no such user any more.
    """
    user = user_of(session, hooks, user_id, hold=True)
    if user is None or user.deleted:
        raise LookupError(f"dstack has no user {user_id}")
    return user


def as_user(session: Session, hooks: Hooks, user: DstackUser) -> User:
    """What admission decides on. What dstack's administrators gave counts as a manual grant."""
    connection, user_id = session.connection(), UserId(str(user.id))
    entra_grants = links.grants_of(connection, user_id)
    recorded = {grant.role for grant in entra_grants}
    held = [project_role(m.project, m.role) for m in memberships_of(session, hooks, user.id).values()]
    if user.global_role == hooks.GlobalRole.ADMIN:
        held.append(ADMIN)
    manual = [
        RoleGrant(role=role, source=GrantSource.MANUAL, granted_by=_BY_HAND, granted_at=user.created_at)
        for role in held
        if role not in recorded
    ]
    may_enter = not user.deleted and (user.active or is_shut_out(session, user))
    return User(
        id=user_id,
        profile=Profile(name=user.name, email=user.email, username=user.name),
        created_at=user.created_at,
        disabled_at=None if may_enter else user.created_at,
        grants=(*entra_grants, *manual),
    )


def unlinked_by_email(session: Session, hooks: Hooks, email: str) -> Sequence[User]:
    """The active users with that address. None at all if one of them is somebody's already: no guessing."""
    model = hooks.UserModel
    rows = session.execute(
        select(model).where(
            func.lower(model.email) == email.lower(), model.active.is_(True), model.deleted.is_(False)
        )
    )
    found = list(rows.scalars())
    if any(links.links_of(session.connection(), UserId(str(user.id))) for user in found):
        return []
    return [as_user(session, hooks, user) for user in found]


async def create(
    database: LoopDatabase,
    profile: Profile,
    identity: EntraIdentity,
    ride_along: Callable[[Session, DstackUser], User],
) -> User:
    """A new user, and whatever `ride_along` does for it in the very same transaction.

    Raises:
        IdentityAlreadyLinked: from `ride_along`; nothing was made.
    """
    # dstack makes a pair of keys for each user: one try at a time for a person with several tabs.
    async with database.alone_for(identity):
        if await database.transaction(lambda s: links.find_link(s.connection(), identity)) is not None:
            raise IdentityAlreadyLinked
        return await _create(database, profile, identity, ride_along)


async def _create(
    database: LoopDatabase,
    profile: Profile,
    identity: EntraIdentity,
    ride_along: Callable[[Session, DstackUser], User],
) -> User:
    hooks = database.hooks
    for name in names_for(profile, identity):
        made: list[User] = []
        async with hooks.get_db().get_session() as session:

            def ride(s: Session, _: Any, name: str = name, made: list[User] = made) -> None:
                model = hooks.UserModel
                made.append(ride_along(s, s.execute(select(model).where(model.name == name)).scalar_one()))

            event.listen(session.sync_session, "after_flush_postexec", ride, once=True)
            try:
                await hooks.create_user(
                    session=session,
                    username=name,
                    global_role=hooks.GlobalRole.USER,
                    email=vouched_email(profile),
                )
            except (hooks.ResourceExistsError, IntegrityError):
                continue  # somebody else is called that, or was a moment faster
        return made[0]
    raise IdentityAlreadyLinked  # only the person themselves can be called by their object id


def vouched_email(profile: Profile) -> str | None:
    """The address if the tenant vouches for it, or if it is the person's own sign-in name there."""
    email = profile.email
    if email is None or len(email) > LONGEST_EMAIL:
        return None
    is_sign_in_name = not profile.is_guest and email.lower() == (profile.username or "").lower()
    return email if profile.email_is_verified or is_sign_in_name else None


def follow_email(session: Session, identity: EntraIdentity, user: DstackUser, profile: Profile) -> None:
    """A new address replaces the one that came from Entra, never one that an administrator wrote."""
    link, email = links.find_link(session.connection(), identity), vouched_email(profile)
    if email is not None and (user.email is None or (link is not None and user.email == link.email)):
        user.email = email


def is_shut_out(session: Session, user: DstackUser) -> bool:
    """Whether it was a re-check that deactivated this user, and no administrator."""
    present = links.links_of(session.connection(), UserId(str(user.id)))
    return not user.active and any(link.ended_at is not None for link in present)


def replace_token(hooks: Hooks, user: DstackUser) -> None:
    """Makes the token that UI, CLI and API share another one."""
    token = str(uuid.uuid4())
    user.token = hooks.DecryptedString(plaintext=token)
    user.token_hash = hooks.get_token_hash(token)


def shut_out(session: Session, hooks: Hooks, user: DstackUser) -> None:
    """Deactivates the user, and replaces the token."""
    user.active = False
    replace_token(hooks, user)
    note(session, hooks, user, "User deactivated and token refreshed: Microsoft Entra ID ended the access")


def sign_out(session: Session, hooks: Hooks, user: DstackUser) -> None:
    """Replaces the token: who holds it is out, in browsers and at the command line alike."""
    replace_token(hooks, user)
    note(session, hooks, user, "Token refreshed: signed out elsewhere")


def reactivate(session: Session, hooks: Hooks, user: DstackUser) -> None:
    """Make a user active again whom the end of their access had deactivated."""
    if not user.active:
        user.active = True
        note(session, hooks, user, "User activated: signed in with Microsoft Entra ID again")


def note(session: Session, hooks: Hooks, user: DstackUser, message: str) -> None:
    """A line in dstack's own list of events."""
    hooks.emit(session, message, actor=hooks.SystemActor(), targets=[hooks.Target.from_model(user)])


def id_of(session: Session, hooks: Hooks, name: str) -> UserId | None:
    """The id of the user of that name who is not deleted, or None."""
    model = hooks.UserModel
    user_id = session.execute(
        select(model.id).where(model.name == name, model.deleted.is_(False))
    ).scalar_one_or_none()
    return None if user_id is None else UserId(str(user_id))


def forget_ended(session: Session, user_id: UserId) -> None:
    """Takes from the user's links that it was a re-check that deactivated them."""
    session.execute(
        update(links.links).where(links.links.c.user_id == user_id).values(ended_at=None, ended_because=None)
    )
