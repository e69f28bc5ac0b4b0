"""Entra is away, slow, or says no, while three servers ask it every second about whoever is signed in."""

from __future__ import annotations

from typing import Any

from entrada.accounts.identity import UserId
from entrada.compatibility import UTC
from entrada.storage.sql import SqlAccountStore, connect
from walks.nursery import until

from .conftest import ON_BOTH, BeginThree
from .three import Three, after


def leave(three: Three, person: Any) -> None:
    """Disabled at Entra."""
    three.emulator.change_person(person.user_principal_name, enabled=False)


def test_fault_1_and_12_entra_is_down(three: Three) -> None:
    """Whoever is in stays in at all three, nobody new comes in and reads why; all by itself it is over."""
    inside = [three.signed_in(three.person(f"in{number}"), number) for number in range(3)]
    waiting = three.person("waiting")
    three.emulator.clear_requests()
    for endpoint in ("token", "discovery", "keys"):
        three.emulator.fail("server_error", endpoint=endpoint, status=503, times=None)
    until(lambda: three.refreshes() >= 6)
    assert all(three.is_in_everywhere(visitor) for visitor in inside)
    for number in range(3):
        refused = three.visitor(number).sign_in_as(waiting)
        assert refused.status_code == 503
        assert "Microsoft" in refused.text
    three.emulator.clear_faults()
    assert three.is_in_everywhere(three.signed_in(waiting, 1))
    leave(three, three.emulator.person("in0@contoso.test"))
    until(lambda: three.is_out_everywhere(inside[0]))
    assert all(three.is_in_everywhere(visitor) for visitor in inside[1:])
    assert three.holds_its_promises()


@ON_BOTH
def test_fault_9_each_of_many_is_asked_about_once(begin_three: BeginThree) -> None:
    """Thirty people, all due at once, three servers: Entra is asked thirty times, not ninety."""
    three = begin_three(ENTRADA_RECHECK_EVERY="5s")
    people = [three.person(f"one{number}") for number in range(30)]
    visitors = [three.signed_in(person, number % 3) for number, person in enumerate(people)]
    with three.database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE entrada_kept_sign_in SET next_check_at = 1")
        three.emulator.clear_requests()
    until(lambda: three.refreshes() >= 30)
    after(0.7)
    assert three.refreshes() == 30
    assert all(visitor.whoami() is not None for visitor in visitors)
    assert three.holds_its_promises()


def test_fault_10_an_answer_that_takes_longer_than_its_turn(three: Three) -> None:
    """Two servers ask about one person, because the first answer is late: the late one changes nothing."""
    person = three.person("late")
    leaver, other = three.signed_in(person), three.signed_in(three.person("other"))
    three.emulator.clear_requests()
    three.emulator.fail("delay", endpoint="token", seconds=1.6, times=1)
    until(lambda: three.refreshes() >= 4)
    assert three.is_in_everywhere(leaver)
    leave(three, person)
    until(lambda: three.is_out_everywhere(leaver))
    asked = three.refreshes()
    until(lambda: three.refreshes() >= asked + 1)
    assert three.is_out_everywhere(leaver)
    assert three.is_in_everywhere(other)
    assert three.holds_its_promises()


def test_fault_10_a_server_that_stood_still_in_the_middle_of_it(three: Three) -> None:
    """SIGSTOP with the question on its way, SIGCONT when others ended the person: nobody comes back."""
    person = three.person("still")
    leaver, other = three.signed_in(person), three.signed_in(three.person("other"))
    for number in (1, 2):
        three.freeze(number)
    three.emulator.clear_requests()
    three.emulator.fail("delay", endpoint="token", seconds=0.5, times=2)
    until(lambda: three.refreshes() >= 1)
    three.freeze(0)
    for number in (1, 2):
        three.thaw(number)
    leave(three, person)
    ended = "SELECT 1 FROM entrada_session WHERE object_id = :of"
    until(lambda: not three.database.rows(ended, of=person.object_id))
    three.thaw(0)
    until(lambda: three.is_out_everywhere(leaver), seconds=2)
    three.emulator.clear_requests()
    until(lambda: three.refreshes() >= 1)
    assert three.is_out_everywhere(leaver)
    assert three.is_in_everywhere(other)
    assert three.holds_its_promises()


def test_fault_11_killed_between_the_answer_and_its_writing(three: Three) -> None:
    """kill -9 with Entra's answer in hand: the token from before still serves, and the next server asks."""
    person = three.person("pat")
    visitor = three.signed_in(person)
    for number in (1, 2):
        three.freeze(number)
    three.emulator.clear_requests()
    three.emulator.fail("delay", endpoint="token", seconds=0.4, times=1)
    until(lambda: three.refreshes() == 1)
    with three.database.held("entrada_kept_sign_in"):
        after(0.7)
        three.kill(0)
    for number in (1, 2):
        three.thaw(number)
    assert three.is_in_everywhere(visitor)
    until(lambda: three.refreshes() >= 2)
    assert three.is_in_everywhere(visitor)
    leave(three, person)
    until(lambda: three.is_out_everywhere(visitor))
    assert three.holds_its_promises()


def test_fault_12_who_is_over_goes_and_who_must_only_try_again_stays(three: Three) -> None:
    """invalid_grant for one person ends them alone; a 5xx, silence and 429 about the others end nobody."""
    over, others = three.person("over"), [three.person(f"other{number}") for number in range(3)]
    leaver, stay = three.signed_in(over), [three.signed_in(one, 1) for one in others]
    three.emulator.revoke_sessions(over.user_principal_name)
    three.emulator.fail("server_error", endpoint="token", status=502, times=2)
    three.emulator.fail("drop", endpoint="token", times=2)
    three.emulator.fail("too_many_requests", endpoint="token", retry_after=1, times=1)
    until(lambda: three.is_out_everywhere(leaver))
    assert all(three.is_in_everywhere(visitor) for visitor in stay)
    assert leaver.sign_in_as(over).status_code == 303
    assert three.is_in_everywhere(leaver)
    assert three.holds_its_promises()


def test_fault_13_and_14_ended_at_one_while_another_asks(three: Three) -> None:
    """Signed out, or disabled by another process, with a refresh under way: it brings nobody back."""
    person = three.person("leaver")
    leaver, other = three.signed_in(person), three.signed_in(three.person("stays"), 1)
    disabled = three.signed_in(three.person("disabled"), 2)
    three.emulator.clear_requests()
    three.emulator.fail("delay", endpoint="token", seconds=0.7, times=3)
    until(lambda: three.refreshes() >= 3)
    leaver.sign_out(everywhere="1")
    disable_here(three, disabled.whoami()["account_id"])  # type: ignore[index]  # signed in
    until(lambda: three.is_out_everywhere(leaver) and three.is_out_everywhere(disabled), seconds=2.0)
    three.emulator.clear_requests()
    until(lambda: three.refreshes() >= 1)
    assert three.is_out_everywhere(leaver)
    assert three.is_out_everywhere(disabled)
    assert three.visitor().sign_in_as("disabled@contoso.test").status_code == 403
    assert three.is_in_everywhere(other)
    assert three.holds_its_promises()


def disable_here(three: Three, user_id: str) -> None:
    """As `entrada users disable` does it, in a process of its own."""
    from datetime import datetime

    database = connect(three.database.url)
    try:
        SqlAccountStore(database).set_disabled(UserId(user_id), disabled=True, now=datetime.now(UTC))
    finally:
        database.close()


def test_six_of_twenty_four_disabled_at_once(three: Three) -> None:
    """Six of twenty-four at one moment: all six are out at all three in time, and nobody else is."""
    people = [three.person(f"crowd{number}") for number in range(24)]
    visitors = [three.signed_in(person, number % 3) for number, person in enumerate(people)]
    for person in people[::4]:
        leave(three, person)
    gone, stay = visitors[::4], [visitor for number, visitor in enumerate(visitors) if number % 4]
    until(lambda: all(three.is_out_everywhere(visitor) for visitor in gone), seconds=6)
    assert all(visitor.whoami() is not None for visitor in stay)
    assert three.holds_its_promises()
