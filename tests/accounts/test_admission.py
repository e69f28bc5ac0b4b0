"""Who is let in, and into which account: by (tenant_id, object_id), never by what changes hands."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from entra.tokens import NOW, OBJECT_ID, OTHER_TENANT, TENANT
from entrada.accounts.admission import AdmissionPolicy, GuestRule, LinkByEmail, Newcomer, admit
from entrada.accounts.identity import EntraIdentity, GrantSource, Profile, RoleGrant, User, UserId
from entrada.accounts.roles import RolesSync, role_mapping
from entrada.accounts.store import AccountStore
from entrada.entra.authority import ObjectId, TenantId
from entrada.errors import AccountDisabled, EntradaError, GuestRefused, IdentityAlreadyLinked, RoleRequired
from entrada.storage.memory_accounts import MemoryAccountStore

OTHER_OBJECT = ObjectId("ffffffff-ffff-4fff-8fff-ffffffffffff")
ADA = Profile(name="Ada", email="ada@contoso.test", username="ada@contoso.test")
VERIFIED_ADA = replace(ADA, email_is_verified=True)


def newcomer(
    *roles: str,
    tenant_id: TenantId = TENANT,
    object_id: str = OBJECT_ID,
    profile: Profile = ADA,
    home_tenant: TenantId | None = TENANT,
) -> Newcomer:
    return Newcomer(
        identity=EntraIdentity(tenant_id=tenant_id, object_id=ObjectId(object_id)),
        profile=profile,
        home_tenant=home_tenant,
        grants=[
            RoleGrant(role=role, source=GrantSource.ENTRA, granted_by=f"app role {role}", granted_at=NOW)
            for role in roles
        ],
    )


def policy(
    *,
    guests: GuestRule | None = None,
    link: LinkByEmail = LinkByEmail.NEVER,
    **roles: Any,
) -> AdmissionPolicy:
    return AdmissionPolicy(roles=role_mapping({}, **roles), guests=guests or GuestRule(), link_by_email=link)


LINKING = policy(link=LinkByEmail.VERIFIED)


def come(accounts: AccountStore, person: Newcomer, rules: AdmissionPolicy | None = None) -> User:
    return admit(person, policy=rules or policy(), accounts=accounts, now=NOW)


def turned_away(
    accounts: AccountStore, person: Newcomer, rules: AdmissionPolicy, error: type[EntradaError]
) -> None:
    """Refused with that error, and no account was created or changed."""
    before = accounts.list_users()
    with pytest.raises(error):
        come(accounts, person, rules)
    assert accounts.list_users() == before


@pytest.fixture
def accounts() -> MemoryAccountStore:
    return MemoryAccountStore()


# --- whose account ---


def test_a_first_sign_in_makes_an_account(accounts: MemoryAccountStore) -> None:
    """A new person gets an enabled account with their profile, identity and roles."""
    user = come(accounts, newcomer("Editor"))
    assert user.is_enabled
    assert user.profile == ADA
    assert [linked.identity for linked in user.identities] == [newcomer().identity]
    assert user.roles == {"Editor"}


def test_a_second_sign_in_finds_the_account(accounts: MemoryAccountStore) -> None:
    """The same person lands in the same account, with the profile brought up to date."""
    first = come(accounts, newcomer())
    second = come(accounts, newcomer(profile=replace(ADA, name="Ada King", email="king@contoso.test")))
    assert second.id == first.id
    assert (second.profile.name, second.profile.email) == ("Ada King", "king@contoso.test")
    assert len(accounts.list_users()) == 1


def test_C6_the_same_object_id_in_another_tenant_is_another_person(accounts: MemoryAccountStore) -> None:
    """oid alone names nobody: tenant and oid together do."""
    assert come(accounts, newcomer()).id != come(accounts, newcomer(tenant_id=OTHER_TENANT)).id


@pytest.mark.parametrize("rules", [policy(), LINKING], ids=["never", "verified"])
def test_C1_an_unverified_address_reaches_nobodys_account(
    accounts: MemoryAccountStore, rules: AdmissionPolicy
) -> None:
    """Somebody of another tenant whose mail is the victim's gets an account of their own."""
    victim = come(accounts, newcomer(profile=VERIFIED_ADA))
    attacker = newcomer(tenant_id=OTHER_TENANT, object_id=OTHER_OBJECT)
    assert come(accounts, attacker, rules).id != victim.id


def test_C2_a_verified_address_links_only_where_that_is_switched_on(accounts: MemoryAccountStore) -> None:
    """By default no address links, verified or not."""
    first = come(accounts, newcomer(profile=VERIFIED_ADA))
    assert come(accounts, newcomer(object_id=OTHER_OBJECT, profile=VERIFIED_ADA)).id != first.id


def test_C2_a_verified_address_links_where_it_is_switched_on(accounts: MemoryAccountStore) -> None:
    """Switched on, a verified address leads to the one account with that verified address."""
    first = come(accounts, newcomer(tenant_id=OTHER_TENANT, profile=VERIFIED_ADA))
    second = come(accounts, newcomer(object_id=OTHER_OBJECT, profile=VERIFIED_ADA), LINKING)
    assert second.id == first.id
    assert {linked.identity.object_id for linked in second.identities} == {OBJECT_ID, OTHER_OBJECT}


@pytest.mark.parametrize("also_elsewhere", [False, True])
def test_K13_an_account_that_somebody_of_the_tenant_signs_in_to_is_no_candidate(
    accounts: MemoryAccountStore, also_elsewhere: bool
) -> None:
    """A leaver's address, given to somebody new, leads to a new account; the leaver's roles stay behind."""
    leaver = come(accounts, newcomer(profile=VERIFIED_ADA))
    if also_elsewhere:
        other = EntraIdentity(tenant_id=OTHER_TENANT, object_id=ObjectId(OTHER_OBJECT))
        accounts.link(user_id=leaver.id, identity=other, now=NOW)
    accounts.grant_role(leaver.id, role="Admin", granted_by="root", now=NOW)
    new = come(accounts, newcomer(object_id=OTHER_OBJECT, profile=VERIFIED_ADA), LINKING)
    assert new.id != leaver.id
    assert new.roles == frozenset()
    assert come(accounts, newcomer(profile=VERIFIED_ADA), LINKING).id == leaver.id


def test_C9_an_account_whose_address_nobody_verified_is_not_linked_to(accounts: MemoryAccountStore) -> None:
    """An account made beforehand with the victim's unverified address does not capture their sign-in."""
    planted = come(accounts, newcomer(tenant_id=OTHER_TENANT, object_id=OTHER_OBJECT, profile=ADA))
    assert come(accounts, newcomer(profile=VERIFIED_ADA), LINKING).id != planted.id


def test_C9_two_accounts_with_one_address_are_no_match(accounts: MemoryAccountStore) -> None:
    """Where two accounts have the address, none is guessed: the person gets an account of their own."""
    one = come(accounts, newcomer(profile=VERIFIED_ADA))
    other = come(accounts, newcomer(object_id=OTHER_OBJECT, profile=VERIFIED_ADA))
    third = come(accounts, newcomer(tenant_id=OTHER_TENANT, profile=VERIFIED_ADA), LINKING)
    assert third.id not in (one.id, other.id)


def test_C15_a_disabled_account_is_not_linked_to(accounts: MemoryAccountStore) -> None:
    """A verified address does not lead into an account that is disabled, nor enable it."""
    disabled = come(accounts, newcomer(profile=VERIFIED_ADA))
    accounts.set_disabled(disabled.id, disabled=True, now=NOW)
    newer = come(accounts, newcomer(object_id=OTHER_OBJECT, profile=VERIFIED_ADA), LINKING)
    assert newer.id != disabled.id
    found = accounts.get(disabled.id)
    assert found is not None
    assert not found.is_enabled


def test_no_address_links_to_no_address(accounts: MemoryAccountStore) -> None:
    """Missing never equals missing: two people without an address are two accounts."""
    nameless = replace(VERIFIED_ADA, email=None)
    first = come(accounts, newcomer(profile=nameless))
    assert come(accounts, newcomer(object_id=OTHER_OBJECT, profile=nameless), LINKING).id != first.id


def test_an_empty_address_links_to_nobody(accounts: MemoryAccountStore) -> None:
    """An empty address equals no other, not even another empty one."""
    nameless = replace(VERIFIED_ADA, email="")
    first = come(accounts, newcomer(profile=nameless))
    assert come(accounts, newcomer(object_id=OTHER_OBJECT, profile=nameless), LINKING).id != first.id


def test_C5_a_username_that_changed_hands_inherits_nothing(accounts: MemoryAccountStore) -> None:
    """Somebody renamed to a former colleague's name keeps to their own account."""
    colleague = come(accounts, newcomer("Admin"))
    renamed = come(accounts, newcomer(object_id=OTHER_OBJECT, profile=ADA))
    assert renamed.id != colleague.id
    assert renamed.roles == frozenset()


# --- races ---


class FasterTab(MemoryAccountStore):
    """Between looking for the identity and creating the account, another tab creates it."""

    def create(self, **values: Any) -> User:
        super().create(**{**values, "user_id": UserId("f" * 32)})
        return super().create(**values)


def test_another_tab_that_was_faster_made_the_account() -> None:
    """Two first sign-ins of one person at once end in the one account that was made first."""
    accounts = FasterTab()
    assert come(accounts, newcomer()).id == "f" * 32
    assert len(accounts.list_users()) == 1


class LinkedElsewhere(MemoryAccountStore):
    def link(self, **values: Any) -> User:
        raise IdentityAlreadyLinked


def test_C12_an_identity_that_is_linked_elsewhere_meanwhile_stays_there() -> None:
    """If the identity was linked to another user in between, this sign-in is refused."""
    accounts = LinkedElsewhere()
    come(accounts, newcomer(tenant_id=OTHER_TENANT, profile=VERIFIED_ADA))
    person = newcomer(object_id=OTHER_OBJECT, profile=VERIFIED_ADA)
    turned_away(accounts, person, LINKING, IdentityAlreadyLinked)


# --- who is refused ---


def test_C15_a_disabled_account_is_refused(accounts: MemoryAccountStore) -> None:
    """A valid sign-in at Entra does not open a disabled account, and changes nothing about it."""
    user = come(accounts, newcomer())
    accounts.set_disabled(user.id, disabled=True, now=NOW)
    turned_away(accounts, newcomer("Admin"), policy(), AccountDisabled)


GUEST = replace(ADA, is_guest=True)


@pytest.mark.parametrize(
    ("homes", "home", "let_in"),
    [
        (frozenset(), OTHER_TENANT, False),
        (None, OTHER_TENANT, True),
        (None, None, True),
        (frozenset({OTHER_TENANT}), OTHER_TENANT, True),
        (frozenset({OTHER_TENANT}), TENANT, False),
        (frozenset({OTHER_TENANT}), None, False),
        (frozenset(), None, False),
    ],
)
def test_C7_guests_obey_the_guest_rule(
    accounts: MemoryAccountStore,
    homes: frozenset[TenantId] | None,
    home: TenantId | None,
    let_in: bool,
) -> None:
    """Guests come in if all may, or if their home tenant is known and on the list."""
    guest = newcomer(profile=GUEST, home_tenant=home)
    rules = policy(guests=GuestRule(homes=homes))
    if let_in:
        assert come(accounts, guest, rules).profile.is_guest
    else:
        turned_away(accounts, guest, rules, GuestRefused)


def test_C7_the_guest_rule_says_nothing_about_members(accounts: MemoryAccountStore) -> None:
    """Where guests are denied, members still come in."""
    assert come(accounts, newcomer(), policy(guests=GuestRule(homes=frozenset())))


def test_C7_somebody_who_became_a_guest_is_refused(accounts: MemoryAccountStore) -> None:
    """The rule holds at every sign-in, not only at the first."""
    come(accounts, newcomer())
    turned_away(accounts, newcomer(profile=GUEST), policy(), GuestRefused)


def test_a_role_can_be_required(accounts: MemoryAccountStore) -> None:
    """Where a role is required, a newcomer without one is refused and no account is made."""
    turned_away(accounts, newcomer(), policy(required=True), RoleRequired)
    assert come(accounts, newcomer("Editor"), policy(required=True)).roles == {"Editor"}


def test_C16_somebody_whose_required_role_went_is_refused(accounts: MemoryAccountStore) -> None:
    """A role that Entra no longer gives does not let anybody in a last time."""
    come(accounts, newcomer("Editor"), policy(required=True))
    turned_away(accounts, newcomer(), policy(required=True), RoleRequired)


def test_a_role_given_by_hand_counts_as_the_required_one(accounts: MemoryAccountStore) -> None:
    """An administrator's grant is enough where a role is required."""
    user = come(accounts, newcomer())
    accounts.grant_role(user.id, role="Viewer", granted_by="root", now=NOW)
    assert come(accounts, newcomer(), policy(required=True)).roles == {"Viewer"}


def test_somebody_without_the_required_role_is_not_even_linked(accounts: MemoryAccountStore) -> None:
    """Being refused for want of a role leaves the account of the same address without a new identity."""
    come(accounts, newcomer(profile=VERIFIED_ADA))
    rules = policy(link=LinkByEmail.VERIFIED, required=True)
    turned_away(accounts, newcomer(object_id=OTHER_OBJECT, profile=VERIFIED_ADA), rules, RoleRequired)


# --- roles over time ---

FIRST_ONLY = policy(sync=RolesSync.FIRST_SIGN_IN)


def test_C16_a_role_taken_in_entra_is_gone_at_the_next_sign_in(accounts: MemoryAccountStore) -> None:
    """Roles follow Entra at every sign-in: what it no longer says is lost."""
    come(accounts, newcomer("Admin", "Editor"))
    assert come(accounts, newcomer("Editor")).roles == {"Editor"}
    assert come(accounts, newcomer()).roles == frozenset()


def test_a_role_given_in_entra_comes_at_the_next_sign_in(accounts: MemoryAccountStore) -> None:
    """Roles follow Entra at every sign-in: what it newly says is held."""
    come(accounts, newcomer())
    assert come(accounts, newcomer("Editor")).roles == {"Editor"}


def test_roles_of_the_first_sign_in_can_be_kept(accounts: MemoryAccountStore) -> None:
    """With first_sign_in, later sign-ins neither give nor take roles, as Mage's page has it."""
    come(accounts, newcomer("Editor"), FIRST_ONLY)
    assert come(accounts, newcomer("Admin"), FIRST_ONLY).roles == {"Editor"}
    assert come(accounts, newcomer(), FIRST_ONLY).roles == {"Editor"}


def test_C22_a_role_given_by_hand_survives_every_sign_in(accounts: MemoryAccountStore) -> None:
    """Entra can take back only what it gave: an administrator made by hand stays one."""
    user = come(accounts, newcomer("Admin"))
    accounts.grant_role(user.id, role="Admin", granted_by="root", now=NOW)
    after = come(accounts, newcomer())
    assert after.roles == {"Admin"}
    assert [grant.source for grant in after.grants] == [GrantSource.MANUAL]


def test_C23_the_first_person_is_no_administrator(accounts: MemoryAccountStore) -> None:
    """Being first gives no role: only Entra's word, the default role or an administrator does."""
    assert come(accounts, newcomer()).roles == frozenset()


def test_C26_somebody_removed_and_made_anew_inherits_nothing(accounts: MemoryAccountStore) -> None:
    """A new object id with the old address is a new account, without the old one's roles."""
    come(accounts, newcomer("Admin", profile=VERIFIED_ADA))
    returned = come(accounts, newcomer(object_id=OTHER_OBJECT, profile=VERIFIED_ADA))
    assert returned.roles == frozenset()
