"""Entra's keys change, vanish or cannot be had while people sign in: B6, and faults 1 to 5."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from entrada.emulator import RunningEmulator, start
from walks.conftest import NewVisitor, NewWatch, Serve
from walks.site import wait_until
from walks.visitor import Visitor


@pytest.fixture(scope="module")
def emulator() -> Iterator[RunningEmulator]:
    """An emulator of this module's own: its keys are rotated."""
    with start() as running:
        yield running


@pytest.fixture
def warm(serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator) -> Visitor:
    """A visitor of a site that has the keys already."""
    visitor = new_visitor(serve())
    visitor.sign_in_as("ada@contoso.test")
    visitor.jar.cookies.clear()
    emulator.clear_requests()
    return visitor


def fetches(emulator: RunningEmulator) -> int:
    return sum(request.endpoint == "keys" for request in emulator.requests)


@pytest.mark.parametrize("keep_old", [True, False])
@pytest.mark.parametrize("fault", ["key_rotated", ""])
def test_rotated_between_the_sign_ins(
    fault: str, keep_old: bool, warm: Visitor, emulator: RunningEmulator, pat: Any
) -> None:
    """A key changed just before signing: the first sign-in succeeds after one fetch."""
    if fault:
        emulator.fail(fault, keep_old=keep_old)
    else:
        emulator.rotate_keys(keep_old=keep_old)
    assert warm.sign_in_as(pat).status_code == 303
    assert fetches(emulator) == 1
    assert warm.sign_in_as(pat).status_code == 303
    assert fetches(emulator) == 1


def test_rotated_between_signing_and_checking(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any, watch: NewWatch
) -> None:
    """Keys that change after the token was signed do no harm while the old ones are published."""
    visitor = new_visitor(serve())
    emulator.fail("rotate_after_signing", keep_old=True)
    assert visitor.sign_in_as(pat).status_code == 303
    assert fetches(emulator) == 1


def test_withdrawn_after_signing(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any, watch: NewWatch
) -> None:
    """A token whose key was withdrawn before it could be checked is refused; the next one is good."""
    visitor = new_visitor(serve())
    visitor.begin()
    visitor.approve_as(pat)
    emulator.fail("rotate_after_signing", keep_old=False)
    watching = watch(visitor)
    page = watching.refused(visitor.complete(), 400, "id_token_refused")
    assert "Microsoft may have changed its signing keys" in page
    assert visitor.sign_in_as(pat).status_code == 303


def test_many_at_once_after_a_rotation(
    warm: Visitor, new_visitor: NewVisitor, emulator: RunningEmulator
) -> None:
    """Thirty people at once after a rotation: one fetch, and all are signed in."""
    people = [emulator.add_person(f"p{number}@contoso.test") for number in range(30)]
    visitors = [new_visitor(warm.site) for _ in people]
    for visitor, person in zip(visitors, people, strict=True):
        visitor.begin()
        visitor.approve_as(person)
    emulator.rotate_keys()
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(Visitor.complete, visitors))
    assert [answer.status_code for answer in answers] == [303] * 30
    assert fetches(emulator) == 1


def test_B6_flood_of_unknown_keys(
    warm: Visitor, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any, kim: Any
) -> None:
    """Unknown key ids cause one fetch in five minutes, and good sign-ins go on meanwhile."""
    emulator.fail("tamper", times=20, signature="unknown_key")
    for _ in range(20):
        assert new_visitor(warm.site).sign_in_as(pat).status_code == 400
    assert fetches(emulator) == 1
    assert new_visitor(warm.site).sign_in_as(kim).status_code == 303
    warm.site.clock.pass_by(minutes=5, seconds=1)
    emulator.fail("tamper", times=5, signature="unknown_key")
    for _ in range(5):
        assert new_visitor(warm.site).sign_in_as(pat).status_code == 400
    assert fetches(emulator) == 2


@pytest.mark.parametrize("fault", ["drop", "server_error", "html", "null", "half_json", "empty", "oversized"])
def test_keys_cannot_be_had_after_warming_up(
    fault: str, warm: Visitor, emulator: RunningEmulator, pat: Any
) -> None:
    """With keys in hand, an outage of the key document stops nobody, for hours."""
    emulator.fail(fault, endpoint="keys", times=None)
    assert warm.sign_in_as(pat).status_code == 303
    for _ in range(3):
        warm.site.clock.pass_by(hours=3)
        emulator.clock(warm.site.clock.ahead.total_seconds())
        assert warm.sign_in_as(pat).status_code == 303
    assert warm.whoami() is not None
    emulator.clear_faults()


def test_keys_are_refreshed_in_the_background(warm: Visitor, emulator: RunningEmulator, pat: Any) -> None:
    """After an hour the keys are fetched again, once, while the sign-in goes on with those in hand."""
    warm.site.clock.pass_by(minutes=61)
    emulator.clock(61 * 60)
    assert warm.sign_in_as(pat).status_code == 303
    wait_until(lambda: fetches(emulator) == 1)
    assert warm.sign_in_as(pat).status_code == 303
    assert fetches(emulator) == 1


def test_withdrawn_key_is_refused_within_the_hour(
    warm: Visitor, emulator: RunningEmulator, pat: Any, watch: NewWatch
) -> None:
    """A key that Entra withdrew (a compromise) is refused after the next refresh, not only after a day."""
    stolen = emulator.rotate_keys()
    assert warm.sign_in_as(pat).status_code == 303
    emulator.withdraw_key(stolen)
    warm.jar.cookies.clear()
    warm.site.clock.pass_by(hours=2, minutes=1)
    emulator.clock(2 * 3600 + 60)
    warm.begin()
    warm.approve_as(pat)
    watching = watch(warm)
    watching.refused(warm.complete(), 400, "id_token_refused")


def test_key_never_published(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any, watch: NewWatch
) -> None:
    """A key set without the key that signs: refused, and fetched no more than twice."""
    emulator.fail("key_removed", times=None)
    visitor = new_visitor(serve())
    visitor.begin()
    visitor.approve_as(pat)
    watching = watch(visitor)
    watching.refused(visitor.complete(), 400, "id_token_refused")
    assert fetches(emulator) <= 2
