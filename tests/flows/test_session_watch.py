"""Whoever stays longer than a request learns within a second that a session is over."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from entrada.accounts.identity import UserId
from entrada.accounts.principal import UserPrincipal
from entrada.clock import SystemClock
from entrada.errors import StoreUnavailable
from entrada.flows.session_check import CheckedSession, SessionCheck
from entrada.flows.session_watch import PATIENCE_SECONDS, SessionWatch
from entrada.sessions.revocation import ENTRIES_RETAINED, RevocationKind, Revocations
from flows.test_session_check import NOW, POLICY, Process, process


@pytest.fixture
def here() -> Process:
    return process()


class Watching:
    """A watch without its thread: the tests say when it looks."""

    def __init__(self, here: Process, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(SessionWatch, "_keep_looking", lambda _: None)
        self.here, self.watch = here, SessionWatch(check=here.check)
        self.said: list[str] = []

    def begin(self, cookie: str, name: str = "over") -> None:
        self.watch.session(
            checked(self.here, cookie),
            on_end=lambda: self.said.append(name),
            on_change=lambda person: self.said.append(" ".join(sorted(person.roles))),
        )


def checked(here: Process, cookie: str) -> CheckedSession:
    found = here.check.check(cookie)
    assert found is not None
    return found


@pytest.fixture
def watching(here: Process, monkeypatch: pytest.MonkeyPatch) -> Watching:
    return Watching(here, monkeypatch)


def test_K15_the_watchers_of_a_session_learn_that_it_ended(watching: Watching) -> None:
    """Two watch one session and one another: those two are told, once."""
    here, one, other = watching.here, watching.here.open(), watching.here.open()
    for cookie, name in ((one, "first"), (one, "second"), (other, "other")):
        watching.begin(cookie, name)
    watching.watch.look()
    assert watching.said == []
    here.beside().sessions.end(checked(here, one).session_id)
    watching.watch.look()
    watching.watch.look()
    assert sorted(watching.said) == ["first", "second"]


def test_K15_what_another_thread_has_learnt_is_told_too(watching: Watching) -> None:
    """The end of a session that a request noticed first reaches the watchers in their own round."""
    here, cookie = watching.here, watching.here.open()
    watching.begin(cookie)
    watching.watch.look()
    here.beside().sessions.end(checked(here, cookie).session_id)
    here.check.look()
    assert watching.said == []
    watching.watch.look()
    assert watching.said == ["over"]


@pytest.mark.parametrize("how", ["signed out everywhere", "disabled", "behind the log", "everything"])
def test_K15_every_kind_of_ending_reaches_the_watchers(watching: Watching, how: str) -> None:
    """However a session ends elsewhere, its watcher is told in the next round."""
    here, cookie = watching.here, watching.here.open()
    watching.begin(cookie)
    watching.watch.look()
    match how:
        case "signed out everywhere":
            here.sessions.end_of_user(here.person().id)
        case "disabled":
            here.accounts.set_disabled(here.person().id, disabled=True, now=NOW)
        case "behind the log":
            here.sessions.end(checked(here, cookie).session_id)
            for _ in range(ENTRIES_RETAINED + 1):
                here.sessions.note_rights_changed(UserId("3" * 32))
        case "everything":
            here.sessions.end_all()
    watching.watch.look()
    assert watching.said == ["over"]


def test_K15_a_session_that_ended_before_the_watch_began_is_told(watching: Watching) -> None:
    """Between the check of a request and the watch of its socket nothing is missed."""
    here, cookie = watching.here, watching.here.open()
    found = checked(here, cookie)
    here.beside().sessions.end(found.session_id)
    here.check.look()
    watching.watch.session(found, on_end=lambda: watching.said.append("over"))
    watching.watch.look()
    assert watching.said == ["over"]


@pytest.mark.parametrize("limit", [POLICY.idle_at_most, POLICY.absolute])
def test_K15_limits_end_a_watched_session(watching: Watching, limit: timedelta) -> None:
    """An open connection is no request: idle and absolute limit end it."""
    here, cookie = watching.here, watching.here.open()
    watching.begin(cookie)
    watching.watch.look()
    passed = timedelta(0)
    while passed + timedelta(minutes=1) < limit:
        passed += timedelta(minutes=1)
        here.clock.advance(minutes=1)
        if limit == POLICY.absolute:
            assert here.is_open(cookie)
        watching.watch.look()
    assert watching.said == []
    here.clock.advance(minutes=1)
    watching.watch.look()
    assert watching.said == ["over"]


def test_changed_roles_are_told_and_the_session_goes_on(watching: Watching) -> None:
    """A watcher gets the person as they are now, only when they are others than before."""
    here, cookie = watching.here, watching.here.open()
    watching.begin(cookie)
    watching.watch.look()
    here.accounts.grant_role(here.person().id, role="Viewer", granted_by="root", now=NOW)
    watching.watch.look()
    here.sessions.note_rights_changed(here.person().id)
    watching.watch.look()
    assert watching.said == ["Viewer"]


def test_a_silent_store_ends_what_is_watched_after_the_stated_time(watching: Watching) -> None:
    """A short outage cuts nobody off; after a minute nothing is believed any more."""
    here, cookie = watching.here, watching.here.open()
    watching.begin(cookie)
    watching.watch.look()
    here.sessions.fails = True
    here.clock.advance(seconds=PATIENCE_SECONDS - 1)
    watching.watch.look()
    assert watching.said == []
    here.clock.advance(seconds=1)
    watching.watch.look()
    assert watching.said == ["over"]


def test_an_ending_learnt_while_the_store_fails_is_told_when_it_is_back(watching: Watching) -> None:
    """The log could be read and the session could not: nothing that was learnt is lost."""
    here, cookie = watching.here, watching.here.open()
    watching.begin(cookie)
    watching.watch.look()
    here.accounts.set_disabled(here.person().id, disabled=True, now=NOW)
    find_good = here.check.find_good

    def fails(*_: object, **__: object) -> None:
        raise StoreUnavailable

    here.check.find_good = fails  # type: ignore[method-assign,assignment]
    watching.watch.look()
    assert watching.said == []
    here.check.find_good = find_good  # type: ignore[method-assign]
    watching.watch.look()
    assert watching.said == ["over"]


def test_a_watcher_that_fails_hinders_nobody(watching: Watching, caplog: pytest.LogCaptureFixture) -> None:
    """An exception of one callback is logged, and the next is called."""
    here, cookie = watching.here, watching.here.open()

    def fail() -> None:
        raise RuntimeError("the socket is gone")

    watching.watch.session(checked(here, cookie), on_end=fail)
    watching.begin(cookie)
    here.sessions.end(checked(here, cookie).session_id)
    watching.watch.look()
    assert watching.said == ["over"]
    assert "a watcher of sessions failed" in caplog.messages


def test_an_ended_watch_is_told_nothing(watching: Watching) -> None:
    """Whoever has closed its socket by itself hears no more, and may say so twice."""
    here, cookie = watching.here, watching.here.open()
    end = watching.watch.session(checked(here, cookie), on_end=lambda: watching.said.append("over"))
    end()
    end()
    here.sessions.end(checked(here, cookie).session_id)
    watching.watch.look()
    assert watching.said == []


# --- the thread ---


@pytest.fixture
def running() -> Iterator[tuple[Process, SessionWatch]]:
    """Real time, and the thread."""
    here = process()
    check = SessionCheck(accounts=here.accounts, sessions=here.sessions, policy=POLICY, clock=SystemClock())
    here.check, here.clock = check, SystemClock()  # type: ignore[assignment]  # the real one
    watch = SessionWatch(check=check)
    yield here, watch
    watch.close()


def test_K15_without_any_request_the_end_is_told_within_a_second(
    running: tuple[Process, SessionWatch],
) -> None:
    """Nothing but the watch's own thread looks, and it is in time."""
    here, watch = running
    cookie, over = here.open(), threading.Event()
    found = checked(here, cookie)
    watch.session(found, on_end=over.set)
    here.sessions.end(found.session_id)
    assert over.wait(1.0)


def test_a_listener_of_the_log_hears_of_everybody(running: tuple[Process, SessionWatch]) -> None:
    """Remembered tokens are dropped by what the log says, also where no session is watched."""
    here, watch = running
    heard: list[Revocations] = []
    told = threading.Event()

    def listener(revocations: Revocations) -> None:
        heard.append(revocations)
        told.set()

    here.check.look()
    end = watch.log(listener)
    here.sessions.note_rights_changed(UserId("7" * 32))
    assert told.wait(1.0)
    end()
    assert [(entry.kind, entry.subject) for entry in heard[0].entries] == [(RevocationKind.RIGHTS, "7" * 32)]


def test_the_thread_is_there_only_while_somebody_watches(running: tuple[Process, SessionWatch]) -> None:
    """No watcher, no thread; it comes back with the next one, and a check finds memory trusted meanwhile."""

    def threads() -> list[threading.Thread]:
        return [each for each in threading.enumerate() if each.name == "entrada-session-watch"]

    here, watch = running
    assert threads() == []
    for _ in range(2):
        found = checked(here, here.open())
        end = watch.session(found, on_end=lambda: None)
        (thread,) = threads()
        end()
        thread.join(2.0)
        assert threads() == []


def test_the_person_a_watcher_is_told_of_is_the_one_of_the_check(watching: Watching) -> None:
    """What `on_change` gets is what a check of a request would give."""
    here, cookie = watching.here, watching.here.open()
    got: list[UserPrincipal] = []
    watching.watch.session(checked(here, cookie), on_end=lambda: None, on_change=got.append)
    here.accounts.grant_role(here.person().id, role="Viewer", granted_by="root", now=NOW)
    watching.watch.look()
    assert got == [checked(here, cookie).principal]
