"""Which account a person lands in, and with which roles: cases C1 to C22 as whole sign-ins."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from entrada.accounts.identity import UserId
from entrada.emulator import RunningEmulator
from walks.conftest import NewVisitor, NewWatch, Serve
from walks.site import Site
from walks.visitor import Visitor

MALLORY = "mallory@fabrikam.test"  # her unverified address is ada@contoso.test
ADA = "ada@contoso.test"
GUS = "gus_fabrikam.test#EXT#@contoso.test"


@pytest.fixture
def two_tenants(serve: Serve, emulator: RunningEmulator) -> Any:
    """`two_tenants(ENTRADA_…=…)`: a site that Contoso and Fabrikam may sign in to."""
    emulator.change_app("Entrada (emulated)", audience="AzureADMultipleOrgs")
    tenants = ",".join(emulator.directory.tenants)

    def make(**settings: str) -> Site:
        return serve(ENTRADA_TENANT_ID="organizations", ENTRADA_ALLOWED_TENANTS=tenants, **settings)

    return make


def account(site: Site, emulator: RunningEmulator, name: str) -> Any:
    found = site.account_of(emulator.person(name))
    assert found is not None
    return found


@pytest.mark.parametrize("link", ["never", "verified"])
def test_C1_address_of_somebody_else(
    link: str, two_tenants: Any, new_visitor: NewVisitor, emulator: RunningEmulator
) -> None:
    """A person of another tenant who carries Ada's address gets an account of her own, never Ada's."""
    site = two_tenants(ENTRADA_LINK_BY_EMAIL=link)
    ada, mallory = new_visitor(site), new_visitor(site)
    ada.sign_in_as(ADA)
    mallory.sign_in_as(MALLORY)
    assert mallory.whoami()["email"] == ada.whoami()["email"] == ADA
    assert account(site, emulator, MALLORY).id != account(site, emulator, ADA).id
    assert mallory.whoami()["roles"] == []


@pytest.mark.parametrize(
    ("vouched", "linked"),
    [
        ("absent", False),
        (False, False),
        ("0", False),
        ("false", False),
        (0, False),
        (None, False),
        ("yes", False),
        (2, False),
        ([True], False),
        (True, True),
        ("1", True),
        (1, True),
    ],
)
@pytest.mark.parametrize("link", ["verified", "never"])
def test_C2_xms_edov(
    link: str,
    vouched: Any,
    linked: bool,
    two_tenants: Any,
    new_visitor: NewVisitor,
    emulator: RunningEmulator,
) -> None:
    """Only a tenant that vouches for the address lets it link, and only where linking is switched on."""
    site = two_tenants(ENTRADA_LINK_BY_EMAIL=link, database=None)
    emulator.fail("tamper", set={"xms_edov": True})
    new_visitor(site).sign_in_as(ADA)
    emulator.fail(
        "tamper", **({"remove": ["xms_edov"]} if vouched == "absent" else {"set": {"xms_edov": vouched}})
    )
    assert new_visitor(site).sign_in_as(MALLORY).status_code == 303
    same = account(site, emulator, MALLORY).id == account(site, emulator, ADA).id
    assert same == (linked and link == "verified")


def test_C3_two_claims_that_disagree(
    two_tenants: Any, new_visitor: NewVisitor, emulator: RunningEmulator
) -> None:
    """An explicit email_verified false wins over xms_edov true."""
    site = two_tenants(ENTRADA_LINK_BY_EMAIL="verified")
    emulator.fail("tamper", set={"xms_edov": True})
    new_visitor(site).sign_in_as(ADA)
    emulator.fail("tamper", set={"xms_edov": True, "email_verified": False})
    new_visitor(site).sign_in_as(MALLORY)
    assert account(site, emulator, MALLORY).id != account(site, emulator, ADA).id


@pytest.mark.parametrize(
    "address",
    [
        "ada@contoso.test@evil.test",
        "a@evil.test,ada@contoso.test",
        "ada@contoso.test,a@evil.test",
        "ada＠contoso.test",
        "ada@contoso.test.",
        "ada@contoso。test",
        "ada@cоntoso.test",  # a Cyrillic o
        " ada@contoso.test",
        "ada@contoso.test\u0000",
        "ada@contoso.test\n",
        '"ada@contoso.test"@evil.test',
        "ada@sub.contoso.test",
        ["ada@contoso.test"],
        {"address": "ada@contoso.test"},
        "ada",
    ],
)
def test_C4_odd_addresses(
    address: Any, serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """An address that could be read two ways links to nobody, even where the domain is vouched for."""
    site = serve(ENTRADA_LINK_BY_EMAIL="verified", ENTRADA_VERIFIED_DOMAINS="contoso.test", database=None)
    new_visitor(site).sign_in_as(ADA)
    emulator.fail("tamper", set={"email": address})
    assert new_visitor(site).sign_in_as(pat).status_code == 303
    assert account(site, emulator, "pat@contoso.test").id != account(site, emulator, ADA).id


def test_K13_plain_address_of_somebody_of_the_tenant(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """Even the plain, verified address of somebody who signs in leads to an account of one's own."""
    site = serve(ENTRADA_LINK_BY_EMAIL="verified", ENTRADA_VERIFIED_DOMAINS="contoso.test")
    new_visitor(site).sign_in_as(ADA)
    emulator.fail("tamper", set={"email": "Ada@Contoso.test"})
    new_visitor(site).sign_in_as(pat)
    assert account(site, emulator, "pat@contoso.test").id != account(site, emulator, ADA).id


def test_C5_name_of_a_colleague_who_left(
    site: Site, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any, kim: Any
) -> None:
    """Somebody renamed to a former colleague's name and address does not inherit the account."""
    new_visitor().sign_in_as(pat)
    emulator.remove_person("pat@contoso.test")
    emulator.change_person(
        "kim@contoso.test", user_principal_name="pat@contoso.test", mail="pat@contoso.test"
    )
    visitor = new_visitor()
    visitor.sign_in_as("pat@contoso.test")
    assert visitor.whoami()["object_id"] == kim.object_id
    assert visitor.whoami()["roles"] == ["Viewer"]
    before, after = site.account_of(pat), site.account_of(kim)
    assert before is not None
    assert after is not None
    assert before.id != after.id


def test_C5_renamed_person_keeps_the_account(
    site: Site, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """A person with a new name keeps the account, which shows the new name."""
    new_visitor().sign_in_as(pat)
    first = site.account_of(pat)
    emulator.change_person(
        "pat@contoso.test", user_principal_name="patricia@contoso.test", display_name="Patricia Page"
    )
    visitor = new_visitor()
    visitor.sign_in_as("patricia@contoso.test")
    assert first is not None
    assert site.account_of(pat).id == first.id  # type: ignore[union-attr]  # just signed in
    assert visitor.whoami()["name"] == "Patricia Page"


def test_C6_same_object_id_in_another_tenant(
    two_tenants: Any, new_visitor: NewVisitor, emulator: RunningEmulator
) -> None:
    """The same oid, or the same sub, in another tenant is another account."""
    site = two_tenants()
    ada, mallory = new_visitor(site), new_visitor(site)
    emulator.fail("tamper", set={"sub": "one-subject-for-both"})
    ada.sign_in_as(ADA)
    emulator.fail("tamper", set={"sub": "one-subject-for-both", "oid": emulator.person(ADA).object_id})
    mallory.sign_in_as(MALLORY)
    assert mallory.whoami()["object_id"] == ada.whoami()["object_id"]
    assert mallory.whoami()["tenant_id"] != ada.whoami()["tenant_id"]
    assert mallory.whoami()["account_id"] != ada.whoami()["account_id"]


def test_C7_guests_are_refused_unless_allowed(visitor: Visitor, watch: NewWatch) -> None:
    """A guest is refused where nothing was said, with a page that names the setting."""
    visitor.begin()
    visitor.approve_as(GUS)
    watching = watch(visitor)
    page = watching.refused(visitor.complete(), 403, "guest_refused", token_requests=1)
    assert "guests are not let in here" in page
    assert "ENTRADA_GUESTS" in page


@pytest.mark.parametrize(
    ("rule", "let_in"),
    [
        ("allow", True),
        ("f0000000-0000-4000-8000-000000000002", True),
        ("99999999-7777-4666-8555-444433332222", False),
    ],
)
def test_C7_guest_rule(
    rule: str, let_in: bool, serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, watch: NewWatch
) -> None:
    """Guests of the named home tenants are let in, into an account of their own; others are not."""
    site = serve(ENTRADA_GUESTS=rule)
    member, guest = new_visitor(site), new_visitor(site)
    member.sign_in_as(ADA)
    emulator.change_person(GUS, mail=ADA)
    guest.begin()
    guest.approve_as(GUS)
    watching = watch(guest)
    answer = guest.complete()
    if not let_in:
        watching.refused(answer, 403, "guest_refused")
        return
    assert answer.status_code == 303
    assert guest.whoami()["account_id"] != member.whoami()["account_id"]


@pytest.mark.parametrize(
    "claims", [{"acct": 1}, {"idp": "live.com"}, {"upn": "x_fabrikam.test#EXT#@contoso.test"}]
)
def test_C7_every_sign_of_a_guest_counts(
    claims: dict[str, Any], visitor: Visitor, emulator: RunningEmulator, pat: Any, watch: NewWatch
) -> None:
    """One sign of a guest is enough where `acct` does not say member (K69)."""
    visitor.begin()
    visitor.approve_as(pat)
    emulator.fail("tamper", set=claims, remove=[] if "acct" in claims else ["acct"])
    watching = watch(visitor)
    watching.refused(visitor.complete(), 403, "guest_refused")


def test_C8_capitals_in_ids(site: Site, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any) -> None:
    """The same ids in capitals are the same account."""
    first, second = new_visitor(), new_visitor()
    first.sign_in_as(pat)
    emulator.fail("tamper", set={"oid": pat.object_id.upper(), "tid": pat.tenant_id.upper()})
    assert second.sign_in_as(pat).status_code == 303
    assert second.whoami()["account_id"] == first.whoami()["account_id"]
    assert second.whoami()["object_id"] == pat.object_id


def test_C13_fifty_first_sign_ins_at_once(
    site: Site, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """Fifty browsers of one person who has never been here make one account and fifty sessions."""
    visitors = [new_visitor() for _ in range(50)]
    for visitor in visitors:
        visitor.begin()
        visitor.approve_as(pat)
    before = {table: len(rows) for table, rows in site.rows().items()}
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(Visitor.complete, visitors))
    assert [answer.status_code for answer in answers] == [303] * 50
    after = {table: len(rows) for table, rows in site.rows().items()}
    grown = {table: after[table] - before[table] for table in after}
    assert grown == {
        "entrada_user": 1,
        "entrada_identity": 1,
        "entrada_role_grant": 1,
        "entrada_session": 50,
    }
    assert len({visitor.whoami()["account_id"] for visitor in visitors}) == 1


def test_C15_disabled_account(site: Site, new_visitor: NewVisitor, pat: Any, watch: NewWatch) -> None:
    """A disabled account loses its sessions at once, and a good sign-in at Entra does not open it."""
    signed_in, again = new_visitor(), new_visitor()
    signed_in.sign_in_as(pat)
    site.auth.relying_party.set_disabled(UserId(signed_in.whoami()["account_id"]), disabled=True)
    assert signed_in.whoami() is None
    again.begin()
    again.approve_as(pat)
    watching = watch(again)
    page = watching.refused(again.complete(), 403, "account_disabled", token_requests=1)
    assert "Your account in this application is disabled." in page
    user = site.account_of(pat)
    assert user is not None
    site.auth.relying_party.set_disabled(user.id, disabled=False)
    again.sign_in_as(pat)
    assert again.whoami() is not None
    assert signed_in.whoami() is None


def test_C16_role_lost_in_entra(new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any) -> None:
    """A role taken away in Entra is gone at the next sign-in; no roles claim means no role."""
    visitor = new_visitor()
    visitor.sign_in_as(pat)
    assert visitor.whoami()["roles"] == ["Editor"]
    for roles, expected in ((["Viewer"], ["Viewer"]), ([], []), (["Admin", "Editor"], ["Admin", "Editor"])):
        emulator.change_person("pat@contoso.test", roles=roles)
        visitor.sign_in_as(pat)
        assert visitor.whoami()["roles"] == expected


def test_C16_default_role(serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any) -> None:
    """Who lost the last role has the configured default, not what was held before."""
    visitor = new_visitor(serve(ENTRADA_DEFAULT_ROLE="Reader"))
    visitor.sign_in_as(pat)
    assert visitor.whoami()["roles"] == ["Editor"]
    emulator.change_person("pat@contoso.test", roles=[])
    visitor.sign_in_as(pat)
    assert visitor.whoami()["roles"] == ["Reader"]


def test_C16_roles_of_the_first_sign_in(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """Where roles follow the first sign-in only, later changes in Entra change nothing."""
    visitor = new_visitor(serve(ENTRADA_ROLES_SYNC="first_sign_in"))
    visitor.sign_in_as(pat)
    emulator.change_person("pat@contoso.test", roles=["Admin"])
    visitor.sign_in_as(pat)
    assert visitor.whoami()["roles"] == ["Editor"]


def test_C16_role_required(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any, watch: NewWatch
) -> None:
    """Where a role is required, who has none is refused, at the first sign-in and after losing the last."""
    site = serve(ENTRADA_ROLES_REQUIRED="true")
    nora, visitor = new_visitor(site), new_visitor(site)
    nora.begin()
    nora.approve_as("nora@contoso.test")
    watching = watch(nora)
    page = watching.refused(nora.complete(), 403, "role_required")
    assert "You have none of the roles" in page
    visitor.sign_in_as(pat)
    emulator.change_person("pat@contoso.test", roles=[])
    visitor.begin()
    visitor.approve_as(pat)
    watching = watch(visitor)
    watching.refused(visitor.complete(), 403, "role_required")


@pytest.mark.parametrize(
    "roles",
    ["Admin", None, [1], [["Admin"]], {"Admin": True}, True, ["Admin"] * 10_000, [""], ["x" * 10_000]],
)
def test_C17_roles_of_another_shape(
    roles: Any, visitor: Visitor, emulator: RunningEmulator, pat: Any, watch: NewWatch
) -> None:
    """A roles claim that is no list of short texts gives nobody a role: the sign-in is refused."""
    visitor.begin()
    visitor.approve_as(pat)
    emulator.fail("tamper", set={"roles": roles})
    watching = watch(visitor)
    watching.refused(visitor.complete(), 400, "id_token_refused")


@pytest.mark.parametrize(
    "role", ["admin", "ADMIN", "admin ", "Admin ", " Admin", "Admin\u200b", "Аdmin", "Admin\u0000"]
)
def test_C18_role_values_are_compared_to_the_letter(
    role: str, visitor: Visitor, emulator: RunningEmulator, kim: Any
) -> None:
    """A value that only looks like a mapped role gives none."""
    emulator.fail("tamper", set={"roles": [role]})
    visitor.sign_in_as(kim)
    assert visitor.whoami()["roles"] == []
    assert visitor.open("/editors").status_code == 403


def test_C22_role_given_by_hand_stays(
    site: Site, visitor: Visitor, emulator: RunningEmulator, pat: Any
) -> None:
    """A role given by hand survives whatever Entra takes away: the last way in stays open."""
    visitor.sign_in_as(pat)
    accounts = site.auth.relying_party.accounts
    accounts.grant_role(
        UserId(visitor.whoami()["account_id"]), role="Admin", granted_by="console", now=site.clock.now()
    )
    emulator.change_person("pat@contoso.test", roles=[])
    visitor.sign_in_as(pat)
    assert visitor.whoami()["roles"] == ["Admin"]


def test_C26_removed_and_made_again(
    site: Site, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """A person removed and made again under the same name is somebody new."""
    new_visitor().sign_in_as(pat)
    emulator.remove_person("pat@contoso.test")
    emulator.add_person("pat@contoso.test", display_name="Pat Page")
    visitor = new_visitor()
    visitor.sign_in_as("pat@contoso.test")
    user = site.account_of(pat)
    assert user is not None
    assert visitor.whoami()["account_id"] != user.id
    assert visitor.whoami()["roles"] == []


def test_roles_of_several_tenants_are_kept_apart(
    two_tenants: Any, new_visitor: NewVisitor, emulator: RunningEmulator
) -> None:
    """A group named with its tenant gives its role in that tenant only."""
    group = emulator.add_group("Night shift").object_id
    contoso, fabrikam = list(emulator.directory.tenants)
    site = two_tenants(ENTRADA_ROLES_MAPPING=json.dumps({f"{contoso}/{group}": "Editor"}))
    emulator.change_person("nora@contoso.test", groups=["Night shift"])
    nora, mallory = new_visitor(site), new_visitor(site)
    nora.sign_in_as("nora@contoso.test")
    emulator.fail("tamper", set={"groups": [group]})
    mallory.sign_in_as(MALLORY)
    assert nora.whoami()["roles"] == ["Editor"]
    assert mallory.whoami()["roles"] == []
    assert mallory.whoami()["tenant_id"] == fabrikam
