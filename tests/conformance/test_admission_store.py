"""What `AdmissionStore` promises, sentence by sentence, of every implementation: ours and the products'."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conformance.products import People
from conformance.samples import ADA, LATER, NOW, from_entra, identity, user_id
from entrada.accounts.identity import GrantSource, Profile, RoleGrant, User, UserId
from entrada.accounts.store import AdmissionStore
from entrada.errors import AccountDisabled, IdentityAlreadyLinked

FOREIGN = RoleGrant(role="Admin", source=GrantSource.MANUAL, granted_by="a stranger", granted_at=NOW)
NOBODY = user_id(99)


def profile(number: int) -> Profile:
    return replace(ADA, email=f"ada{number}@contoso.test", username=f"ada{number}@contoso.test")


def created(store: AdmissionStore, number: int, *roles: str) -> User:
    return store.create(
        user_id=user_id(number),
        identity=identity(number),
        profile=profile(number),
        entra_grants=[from_entra(role) for role in roles],
        now=NOW,
    )


def signed_in(store: AdmissionStore, user: UserId, number: int, grants: list[RoleGrant] | None) -> User:
    return store.record_sign_in(
        user_id=user, identity=identity(number), profile=profile(number), entra_grants=grants, now=LATER
    )


def test_who_was_created_is_found_enabled_and_with_their_roles(people: People) -> None:
    """A new enabled user with this identity linked and these roles."""
    user = created(people.admission, 1, "Editor", "Admin")
    assert (user.is_enabled, user.roles) == (True, {"Admin", "Editor"})
    assert people.admission.find_by_identity(identity(1)) == user
    assert people.admission.find_by_identity(identity(2)) is None


def test_create_for_a_linked_identity_creates_nothing(people: People) -> None:
    """IdentityAlreadyLinked: the one there stays as it is."""
    user = created(people.admission, 1, "Editor")
    with pytest.raises(IdentityAlreadyLinked):
        people.admission.create(
            user_id=user_id(2), identity=identity(1), profile=profile(2), entra_grants=[], now=LATER
        )
    assert people.admission.find_by_identity(identity(1)) == user
    assert people.admission.find_by_verified_email("ada2@contoso.test") == []


def test_foreign_grants_make_no_user(people: People) -> None:
    """ValueError: a grant among `entra_grants` is not Entra's, and nothing was created."""
    with pytest.raises(ValueError, match="Entra"):
        people.admission.create(
            user_id=user_id(1),
            identity=identity(1),
            profile=profile(1),
            entra_grants=[from_entra("Editor"), FOREIGN],
            now=NOW,
        )
    assert people.admission.find_by_identity(identity(1)) is None


def test_foreign_grants_change_no_user(people: People) -> None:
    """A sign-in that brings a grant which is not Entra's is refused whole."""
    user = created(people.admission, 1, "Editor")
    with pytest.raises(ValueError, match="Entra"):
        signed_in(people.admission, user.id, 1, [from_entra("Viewer"), FOREIGN])
    assert people.admission.find_by_identity(identity(1)) == user


def test_link_adds_an_identity(people: People) -> None:
    """The user is found by either identity."""
    user = created(people.admission, 1, "Editor")
    linked = people.admission.link(user_id=user.id, identity=identity(9), now=LATER)
    assert linked.id == user.id
    for number in (1, 9):
        found = people.admission.find_by_identity(identity(number))
        assert found is not None
        assert (found.id, found.roles) == (user.id, {"Editor"})


def test_linking_twice_changes_nothing(people: People) -> None:
    """An identity that already signs in as this user stays as it is."""
    user = created(people.admission, 1, "Editor")
    assert people.admission.link(user_id=user.id, identity=identity(1), now=LATER) == user


def test_link_to_nobody_is_a_lookup_error(people: People) -> None:
    """LookupError: no such user; the identity stays nobody's."""
    with pytest.raises(LookupError):
        people.admission.link(user_id=NOBODY, identity=identity(1), now=NOW)
    assert people.admission.find_by_identity(identity(1)) is None


def test_C12_an_identity_of_another_user_is_refused_and_both_stay(people: People) -> None:
    """IdentityAlreadyLinked: the identity signs in as another user; both stay as they are."""
    first, second = created(people.admission, 1), created(people.admission, 2)
    with pytest.raises(IdentityAlreadyLinked):
        people.admission.link(user_id=second.id, identity=identity(1), now=LATER)
    assert people.admission.find_by_identity(identity(1)) == first
    assert people.admission.find_by_identity(identity(2)) == second


def test_a_sign_in_replaces_what_came_from_entra_alone(people: People) -> None:
    """Roles given by hand stay, those from Entra follow it, and one that stays keeps its time."""
    user = created(people.admission, 1, "Editor", "Viewer")
    people.give_by_hand(user.id, people.role_by_hand)
    grants = [from_entra("Viewer", granted_at=LATER)]
    after = signed_in(people.admission, user.id, 1, grants)
    assert after.roles == {people.role_by_hand, "Viewer"}
    assert [grant.granted_at for grant in after.grants if grant.role == "Viewer"] == [NOW]
    assert signed_in(people.admission, user.id, 1, []).roles == {people.role_by_hand}


def test_none_leaves_the_roles_as_they_are(people: People) -> None:
    """A sign-in without grants (first_sign_in) touches no role."""
    user = created(people.admission, 1, "Editor")
    assert signed_in(people.admission, user.id, 1, None).roles == {"Editor"}


@pytest.mark.parametrize("grants", [None, []])
def test_a_sign_in_of_nobody_is_a_lookup_error(people: People, grants: list[RoleGrant] | None) -> None:
    """LookupError: no such user."""
    created(people.admission, 1)
    with pytest.raises(LookupError):
        signed_in(people.admission, NOBODY, 1, grants)


@pytest.mark.parametrize("grants", [None, []])
def test_a_sign_in_with_an_identity_of_another_is_a_lookup_error(
    people: People, grants: list[RoleGrant] | None
) -> None:
    """LookupError: the identity is not linked to them; neither user changes."""
    first, second = created(people.admission, 1, "Editor"), created(people.admission, 2, "Viewer")
    for number in (2, 77):
        with pytest.raises(LookupError):
            signed_in(people.admission, first.id, number, grants)
    assert people.admission.find_by_identity(identity(1)) == first
    assert people.admission.find_by_identity(identity(2)) == second


def test_a_verified_address_finds_and_an_unverified_one_does_not(people: People) -> None:
    """Letters compared without case, and only what the tenant vouches for; a linked one may be left out."""
    store = people.admission
    store.create(
        user_id=user_id(3),
        identity=identity(3),
        profile=Profile(name="Mallory", email="ed@contoso.test", username=None),
        entra_grants=[],
        now=NOW,
    )
    assert store.find_by_verified_email("ed@contoso.test") == []
    user = created(store, 1)
    assert [found.id for found in store.find_by_verified_email("ADA1@contoso.TEST")] in ([user.id], [])


def test_finding_changes_nothing(people: People) -> None:
    """A look-up deletes no link, also of a user whom the product's administrators have deleted."""
    if people.delete_user is None:
        assert people.admission.find_by_identity(identity(1)) is None  # ours are never deleted
        return
    user = created(people.admission, 1, "Editor")
    people.delete_user(user.id)
    before = people.link_of(identity(1))
    assert before is not None
    if people.let_in_anew is None:
        assert people.admission.find_by_identity(identity(1)) is None
    else:
        with pytest.raises(AccountDisabled):
            people.admission.find_by_identity(identity(1))
    assert people.link_of(identity(1)) == before


def test_whoever_was_deleted_may_be_created_anew(people: People) -> None:
    """A link to a user who is gone stands in nobody's way, or until an administrator says so; and the new
    user inherits nothing.
    """
    user = created(people.admission, 1, "Editor")
    if people.delete_user is None:
        assert people.admission.find_by_identity(identity(1)) == user  # ours are never deleted
        return
    people.delete_user(user.id)
    if people.let_in_anew is not None:
        with pytest.raises(IdentityAlreadyLinked):
            created(people.admission, 1, "Viewer")
        people.let_in_anew(identity(1))
    again = created(people.admission, 1, "Viewer")
    assert again.roles == {"Viewer"}
    assert people.admission.find_by_identity(identity(1)) == again
