"""Moving people over: who is proposed, who is not, and why; and what carrying it out changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from entrada.accounts.identity import EntraIdentity
from entrada.compatibility import UTC
from entrada.emulator import RunningEmulator
from entrada.entra.authority import ObjectId
from entrada.errors import ConfigurationError, IdentityAlreadyLinked, RequestRefused
from entrada.integrations.mage import adopt, linking
from integrations.mage.unit_world import ADA, TENANT, World, opened_world, tables

LONG_AGO = "2020-01-01T00:00:00Z"


@pytest.fixture
def world(entra: RunningEmulator, tmp_path: Path) -> Iterator[World]:
    opened = opened_world(entra, tmp_path)
    yield opened
    opened.close()


def person(number: int, name: str, created: Any = LONG_AGO) -> dict[str, Any]:
    return {
        "id": f"a0000000-0000-4000-8000-{number:012d}",
        "userPrincipalName": name,
        "createdDateTime": created,
    }


def people(folder: Path, *persons: dict[str, Any]) -> list[adopt.EntraPerson]:
    file = folder / "users.json"
    file.write_text(json.dumps({"value": persons}), "utf-8")
    return list(adopt.read_people(file))


def planned(world: World, listed: list[adopt.EntraPerson]) -> dict[str, adopt.Proposal]:
    with world.store.transaction() as connection:
        proposals = adopt.plan(connection, tables, listed, TENANT)
    return {proposal.shown_as.partition(" ")[0]: proposal for proposal in proposals}


def test_the_same_name_in_entra_is_proposed_whatever_its_letters(world: World, tmp_path: Path) -> None:
    world.add_user(email="ADA@contoso.test")
    proposal = planned(world, people(tmp_path, person(1, "ada@contoso.test")))["ADA@contoso.test"]
    assert proposal.identity == ADA


def test_a_person_younger_than_the_user_is_somebody_else(world: World, tmp_path: Path) -> None:
    """A name that was given to a newcomer does not lead into the old account."""
    world.add_user(email="ada@contoso.test", created_at=datetime(2024, 1, 1, tzinfo=UTC))
    listed = people(tmp_path, person(1, "ada@contoso.test", "2025-01-01T00:00:00Z"))
    proposal = planned(world, listed)["ada@contoso.test"]
    assert proposal.identity is None
    assert "somebody else had the name before" in proposal.why


@pytest.mark.parametrize("created", ["", "soon", "13/14/2020", "2020", None])
def test_k48_who_has_no_date_is_not_linked(world: World, tmp_path: Path, created: Any) -> None:
    """K48: where the list does not say since when somebody is in Entra, they are named and left alone."""
    world.add_user(email="ada@contoso.test")
    proposal = planned(world, people(tmp_path, person(1, "ada@contoso.test", created)))["ada@contoso.test"]
    assert proposal.identity is None
    assert "no date" in proposal.why
    with world.store.transaction() as connection:
        assert adopt.carry_out(connection, tables, [proposal], now=world.clock.now()) == 0


def test_k48_a_user_of_whom_mage_has_no_date_is_not_linked(world: World, tmp_path: Path) -> None:
    """K48, the other side: a Mage user without a time of creation may be anybody's."""
    number = world.add_user(email="ada@contoso.test")
    world.change_user(number, created_at=None)
    proposal = planned(world, people(tmp_path, person(1, "ada@contoso.test")))["ada@contoso.test"]
    assert proposal.identity is None
    assert "since when" in proposal.why


def test_what_is_not_clear_is_left_to_the_administrator(world: World, tmp_path: Path) -> None:
    """Two users of one name, nobody of that name, no name: each says why it stays."""
    for email in ("eve@contoso.test", "EVE@contoso.test", "gone@contoso.test", None):
        world.add_user(email=email, username=str(email))
    found = planned(world, people(tmp_path, person(1, "eve@contoso.test"), person(2, "ada@contoso.test")))
    assert all(proposal.identity is None for proposal in found.values())
    assert "several Mage users" in found["eve@contoso.test"].why
    assert "nobody in Entra" in found["gone@contoso.test"].why
    assert "no e-mail" in found["None"].why


def test_a_linked_user_and_a_linked_person_are_not_proposed_again(world: World, tmp_path: Path) -> None:
    linked, _ = world.add_user(email="x@contoso.test"), world.add_user(email="ada@contoso.test")
    world.link(ADA, linked)
    found = planned(world, people(tmp_path, person(1, "ada@contoso.test")))
    assert list(found) == ["ada@contoso.test"]
    assert "another Mage user already" in found["ada@contoso.test"].why


def test_looking_changes_nothing_and_carrying_out_links_and_ends_sessions(
    world: World, tmp_path: Path
) -> None:
    number = world.add_user(email="ada@contoso.test", password_hash="x")
    with world.store.engine.begin() as connection:
        connection.execute(
            tables.access_tokens.insert().values(token="stock", user_id=number, oauth2_application_id=1)
        )
    listed = people(tmp_path, person(1, "ada@contoso.test"))
    proposals = list(planned(world, listed).values())
    assert world.found() is None
    assert "has a password" in proposals[0].why
    with world.store.transaction() as connection:
        assert adopt.carry_out(connection, tables, proposals, now=world.clock.now()) == 1
    found = world.found()
    assert found is not None
    assert found.id == world.key(number)
    assert world.tokens() == {}
    assert world.user(number)["password_hash"] == "x"


def test_an_adopted_person_signs_in_to_the_old_account(
    world: World, entra: RunningEmulator, tmp_path: Path
) -> None:
    """Their roles by hand stay, and Entra's come on top."""
    entra.reset()
    number = world.add_user(email="ada@contoso.test")
    world.give_by_hand(number, "Owner")
    with world.store.transaction() as connection:
        listed = people(tmp_path, person(1, "ada@contoso.test"))
        proposals = adopt.plan(connection, tables, listed, TENANT)
        adopt.carry_out(connection, tables, proposals, now=world.clock.now())
    world.sign_in("ada@contoso.test")
    assert set(world.tokens().values()) == {number}
    assert world.roles(number) == {"Owner", "Admin"}


def test_entras_own_list_is_read_as_it_is_downloaded(tmp_path: Path) -> None:
    """The CSV of "Download users" (with a byte order mark), and Graph's JSON with or without `value`."""
    downloaded = tmp_path / "exportUsers.csv"
    downloaded.write_text(
        "\ufeffuserPrincipalName,displayName,objectId,userType\n"
        "ada@contoso.test,Ada,A0000000-0000-4000-8000-000000000001,Member\n"
        ",nameless,a0000000-0000-4000-8000-000000000002,Member\n",
        "utf-8",
    )
    (ada,) = adopt.read_people(downloaded)
    assert (ada.object_id, list(ada.names)) == (ADA.object_id, ["ada@contoso.test"])
    assert ada.created_at is None
    bare = tmp_path / "users.json"
    bare.write_text(json.dumps([person(1, "ada@contoso.test")]), "utf-8")
    (ada,) = adopt.read_people(bare)
    assert ada.created_at == datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.csv", "x,y\n1,2\n"), ("a.json", "{"), ("a.json", '{"value": 3}'), ("a.csv", ""), ("a.json", "[1]")],
)
def test_a_file_that_is_no_such_list_is_named_with_the_next_step(
    tmp_path: Path, name: str, text: str
) -> None:
    file = tmp_path / name
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigurationError) as refused:
        adopt.read_people(file)
    assert "Download users" in refused.value.hint
    with pytest.raises(ConfigurationError):
        adopt.read_people(tmp_path / "missing.csv")


def test_one_user_is_linked_by_hand(world: World) -> None:
    number = world.add_user(email="ada@contoso.test")
    with world.store.transaction() as connection:
        shown = linking.link_user(connection, tables, "ADA@contoso.test", ADA, now=world.clock.now())
    assert shown == f"ada@contoso.test (number {number})"
    found = world.found()
    assert found is not None
    assert found.id == world.key(number)


def test_linking_refuses_what_it_cannot_mean(world: World) -> None:
    """No such user, users that differ in letters only, and a person who is linked elsewhere."""
    world.link(ADA, world.add_user(email="first@contoso.test"))
    for email in ("eve@contoso.test", "EVE@contoso.test"):
        world.add_user(email=email, username=email)
    other = EntraIdentity(tenant_id=TENANT, object_id=ObjectId("a0000000-0000-4000-8000-000000000009"))
    now = world.clock.now() + timedelta(0)
    with world.store.transaction() as connection:
        with pytest.raises(RequestRefused, match="no user"):
            linking.link_user(connection, tables, "nobody@contoso.test", other, now=now)
        with pytest.raises(RequestRefused, match="several users"):
            linking.link_user(connection, tables, "Eve@contoso.test", other, now=now)
        with pytest.raises(IdentityAlreadyLinked):
            linking.link_user(connection, tables, "eve@contoso.test", ADA, now=now)
        linking.link_user(connection, tables, "eve@contoso.test", other, now=now)


def test_unlinking_takes_entras_roles_and_sessions_and_leaves_the_rest(
    world: World, entra: RunningEmulator
) -> None:
    """Roles by hand stay; the person's next sign-in makes an account of their own."""
    entra.reset()
    world.sign_in("ada@contoso.test")
    world.give_by_hand(1, "Viewer")
    with world.store.transaction() as connection:
        (shown,) = linking.all_links(connection, tables)
        assert (shown.user, shown.link.identity) == ("ada@contoso.test (number 1)", ADA)
        assert linking.unlink(connection, tables, ADA) == "ada@contoso.test (number 1)"
    assert world.roles(1) == {"Viewer"}
    assert world.tokens() == {}
    world.sign_in("ada@contoso.test")
    assert set(world.tokens().values()) == {2}
    with world.store.transaction() as connection:
        other = EntraIdentity(tenant_id=TENANT, object_id=ObjectId("a0000000-0000-4000-8000-000000000009"))
        with pytest.raises(RequestRefused, match="Nobody is linked"):
            linking.unlink(connection, tables, other)


def test_a_link_to_a_user_that_mage_deleted_is_shown_as_such(world: World, entra: RunningEmulator) -> None:
    entra.reset()
    world.sign_in("ada@contoso.test")
    world.delete_user(1)
    with world.store.transaction() as connection:
        (shown,) = linking.all_links(connection, tables)
        assert shown.user is None
        assert linking.unlink(connection, tables, ADA) is None
