"""Which dstack user a person becomes: cases C1 to C16 of the catalogue, as whole sign-ins at the real one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from clients.dstack import Dstack, running_dstack
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CONTOSO_ID, FABRIKAM_ID
from integrations.dstack.administrator import Administrator, may_use
from integrations.dstack.conftest import SHARED_SETTINGS, NewPerson, NewVisitor
from integrations.dstack.refusals import Watch
from integrations.dstack.visitor import Visitor

pytestmark = [pytest.mark.heavy, pytest.mark.browser, pytest.mark.timeout(300)]

MALLORY = "mallory@fabrikam.test"
GUS = "gus_fabrikam.test#EXT#@contoso.test"


@pytest.fixture(scope="module")
def started_linking(started_emulator: RunningEmulator) -> Iterator[Dstack]:
    settings = SHARED_SETTINGS | {
        "DSTACK_ENTRA_TENANT_ID": "organizations",
        "ENTRADA_ALLOWED_TENANTS": f"{CONTOSO_ID},{FABRIKAM_ID}",
        "ENTRADA_LINK_BY_EMAIL": "verified",
        "ENTRADA_GUESTS": "allow",
        # Without the groups: with several tenants each would want its tenant's name before it.
        "ENTRADA_DSTACK_PROJECTS": "",
    }
    with running_dstack(started_emulator, **settings) as running:
        yield running


@pytest.fixture
def linking(started_linking: Dstack, emulator: RunningEmulator) -> Dstack:
    """A server that lets two tenants and their guests in, and links by verified address."""
    emulator.change_app("Entrada (emulated)", audience="AzureADMultipleOrgs")
    return started_linking


@pytest.fixture
def admin(dstack: Dstack) -> Administrator:
    return Administrator(dstack)


def vouched(emulator: RunningEmulator, **claims: Any) -> None:
    """The next ID token says that the tenant owns the address, or what else is given."""
    emulator.fail("tamper", set={"xms_edov": True, **claims})


def test_C1_address_of_somebody_else(
    linking: Dstack, new_visitor: NewVisitor, new_person: NewPerson, emulator: RunningEmulator
) -> None:
    """A person of another tenant who carries Pat's address becomes a user of her own, never Pat's."""
    pat = new_person()
    emulator.change_person(MALLORY, mail=pat.mail)
    vouched(emulator)
    hers = new_visitor(linking).sign_in_as(pat)
    theirs = new_visitor(linking).sign_in_as(MALLORY)
    assert theirs["id"] != hers["id"]
    assert theirs["creds"]["token"] != hers["creds"]["token"]


@pytest.mark.parametrize("claim", ["absent", False, "false", "0", 0, None, "yes", 2, [True], True, "1", 1])
def test_C2_xms_edov(
    claim: Any, linking: Dstack, new_visitor: NewVisitor, new_person: NewPerson, emulator: RunningEmulator
) -> None:
    """Only an address that the tenant vouches for leads to the user who was made with it."""
    pat = new_person()
    made = Administrator(linking).make_user(f"made-for-{pat.mail.partition('@')[0]}", email=pat.mail)
    if claim == "absent":
        emulator.fail("tamper", remove=["xms_edov"])
    else:
        vouched(emulator, xms_edov=claim)
    told = new_visitor(linking).sign_in_as(pat)
    assert (told["id"] == made["id"]) == (claim in (True, "1") and claim is not False)


def test_K46_linking_by_email_replaces_the_token(
    linking: Dstack, new_visitor: NewVisitor, new_person: NewPerson, emulator: RunningEmulator
) -> None:
    """Whoever held the user's token before the link holds nothing, the user's maker included."""
    pat = new_person()
    administrator = Administrator(linking)
    made = administrator.make_user(f"k46-{pat.mail.partition('@')[0]}", email=pat.mail)
    token = administrator.user(made["username"])["creds"]["token"]
    assert may_use(linking, token)
    vouched(emulator, xms_edov=True)
    told = new_visitor(linking).sign_in_as(pat)
    assert told["id"] == made["id"]
    assert not may_use(linking, token)
    assert may_use(linking, told["creds"]["token"])
    vouched(emulator, xms_edov=True)
    again = new_visitor(linking).sign_in_as(pat)
    assert again["creds"]["token"] == told["creds"]["token"]


def test_C2_linking_is_off_unless_switched_on(
    admin: Administrator, visitor: Visitor, new_person: NewPerson, emulator: RunningEmulator
) -> None:
    """With the default, a vouched-for address leads to nobody's user: there are two with it from then on."""
    pat = new_person()
    made = admin.make_user(f"made-for-{pat.mail.partition('@')[0]}", email=pat.mail)
    vouched(emulator)
    assert visitor.sign_in_as(pat)["id"] != made["id"]


def test_C3_two_claims_that_disagree(
    linking: Dstack, new_visitor: NewVisitor, new_person: NewPerson, emulator: RunningEmulator
) -> None:
    """An explicit email_verified false wins over xms_edov true."""
    pat = new_person()
    made = Administrator(linking).make_user(f"made-for-{pat.mail.partition('@')[0]}", email=pat.mail)
    vouched(emulator, email_verified=False)
    assert new_visitor(linking).sign_in_as(pat)["id"] != made["id"]


@pytest.mark.parametrize(
    "address",
    ["{}@evil.test", "a@evil.test,{}", "{},a@evil.test", "{}.", " {}", "{}\n", '"{}"@evil.test', ["{}"]],
)
def test_C4_odd_addresses(
    address: Any,
    linking: Dstack,
    new_visitor: NewVisitor,
    new_person: NewPerson,
    emulator: RunningEmulator,
) -> None:
    """An address that could be read two ways leads to nobody's user."""
    pat = new_person()
    made = Administrator(linking).make_user(f"made-for-{pat.mail.partition('@')[0]}", email=pat.mail)
    odd = (
        [part.format(pat.mail) for part in address] if isinstance(address, list) else address.format(pat.mail)
    )
    vouched(emulator, email=odd)
    assert new_visitor(linking).sign_in_as(pat)["id"] != made["id"]


def test_linking_needs_exactly_one_active_user(
    linking: Dstack, new_visitor: NewVisitor, new_person: NewPerson, emulator: RunningEmulator
) -> None:
    """Of two active users with the address none is taken; of an active and an inactive one, the active."""
    admin, two, one = Administrator(linking), new_person(), new_person()
    name = two.mail.partition("@")[0]
    several = [admin.make_user(f"{letter}-{name}", email=two.mail)["id"] for letter in "ab"]
    vouched(emulator)
    assert new_visitor(linking).sign_in_as(two)["id"] not in several
    name = one.mail.partition("@")[0]
    admin.change_user(admin.make_user(f"gone-{name}", email=one.mail), active=False)
    active = admin.make_user(f"here-{name}", email=one.mail)
    vouched(emulator)
    assert new_visitor(linking).sign_in_as(one)["id"] == active["id"]


def test_C5_name_of_a_colleague_who_left(
    admin: Administrator, new_visitor: NewVisitor, new_person: NewPerson, emulator: RunningEmulator
) -> None:
    """Somebody renamed to a former colleague's name and address does not inherit the user."""
    pat, kim = new_person("Viewer"), new_person("Viewer")
    pats = new_visitor().sign_in_as(pat)
    emulator.remove_person(pat.user_principal_name)
    emulator.change_person(
        kim.user_principal_name, user_principal_name=pat.user_principal_name, mail=pat.mail
    )
    kims = new_visitor().sign_in_as(pat.user_principal_name)
    assert kims["id"] != pats["id"]
    assert kims["username"] != pats["username"]


def test_C5_renamed_person_keeps_the_user(
    new_visitor: NewVisitor, new_person: NewPerson, emulator: RunningEmulator
) -> None:
    """A person with a new name and address keeps user and username; dstack shows the new address."""
    pat = new_person("Viewer")
    first = new_visitor().sign_in_as(pat)
    name = f"patricia-{pat.user_principal_name}"
    emulator.change_person(pat.user_principal_name, user_principal_name=name, mail=name)
    second = new_visitor().sign_in_as(name)
    assert (second["id"], second["username"]) == (first["id"], first["username"])
    assert second["email"] == name


def test_C6_same_object_id_in_another_tenant(
    linking: Dstack, new_visitor: NewVisitor, new_person: NewPerson, emulator: RunningEmulator
) -> None:
    """The same oid in another tenant is another user."""
    pat = new_person()
    first = new_visitor(linking).sign_in_as(pat)
    emulator.fail("tamper", set={"oid": pat.object_id})
    assert new_visitor(linking).sign_in_as(MALLORY)["id"] != first["id"]


def test_C7_guests_are_refused_unless_allowed(visitor: Visitor, emulator: RunningEmulator) -> None:
    """A guest is refused where nothing was said, in words that name the setting."""
    visitor.begin()
    visitor.approve_as(GUS)
    watch = Watch(visitor, emulator)
    words = watch.refused(visitor.complete(), 403, token_requests=1)
    assert "ENTRADA_GUESTS" in words


def test_C7_a_guest_becomes_a_user_of_their_own(
    linking: Dstack, new_visitor: NewVisitor, new_person: NewPerson, emulator: RunningEmulator
) -> None:
    """Where guests are allowed, one with a member's address is somebody else all the same."""
    pat = new_person()
    vouched(emulator)
    member = new_visitor(linking).sign_in_as(pat)
    emulator.change_person(GUS, mail=pat.mail)
    assert new_visitor(linking).sign_in_as(GUS)["id"] != member["id"]


def test_C8_capitals_in_ids(
    new_visitor: NewVisitor, new_person: NewPerson, emulator: RunningEmulator
) -> None:
    """The same ids in capitals are the same user."""
    pat = new_person("Viewer")
    first = new_visitor().sign_in_as(pat)
    emulator.fail("tamper", set={"oid": pat.object_id.upper(), "tid": pat.tenant_id.upper()})
    assert new_visitor().sign_in_as(pat)["id"] == first["id"]


def test_C9_user_made_beforehand_with_the_address(
    admin: Administrator, visitor: Visitor, new_person: NewPerson
) -> None:
    """A user made with somebody's name and address before their first sign-in does not become theirs."""
    pat = new_person("Viewer")
    made = admin.make_user(pat.user_principal_name.partition("@")[0], email=pat.mail)
    token = admin.user(made["username"])["creds"]["token"]
    told = visitor.sign_in_as(pat)
    assert told["id"] != made["id"]
    assert told["username"].startswith(made["username"])
    assert told["creds"]["token"] != token


@pytest.mark.parametrize("name", ["link", "unlink", "token", "session", "user", "accounts"])
def test_C10_C11_nothing_links_on_request(name: str, dstack: Dstack) -> None:
    """There is no endpoint that links, or makes a session of a token: not even for an administrator."""
    body = {"user_id": "x", "username": "admin", "token": "x", "provider": "entra"}
    assert dstack.api.post(f"/api/auth/entra/{name}", json=body).status_code in (404, 405)
    assert dstack.api.post("/api/auth/entra/callback", json=body).status_code == 400


def test_C12_user_of_somebody_else(
    linking: Dstack, new_visitor: NewVisitor, new_person: NewPerson, emulator: RunningEmulator
) -> None:
    """A vouched-for address of a user who is already somebody in Entra's does not link a second person."""
    pat = new_person()
    vouched(emulator)
    first = new_visitor(linking).sign_in_as(pat)
    kim = new_person(mail=pat.mail)
    vouched(emulator)
    second = new_visitor(linking).sign_in_as(kim)
    assert second["id"] != first["id"]
    assert new_visitor(linking).sign_in_as(pat)["id"] == first["id"]


def test_C13_fifty_first_sign_ins_at_once(
    admin: Administrator, new_visitor: NewVisitor, new_person: NewPerson
) -> None:
    """Fifty browsers of one person who has never been here make one user."""
    pat = new_person("Viewer")
    visitors = [new_visitor() for _ in range(50)]
    for visitor in visitors:
        visitor.begin()
        visitor.approve_as(pat)
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(Visitor.complete, visitors))
    assert [answer.status_code for answer in answers] == [200] * 50, {one.text for one in answers}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(admin.users(pat.user_principal_name)) == 1


def test_C14_first_sign_in_beside_an_administrator(
    dstack: Dstack, new_visitor: NewVisitor, new_person: NewPerson
) -> None:
    """While an administrator makes a user of the same name, the sign-in makes another."""
    for _ in range(5):
        pat, visitor = new_person("Viewer"), new_visitor()
        name = pat.user_principal_name.partition("@")[0]
        visitor.begin()
        visitor.approve_as(pat)
        with ThreadPoolExecutor(2) as pool:
            signed_in = pool.submit(visitor.complete)
            made = pool.submit(
                dstack.api.post, "/api/users/create", json={"username": name, "global_role": "user"}
            )
        assert signed_in.result().status_code == 200, signed_in.result().text
        # dstack tells two administrators at once the same: 500 to the slower one.
        assert made.result().status_code in (200, 400, 500)
        if made.result().status_code == 200:
            assert made.result().json()["id"] != signed_in.result().json()["id"]


def test_C15_deactivated_by_the_administrator(
    admin: Administrator, dstack: Dstack, visitor: Visitor, new_person: NewPerson, emulator: RunningEmulator
) -> None:
    """Whom the administrator deactivates keeps out: token void, and no sign-in at Entra helps."""
    pat = new_person("Viewer")
    told = visitor.sign_in_as(pat)
    admin.change_user(told, active=False)
    assert not may_use(dstack, told["creds"]["token"])
    visitor.begin()
    visitor.approve_as(pat)
    watch = Watch(visitor, emulator)
    watch.refused(visitor.complete(), 403, token_requests=1, sentence="disabled")
    admin.change_user(told, active=True)
    assert visitor.sign_in_as(pat)["id"] == told["id"]


def test_C15_deleted_by_the_administrator(
    admin: Administrator, dstack: Dstack, visitor: Visitor, new_person: NewPerson, emulator: RunningEmulator
) -> None:
    """Whom the administrator deletes stays out, until `entrada dstack forget` lets them begin anew."""
    pat = new_person("Viewer")
    told = visitor.sign_in_as(pat)
    admin.delete_user(told["username"])
    assert not may_use(dstack, told["creds"]["token"])
    visitor.begin()
    visitor.approve_as(pat)
    watch = Watch(visitor, emulator)
    words = watch.refused(visitor.complete(), 403, token_requests=1, sentence="deleted")
    assert "entrada dstack forget" in words
    status, said = dstack.run("entrada", "dstack", "links")
    assert status == 0, said
    assert pat.user_principal_name in said
    assert dstack.run("entrada", "dstack", "forget", pat.user_principal_name)[0] == 0
    again = visitor.sign_in_as(pat)
    assert again["id"] != told["id"]
    assert again["creds"]["token"] != told["creds"]["token"]


@pytest.mark.parametrize(
    ("local_part", "username"),
    [
        ("x" * 64, "x" * 50),
        ("jörg.müller+test", "jorg-muller-test"),
        ("李", "pat-li"),
        ("_", "pat-li"),
    ],
)
def test_names_fit_dstack(
    local_part: str, username: str, visitor: Visitor, emulator: RunningEmulator, admin: Administrator
) -> None:
    """A name is made of what dstack takes, and is no longer than its database takes."""
    emulator.add_person(f"{local_part}@contoso.test", display_name="Pat Li", roles=["Viewer"])
    told = visitor.sign_in_as(f"{local_part}@contoso.test")
    assert told["username"].startswith(username[:40])
    assert len(told["username"]) <= 50
    assert admin.user(told["username"])["id"] == told["id"]
