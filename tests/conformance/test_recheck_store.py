"""What `RecheckStore` promises, sentence by sentence, of our own stores and every product's."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from conformance.products import People
from conformance.samples import LATER, NOW, from_entra, identity
from conformance.test_admission_store import created, profile, signed_in
from entrada.accounts.admission import Newcomer
from entrada.accounts.sealed_sign_ins import SealedSignIn
from entrada.flows.recheck import RecheckStore
from entrada.integrations.kit.links import Link

NEXT = LATER + timedelta(minutes=15)


def store_of(people: People) -> RecheckStore[Any]:
    return people.recheck


def waiting(people: People, number: int, *roles: str, minutes: int = 0) -> None:
    """Somebody who has signed in and is to be looked at `minutes` after NOW."""
    created(people.admission, number, *roles)
    people.keep_sign_in(identity(number), f"sealed {number}", NOW + timedelta(minutes=minutes))


def claimed(people: People) -> Link | SealedSignIn:
    link: Link | SealedSignIn | None = store_of(people).claim_due(now=LATER, next_check_at=NEXT)
    assert link is not None
    return link


def renew(people: People, link: Link | SealedSignIn, grants: list[str] | None) -> None:
    store_of(people).renew(
        link,
        newcomer=Newcomer(identity=link.identity, profile=profile(1), home_tenant=None, grants=()),
        entra_grants=None if grants is None else [from_entra(role) for role in grants],
        sealed_sign_in="sealed anew",
        next_check_at=NEXT,
    )


def roles_of(people: People, number: int) -> frozenset[str]:
    user = people.admission.find_by_identity(identity(number))
    assert user is not None
    return user.roles


def test_whoever_has_waited_longest_is_claimed_once(people: People) -> None:
    """In the order of when they were due, each for one caller; nobody before their time."""
    for number, minutes in ((1, 20), (2, 10), (3, 600)):
        waiting(people, number, minutes=minutes)
    store = store_of(people)
    found = [store.claim_due(now=LATER, next_check_at=NEXT) for _ in range(3)]
    assert [link and link.identity for link in found] == [identity(2), identity(1), None]


def test_end_access_ends_what_was_claimed(people: People) -> None:
    """True; the link stays with the reason, and the person is not claimed again."""
    waiting(people, 1, "Editor")
    link = claimed(people)
    assert store_of(people).end_access(link, because="left", now=LATER)
    ended = people.link_of(identity(1))
    assert ended is not None
    assert (ended.ended_at, ended.ended_because, ended.sealed_sign_in) == (LATER, "left", None)
    assert store_of(people).claim_due(now=NEXT + timedelta(days=1), next_check_at=NEXT) is None
    assert not store_of(people).end_access(link, because="again", now=LATER)


def test_a_newer_sign_in_is_not_ended_by_what_was_found_out_before(people: People) -> None:
    """False if the person has signed in again since the claim: then nothing is taken."""
    waiting(people, 1, "Editor")
    link = claimed(people)
    signed_in(people.admission, link.user_id, 1, [from_entra("Viewer")])
    people.keep_sign_in(identity(1), "a newer one", NEXT)
    assert not store_of(people).end_access(link, because="left", now=LATER)
    found = people.link_of(identity(1))
    assert found is not None
    assert found.ended_at is None
    assert roles_of(people, 1) == {"Viewer"}


def test_renew_brings_roles_up_to_date(people: People) -> None:
    """What Entra gives now, with what was given by hand untouched; None leaves all as it is."""
    waiting(people, 1, "Editor")
    link = claimed(people)
    people.give_by_hand(link.user_id, people.role_by_hand)
    renew(people, link, ["Viewer"])
    assert roles_of(people, 1) == {people.role_by_hand, "Viewer"}
    again = people.link_of(identity(1))
    assert again is not None
    assert again.sealed_sign_in == "sealed anew"
    renew(people, again, None)
    assert roles_of(people, 1) == {people.role_by_hand, "Viewer"}


def test_renew_of_an_older_sign_in_changes_nothing(people: People) -> None:
    """Whoever signed in again meanwhile has newer roles than what was claimed."""
    waiting(people, 1, "Editor")
    link = claimed(people)
    people.keep_sign_in(identity(1), "a newer one", NEXT)
    renew(people, link, ["Admin"])
    assert roles_of(people, 1) == {"Editor"}
    found = people.link_of(identity(1))
    assert found is not None
    assert found.sealed_sign_in == "a newer one"
