"""The check of every request: from memory while that can be trusted, from the store when not, else nobody."""

from __future__ import annotations

import copy
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from entra.tokens import NOW, OBJECT_ID, TENANT
from entrada.accounts.identity import EntraIdentity, GrantSource, Profile, RoleGrant, User, UserId
from entrada.entra.authority import ObjectId
from entrada.errors import StoreUnavailable
from entrada.flows.role_endings import ENDED_WITHIN, EVERY, RoleEndings
from entrada.flows.session_check import (
    LOOK_AHEAD_SECONDS,
    REVOCATION_CHECK_SECONDS,
    SessionCheck,
    new_session_limits,
)
from entrada.sessions.revocation import ENTRIES_RETAINED, LogPosition, RevocationKind, Revocations
from entrada.sessions.session import Session, SessionId, SessionPolicy
from entrada.sessions.token import SessionToken, new_session_token
from entrada.storage.memory_accounts import MemoryAccountStore
from entrada.storage.memory_sessions import MemorySessionStore
from flows.world import SetClock

IDENTITY = EntraIdentity(tenant_id=TENANT, object_id=ObjectId(OBJECT_ID))
POLICY = SessionPolicy(idle=timedelta(hours=1), absolute=timedelta(hours=4))


class CountingSessions(MemorySessionStore):
    """A real store that counts what it is asked, and can be told to fail or to be interrupted."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.fails = False
        self.on_find: Callable[[], None] = lambda: None

    def _count(self, name: str) -> None:
        self.asked.append(name)
        if self.fails:
            raise StoreUnavailable

    def find(self, session_id: SessionId) -> Session | None:
        self._count("find")
        found = super().find(session_id)
        self.on_find()
        return found

    def touch(self, session_id: SessionId, **times: Any) -> bool:
        self._count("touch")
        return super().touch(session_id, **times)

    def revocations(self, since: LogPosition | None) -> Revocations:
        self._count("log")
        return super().revocations(since)


@dataclass(kw_only=True)
class Process:
    """One server process over a store that others may share."""

    clock: SetClock
    sessions: CountingSessions
    accounts: MemoryAccountStore
    check: SessionCheck

    def open(self, *, replaces: SessionId | None = None, user: User | None = None) -> str:
        """Signs somebody in; gives the cookie's value."""
        user = user or self.person()
        token = new_session_token()
        self.sessions.open(session_of(token, user, self.clock), replaces=replaces)
        return token.cookie_value

    def person(self, *roles: str) -> User:
        return self.accounts.find_by_identity(IDENTITY) or self.accounts.create(
            user_id=UserId(secrets.token_hex(16)),
            identity=IDENTITY,
            profile=Profile(name="Ada", email=None, username=None),
            entra_grants=[
                RoleGrant(role=role, source=GrantSource.ENTRA, granted_by="app role", granted_at=NOW)
                for role in roles
            ],
            now=NOW,
        )

    def beside(self) -> Process:
        """Another process over the same store."""
        return process(clock=self.clock, sessions=self.sessions, accounts=self.accounts)

    def is_open(self, cookie: str) -> bool:
        return self.check.check(cookie) is not None


def session_of(token: SessionToken, user: User, clock: SetClock) -> Session:
    idle, absolute = new_session_limits(clock.now(), POLICY)
    return Session(
        id=token.id,
        secret_hash=token.secret_hash,
        user_id=user.id,
        identity=IDENTITY,
        created_at=clock.now(),
        last_seen_at=clock.now(),
        idle_expires_at=idle,
        absolute_expires_at=absolute,
    )


def process(
    *,
    clock: SetClock | None = None,
    sessions: CountingSessions | None = None,
    accounts: MemoryAccountStore | None = None,
) -> Process:
    clock, sessions = clock or SetClock(), sessions or CountingSessions()
    accounts = accounts or MemoryAccountStore(sessions=sessions, clock=clock)
    return Process(
        clock=clock,
        sessions=sessions,
        accounts=accounts,
        check=SessionCheck(accounts=accounts, sessions=sessions, policy=POLICY, clock=clock),
    )


@pytest.fixture
def here() -> Process:
    return process()


def soon(here: Process) -> None:
    """The time within which a revocation anywhere must be known has passed."""
    here.clock.advance(seconds=REVOCATION_CHECK_SECONDS)


# --- who is let in ---


def test_a_good_cookie_gives_the_person(here: Process) -> None:
    """The answer holds the person, the session, and until when it lasts."""
    here.person("Editor")
    checked = here.check.check(here.open())
    assert checked is not None
    assert checked.principal.roles == {"Editor"}
    assert checked.idle_expires_at(POLICY, now=here.clock.now()) == NOW + POLICY.idle


@pytest.mark.parametrize("altered", [slice(0, -1), slice(1, None), slice(0, 22)])
def test_F2_a_cut_cookie_opens_nothing(here: Process, altered: slice) -> None:
    """Not even one character may be missing."""
    assert not here.is_open(here.open()[altered])


def test_F2_another_secret_opens_nothing(here: Process) -> None:
    """The right id with one other bit of the secret, known or not yet known to memory, is refused."""
    cookie = here.open()
    forged = cookie[:-2] + ("A" if cookie[-2] != "A" else "B") + cookie[-1]
    assert not here.is_open(forged)
    assert here.is_open(cookie)
    assert not here.is_open(forged)


def test_F2_the_secret_of_another_session_opens_nothing(here: Process) -> None:
    """The id of one session with the secret of another is neither."""
    one, other = here.open(), here.open()
    assert not here.is_open(f"{one.partition('.')[0]}.{other.partition('.')[2]}")


def test_F2_what_the_store_keeps_opens_nothing(here: Process) -> None:
    """Whoever reads the database finds only a hash, which is not the cookie."""
    cookie = here.open()
    kept = here.sessions.find(SessionId(cookie.partition(".")[0]))
    assert kept is not None
    assert cookie.partition(".")[2].encode() not in kept.secret_hash
    assert not here.is_open(f"{kept.id}.{kept.secret_hash.hex()[:43]}")


# --- limits ---


def test_F5_an_idle_session_ends(here: Process) -> None:
    """An hour without a request, and the two minutes within which one may be unwritten, are the end."""
    cookie = here.open()
    assert here.is_open(cookie)
    here.clock.advance(minutes=59, seconds=59)
    assert here.is_open(cookie)
    here.clock.advance(seconds=(POLICY.idle_at_most).total_seconds())
    assert not here.is_open(cookie)


def test_F5_an_idle_session_ends_in_a_process_that_never_saw_it(here: Process) -> None:
    """The store's limit counts where memory knows nothing."""
    cookie = here.open()
    here.clock.advance(seconds=POLICY.idle_at_most.total_seconds())
    assert not here.is_open(cookie)


def test_K47_who_is_active_in_one_process_is_not_idle_in_another(here: Process) -> None:
    """A process that has not been used for longer than the idle limit asks the store before it refuses."""
    cookie, elsewhere = here.open(), here.beside()
    assert elsewhere.is_open(cookie)
    for _ in range(70):
        here.clock.advance(minutes=1)
        assert here.is_open(cookie)
    assert elsewhere.is_open(cookie)


@pytest.mark.parametrize("seconds", [0, 1, 60, 119])
def test_K47_a_request_that_no_process_has_written_down_counts_everywhere(
    here: Process, seconds: int
) -> None:
    """A last request too soon after the one before it to be written keeps the session for the whole limit."""
    cookie, elsewhere = here.open(), here.beside()
    assert here.is_open(cookie)
    here.clock.advance(seconds=seconds)
    assert elsewhere.is_open(cookie)
    here.clock.advance(seconds=POLICY.idle.total_seconds() - 1)
    assert here.is_open(cookie)


def test_K43_a_session_whose_row_is_gone_is_refused_at_the_next_write(here: Process) -> None:
    """A row that was pruned, or lost, ends the session in the process that still held it."""
    cookie = here.open()
    assert here.is_open(cookie)
    assert here.sessions.prune(now=NOW + POLICY.absolute) == 1
    here.clock.advance(seconds=POLICY.touch_every.total_seconds())
    assert not here.is_open(cookie)
    assert here.check.peek(cookie) is None


def test_K43_a_session_that_goes_while_it_is_written_down_is_refused(here: Process) -> None:
    """Between the read and the write of one request the row is deleted: nobody is let in."""
    cookie = here.open()
    here.clock.advance(seconds=POLICY.touch_every.total_seconds())
    here.sessions.on_find = lambda: here.sessions.prune(now=NOW + POLICY.absolute)
    assert not here.is_open(cookie)


def test_F5_requests_keep_a_session_alive_in_every_process(here: Process) -> None:
    """A session in use is known to be in use elsewhere, too."""
    cookie, elsewhere = here.open(), here.beside()
    for _ in range(6):
        here.clock.advance(minutes=30)
        assert here.is_open(cookie)
    assert elsewhere.is_open(cookie)


def test_F5_the_absolute_limit_holds_whatever_is_asked(here: Process) -> None:
    """However busy a session is, four hours after the sign-in it is over."""
    cookie = here.open()
    for _ in range(7):
        here.clock.advance(minutes=30)
        assert here.is_open(cookie)
    here.clock.advance(minutes=30)
    assert not here.is_open(cookie)
    assert not here.beside().is_open(cookie)


def test_F5_the_answer_never_promises_more_than_the_absolute_limit(here: Process) -> None:
    """Near its end, a session is said to last until its absolute limit, not an idle time longer."""
    cookie = here.open()
    for _ in range(7):
        here.clock.advance(minutes=30)
        checked = here.check.check(cookie)
    assert checked is not None
    assert (
        checked.idle_expires_at(POLICY, now=here.clock.now())
        == checked.absolute_expires_at
        == NOW + POLICY.absolute
    )


def test_F5_a_clock_that_is_set_back_prolongs_nothing(here: Process) -> None:
    """Limits in memory run on a clock that nobody can set."""
    cookie = here.open()
    assert here.is_open(cookie)
    here.clock.advance(minutes=63)
    here.clock.wall = NOW
    assert not here.is_open(cookie)


def test_the_idle_limit_is_never_beyond_the_absolute_one() -> None:
    """A policy whose idle limit is the longer one is cut to the absolute limit."""
    idle, absolute = new_session_limits(
        NOW, SessionPolicy(idle=timedelta(hours=9), absolute=timedelta(hours=2))
    )
    assert idle == absolute == NOW + timedelta(hours=2)


# --- revocation ---


def test_a_process_that_is_asked_looks_before_a_request_has_to_wait(here: Process) -> None:
    """Shortly before the trust in memory ends, another thread looks once, whether that fails or not."""
    cookie = here.open()
    here.check.check(cookie)

    def looks_after(seconds: float) -> int:
        here.sessions.asked.clear()
        here.clock.advance(seconds=seconds)
        for _ in range(3):
            here.check.peek(cookie)
        for thread in threading.enumerate():
            if thread.name == "entrada-look-ahead":
                thread.join()
        return here.sessions.asked.count("log")

    assert looks_after(REVOCATION_CHECK_SECONDS - LOOK_AHEAD_SECONDS - 0.01) == 0
    assert looks_after(0.02) == 1
    assert looks_after(REVOCATION_CHECK_SECONDS - 0.01) == 1
    here.sessions.fails = True
    assert looks_after(REVOCATION_CHECK_SECONDS - 0.01) == 1
    assert here.check.peek(cookie) is not None
    assert looks_after(0.02) == 0
    assert here.check.peek(cookie) is None


def test_E8_a_session_ended_elsewhere_is_refused_within_the_stated_time(here: Process) -> None:
    """Half a second after another process ended it, a session that memory still holds is refused."""
    cookie = here.open()
    assert here.is_open(cookie)
    here.beside().sessions.end(SessionId(cookie.partition(".")[0]))
    soon(here)
    assert not here.is_open(cookie)


def test_the_stated_time_is_below_a_second() -> None:
    """ "Refused everywhere within one second" leaves room for the request itself."""
    assert REVOCATION_CHECK_SECONDS <= 0.9


def test_E15_all_sessions_of_a_person_end_everywhere(here: Process) -> None:
    """Ending a person's sessions ends those that other processes hold in memory."""
    elsewhere, cookies = here.beside(), [here.open() for _ in range(3)]
    assert all(elsewhere.is_open(cookie) for cookie in cookies)
    here.sessions.end_of_user(here.person().id)
    soon(here)
    assert not any(elsewhere.is_open(cookie) for cookie in cookies)


def test_E10_only_the_named_sessions_end(here: Process) -> None:
    """When one session ends, another in the same process goes on."""
    one, other = here.open(), here.open()
    assert here.is_open(one)
    assert here.is_open(other)
    here.sessions.end(SessionId(one.partition(".")[0]))
    soon(here)
    assert not here.is_open(one)
    assert here.is_open(other)


def test_C15_a_disabled_account_is_refused_within_the_stated_time(here: Process) -> None:
    """Disabling an account ends what memory knows of it."""
    cookie = here.open()
    assert here.is_open(cookie)
    here.accounts.set_disabled(here.person().id, disabled=True, now=NOW)
    soon(here)
    assert not here.is_open(cookie)


def test_C15_a_session_of_a_disabled_account_is_refused_though_it_still_stands() -> None:
    """Even if a session survived, the account's state decides when the store is read."""
    accounts = MemoryAccountStore()  # on its own: it ends no session when it disables
    here = process(accounts=accounts)
    cookie = here.open()
    accounts.set_disabled(here.person().id, disabled=True, now=NOW)
    assert not here.is_open(cookie)


def test_a_session_of_an_account_that_is_gone_is_refused(here: Process) -> None:
    """A session whose account does not exist is no session."""
    token = new_session_token()
    nobody = User(id=UserId("0" * 32), profile=Profile(name="", email=None, username=None), created_at=NOW)
    here.sessions.open(session_of(token, nobody, here.clock))
    assert not here.is_open(token.cookie_value)


def test_F1_a_role_given_meanwhile_is_seen_within_the_stated_time(here: Process) -> None:
    """A change of roles reaches sessions in memory as fast as an end does."""
    cookie = here.open()
    assert here.is_open(cookie)
    here.accounts.grant_role(here.person().id, role="Viewer", granted_by="root", now=NOW)
    soon(here)
    checked = here.check.check(cookie)
    assert checked is not None
    assert checked.principal.roles == {"Viewer"}


def test_a_role_ends_at_its_end_in_every_process(here: Process) -> None:
    """Of a session in memory, at the moment itself, in processes that nobody told; the session stands."""
    cookie, until = here.open(), here.clock.now() + timedelta(seconds=20)
    here.accounts.grant_role(here.person().id, role="Viewer", granted_by="root", now=NOW, until=until)
    processes = [here, here.beside()]

    def roles() -> list[frozenset[str]]:
        return [process_roles(each, cookie) for each in processes]

    assert roles() == [{"Viewer"}, {"Viewer"}]
    here.clock.advance(seconds=19.9)
    assert roles() == [{"Viewer"}, {"Viewer"}]
    here.clock.advance(seconds=0.1)
    assert roles() == [frozenset(), frozenset()]


def test_a_role_that_has_ended_is_told_of_within_seconds(here: Process) -> None:
    """One process looks every five seconds and takes it back; another learns of it by the log: 5.5 s."""
    cookie, until = here.open(), here.clock.now() + timedelta(seconds=20)
    here.accounts.grant_role(here.person().id, role="Viewer", granted_by="root", now=NOW, until=until)
    other, told = here.beside(), []
    assert process_roles(other, cookie) == {"Viewer"}
    other.check.subscribe(lambda revocations: told.extend(revocations.entries))
    endings = RoleEndings(accounts=here.accounts, session_check=here.check)
    here.clock.advance(seconds=19.9)
    assert endings.look() == 0
    here.clock.advance(seconds=EVERY.total_seconds())
    assert (endings.look(), endings.look()) == (1, 0)
    other.check.look()
    assert [entry.kind for entry in told] == [RevocationKind.RIGHTS]
    assert timedelta(seconds=5.5) == ENDED_WITHIN


def process_roles(process: Process, cookie: str) -> frozenset[str]:
    checked = process.check.check(cookie)
    assert checked is not None
    return checked.principal.roles


def test_F1_a_replaced_session_is_refused(here: Process) -> None:
    """The session that a new sign-in replaces is over, the new one stands."""
    old = here.open()
    assert here.is_open(old)
    new = here.open(replaces=SessionId(old.partition(".")[0]))
    soon(here)
    assert not here.is_open(old)
    assert here.is_open(new)


def test_a_revocation_while_a_session_is_being_read_is_not_missed(here: Process) -> None:
    """A session that ends while it is being read, as another thread notices, is not kept in memory."""
    cookie = here.open()
    assert not here.is_open(new_session_token().cookie_value)

    def another_thread_ends_it_and_notices() -> None:
        here.sessions.on_find = lambda: None
        here.sessions.end(SessionId(cookie.partition(".")[0]))
        soon(here)
        here.check.check(new_session_token().cookie_value)

    here.sessions.on_find = another_thread_ends_it_and_notices
    here.check.check(cookie)
    assert not here.is_open(cookie)


def test_a_session_is_never_put_in_after_its_end_was_learnt(here: Process) -> None:
    """Wherever a revocation falls while a session is put into memory, the entry does not outlive it."""
    cookie = here.open()
    put = here.check.live.put

    def interrupted(*given: Any, **named: Any) -> bool:
        # The narrowest place: after the session was read and before it is put in.
        here.sessions.end(SessionId(cookie.partition(".")[0]))
        soon(here)
        here.check.check(new_session_token().cookie_value)
        return put(*given, **named)

    here.check.live.put = interrupted  # type: ignore[method-assign]
    here.check.check(cookie)
    here.check.live.put = put  # type: ignore[method-assign]
    assert not here.is_open(cookie)


# --- what the store is asked ---


def test_a_known_session_asks_the_store_nothing_within_the_stated_time(here: Process) -> None:
    """Between two looks at the log, a thousand checks touch no store."""
    cookie = here.open()
    assert here.is_open(cookie)
    here.sessions.asked.clear()
    for _ in range(1000):
        assert here.is_open(cookie)
    assert here.sessions.asked == []


def test_a_known_session_costs_one_cheap_question_after_that(here: Process) -> None:
    """When the stated time has passed the log is looked at, once for everybody, and nothing else."""
    cookies = [here.open() for _ in range(10)]
    assert all(here.is_open(cookie) for cookie in cookies)
    here.sessions.asked.clear()
    soon(here)
    assert all(here.is_open(cookie) for cookie in cookies)
    assert here.sessions.asked == ["log"]


def test_a_request_is_written_down_rarely(here: Process) -> None:
    """An hour of requests every second writes the idle time at most once in two minutes."""
    cookie = here.open()
    for _ in range(3600):
        here.clock.advance(seconds=1)
        assert here.is_open(cookie)
    assert 29 <= here.sessions.asked.count("touch") <= 30


def test_what_ended_elsewhere_costs_nobody_else_a_read(here: Process) -> None:
    """One session ends in another process: of ten others in memory none is read again."""
    cookies, ended = [here.open() for _ in range(10)], here.open()
    assert all(here.is_open(cookie) for cookie in [*cookies, ended])
    here.beside().sessions.end(SessionId(ended.partition(".")[0]))
    here.sessions.asked.clear()
    soon(here)
    assert all(here.is_open(cookie) for cookie in cookies)
    assert here.sessions.asked == ["log"]
    assert not here.is_open(ended)


def test_changed_rights_cost_only_their_users_sessions_a_read(here: Process) -> None:
    """A role given to one person leaves everybody else's sessions in memory."""
    other = here.accounts.create(
        user_id=UserId("2" * 32),
        identity=EntraIdentity(tenant_id=TENANT, object_id=ObjectId("2" * 36)),
        profile=Profile(name="Ed", email=None, username=None),
        entra_grants=[],
        now=NOW,
    )
    theirs, others = [here.open() for _ in range(3)], here.open(user=other)
    assert all(here.is_open(cookie) for cookie in [*theirs, others])
    here.accounts.grant_role(here.person().id, role="Viewer", granted_by="root", now=NOW)
    soon(here)
    here.sessions.asked.clear()
    assert all(here.is_open(cookie) for cookie in [*theirs, others])
    assert here.sessions.asked == ["log", "find", "find", "find"]


def test_who_is_too_far_behind_the_log_reads_every_session_afresh(here: Process) -> None:
    """After more endings than the log holds, nothing in memory is trusted, and nobody is signed out by it."""
    cookie, ended = here.open(), here.open()
    assert here.is_open(cookie)
    assert here.is_open(ended)
    here.sessions.end(SessionId(ended.partition(".")[0]))
    for _ in range(ENTRIES_RETAINED + 1):
        here.sessions.note_rights_changed(UserId("3" * 32))
    soon(here)
    here.sessions.asked.clear()
    assert here.is_open(cookie)
    assert not here.is_open(ended)
    assert here.sessions.asked == ["log", "find", "find"]


def test_K6_a_store_that_went_back_ends_every_session(
    here: Process, caplog: pytest.LogCaptureFixture
) -> None:
    """A backup, restored under the running process: what had ended since is over, and so is all else."""
    cookie, ended = here.open(), here.open()
    assert here.is_open(ended)
    backup = copy.deepcopy({name: vars(here.sessions)[name] for name in ("_sessions", "_log", "_position")})
    here.sessions.end(SessionId(ended.partition(".")[0]))
    soon(here)
    assert not here.is_open(ended)
    vars(here.sessions).update(backup)
    soon(here)
    assert not here.is_open(ended)
    assert not here.is_open(cookie)
    assert [line.split()[0] for line in caplog.messages] == ["all_sessions_ended"]
    assert here.is_open(here.open())


def test_K6_of_several_processes_one_ends_everything(here: Process) -> None:
    """Who looks later finds that all has ended already, and lets new sessions stand."""
    elsewhere, cookie = here.beside(), here.open()
    backup = copy.deepcopy({name: vars(here.sessions)[name] for name in ("_sessions", "_log", "_position")})
    here.sessions.note_rights_changed(UserId("3" * 32))
    assert here.is_open(cookie)
    assert elsewhere.is_open(cookie)
    vars(here.sessions).update(backup)
    soon(here)
    assert not here.is_open(cookie)
    new = here.open()
    assert elsewhere.is_open(new)
    assert not elsewhere.is_open(cookie)
    soon(here)
    assert here.is_open(new)


def test_a_listener_hears_what_ended(here: Process) -> None:
    """Whoever subscribes is told of each entry once the process has learnt of it, until they end it."""
    heard: list[Revocations] = []
    end = here.check.subscribe(heard.append)
    cookie = here.open()
    assert here.is_open(cookie)
    here.beside().sessions.end(SessionId(cookie.partition(".")[0]))
    soon(here)
    here.check.look()
    assert [(entry.kind, entry.subject) for each in heard for entry in each.entries] == [
        (RevocationKind.SESSION, cookie.partition(".")[0])
    ]
    end()
    here.sessions.note_rights_changed(here.person().id)
    here.check.look()
    assert len(heard) == 1


def test_writing_down_revives_no_ended_session(here: Process) -> None:
    """A session that ended while its idle time was being written stays ended."""
    cookie = here.open()
    here.sessions.end(SessionId(cookie.partition(".")[0]))
    here.sessions.touch(
        SessionId(cookie.partition(".")[0]), last_seen_at=NOW, idle_expires_at=NOW + POLICY.idle
    )
    assert not here.is_open(cookie)


def test_what_is_no_cookie_of_ours_is_not_looked_up(here: Process) -> None:
    """A malformed cookie costs no read of sessions."""
    here.check.check("x")
    assert "find" not in here.sessions.asked


# --- the store fails ---


def test_a_failing_store_is_said_and_nobody_is_let_in(here: Process) -> None:
    """If the store cannot say whether a session stands, the check raises."""
    cookie = here.open()
    here.sessions.fails = True
    with pytest.raises(StoreUnavailable):
        here.check.check(cookie)


def test_memory_is_not_trusted_past_the_stated_time(here: Process) -> None:
    """With the store gone, a known session stands half a second at most, then the check raises."""
    cookie = here.open()
    assert here.is_open(cookie)
    here.sessions.fails = True
    here.clock.advance(seconds=REVOCATION_CHECK_SECONDS - 0.01)
    assert here.is_open(cookie)
    here.clock.advance(seconds=0.01)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            here.check.check(cookie)
        assert here.check.peek(cookie) is None


def test_after_the_store_is_back_sessions_go_on(here: Process) -> None:
    """Nobody has to sign in again because the database was away for a moment."""
    cookie = here.open()
    assert here.is_open(cookie)
    here.sessions.fails = True
    soon(here)
    with pytest.raises(StoreUnavailable):
        here.check.check(cookie)
    here.sessions.fails = False
    assert here.is_open(cookie)


def test_a_session_that_ended_while_the_store_was_unreachable_is_refused(here: Process) -> None:
    """What happened in another process during the outage counts afterwards."""
    cookie = here.open()
    assert here.is_open(cookie)
    here.sessions.fails = True
    soon(here)
    with pytest.raises(StoreUnavailable):
        here.check.check(cookie)
    here.sessions.fails = False
    here.sessions.end(SessionId(cookie.partition(".")[0]))
    assert not here.is_open(cookie)


# --- peek ---


def test_peek_answers_what_memory_knows(here: Process) -> None:
    """A session checked a moment ago is answered without any store."""
    cookie = here.open()
    checked = here.check.check(cookie)
    here.sessions.asked.clear()
    assert here.check.peek(cookie) == checked
    assert here.sessions.asked == []


@pytest.mark.parametrize("moment", ["unknown", "log is old", "write is due", "idle limit", "absolute limit"])
def test_peek_never_touches_the_store(here: Process, moment: str) -> None:
    """Whatever peek cannot answer from memory it leaves open, without asking and without failing."""
    cookie = here.open()
    if moment != "unknown":
        assert here.is_open(cookie)
    if moment == "write is due":
        here.clock.advance(minutes=2)
        here.check.live.trusted_until = here.clock.ticks + 1
    if moment == "idle limit":
        here.clock.advance(hours=1)
        here.check.live.trusted_until = here.clock.ticks + 1
    if moment == "absolute limit":
        here.clock.advance(hours=4)
        here.check.live.trusted_until = here.clock.ticks + 1
    if moment == "log is old":
        soon(here)
    here.sessions.asked.clear()
    here.sessions.fails = True
    assert here.check.peek(cookie) is None
    assert here.sessions.asked == []


def test_peek_counts_as_a_request(here: Process) -> None:
    """A session that is only peeked at is in use, and its idle limit moves."""
    cookie = here.open()
    assert here.is_open(cookie)
    here.clock.advance(seconds=0.2)
    checked = here.check.peek(cookie)
    assert checked is not None
    assert checked.idle_expires_at(POLICY, now=here.clock.now()) == here.clock.now() + POLICY.idle
