"""What an application may ask about a person."""

from __future__ import annotations

import pytest

from entra.tokens import NOW, OBJECT_ID, TENANT
from entrada.accounts.identity import (
    EntraIdentity,
    GrantSource,
    LinkedIdentity,
    Profile,
    RoleGrant,
    User,
    UserId,
)
from entrada.accounts.principal import principal_of
from entrada.entra.authority import ObjectId

IDENTITY = EntraIdentity(tenant_id=TENANT, object_id=ObjectId(OBJECT_ID))


def user(*roles: str) -> User:
    return User(
        id=UserId("5" * 32),
        profile=Profile(name="Ada", email="ada@contoso.test", username="ada"),
        created_at=NOW,
        identities=(LinkedIdentity(identity=IDENTITY, linked_at=NOW),),
        grants=tuple(
            RoleGrant(role=role, source=GrantSource.ENTRA, granted_by="app role", granted_at=NOW)
            for role in roles
        ),
    )


def test_a_principal_shows_the_user() -> None:
    """Account, identity, names and roles of the user are those of the principal."""
    principal = principal_of(user("Editor"), IDENTITY)
    assert (principal.user_id, principal.identity, principal.name) == ("5" * 32, IDENTITY, "Ada")
    assert (principal.email, principal.username) == ("ada@contoso.test", "ada")
    assert principal.roles == {"Editor"}


@pytest.mark.parametrize(
    ("held", "asked", "granted"),
    [
        (["Editor"], ["Editor"], True),
        (["Editor"], ["Admin", "Editor"], True),
        (["Editor"], ["Admin"], False),
        (["Editor"], ["editor"], False),
        ([], ["Admin"], False),
        (["Admin"], [], False),
    ],
)
def test_one_of_the_asked_roles_is_enough_and_none_is_never(
    held: list[str], asked: list[str], granted: bool
) -> None:
    """A person passes with one of the roles asked for; a question for no role is answered no."""
    assert principal_of(user(*held), IDENTITY).has_any_role(*asked) is granted
