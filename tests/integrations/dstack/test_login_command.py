"""`dstack login` when something is in the way, in the way of itself, or at another address."""

from __future__ import annotations

from pathlib import Path

import pytest

from clients.dstack import Dstack
from entrada.emulator import RunningEmulator
from integrations.dstack.command_line import command_line, projects_in
from integrations.dstack.conftest import NewPerson, NewVisitor
from integrations.dstack.refusals import Watch, redemptions, words_of
from integrations.dstack.visitor import Visitor
from walks.visitor import query_of, with_query

pytestmark = [pytest.mark.heavy, pytest.mark.browser, pytest.mark.timeout(300)]


def test_whom_entra_refuses_reads_why(
    dstack: Dstack, home: Path, visitor: Visitor, emulator: RunningEmulator
) -> None:
    """The page in the browser says why, and what to do about the command that waits."""
    with command_line(dstack, home) as login:
        visitor.at_entra = login.address
        visitor.approve_as("carla@contoso.test", errors_come_back=True)
        watch = Watch(visitor, emulator)
        page = visitor.complete()
        words = watch.refused(page, page.status_code)
        assert login.runs
    assert "AADSTS53003" in words
    assert "Ctrl+C" in words


@pytest.mark.parametrize("fault", ["guest", "server_error", "drop"])
def test_a_refusal_at_the_end_ends_the_command(
    fault: str, dstack: Dstack, home: Path, visitor: Visitor, emulator: RunningEmulator, new_person: NewPerson
) -> None:
    """Whatever goes wrong after Entra, the command ends and fails: it does not wait for ever."""
    who = "gus_fabrikam.test#EXT#@contoso.test" if fault == "guest" else new_person("Viewer")
    with command_line(dstack, home) as login:
        visitor.at_entra = login.address
        visitor.approve_as(who)
        if fault != "guest":
            emulator.fail(fault, endpoint="token", times=None)
        assert visitor.complete().status_code == 400
        status, words = login.end()
    assert status != 0
    assert "CLI authentication failed" in words
    assert not (home / ".dstack/config.yml").exists()


def test_A3_a_browser_cannot_finish_what_a_command_began(
    dstack: Dstack, home: Path, visitor: Visitor, emulator: RunningEmulator, new_person: NewPerson
) -> None:
    """A link of a waiting command, sent to somebody, gives their browser no token, and nobody else theirs."""
    with command_line(dstack, home) as login:
        visitor.at_entra = login.address
        given = query_of(visitor.approve_as(new_person("Viewer")))
        watch = Watch(visitor, emulator)
        watch.refused(visitor.ask_to_complete(code=given["code"], state=given["state"]))


def test_A2_the_page_goes_to_no_port_that_was_not_asked_for(
    dstack: Dstack, visitor: Visitor, emulator: RunningEmulator, new_person: NewPerson
) -> None:
    """Neither the callback page nor dstack's own endpoint hands a code to a port of somebody's invention."""
    visitor.begin()
    coming_back = visitor.approve_as(new_person("Viewer"))
    forged = "eyJ2YWx1ZSI6IjAiLCJsb2NhbF9wb3J0Ijo4MDgwfQ=="
    page = visitor.open(with_query(coming_back, state=forged), sec_fetch_site="cross-site")
    assert (page.status_code, page.headers.get("location")) == (400, None)
    answer = visitor.fetch("/api/auth/get_next_redirect", {"code": "x", "state": forged})
    assert answer.status_code == 400, answer.text
    assert redemptions(emulator) == 0


def test_two_commands_at_once(
    dstack: Dstack, tmp_path: Path, new_visitor: NewVisitor, new_person: NewPerson
) -> None:
    """Two people who sign in at the same time each end in their own account."""
    people = [new_person("Viewer"), new_person("Viewer")]
    homes = [tmp_path / name for name in ("first", "second")]
    for folder in homes:
        folder.mkdir()
    with command_line(dstack, homes[0], "-y") as first, command_line(dstack, homes[1], "-y") as second:
        for login, person in reversed([(first, people[0]), (second, people[1])]):
            browser = new_visitor(dstack)
            browser.at_entra = login.address
            browser.approve_as(person)
            assert browser.complete().status_code == 200
        ended = [first.end(), second.end()]
    for (status, words), folder, person in zip(ended, homes, people, strict=True):
        assert status == 0, words
        assert f"Logged in as {person.user_principal_name.partition('@')[0]}" in words
        assert projects_in(folder)


def test_at_another_name_of_the_server(
    dstack: Dstack, home: Path, visitor: Visitor, new_person: NewPerson
) -> None:
    """A command that knows the server under another name signs in; Entra hears the public one."""
    with command_line(dstack, home, "-y", url=dstack.address.replace("localhost", "127.0.0.1")) as login:
        assert query_of(login.address)["redirect_uri"].startswith(dstack.address)
        visitor.at_entra = login.address
        visitor.approve_as(new_person("Viewer"))
        assert visitor.complete().status_code == 200
        status, words = login.end()
    assert status == 0, words


def test_somebody_else_is_signed_in_at_entra(
    dstack: Dstack, home: Path, visitor: Visitor, emulator: RunningEmulator, new_person: NewPerson
) -> None:
    """Entra asks which account it shall be, though the browser has a session there."""
    visitor.begin()
    visitor.approve_as(new_person("Viewer"))
    with command_line(dstack, home) as login:
        page = visitor.open(login.address, sec_fetch_site="cross-site")
        assert page.status_code == 200
        assert "Pick an account" in words_of(page)
