"""What `DirectoryStore` promises, sentence by sentence, of our own stores and every product's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from conformance.products import PEOPLE, WATCHED_PEOPLE, People
from conformance.samples import CONTOSO, FABRIKAM, LATER, NOW, identity
from conformance.stores import Server
from conformance.test_recheck_store import waiting
from entrada.accounts.delta_position import DeltaPosition
from entrada.flows.tenant_watch import DirectoryStore

UNTIL = NOW + timedelta(seconds=30)


@pytest.fixture(params=WATCHED_PEOPLE)
def people(request: pytest.FixtureRequest, tmp_path: Path, postgresql: Server) -> Iterator[People]:
    with PEOPLE[request.param](tmp_path, postgresql) as made:
        yield made


@pytest.fixture
def directory(people: People) -> DirectoryStore[Any]:
    assert people.directory is not None
    return people.directory


def hold(store: DirectoryStore[Any], holder: str, *, after: float = 0.0) -> DeltaPosition | None:
    now = NOW + timedelta(seconds=after)
    return store.hold_position(CONTOSO, holder=holder, now=now, until=now + (UNTIL - NOW))


def test_one_of_several_servers_reads_on(directory: DirectoryStore[Any]) -> None:
    """Until it stops renewing; each tenant by itself. One that lost it writes nothing."""
    first = hold(directory, "one")
    assert first == DeltaPosition(tenant_id=CONTOSO)
    assert hold(directory, "two") is None
    assert directory.hold_position(FABRIKAM, holder="two", now=NOW, until=UNTIL) is not None
    assert hold(directory, "one", after=20) is not None
    assert hold(directory, "two", after=40) is None
    assert hold(directory, "two", after=51) is not None
    assert not directory.keep_position(first, holder="one")


def test_a_clock_that_was_set_back_keeps_nobody_out_for_long(directory: DirectoryStore[Any]) -> None:
    """Held until a moment that lies further ahead than anybody holds: taken before the clock was set back."""
    assert hold(directory, "one", after=3_600) is not None
    assert hold(directory, "two") is not None


def test_what_was_read_is_there_for_whoever_reads_on(directory: DirectoryStore[Any]) -> None:
    """Links, moments and the problem, to the letter."""
    position = hold(directory, "one")
    assert position is not None
    read = replace(
        position,
        links={
            "people": "https://graph.microsoft.com/v1.0/users/delta?$deltatoken=é",
            "groups x": "y" * 9_000,
        },
        looked_at=NOW,
        asked_at=LATER,
        problem="who changed: HTTP 403",
    )
    assert directory.keep_position(read, holder="one")
    assert directory.positions() == [read]
    assert hold(directory, "two", after=31) == read


def test_only_people_of_that_tenant_who_sign_in_here_are_linked(
    people: People, directory: DirectoryStore[Any]
) -> None:
    """Whatever else stands on a page of changes, thousands of others among it."""
    for number in (1, 2, 3):
        waiting(people, number)
    asked = [identity(number).object_id for number in (1, 3, *range(50, 2_000))]
    found = directory.linked(CONTOSO, asked)
    assert [link.identity for link in found] == [identity(1), identity(3)]
    assert found[0].sealed_sign_in == "sealed 1"
    assert directory.linked(FABRIKAM, asked) == []
    assert directory.linked(CONTOSO, []) == []


def test_everybody_who_is_signed_in_comes_in_turn(people: People, directory: DirectoryStore[Any]) -> None:
    """Page by page in the order of object ids, each once."""
    for number in (5, 3, 1, 4, 2):
        waiting(people, number)
    first = directory.signed_in(CONTOSO, after=None, at_most=3)
    rest = directory.signed_in(CONTOSO, after=first[-1].identity.object_id, at_most=3)
    assert [link.identity for link in (*first, *rest)] == [identity(number) for number in (1, 2, 3, 4, 5)]
    assert directory.signed_in(FABRIKAM, after=None, at_most=3) == []


def test_hastened_means_due_now(people: People, directory: DirectoryStore[Any]) -> None:
    """Those named, or everybody of the tenant; nobody is put off by it."""
    for number in (1, 2, 3):
        waiting(people, number, minutes=60)
    store = people.recheck
    assert store.claim_due(now=NOW, next_check_at=LATER) is None
    assert directory.hasten(CONTOSO, [identity(2).object_id, identity(99).object_id], now=NOW) == 1
    claimed = store.claim_due(now=NOW, next_check_at=LATER)
    assert claimed is not None
    assert claimed.identity == identity(2)
    assert store.claim_due(now=NOW, next_check_at=LATER) is None
    assert directory.hasten(FABRIKAM, None, now=NOW) == 0
    assert directory.hasten(CONTOSO, None, now=NOW) == 3
    assert directory.hasten(CONTOSO, None, now=NOW + timedelta(minutes=1)) == 0


def test_access_ends_once_and_not_of_a_newer_sign_in(people: People, directory: DirectoryStore[Any]) -> None:
    """What was read about an older sign-in ends nothing newer, and the same thing twice is once."""
    waiting(people, 1)
    waiting(people, 2)
    older, other = directory.linked(CONTOSO, [identity(number).object_id for number in (1, 2)])
    people.keep_sign_in(identity(1), "a newer one", LATER)
    assert not directory.end_access(older, because="disabled in the directory", now=LATER)
    assert directory.end_access(other, because="disabled in the directory", now=LATER)
    assert not directory.end_access(other, because="disabled in the directory", now=LATER)
    assert [link.identity for link in directory.signed_in(CONTOSO, after=None, at_most=5)] == [identity(1)]
