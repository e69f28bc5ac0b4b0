"""A Mage that people signed in to before: who keeps their user, and that nobody gets another's in silence.

The users are made by Mage as it comes, through its own Microsoft button, and found again by Mage with entrada
on the same database. That server also has the other half of the settings: the second form of the redirect
URI, guests allowed, roles mapped at the first sign-in only, links by verified e-mail.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from clients.mage import entrada_mage, running_mage
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CONTOSO_ID, FABRIKAM_ID
from integrations.mage.conftest import WITH_ENTRADA
from integrations.mage.desk import Desk, MageUser

pytestmark = [pytest.mark.heavy, pytest.mark.browser, pytest.mark.timeout(300)]

BEFORE = ("ada@contoso.test", "ed@contoso.test", "vi@contoso.test", "nora@contoso.test")
_SECOND_FORM = "/oauth?provider=active_directory"


@dataclass(frozen=True, kw_only=True)
class Moved:
    """The install after moving, whom it knew before, and what the commands said on the way."""

    desk: Desk
    before: dict[str, MageUser]
    dry_run: CompletedProcess[str]
    still_unlinked: CompletedProcess[str]
    applied: CompletedProcess[str]
    again: CompletedProcess[str]
    linked: CompletedProcess[str]


@pytest.fixture(scope="module")
def running(entra: RunningEmulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moved]:
    home = tmp_path_factory.mktemp("moved")
    entra.reset()
    with running_mage(entra, home=home) as mage:
        stock = Desk(mage=mage, entra=entra).as_new()
        for who in BEFORE:
            assert stock.sign_in(who)
        before = {user.username: user for user in stock.users().values()}
    people = home / "users.csv"
    people.write_text(as_downloaded(entra, leaving_out="nora@contoso.test"), "utf-8")
    project = ("--project", home / "project")
    adopt = ("adopt", "--entra-users", people, "--tenant-id", CONTOSO_ID, *project)
    dry_run = entrada_mage(entra, home, *adopt)
    still_unlinked = entrada_mage(entra, home, *adopt)
    applied = entrada_mage(entra, home, *adopt, "--apply")
    again = entrada_mage(entra, home, *adopt)
    nora = entra.person("nora@contoso.test")
    identity = ("--tenant-id", CONTOSO_ID, "--object-id", nora.object_id)
    linked = entrada_mage(entra, home, "link", "nora@contoso.test", *identity, *project)
    settings = {
        **WITH_ENTRADA,
        "ENTRADA_CALLBACK_PATHS": _SECOND_FORM,
        "ENTRADA_GUESTS": "allow",
        "ENTRADA_ROLES_SYNC": "first_sign_in",
        "ENTRADA_LINK_BY_EMAIL": "verified",
        "ENTRADA_VERIFIED_DOMAINS": "contoso.test",
    }
    with running_mage(entra, with_entrada=True, home=home, settings=settings) as mage:
        yield Moved(
            desk=Desk(mage=mage, entra=entra),
            before=before,
            dry_run=dry_run,
            still_unlinked=still_unlinked,
            applied=applied,
            again=again,
            linked=linked,
        )


@pytest.fixture
def moved(running: Moved) -> Moved:
    running.desk.as_new()
    return running


def as_downloaded(entra: RunningEmulator, *, leaving_out: str) -> str:
    """The file that the admin center's "Download users" makes, as far as it matters here."""
    file = io.StringIO()
    rows = csv.writer(file)
    rows.writerow(["userPrincipalName", "displayName", "mail", "id", "userType", "createdDateTime"])
    for person in entra.people:
        if person.tenant_id == CONTOSO_ID and person.user_principal_name != leaving_out:
            kind = "Guest" if person.guest else "Member"
            shown = [person.user_principal_name, person.display_name, person.mail, person.object_id]
            rows.writerow([*shown, kind, "2020-01-01T00:00:00Z"])
    return file.getvalue()


# --- the commands ---


def test_a_dry_run_tells_and_changes_nothing(moved: Moved) -> None:
    """Without --apply it says who would be linked to whom and why, and who not; asked again, the same."""
    assert moved.dry_run.returncode == 0, moved.dry_run.stderr
    assert moved.still_unlinked.stdout == moved.dry_run.stdout
    for who in BEFORE[:3]:
        assert who in moved.dry_run.stdout
        assert moved.desk.entra.person(who).object_id in moved.dry_run.stdout
    assert "nora@contoso.test" in moved.dry_run.stdout
    assert moved.desk.entra.person("nora@contoso.test").object_id not in moved.dry_run.stdout
    assert "admin@admin.com" in moved.dry_run.stdout


def test_applied_it_links_once(moved: Moved) -> None:
    """With --apply they are linked; a further run finds them linked already."""
    assert moved.applied.returncode == 0, moved.applied.stderr
    assert moved.again.returncode == 0, moved.again.stderr
    assert moved.again.stdout != moved.dry_run.stdout


def test_link_says_what_it_did(moved: Moved) -> None:
    """One user, one identity, on an administrator's word."""
    assert moved.linked.returncode == 0, moved.linked.stderr
    assert "nora@contoso.test" in moved.linked.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("link", "nobody@contoso.test", "--tenant-id", CONTOSO_ID, "--object-id", FABRIKAM_ID), "nobody@"),
        (("link", "vi@contoso.test", "--tenant-id", "contoso", "--object-id", "7"), "GUID"),
    ],
)
def test_a_wrong_link_is_one_sentence(moved: Moved, words: tuple[str, ...], sentence: str) -> None:
    """An unknown user, an identity that is none: status 1 or 2, what is wrong, and no traceback."""
    home = moved.desk.mage.home
    told = entrada_mage(moved.desk.entra, home, *words, "--project", home / "project")
    assert told.returncode in (1, 2)
    assert sentence in told.stderr
    assert "Traceback" not in told.stderr


# --- afterwards ---


@pytest.mark.parametrize("who", BEFORE)
def test_people_find_their_own_user_again(moved: Moved, who: str) -> None:
    """Adopted or linked: the same user, with the roles it had."""
    user = moved.desk.behind(moved.desk.sign_in(who))
    assert user is not None
    assert user.user_id == moved.before[who].user_id
    assert user.roles == moved.before[who].roles


def test_somebody_else_with_that_name_does_not(moved: Moved) -> None:
    """After adoption the name is nobody's key: who is given it at Entra later is somebody new."""
    moved.desk.entra.change_person("vi@contoso.test", user_principal_name="vi.former@contoso.test")
    moved.desk.entra.add_person("vi@contoso.test", mail="")
    session = moved.desk.sign_in("vi@contoso.test")
    user = moved.desk.behind(session)
    assert user is None or user.user_id != moved.before["vi@contoso.test"].user_id


def test_a_verified_address_links_where_the_administrator_said_so(moved: Moved) -> None:
    """ENTRADA_LINK_BY_EMAIL=verified: an unlinked user is found by an address the tenant has proved."""
    made = moved.desk.make_user("sam@contoso.test", username="sam")
    moved.desk.entra.add_person("sam@contoso.test", roles=["Viewer"])
    user = moved.desk.behind(moved.desk.sign_in("sam@contoso.test"))
    assert user is not None
    assert user.user_id == made


def test_an_unverified_address_links_nobody(moved: Moved) -> None:
    """A guest who claims somebody's address gets a user of their own."""
    made = moved.desk.make_user("tom@elsewhere.test", username="tom")
    moved.desk.entra.add_person(
        "tess@contoso.test", mail="tom@elsewhere.test", mail_verified=False, roles=["Viewer"]
    )
    user = moved.desk.behind(moved.desk.sign_in("tess@contoso.test"))
    assert user is None or user.user_id != made


def test_a_link_taken_back_ends_its_sessions(moved: Moved) -> None:
    """`entrada mage unlink`: the person is out at once, and listed by `links` no more."""
    person = moved.desk.entra.add_person("vic@contoso.test", roles=["Viewer"])
    session = moved.desk.sign_in("vic@contoso.test")
    assert moved.desk.opens(session)
    home = moved.desk.mage.home
    project = ("--project", home / "project")
    listed = entrada_mage(moved.desk.entra, home, "links", "--json", *project)
    assert person.object_id in listed.stdout, listed.stderr
    told = entrada_mage(moved.desk.entra, home, "unlink", "--object-id", person.object_id, *project)
    assert told.returncode == 0, told.stderr
    assert not moved.desk.opens(session)
    listed = entrada_mage(moved.desk.entra, home, "links", "--json", *project)
    assert person.object_id not in listed.stdout


# --- the other half of the settings ---


def test_the_second_form_of_the_redirect_uri(moved: Moved) -> None:
    """With only `/oauth?provider=active_directory` registered, that is what is sent and answered."""
    moved.desk.register(_SECOND_FORM)
    assert moved.desk.opens(moved.desk.sign_in("ed@contoso.test"))
    asked = [one for one in moved.desk.entra.requests if one.endpoint == "authorize"]
    assert {one.query["redirect_uri"] for one in asked} == {moved.desk.mage.site + _SECOND_FORM}


def test_roles_at_the_first_sign_in_only(moved: Moved) -> None:
    """ENTRADA_ROLES_SYNC=first_sign_in: what Mage's page says; later changes at Entra change nothing."""
    moved.desk.entra.add_person("una@contoso.test", roles=["Editor"])
    assert moved.desk.roles_of(moved.desk.sign_in("una@contoso.test")) == ["Editor"]
    moved.desk.entra.change_person("una@contoso.test", roles=["Viewer"])
    assert moved.desk.roles_of(moved.desk.sign_in("una@contoso.test")) == ["Editor"]


def test_a_guest_who_is_let_in_has_no_invented_address(moved: Moved) -> None:
    """ENTRADA_GUESTS=allow: a user without `#EXT#` in anything that people see."""
    user = moved.desk.behind(moved.desk.sign_in("gus@fabrikam.test"))
    assert user is not None
    assert "#EXT#" not in f"{user.email} {user.username}"


def test_nothing_of_the_commands_is_secret(moved: Moved, project_root: Path) -> None:
    """What they print holds no secret of the application and no path of the installation."""
    printed = moved.dry_run.stdout + moved.applied.stdout + moved.linked.stdout
    assert "emu~" not in printed
    assert str(project_root) not in printed
