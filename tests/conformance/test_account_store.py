"""What `AccountStore` promises, sentence by sentence, of every implementation."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta, timezone
from typing import Any

import pytest

from conformance.samples import (
    ADA,
    CONTOSO,
    ED,
    FABRIKAM,
    LATER,
    NOW,
    at_once,
    counted,
    from_entra,
    identity,
    log_length,
    session,
    user_id,
)
from conformance.stores import SHARED, Stores
from entrada.accounts.administration import AdministrationRules
from entrada.accounts.admission import AdmissionPolicy, LinkByEmail, Newcomer, admit
from entrada.accounts.groups import UNKNOWN, Membership
from entrada.accounts.identity import (
    EntraIdentity,
    GrantSource,
    LinkedIdentity,
    Profile,
    RoleGrant,
    User,
    UserId,
)
from entrada.accounts.people import PeopleQuery
from entrada.accounts.roles import role_mapping
from entrada.accounts.store import AccountStore
from entrada.entra.authority import TenantId
from entrada.errors import AdministrationRefused, IdentityAlreadyLinked, LastAdministrator
from entrada.sessions.revocation import RevocationKind
from storage.others import create_the_same, in_processes


def created(accounts: AccountStore, number: int = 1, profile: Profile = ADA, *roles: str) -> User:
    return accounts.create(
        user_id=user_id(number),
        identity=identity(number),
        profile=profile,
        entra_grants=[from_entra(role) for role in roles],
        now=NOW,
    )


def signed_in(accounts: AccountStore, user: User, grants: list[RoleGrant] | None) -> User:
    return accounts.record_sign_in(
        user_id=user.id,
        identity=user.identities[0].identity,
        profile=user.profile,
        entra_grants=grants,
        now=LATER,
    )


# create, find, get


def test_create_makes_an_enabled_user_with_identity_and_roles(accounts: AccountStore) -> None:
    """A new enabled user with this identity linked and these roles, all at once."""
    user = created(accounts, 1, ADA, "Editor", "Admin")
    assert user == User(
        id=user_id(1),
        profile=ADA,
        created_at=NOW,
        disabled_at=None,
        identities=(LinkedIdentity(identity=identity(1), linked_at=NOW, last_sign_in_at=NOW),),
        grants=(from_entra("Admin"), from_entra("Editor")),
    )


def test_what_is_created_is_what_is_found(stores: Stores) -> None:
    """`find_by_identity` and `get` give the user that was created, also to another process."""
    user = created(stores.accounts, 1, ADA, "Admin")
    for seen in (stores.accounts, stores.another().accounts):
        assert seen.get(user.id) == user
        assert seen.find_by_identity(identity(1)) == user


def test_nobody_is_found_by_what_nobody_has(accounts: AccountStore) -> None:
    """None for an identity or id that no user has."""
    created(accounts, 1)
    assert accounts.find_by_identity(identity(2)) is None
    assert accounts.get(user_id(2)) is None


def test_times_come_back_as_the_same_moment_in_utc(accounts: AccountStore) -> None:
    """A time given in another zone is the same moment, to the microsecond."""
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    accounts.create(user_id=user_id(1), identity=identity(), profile=ADA, entra_grants=[], now=elsewhere)
    found = accounts.get(user_id(1))
    assert found is not None
    assert found.created_at == NOW
    assert found.created_at.tzinfo is not None


def test_C6_the_same_object_id_in_another_tenant_is_another_person(accounts: AccountStore) -> None:
    """Identities are pairs: neither half alone finds anybody."""
    here = created(accounts, 1)
    there = accounts.create(
        user_id=user_id(2),
        identity=identity(1, tenant_id=FABRIKAM),
        profile=ADA,
        entra_grants=[],
        now=NOW,
    )
    assert accounts.find_by_identity(identity(1, tenant_id=CONTOSO)) == here
    assert accounts.find_by_identity(identity(1, tenant_id=FABRIKAM)) == there


def test_C26_the_same_address_with_a_new_object_id_is_a_new_account(accounts: AccountStore) -> None:
    """A person who was removed and made again inherits nothing by name or e-mail."""
    accounts.grant_role(created(accounts, 1).id, role="Admin", granted_by="root", now=NOW)
    again = created(accounts, 2)
    assert again.id != user_id(1)
    assert again.grants == ()


def test_create_for_a_linked_identity_creates_nothing(accounts: AccountStore) -> None:
    """IdentityAlreadyLinked: nothing was created, and the one there stays as it is."""
    first = created(accounts, 1, ADA, "Admin")
    with pytest.raises(IdentityAlreadyLinked):
        accounts.create(
            user_id=user_id(2), identity=identity(1), profile=ED, entra_grants=[from_entra("x")], now=LATER
        )
    assert accounts.get(user_id(2)) is None
    assert accounts.list_users() == [first]


def test_an_id_in_use_is_a_mistake_of_the_caller(accounts: AccountStore) -> None:
    """ValueError when the user id is taken; the user who has it stays as it is."""
    first = created(accounts, 1, ADA, "Admin")
    with pytest.raises(ValueError, match="id exists already"):
        accounts.create(user_id=first.id, identity=identity(2), profile=ED, entra_grants=[], now=NOW)
    assert accounts.get(first.id) == first
    assert accounts.find_by_identity(identity(2)) is None


def test_C13_fifty_first_sign_ins_at_once_make_one_account(stores: Stores) -> None:
    """Fifty threads create the same person: one does, all others are told, and one user is there."""
    results = at_once(
        50,
        lambda _: stores.accounts.create(
            user_id=user_id(), identity=identity(), profile=ADA, entra_grants=[from_entra("Admin")], now=NOW
        ),
    )
    assert counted(results) == {"User": 1, "IdentityAlreadyLinked": 49}
    assert stores.accounts.list_users() == [result for result in results if isinstance(result, User)]


@pytest.mark.parametrize("stores", SHARED, indirect=True)
def test_C13_four_processes_of_many_threads_make_one_account(stores: Stores) -> None:
    """Four processes, thirteen threads each, on one database: one account."""
    results = in_processes(4, create_the_same, stores.database_url, 13)
    assert results == {"User": 1, "IdentityAlreadyLinked": 51}
    assert len(stores.accounts.list_users()) == 1


# link


def test_link_adds_an_identity(accounts: AccountStore) -> None:
    """The user with one identity more, found by either."""
    user = created(accounts, 1)
    linked = accounts.link(user_id=user.id, identity=identity(9), now=LATER)
    assert [each.identity for each in linked.identities] == [identity(1), identity(9)]
    assert linked.identities[1] == LinkedIdentity(identity=identity(9), linked_at=LATER)
    assert accounts.find_by_identity(identity(9)) == accounts.find_by_identity(identity(1)) == linked


def test_linking_twice_changes_nothing(accounts: AccountStore) -> None:
    """An identity that already signs in as this user stays as it is."""
    user = created(accounts, 1)
    assert accounts.link(user_id=user.id, identity=identity(1), now=LATER) == user


def test_C12_an_identity_of_another_user_is_refused_and_both_stay(accounts: AccountStore) -> None:
    """IdentityAlreadyLinked: the identity signs in as another user; both stay as they are."""
    first, second = created(accounts, 1), created(accounts, 2)
    with pytest.raises(IdentityAlreadyLinked):
        accounts.link(user_id=second.id, identity=identity(1), now=LATER)
    assert accounts.list_users() == [first, second]


def test_of_two_users_who_link_one_identity_at_once_one_gets_it(accounts: AccountStore) -> None:
    """Twenty users race for an identity: it signs in as exactly one of them."""
    for number in range(20):
        created(accounts, number)
    results = at_once(
        20, lambda number: accounts.link(user_id=user_id(number), identity=identity(99), now=LATER)
    )
    assert counted(results) == {"User": 1, "IdentityAlreadyLinked": 19}
    (winner,) = (result for result in results if isinstance(result, User))
    assert accounts.find_by_identity(identity(99)) == winner


def test_a_user_with_several_identities_and_roles_comes_back_whole(accounts: AccountStore) -> None:
    """Three identities and three grants are three and three, in their orders."""
    user = created(accounts, 1, ADA, "Editor", "Admin")
    accounts.grant_role(user.id, role="Admin", granted_by="root", now=LATER)
    accounts.link(user_id=user.id, identity=identity(8), now=LATER)
    accounts.link(user_id=user.id, identity=identity(7), now=LATER)
    found = accounts.get(user.id)
    assert found is not None
    assert [each.identity for each in found.identities] == [identity(1), identity(7), identity(8)]
    assert [(grant.role, grant.source) for grant in found.grants] == [
        ("Admin", GrantSource.ENTRA),
        ("Admin", GrantSource.MANUAL),
        ("Editor", GrantSource.ENTRA),
    ]


# record_sign_in


def test_record_sign_in_updates_profile_and_time(accounts: AccountStore) -> None:
    """The user after a sign-in: profile and time of sign-in updated, of this identity only."""
    user = created(accounts, 1)
    accounts.link(user_id=user.id, identity=identity(9), now=LATER)
    after = accounts.record_sign_in(
        user_id=user.id, identity=identity(1), profile=ED, entra_grants=[], now=LATER
    )
    assert after == accounts.get(user.id)
    assert after.profile == ED
    assert after.created_at == NOW
    assert [each.last_sign_in_at for each in after.identities] == [LATER, None]


def test_C16_lost_roles_go_and_new_ones_come(accounts: AccountStore) -> None:
    """`entra_grants` replace the grants whose source is Entra."""
    user = created(accounts, 1, ADA, "Admin", "Editor")
    after = signed_in(accounts, user, [from_entra("Editor"), from_entra("Viewer", granted_at=LATER)])
    assert after.roles == {"Editor", "Viewer"}
    assert accounts.get(user.id) == after
    assert signed_in(accounts, user, []).roles == frozenset()


def test_a_grant_that_stays_keeps_the_time_it_was_granted(accounts: AccountStore) -> None:
    """A grant that stays keeps its `granted_at`, also when another group gives it now."""
    user = created(accounts, 1, ADA, "Admin")
    after = signed_in(accounts, user, [from_entra("Admin", granted_by="another group", granted_at=LATER)])
    assert after.grants == (from_entra("Admin", granted_by="another group", granted_at=NOW),)
    assert accounts.get(user.id) == after


def test_a_role_that_comes_back_is_granted_anew(accounts: AccountStore) -> None:
    """A grant that had gone begins again at its new time."""
    user = created(accounts, 1, ADA, "Admin")
    signed_in(accounts, user, [])
    after = signed_in(accounts, user, [from_entra("Admin", granted_at=LATER)])
    assert after.grants == (from_entra("Admin", granted_at=LATER),)


def test_none_leaves_the_grants_from_entra(accounts: AccountStore) -> None:
    """None leaves them as they are."""
    user = created(accounts, 1, ADA, "Admin")
    assert signed_in(accounts, user, None).grants == user.grants


def test_manual_grants_are_never_touched(accounts: AccountStore) -> None:
    """Manual grants survive every sign-in, also beside the same role from Entra."""
    user = created(accounts, 1, ADA, "Admin")
    accounts.grant_role(user.id, role="Admin", granted_by="root", now=NOW)
    manual = RoleGrant(role="Admin", source=GrantSource.MANUAL, granted_by="root", granted_at=NOW)
    for grants in ([from_entra("Admin")], None, []):
        assert manual in signed_in(accounts, user, grants).grants
    found = accounts.get(user.id)
    assert found is not None
    assert found.grants == (manual,)


def test_C17_one_role_from_several_groups_is_one_grant(accounts: AccountStore) -> None:
    """Two matches for one role, or ten thousand, are no error; the first says who gave it."""
    twice = [from_entra("Admin", granted_by=f"group {number}") for number in range(10_000)]
    user = accounts.create(user_id=user_id(1), identity=identity(1), profile=ADA, entra_grants=twice, now=NOW)
    assert user.grants == (twice[0],)
    assert signed_in(accounts, user, twice).grants == (twice[0],)


def test_C18_role_names_are_kept_to_the_letter(accounts: AccountStore) -> None:
    """Roles that differ in case, spaces or invisible letters are different roles."""
    roles = {"Admin", "ADMIN", "admin ", "Admin\u200b", "Ädmin", "A\u0308dmin"}
    user = created(accounts, 1, ADA, *roles)
    found = accounts.get(user.id)
    assert found is not None
    assert found.roles == roles


def test_a_grant_that_is_not_from_entra_is_a_mistake_of_the_caller(accounts: AccountStore) -> None:
    """ValueError for a manual grant among `entra_grants`; nothing is created or changed."""
    manual = replace(from_entra("Admin"), source=GrantSource.MANUAL)
    with pytest.raises(ValueError, match="source is Entra"):
        accounts.create(user_id=user_id(1), identity=identity(1), profile=ADA, entra_grants=[manual], now=NOW)
    assert accounts.list_users() == []
    user = created(accounts, 1)
    with pytest.raises(ValueError, match="source is Entra"):
        signed_in(accounts, user, [manual])
    assert accounts.get(user.id) == user


def test_a_sign_in_of_nobody_is_a_mistake_of_the_caller(accounts: AccountStore) -> None:
    """LookupError for a user who is not there, and for an identity that is not this user's."""
    user, other = created(accounts, 1), created(accounts, 2)
    for who, by in ((user_id(3), identity(1)), (user.id, identity(2)), (user.id, identity(3))):
        with pytest.raises(LookupError):
            accounts.record_sign_in(user_id=who, identity=by, profile=ED, entra_grants=[], now=LATER)
    with pytest.raises(LookupError):
        accounts.link(user_id=user_id(3), identity=identity(3), now=LATER)
    assert accounts.list_users() == [user, other]
    assert accounts.find_by_identity(identity(3)) is None


def test_sign_ins_of_one_person_at_once_leave_one_whole_state(accounts: AccountStore) -> None:
    """Thirty sign-ins with different roles at once: the user ends with the roles of one of them."""
    user = created(accounts, 1)
    roles = [[from_entra(f"role {number}"), from_entra(f"right {number}")] for number in range(30)]
    results = at_once(30, lambda number: signed_in(accounts, user, roles[number]))
    assert counted(results) == {"User": 30}
    found = accounts.get(user.id)
    assert found is not None
    assert found.roles in [{grant.role for grant in grants} for grants in roles]


# find_by_verified_email


def test_verified_email_is_found_ignoring_case(accounts: AccountStore) -> None:
    """Every user whose verified e-mail equals this one, letters compared without case."""
    first, second = created(accounts, 1), created(accounts, 2, replace(ADA, email="ADA@contoso.TEST"))
    created(accounts, 3, replace(ADA, email="ada@contoso.test.example"))
    assert accounts.find_by_verified_email("aDa@CONTOSO.test") == [first, second]


@pytest.mark.parametrize("email", ["ada@fabrikam.test", "", "ada@contoso.tes_", "%", "ada@contoso.test\0"])
def test_no_other_address_finds_anybody(accounts: AccountStore, email: str) -> None:
    """Wildcards, prefixes and nothing at all match nobody."""
    created(accounts, 1)
    created(accounts, 2, replace(ADA, email=None))
    assert accounts.find_by_verified_email(email) == []


def test_C1_an_unverified_email_finds_nobody(accounts: AccountStore) -> None:
    """The address of someone whose tenant did not vouch for it is never looked up."""
    created(accounts, 1, replace(ADA, email_is_verified=False))
    assert accounts.find_by_verified_email("ada@contoso.test") == []


def test_an_email_that_is_no_longer_verified_no_longer_finds(accounts: AccountStore) -> None:
    """The look-up follows the profile of the last sign-in."""
    user = created(accounts, 1)
    unverified = replace(user, profile=replace(ADA, email_is_verified=False))
    signed_in(accounts, unverified, None)
    assert accounts.find_by_verified_email("ada@contoso.test") == []


@pytest.mark.parametrize(
    ("theirs", "asked"),
    [("mi\u212ae@contoso.test", "mike@contoso.test"), ("stra\u00dfe@contoso.test", "strasse@contoso.test")],
)
def test_C4_letters_that_only_look_or_fold_alike_are_other_letters(
    accounts: AccountStore, theirs: str, asked: str
) -> None:
    """The Kelvin sign is no k and ß is not ss: different people can own the two addresses."""
    user = created(accounts, 1, replace(ADA, email=theirs))
    assert accounts.find_by_verified_email(asked) == []
    assert accounts.find_by_verified_email(theirs) == [user]


# disabling, roles by hand, listing


def test_set_disabled_and_back(accounts: AccountStore) -> None:
    """The user, disabled or enabled; the time is that of the first call."""
    user = created(accounts, 1, ADA, "Admin")
    disabled = accounts.set_disabled(user.id, disabled=True, now=LATER)
    assert disabled == replace(user, disabled_at=LATER) == accounts.get(user.id)
    assert accounts.set_disabled(user.id, disabled=True, now=LATER + timedelta(days=1)) == disabled
    assert accounts.set_disabled(user.id, disabled=False, now=LATER) == user == accounts.get(user.id)


def test_C15_disabling_ends_every_session_of_the_user(stores: Stores) -> None:
    """A disabled user's sessions are gone at once and do not come back when the account is enabled."""
    user, other = created(stores.accounts, 1), created(stores.accounts, 2)
    opened, of_other = [session(user.id), session(user.id)], session(other.id)
    for each in (*opened, of_other):
        stores.sessions.open(each)
    stores.accounts.set_disabled(user.id, disabled=True, now=LATER)
    stores.accounts.set_disabled(user.id, disabled=False, now=LATER)
    assert [stores.another().sessions.find(each.id) for each in opened] == [None, None]
    assert stores.sessions.find(of_other.id) == of_other


def test_C15_what_raced_the_disabling_does_not_outlive_the_enabling(stores: Stores) -> None:
    """A session that a sign-in opened behind the disabling ends in the transaction that enables."""
    user = created(stores.accounts, 1)
    stores.accounts.set_disabled(user.id, disabled=True, now=LATER)
    raced = session(user.id)
    stores.sessions.open(raced)
    since = stores.sessions.revocations(None).position
    stores.accounts.set_disabled(user.id, disabled=False, now=LATER)
    assert stores.another().sessions.find(raced.id) is None
    assert RevocationKind.USER in {entry.kind for entry in stores.sessions.revocations(since).entries}
    newer = session(user.id)
    stores.sessions.open(newer)
    stores.accounts.set_disabled(user.id, disabled=False, now=LATER)
    assert stores.sessions.find(newer.id) == newer


def test_grant_role_by_hand(accounts: AccountStore) -> None:
    """The user with a manual grant of the role, kept as it is if already there."""
    user = created(accounts, 1)
    granted = accounts.grant_role(user.id, role="Admin", granted_by="root", now=LATER)
    assert granted is not None
    assert granted.grants == (
        RoleGrant(role="Admin", source=GrantSource.MANUAL, granted_by="root", granted_at=LATER),
    )
    assert accounts.get(user.id) == granted
    again = accounts.grant_role(user.id, role="Admin", granted_by="another", now=LATER + timedelta(1))
    assert again == granted


def test_revoke_role_takes_the_manual_grant_only(accounts: AccountStore) -> None:
    """The user without the manual grant of the role; what Entra gave stays."""
    user = created(accounts, 1, ADA, "Admin")
    accounts.grant_role(user.id, role="Admin", granted_by="root", now=LATER)
    accounts.grant_role(user.id, role="Editor", granted_by="root", now=LATER)
    revoked = accounts.revoke_role(user.id, role="Admin")
    assert revoked is not None
    assert revoked == accounts.get(user.id)
    assert [(grant.role, grant.source) for grant in revoked.grants] == [
        ("Admin", GrantSource.ENTRA),
        ("Editor", GrantSource.MANUAL),
    ]
    assert accounts.revoke_role(user.id, role="Admin") == revoked


def test_nobody_can_be_changed_who_is_not_there(accounts: AccountStore) -> None:
    """None if there is no such user."""
    assert accounts.set_disabled(user_id(1), disabled=True, now=NOW) is None
    assert accounts.grant_role(user_id(1), role="Admin", granted_by="root", now=NOW) is None
    assert accounts.revoke_role(user_id(1), role="Admin") is None


NAMED = 'group:Zoë, "x"'
IN_ONE = Membership(held=frozenset({"1" * 32, NAMED}), asked=frozenset({"1" * 32, "2" * 32, NAMED}))


def test_groups_are_of_one_identity_and_unknown_at_first(accounts: AccountStore) -> None:
    """What Entra said of one identity says nothing of another of the same user."""
    user = created(accounts)
    accounts.link(user_id=user.id, identity=identity(9), now=LATER)
    assert user.membership_of(identity()) == UNKNOWN
    after = accounts.record_groups(user_id=user.id, identity=identity(), membership=IN_ONE)
    found = accounts.get(user.id)
    assert found == after
    assert found.membership_of(identity()) == IN_ONE
    assert found.membership_of(identity(9)) == UNKNOWN
    assert accounts.find_by_identity(identity(9)) == found
    again = signed_in(accounts, found, None)
    assert again.membership_of(identity()) == IN_ONE
    unknown = accounts.record_groups(user_id=user.id, identity=identity(), membership=UNKNOWN)
    assert unknown.membership_of(identity()) == UNKNOWN


def test_live_sessions_learn_of_other_groups_and_of_nothing_else(stores: Stores) -> None:
    """One entry for a change, none for the same again."""
    user = created(stores.accounts)
    position = log_length(stores.sessions)
    for _ in range(2):
        stores.accounts.record_groups(user_id=user.id, identity=identity(), membership=IN_ONE)
        assert log_length(stores.sessions) == position + 1
    stores.accounts.record_groups(user_id=user.id, identity=identity(), membership=UNKNOWN)
    assert log_length(stores.sessions) == position + 2


def test_groups_of_nobody_are_a_mistake_of_the_caller(accounts: AccountStore) -> None:
    """LookupError: no such user, or the identity is not theirs."""
    user = created(accounts)
    for user_of, who in ((user_id(7), identity()), (user.id, identity(9))):
        with pytest.raises(LookupError):
            accounts.record_groups(user_id=user_of, identity=who, membership=IN_ONE)


def test_list_users_page_by_page(accounts: AccountStore) -> None:
    """Users in the order of their ids, at most `limit`, beginning behind `after`."""
    made = [created(accounts, number, ADA, "Admin", "Editor") for number in (5, 3, 1, 4, 2)]
    in_order = sorted(made, key=lambda user: user.id)
    assert accounts.list_users() == in_order
    assert accounts.list_users(limit=2) == in_order[:2]
    assert accounts.list_users(limit=2, after=in_order[1].id) == in_order[2:4]
    assert accounts.list_users(after=in_order[-1].id) == []
    assert accounts.list_users(limit=0) == []


# what a live session must notice


def test_every_change_of_rights_is_in_the_log(stores: Stores) -> None:
    """Disabling, enabling, roles by hand, and a sign-in that changes roles or profile, are noticed."""
    accounts, elsewhere = stores.accounts, stores.another().sessions
    user = created(accounts, 1, ADA, "Admin")
    changes = {
        "disabled": lambda: accounts.set_disabled(user.id, disabled=True, now=NOW),
        "enabled": lambda: accounts.set_disabled(user.id, disabled=False, now=NOW),
        "granted": lambda: accounts.grant_role(user.id, role="Editor", granted_by="root", now=NOW),
        "revoked": lambda: accounts.revoke_role(user.id, role="Editor"),
        "new role": lambda: signed_in(accounts, user, [from_entra("Admin"), from_entra("Viewer")]),
        "lost role": lambda: signed_in(accounts, user, [from_entra("Admin")]),
        "new name": lambda: signed_in(accounts, replace(user, profile=replace(ADA, name="Ada King")), None),
    }
    before = log_length(elsewhere)
    for name, change in changes.items():
        change()
        after = log_length(elsewhere)
        assert after > before, name
        before = after


def test_what_changes_nothing_is_not_in_the_log(stores: Stores) -> None:
    """A sign-in that brings what was known, and a change that is there already, disturb no live session."""
    accounts, elsewhere = stores.accounts, stores.another().sessions
    user = created(accounts, 1, ADA, "Admin")
    accounts.grant_role(user.id, role="Editor", granted_by="root", now=NOW)
    before = log_length(elsewhere)
    created(accounts, 2)
    signed_in(accounts, user, [from_entra("Admin", granted_at=LATER)])
    signed_in(accounts, user, None)
    accounts.grant_role(user.id, role="Editor", granted_by="root", now=LATER)
    accounts.revoke_role(user.id, role="Nothing")
    accounts.set_disabled(user.id, disabled=False, now=NOW)
    assert log_length(elsewhere) == before


# texts that cannot be kept as they are


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("\u202eadA", "\u202eadA"),
        ("Ada \U0001f469\u200d\U0001f4bb", "Ada \U0001f469\u200d\U0001f4bb"),
        ("A\0d\0a", "Ada"),
        ("Ada\ud83d", "Ada\ufffd"),
        ("\udc00\ud800Ada", "\ufffd\ufffdAda"),
        ("a" * 10_000, "a" * 512),
        ("\U0001f469" * 600, "\U0001f469" * 512),
        ("", ""),
        ("'; DROP TABLE entrada_user; --", "'; DROP TABLE entrada_user; --"),
    ],
)
def test_C24_any_name_is_kept(accounts: AccountStore, given: str, kept: str) -> None:
    """NUL goes, half surrogates are replaced, what is too long is cut; all else stays to the letter."""
    user = created(accounts, 1, replace(ADA, name=given, username=given))
    assert user.profile == replace(ADA, name=kept, username=kept)
    assert accounts.get(user.id) == user
    assert (
        signed_in(accounts, replace(user, profile=replace(ADA, name=given, username=given)), None) is not None
    )


@pytest.mark.parametrize(
    "email", ["ada@contoso.test\0", "ada\ud800@contoso.test", f"{'a' * 320}@contoso.test"]
)
def test_C24_an_email_that_cannot_be_kept_whole_is_dropped(accounts: AccountStore, email: str) -> None:
    """A cut or cleaned address would be somebody else's: none is kept, and nothing counts as verified."""
    user = created(accounts, 1, replace(ADA, email=email))
    assert user.profile == replace(ADA, email=None, email_is_verified=False)
    assert accounts.get(user.id) == user


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800", "x" * 100_000, "%", "' OR 1=1"])
def test_C24_no_text_breaks_a_look_up(accounts: AccountStore, text: str) -> None:
    """Looking for what cannot exist finds nobody."""
    created(accounts, 1)
    nobody = UserId(text)
    assert accounts.get(nobody) is None
    assert accounts.find_by_verified_email(text) == []
    assert accounts.set_disabled(nobody, disabled=True, now=NOW) is None


# admission


def test_K13_an_account_that_somebody_of_the_tenant_signs_in_to_is_no_candidate(
    accounts: AccountStore,
) -> None:
    """Whatever keeps the accounts: an address that changed hands inherits nothing, one of elsewhere links."""
    policy = AdmissionPolicy(roles=role_mapping({}), link_by_email=LinkByEmail.VERIFIED)
    leaver = created(accounts)

    def come(who: EntraIdentity) -> User:
        new = Newcomer(identity=who, profile=ADA, home_tenant=who.tenant_id, grants=[])
        return admit(new, policy=policy, accounts=accounts, now=LATER)

    same_tenant = EntraIdentity(tenant_id=identity(1).tenant_id, object_id=identity(2).object_id)
    assert come(same_tenant).id != leaver.id
    assert come(identity(1)).id == leaver.id


def test_K13_an_account_of_another_tenant_is_a_candidate(accounts: AccountStore) -> None:
    """Nobody of the newcomer's tenant signs in to it yet."""
    policy = AdmissionPolicy(roles=role_mapping({}), link_by_email=LinkByEmail.VERIFIED)
    present = created(accounts)
    elsewhere = FABRIKAM if identity(1).tenant_id != FABRIKAM else CONTOSO
    who = EntraIdentity(tenant_id=elsewhere, object_id=identity(2).object_id)
    new = Newcomer(identity=who, profile=ADA, home_tenant=elsewhere, grants=[])
    assert admit(new, policy=policy, accounts=accounts, now=LATER).id == present.id


# --- looking for people, and forgetting them ---


def people(accounts: AccountStore) -> None:
    for number, (name, email) in enumerate(
        [("Nora North", "nora@contoso.test"), ("Nora", "n.n@fabrikam.test"), ("100%_Sure", None)], start=1
    ):
        profile = Profile(name=name, email=email, username=email)
        accounts.create(
            user_id=user_id(number), identity=identity(number), profile=profile, entra_grants=[], now=NOW
        )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("nora", [2, 1]),
        ("NORA NORTH", [1]),
        ("Nora@contoso.test", [1]),
        ("contoso", [1]),
        (user_id(3), [3]),
        (identity(2).object_id, [2]),
        ("100%", [3]),
        ("%", [3]),
        ("_", [3]),
        ("\\", []),
        ("nobody", []),
        ("\0", []),
        ("' OR 1=1 --", []),
    ],
)
def test_people_are_found_by_what_they_are_called(
    accounts: AccountStore, text: str, found: list[int]
) -> None:
    """By id, object id, name, username, e-mail, or part of these; the whole match first; no wildcard."""
    people(accounts)
    assert [user.id for user in accounts.search(text)] == [user_id(number) for number in found]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Nora", [2]),
        ("NORA NORTH", [1]),
        ("Nora@contoso.test", [1]),
        (user_id(3), [3]),
        (identity(2).object_id.upper(), [2]),
        ("100%_sure", [3]),
        ("Nora N", []),
        ("%", []),
        ("", []),
        ("\0", []),
        ("\ud83d", []),
    ],
)
def test_people_are_found_by_the_whole_of_what_they_are_called(
    accounts: AccountStore, text: str, found: list[int]
) -> None:
    """By id, object id, name, username or e-mail address, letters in either case; never by part of one."""
    people(accounts)
    assert [user.id for user in accounts.find_whole(text)] == [user_id(number) for number in found]


def test_a_search_gives_no_more_than_was_asked_for(accounts: AccountStore) -> None:
    """`limit` counts, and whole matches are not what it cuts off."""
    people(accounts)
    assert [user.id for user in accounts.search("nora", limit=1)] == [user_id(2)]


def test_people_are_listed_by_name_page_by_page(accounts: AccountStore) -> None:
    """By name in either case, then by id; a page begins behind the last one, and none behind who is gone."""
    for number, name in enumerate(("bob", "Ann", "Bob", "carl", "ann"), start=1):
        created(accounts, number, replace(ED, name=name))
    in_order = [user_id(2), user_id(5), user_id(1), user_id(3), user_id(4)]
    assert [user.id for user in accounts.find_people(PeopleQuery())] == in_order
    paged: list[UserId] = []
    while page := accounts.find_people(PeopleQuery(), limit=2, after=paged[-1] if paged else None):
        paged += [user.id for user in page]
    assert paged == in_order
    accounts.delete(user_id(3))
    assert list(accounts.find_people(PeopleQuery(), after=user_id(3))) == []


def test_people_are_found_by_what_is_asked(stores: Stores) -> None:
    """Each filter alone and all together; signs of a pattern, hostile text and unknown ids find nobody."""
    accounts = stores.accounts
    created(accounts, 1, replace(ED, name="Nora North", email="n@contoso.test"), "Editor")
    created(accounts, 2, replace(ED, name="Norman 100%"), "Editor", "Reader")
    created(accounts, 3, replace(ED, name="Ann"))
    accounts.link(user_id=user_id(3), identity=identity(9, tenant_id=FABRIKAM), now=NOW)
    accounts.set_disabled(user_id(2), disabled=True, now=NOW)
    stores.sessions.open(session(user_id(1)))
    stores.sessions.open(session(user_id(3), idle_expires_at=NOW))

    def found(**asked: Any) -> list[UserId]:
        return [user.id for user in accounts.find_people(PeopleQuery(**asked))]

    nora, norman, ann = (user_id(number) for number in (1, 2, 3))
    assert found(text="NOR") == [nora, norman]
    assert found(text="contoso.TEST") == [nora]
    assert found(text="0%") == [norman]
    assert found(text=norman) == found(text=norman.upper()) == [norman]
    assert found(text=identity(9).object_id) == [ann]
    assert found(role="Editor") == [nora, norman]
    assert found(is_enabled=False) == [norman]
    assert found(is_enabled=True) == [ann, nora]
    assert found(tenant_id=FABRIKAM) == [ann]
    assert found(signed_in_at=NOW) == [nora]
    assert found(text="nor", role="Editor", is_enabled=True, tenant_id=CONTOSO, signed_in_at=NOW) == [nora]
    for hostile in ("%", "_", "\\", "'", "\0", "\ud83d", "x" * 10_000):
        assert found(text=hostile) in ([], [norman] if hostile == "%" else [])
        assert found(role=hostile) == []
    assert list(accounts.find_people(PeopleQuery(), after=UserId("\0"))) == []


def test_people_are_found_by_what_gave_them_roles(accounts: AccountStore) -> None:
    """Each line that gave somebody a role of Entra's, once; who has one for it, and who has none at all."""
    created(accounts, 1, ED, "Editor", "Reader")
    created(accounts, 2, ED, "Reader")
    created(accounts, 3, ED)
    accounts.grant_role(user_id(3), role="Admin", granted_by="app role", now=NOW)
    accounts.record_sign_in(
        user_id=user_id(2),
        identity=identity(2),
        profile=ED,
        entra_grants=[from_entra("Reader", granted_by="group Readers")],
        now=NOW,
    )
    assert list(accounts.list_lines()) == [
        ("app role", "Editor"),
        ("app role", "Reader"),
        ("group Readers", "Reader"),
    ]

    def given_for(*reasons: str) -> list[UserId]:
        return [user.id for user in accounts.find_people(PeopleQuery(given_for=frozenset(reasons)))]

    assert given_for("app role") == [user_id(1)]
    assert given_for("group Readers", "app role") == [user_id(1), user_id(2)]
    assert given_for("nothing") == []
    assert given_for() == [user_id(3)]


RULES = AdministrationRules(roles=frozenset({"Admin", "Root"}))
LESS_BY_HAND = {
    "disable": lambda accounts, user, rules: accounts.set_disabled(user, disabled=True, now=NOW, rules=rules),
    "revoke": lambda accounts, user, rules: accounts.revoke_role(user, role="Admin", rules=rules),
    "delete": lambda accounts, user, rules: accounts.delete(user, rules=rules),
}
"""What takes an administrator away who is one by hand."""


def administrators(accounts: AccountStore, *numbers: int, tenant_id: TenantId = CONTOSO) -> None:
    for number in numbers:
        accounts.create(
            user_id=user_id(number),
            identity=identity(number, tenant_id=tenant_id),
            profile=ED,
            entra_grants=[],
            now=NOW,
        )
        accounts.grant_role(user_id(number), role="Admin", granted_by="root", now=NOW)


@pytest.mark.parametrize("act", LESS_BY_HAND)
def test_c22_the_last_administrator_stays(act: str, stores: Stores) -> None:
    """C22: by hand nobody removes the last one of a tenant; one of another tenant, a disabled one and one
    with identities of two tenants are no other; where there is another it is done. Nothing else changes.
    """
    accounts = stores.accounts
    administrators(accounts, 1)
    administrators(accounts, 2, tenant_id=FABRIKAM)
    administrators(accounts, 3, 4)
    accounts.set_disabled(user_id(3), disabled=True, now=NOW)
    accounts.link(user_id=user_id(4), identity=identity(5, tenant_id=FABRIKAM), now=NOW)
    stores.sessions.open(session(user_id(1)))
    before, log = accounts.get(user_id(1)), log_length(stores.sessions)
    with pytest.raises(LastAdministrator):
        LESS_BY_HAND[act](accounts, user_id(1), RULES)
    assert (accounts.get(user_id(1)), log_length(stores.sessions)) == (before, log)
    assert len(stores.sessions.list_sessions(user_id=user_id(1))) == 1
    accounts.set_disabled(user_id(3), disabled=False, now=NOW)
    LESS_BY_HAND[act](accounts, user_id(1), RULES)
    gone = accounts.get(user_id(1))
    assert gone is None or not gone.is_enabled or gone.roles == frozenset()


def test_c22_a_role_that_entra_gives_besides_keeps_an_administrator(accounts: AccountStore) -> None:
    """C22: taking back by hand what Entra gives too removes nobody; without rules everything goes."""
    administrators(accounts, 1)
    user = accounts.get(user_id(1))
    assert user is not None
    signed_in(accounts, user, [from_entra("Root")])
    assert accounts.revoke_role(user_id(1), role="Admin", rules=RULES) is not None
    assert accounts.set_disabled(user_id(1), disabled=True, now=NOW) is not None


def test_an_administrator_keeps_their_own_way_in_and_asks_as_one(accounts: AccountStore) -> None:
    """Not oneself; nobody of another tenant; and only who administers at that moment."""
    administrators(accounts, 1, 2)
    administrators(accounts, 3, tenant_id=FABRIKAM)
    created(accounts, 4, ED)
    by_one = replace(RULES, by=user_id(1))
    for act in LESS_BY_HAND.values():
        with pytest.raises(AdministrationRefused):
            act(accounts, user_id(1), by_one)
        with pytest.raises(AdministrationRefused):
            act(accounts, user_id(3), by_one)
        with pytest.raises(AdministrationRefused):
            act(accounts, user_id(2), replace(RULES, by=user_id(4)))
        with pytest.raises(AdministrationRefused):
            act(accounts, user_id(2), replace(RULES, by=user_id(9)))
    with pytest.raises(AdministrationRefused):
        accounts.grant_role(
            user_id(4), role="Admin", granted_by="x", now=NOW, rules=replace(RULES, by=user_id(4))
        )
    assert accounts.grant_role(user_id(4), role="Admin", granted_by="x", now=NOW, rules=by_one) is not None


@pytest.mark.parametrize("act", LESS_BY_HAND)
def test_c22_of_two_who_remove_each_other_one_stays(act: str, stores: Stores) -> None:
    """C22: at the same moment, in stores of their own: exactly one is removed, and somebody administers.

    With a third administrator besides, who was removed removes nobody any more: decided in the transaction.
    """
    for round_number in range(5):
        pair = (10 * round_number + 1, 10 * round_number + 2)
        administrators(stores.accounts, *pair)
        if round_number:
            administrators(stores.accounts, 10 * round_number + 3)
        others = [stores.another().accounts for _ in pair]

        def remove(number: int, pair: tuple[int, int] = pair, others: list[AccountStore] = others) -> object:
            rules = replace(RULES, by=user_id(pair[number]))
            return LESS_BY_HAND[act](others[number], user_id(pair[1 - number]), rules)

        outcomes = at_once(2, remove)
        assert sum(isinstance(outcome, User) for outcome in outcomes) == 1, outcomes
        assert sum(isinstance(outcome, AdministrationRefused) for outcome in outcomes) == 1, outcomes
        for number in range(10 * round_number + 1, 10 * round_number + 4):
            stores.accounts.delete(user_id(number))


def test_deleting_forgets_all_of_a_user(stores: Stores) -> None:
    """Account, identity, roles, sessions and what was kept are gone, and the log says that sessions ended."""
    accounts = stores.accounts
    people(accounts)
    user = user_id(1)
    accounts.grant_role(user, role="Admin", granted_by="root", now=NOW)
    stores.sealed_sign_ins.remember(
        identity(1), user_id=user, sealed_sign_in="sealed", now=NOW, next_check_at=NOW
    )
    open_session = session(user)
    stores.sessions.open(open_session)
    since = stores.sessions.revocations(None).position
    deleted = accounts.delete(user)
    assert deleted is not None
    assert deleted.id == user
    assert accounts.get(user) is None
    assert accounts.find_by_identity(identity(1)) is None
    assert stores.sessions.find(open_session.id) is None
    assert [entry.subject for entry in stores.sessions.revocations(since).entries] == [user]
    assert stores.sealed_sign_ins.claim_due(now=LATER, next_check_at=LATER) is None
    assert len(accounts.list_users()) == 2
    assert accounts.delete(user) is None
    accounts.create(user_id=user_id(9), identity=identity(1), profile=ADA, entra_grants=[], now=LATER)
    found = accounts.find_by_identity(identity(1))
    assert found is not None
    assert found.roles == frozenset()


def test_deleting_somebody_without_a_session_is_in_the_log_too(stores: Stores) -> None:
    """Whoever remembers an access token of theirs learns of it."""
    people(stores.accounts)
    since = stores.sessions.revocations(None).position
    stores.accounts.delete(user_id(1))
    assert [entry.subject for entry in stores.sessions.revocations(since).entries] == [user_id(1)]


def test_sessions_are_listed_page_by_page(stores: Stores) -> None:
    """Of everybody or of one user, in the order of their ids."""
    made = sorted((session(user_id(1 + number % 2)) for number in range(5)), key=lambda each: each.id)
    for each in made:
        stores.sessions.open(each)
    assert list(stores.sessions.list_sessions()) == made
    assert list(stores.sessions.list_sessions(limit=2, after=made[1].id)) == made[2:4]
    theirs = [each for each in made if each.user_id == user_id(2)]
    assert list(stores.sessions.list_sessions(user_id=user_id(2))) == theirs
