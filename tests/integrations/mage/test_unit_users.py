"""People of Entra among Mage's users: who gets which account, which names, and which roles."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url

from clients.postgres import running_postgres
from entrada.accounts.identity import UNNAMED, EntraIdentity, GrantSource, Profile, RoleGrant
from entrada.emulator import RunningEmulator
from entrada.entra.authority import ObjectId
from entrada.integrations.mage.users import MageUsers
from integrations.mage.unit_world import ADA, TENANT, World, opened_world, tables

MakeWorld = Callable[..., World]


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Callable[[], str]]:
    """A PostgreSQL, started where a test wants one."""
    with ExitStack() as stack:
        started: list[str] = []

        def url() -> str:
            if not started:
                server = stack.enter_context(running_postgres("mage"))
                started.append(f"postgresql+psycopg://postgres@{server}/mage")
            return started[0]

        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def world(
    request: pytest.FixtureRequest,
    entra: RunningEmulator,
    tmp_path: Path,
    postgresql: Callable[[], str],
) -> Iterator[World]:
    if request.param == "sqlite":
        opened = opened_world(entra, tmp_path)
        yield opened
        opened.close()
        return
    schema = f"t{secrets.token_hex(8)}"
    server = make_url(postgresql())
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
    url = server.update_query_dict({"options": f"-csearch_path={schema}"})
    opened = opened_world(entra, tmp_path, url.render_as_string(hide_password=False))
    yield opened
    opened.close()
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP SCHEMA {schema} CASCADE")
    engine.dispose()


def person(number: int) -> EntraIdentity:
    return EntraIdentity(tenant_id=TENANT, object_id=ObjectId(f"a0000000-0000-4000-8000-{number:012d}"))


def profile(
    username: str = "ada@contoso.test",
    email: str | None = None,
    *,
    verified: bool = False,
    guest: bool = False,
) -> Profile:
    return Profile(name="Ada", email=email, username=username, is_guest=guest, email_is_verified=verified)


def created(world: World, identity: EntraIdentity, who: Profile, *roles: str) -> int:
    """The number of the user that a first sign-in makes."""
    with world.store.transaction() as connection:
        user = MageUsers(connection=connection, tables=tables).create(
            user_id="unused",  # type: ignore[arg-type]
            identity=identity,
            profile=who,
            entra_grants=[grant(world, role) for role in roles],
            now=world.clock.now(),
        )
    return int(user.id.partition("@")[0])


def signed_in_again(world: World, identity: EntraIdentity, who: Profile, roles: list[str] | None) -> None:
    user = world.found(identity)
    assert user is not None
    with world.store.transaction() as connection:
        MageUsers(connection=connection, tables=tables).record_sign_in(
            user_id=user.id,
            identity=identity,
            profile=who,
            entra_grants=None if roles is None else [grant(world, role) for role in roles],
            now=world.clock.now(),
        )


def grant(world: World, role: str) -> RoleGrant:
    return RoleGrant(
        role=role, source=GrantSource.ENTRA, granted_by=f"app role {role}", granted_at=world.clock.now()
    )


def test_a_new_person_gets_a_user_with_their_name_and_roles(world: World) -> None:
    """User name and e-mail are the user principal name, as stock Mage has them, and the roles are Mage's."""
    number = created(world, ADA, profile(), "Editor")
    user = world.user(number)
    assert (user["email"], user["username"], user["password_hash"]) == (
        "ada@contoso.test",
        "ada@contoso.test",
        None,
    )
    assert world.roles(number) == {"Editor"}
    found = world.found()
    assert found is not None
    assert found.is_enabled
    assert {(role.role, role.source) for role in found.grants} == {("Editor", GrantSource.ENTRA)}


def test_an_unverified_address_is_not_shown_as_a_fact(world: World) -> None:
    """An `email` claim that nobody vouched for does not become a Mage e-mail; a verified one does."""
    mallory = created(world, person(7), profile("mallory@fabrikam.test", "ada@contoso.test"))
    assert world.user(mallory)["email"] == "mallory@fabrikam.test"
    eve = created(world, person(8), profile("eve@contoso.test", "eve.x@contoso.test", verified=True))
    assert world.user(eve)["email"] == "eve.x@contoso.test"
    guest = created(world, person(9), profile("gus@fabrikam.test", guest=True))
    assert world.user(guest)["email"] is None


@pytest.mark.parametrize("taken", ["ada@contoso.test", "ADA@contoso.test"])
def test_a_second_person_with_the_same_name_gets_an_account_of_their_own(world: World, taken: str) -> None:
    """Whoever has the address already keeps account and address; the newcomer inherits neither."""
    first = world.add_user(email=taken, username=taken)
    world.give_by_hand(first, "Owner")
    second = created(world, ADA, profile(), "Viewer")
    assert second != first
    assert world.user(second)["email"] is None
    assert world.user(second)["username"] == f"ada@contoso.test ~{ADA.object_id[:8]}"
    assert world.roles(second) == {"Viewer"}


def test_an_address_in_other_letters_is_the_same_person_by_object_id(world: World) -> None:
    """Stock Mage makes two users of ADA@ and ada@; here the spelling decides nothing."""
    number = created(world, ADA, profile())
    signed_in_again(world, ADA, profile("ADA@CONTOSO.TEST"), [])
    assert [user["id"] for user in world.users()] == [number]


def test_a_renamed_person_keeps_the_account_and_gets_the_new_name(world: World) -> None:
    number = created(world, ADA, profile("ada.byron@contoso.test"))
    signed_in_again(world, ADA, profile("ada@contoso.test"), [])
    assert world.user(number)["username"] == "ada@contoso.test"
    assert world.user(number)["email"] == "ada@contoso.test"


def test_a_name_that_mages_owner_chose_is_left(world: World) -> None:
    number = created(world, ADA, profile("ada.byron@contoso.test"))
    world.change_user(number, username="countess")
    signed_in_again(world, ADA, profile("ada@contoso.test"), [])
    assert world.user(number)["username"] == "countess"


@pytest.mark.parametrize(
    ("name", "given", "family", "shown"),
    [
        ("Ada Lovelace", None, None, ("Ada", "Lovelace")),
        ("Ada Augusta King Lovelace", None, None, ("Ada", "Augusta King Lovelace")),
        ("Lovelace, Ada", None, None, ("Ada", "Lovelace")),
        ("Ada", None, None, ("Ada", None)),
        ("Lovelace, Ada (IT)", "Ada", "Lovelace", ("Ada", "Lovelace")),
        ("Ada Lovelace", None, "Lovelace", (None, "Lovelace")),
        ("ada@contoso.test", None, None, (None, None)),
        (UNNAMED, None, None, (None, None)),
        ("  ", None, None, (None, None)),
        ("A" * 600, None, None, ("A" * 255, None)),
        ("Ada\0 Love\ud800lace", None, None, ("Ada", "Love\ufffdlace")),
    ],
)
def test_k62_mage_shows_first_and_last_name(
    world: World, name: str, given: str | None, family: str | None, shown: tuple[str | None, str | None]
) -> None:
    """K62: Entra's own two where it sends them, else its one name in two parts that read as the name."""
    who = replace(profile(), name=name, given_name=given, family_name=family)
    number = created(world, ADA, who)
    user = world.user(number)
    assert (user["first_name"], user["last_name"]) == shown


def test_k62_names_follow_entra_until_somebody_writes_others(world: World) -> None:
    """A user of before, without names, gets them; a marriage changes them; what a person wrote stays."""
    number = created(world, ADA, replace(profile(), name="Ada Byron"))
    world.change_user(number, first_name=None, last_name="")
    signed_in_again(world, ADA, replace(profile(), name="Ada Byron"), [])
    assert world.user(number)["last_name"] == "Byron"
    signed_in_again(world, ADA, replace(profile(), name="Ada Lovelace"), [])
    assert world.user(number)["last_name"] == "Lovelace"
    world.change_user(number, first_name="Countess")
    signed_in_again(world, ADA, replace(profile(), name="Ada King"), [])
    assert (world.user(number)["first_name"], world.user(number)["last_name"]) == ("Countess", "Lovelace")


def test_a_name_given_to_somebody_else_leads_to_another_account(world: World) -> None:
    """A re-used user principal name inherits nothing: not the user, not its roles."""
    old = created(world, ADA, profile(), "Admin")
    new = created(world, person(99), profile(), "Viewer")
    assert (world.roles(old), world.roles(new)) == ({"Admin"}, {"Viewer"})


def test_roles_gained_are_added_lost_ones_removed_and_those_by_hand_kept(world: World) -> None:
    number = created(world, ADA, profile(), "Admin", "Viewer")
    world.give_by_hand(number, "Owner")
    signed_in_again(world, ADA, profile(), ["Editor", "Viewer"])
    assert world.roles(number) == {"Owner", "Editor", "Viewer"}
    signed_in_again(world, ADA, profile(), [])
    assert world.roles(number) == {"Owner"}


def test_a_role_that_was_given_by_hand_first_is_not_taken_with_entras(world: World) -> None:
    """What Entra gives on top of a role held already is not noted as Entra's, and not taken later."""
    number = created(world, ADA, profile())
    world.give_by_hand(number, "Editor")
    signed_in_again(world, ADA, profile(), ["Editor"])
    signed_in_again(world, ADA, profile(), [])
    assert world.roles(number) == {"Editor"}


def test_first_sign_in_only_leaves_roles_alone(world: World) -> None:
    number = created(world, ADA, profile(), "Admin")
    signed_in_again(world, ADA, profile(), None)
    assert world.roles(number) == {"Admin"}


def test_a_role_that_mage_does_not_have_is_given_to_nobody_and_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "entrada.mage"):
        number = created(world, ADA, profile(), "Emperor", "Viewer")
    assert world.roles(number) == {"Viewer"}
    assert "'Emperor'" in caplog.text
    assert world.store.unknown_roles(["Emperor", "Viewer"]) == ["Emperor"]


def test_a_number_that_the_database_gives_out_again_inherits_no_link(world: World) -> None:
    """Mage deletes a user, and the next gets the same number: the deleted one's person is not them."""
    number = created(world, ADA, profile(), "Admin")
    world.delete_user(number)
    world.add_user(id=number, email="eve@contoso.test", username="eve", created_at=world.clock.now())
    assert world.found() is None
    again = created(world, ADA, profile(), "Viewer")
    assert again != number
    assert world.roles(again) == {"Viewer"}
    assert world.roles(number) == set()


def test_linking_by_address_ends_what_others_had_of_the_account(world: World) -> None:
    """Mage lets people write any address into their profile; a link by address leaves them no way in."""
    number = world.add_user(
        email="Ada@contoso.test", username="mallory", password_hash="$2b$14$x", password_salt="s"
    )
    with world.store.engine.begin() as connection:
        connection.execute(
            tables.access_tokens.insert().values(token="mallorys", user_id=number, oauth2_application_id=1)
        )
        connection.execute(
            tables.access_tokens.insert().values(token="git", user_id=number, oauth2_application_id=2)
        )
    with world.store.transaction() as connection:
        users = MageUsers(connection=connection, tables=tables)
        (candidate,) = users.find_by_verified_email("ada@contoso.test")
        users.link(user_id=candidate.id, identity=ADA, now=world.clock.now())
        assert users.find_by_verified_email("ada@contoso.test") == []
    assert world.user(number)["password_hash"] is None
    assert world.tokens() == {}
    with world.store.engine.begin() as connection:
        texts = {row.token for row in connection.execute(tables.access_tokens.select())}
    assert "git" in texts
    assert "mallorys" not in texts


def test_an_owner_for_emergencies_keeps_their_password(world: World) -> None:
    number = world.add_user(email="ada@contoso.test", username="ada", password_hash="$2b$14$x")
    with world.store.transaction() as connection:
        users = MageUsers(connection=connection, tables=tables, break_glass=frozenset({"ada@contoso.test"}))
        users.link(user_id=world.key(number), identity=ADA, now=world.clock.now())
    assert world.user(number)["password_hash"] == "$2b$14$x"


def test_the_number_of_an_ended_session_is_never_given_out_again(world: World) -> None:
    """SQLite gives the number of a deleted last row to the next: the row stays, under a text nobody has."""
    number = world.add_user(email="ada@contoso.test", username="ada")
    seen: set[int] = set()
    for text in ("first", "second", "third"):
        with world.store.engine.begin() as connection:
            connection.execute(
                tables.access_tokens.insert().values(token=text, user_id=number, oauth2_application_id=1)
            )
            row = connection.execute(
                tables.access_tokens.select().where(tables.access_tokens.c.token == text)
            ).one()
        assert row.id not in seen
        seen.add(row.id)
        assert world.store.end_session(text) is not None
        assert world.store.end_session(text) is None
        assert world.tokens() == {}
