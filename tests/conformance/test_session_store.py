"""What `SessionStore` promises, sentence by sentence, of every implementation."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest

from conformance.samples import LATER, NOW, SOMEBODY, at_once, log_length, session, user_id
from conformance.stores import Stores
from entrada.sessions.revocation import ENTRIES_RETAINED, LogPosition, RevocationKind, Revocations
from entrada.sessions.session import SessionId
from entrada.sessions.store import SessionStore

# open and find


def test_what_is_opened_is_what_is_found(stores: Stores) -> None:
    """`find` gives the session as stored, to every process."""
    opened = session()
    stores.sessions.open(opened)
    assert stores.sessions.find(opened.id) == opened
    assert stores.another().sessions.find(opened.id) == opened


def test_a_session_without_sid_and_hint_is_kept(sessions: SessionStore) -> None:
    """What Entra did not send stays absent."""
    opened = session(entra_session_id=None, logout_hint=None)
    sessions.open(opened)
    assert sessions.find(opened.id) == opened


def test_F5_an_expired_session_is_found_as_stored(sessions: SessionStore) -> None:
    """`find` does not judge limits: the session check does, by its own clock."""
    opened = session(idle_expires_at=NOW - timedelta(days=9), absolute_expires_at=NOW - timedelta(days=8))
    sessions.open(opened)
    assert sessions.find(opened.id) == opened


def test_F2_only_the_whole_id_finds(sessions: SessionStore) -> None:
    """A truncated, extended, padded or altered id finds nothing."""
    opened = session(id=SessionId("AbCdEfGhIjKlMnOpQrStUv"))
    sessions.open(opened)
    id = opened.id
    spoiled = [id[:-1], id[1:], id.lower(), id.swapcase(), "B" + id[1:], "", "%", "_" * 22]
    for near in (*spoiled, *(id + end for end in "A= \0\ud800"), f"\0{id}"):
        assert sessions.find(SessionId(near)) is None, near


def test_F2_the_hash_of_the_secret_is_kept_and_not_shown(sessions: SessionStore) -> None:
    """All 32 bytes come back, NUL among them; the repr has none of them."""
    secret_hash = bytes([0, *hashlib.sha256(b"secret").digest()[1:]])
    opened = session(secret_hash=secret_hash)
    sessions.open(opened)
    found = sessions.find(opened.id)
    assert found is not None
    assert found.secret_hash == secret_hash
    assert "secret_hash" not in repr(found)


def test_an_id_in_use_is_a_mistake_of_the_caller(sessions: SessionStore) -> None:
    """ValueError when the id is taken; the session that has it stays as it is."""
    opened = session()
    sessions.open(opened)
    with pytest.raises(ValueError, match="open already"):
        sessions.open(replace(opened, user_id=user_id(2)))
    assert sessions.find(opened.id) == opened


def test_open_ends_the_session_it_replaces(stores: Stores) -> None:
    """The one it replaces ends in the same transaction, and other processes notice."""
    old, new, elsewhere = session(), session(), stores.another().sessions
    stores.sessions.open(old)
    before = log_length(elsewhere)
    stores.sessions.open(new, replaces=old.id)
    assert elsewhere.find(old.id) is None
    assert elsewhere.find(new.id) == new
    assert log_length(elsewhere) > before


def test_opening_without_anything_to_replace_disturbs_nobody(stores: Stores) -> None:
    """The log stays when no session ended, also when the one to replace is not there."""
    elsewhere = stores.another().sessions
    before = log_length(elsewhere)
    stores.sessions.open(session())
    stores.sessions.open(session(), replaces=SessionId("gone"))
    assert log_length(elsewhere) == before


# touch


def test_touch_moves_the_idle_limit(stores: Stores) -> None:
    """The time last seen and the idle limit move; nothing else does, and no live table is disturbed."""
    opened, other, elsewhere = session(), session(), stores.another().sessions
    stores.sessions.open(opened)
    stores.sessions.open(other)
    before = log_length(elsewhere)
    assert stores.sessions.touch(opened.id, last_seen_at=LATER, idle_expires_at=LATER + timedelta(hours=8))
    assert elsewhere.find(opened.id) == replace(
        opened, last_seen_at=LATER, idle_expires_at=LATER + timedelta(hours=8)
    )
    assert elsewhere.find(other.id) == other
    assert log_length(elsewhere) == before


def test_a_touch_after_the_end_does_not_bring_a_session_back(stores: Stores) -> None:
    """K43: an ended session stays ended, no row is made, and whoever touches it is told."""
    opened = session()
    stores.sessions.open(opened)
    stores.another().sessions.end(opened.id)
    assert not stores.sessions.touch(opened.id, last_seen_at=LATER, idle_expires_at=LATER)
    assert stores.sessions.find(opened.id) is None


def test_touches_racing_with_the_end_lose(sessions: SessionStore) -> None:
    """However many touch while one ends: the session stays ended."""
    for _ in range(5):
        opened = session()
        sessions.open(opened)

        def touch_or_end(number: int, id: SessionId = opened.id) -> None:
            if number == 3:
                sessions.end(id)
            else:
                sessions.touch(id, last_seen_at=LATER, idle_expires_at=LATER)

        assert at_once(8, touch_or_end) == [None] * 8
        assert sessions.find(opened.id) is None


# ending


def test_E8_an_ended_session_is_gone_everywhere(stores: Stores) -> None:
    """True if it was there; then no process finds it, and the log has."""
    opened, other, elsewhere = session(), session(), stores.another().sessions
    stores.sessions.open(opened)
    stores.sessions.open(other)
    before = log_length(elsewhere)
    assert stores.sessions.end(opened.id) is True
    assert elsewhere.find(opened.id) is None
    assert log_length(elsewhere) > before
    assert elsewhere.find(other.id) == other


def test_ending_what_is_not_there(stores: Stores) -> None:
    """False, and no process is disturbed."""
    elsewhere = stores.another().sessions
    before = log_length(elsewhere)
    assert stores.sessions.end(SessionId("never there")) is False
    assert log_length(elsewhere) == before


def test_of_many_who_end_one_session_one_did(sessions: SessionStore) -> None:
    """Twenty end it at once: exactly one is told that it was there."""
    opened = session()
    sessions.open(opened)
    assert sorted(map(str, at_once(20, lambda _: sessions.end(opened.id)))) == ["False"] * 19 + ["True"]


def test_E10_exactly_the_sessions_with_that_sid_end(stores: Stores) -> None:
    """End every session with this `sid`; how many there were."""
    theirs = [session(entra_session_id="sid-1"), session(user_id(2), entra_session_id="sid-1")]
    near = ("SID-1", "sid-1 ", "sid-", "sid-11", "sid_1", "", None)
    others = [session(entra_session_id=sid) for sid in near]
    for each in (*theirs, *others):
        stores.sessions.open(each)
    elsewhere = stores.another().sessions
    before = log_length(elsewhere)
    assert stores.sessions.end_by_entra_session("sid-1") == 2
    assert [elsewhere.find(each.id) for each in theirs] == [None, None]
    assert [elsewhere.find(each.id) for each in others] == others
    assert log_length(elsewhere) > before


@pytest.mark.parametrize(
    "sid", ["unknown", "%", "_", "a-sid\0", "\0", "\ud800", "x" * 100_000, "' OR 1=1 --"]
)
def test_E10_K21_a_made_up_sid_ends_nothing_and_disturbs_nobody(stores: Stores, sid: str) -> None:
    """What a stranger sends to the front-channel address costs no live table its trust."""
    opened = session(entra_session_id="a-sid")
    stores.sessions.open(opened)
    elsewhere = stores.another().sessions
    before = log_length(elsewhere)
    assert stores.sessions.end_by_entra_session(sid) == 0
    assert elsewhere.find(opened.id) == opened
    assert log_length(elsewhere) == before


def test_E15_every_session_of_a_user_ends(stores: Stores) -> None:
    """End every session of a user; how many there were."""
    theirs, other = [session(user_id(1)) for _ in range(3)], session(user_id(2))
    for each in (*theirs, other):
        stores.sessions.open(each)
    elsewhere = stores.another().sessions
    before = log_length(elsewhere)
    assert stores.sessions.end_of_user(user_id(1)) == 3
    assert [elsewhere.find(each.id) for each in theirs] == [None] * 3
    assert elsewhere.find(other.id) == other
    assert log_length(elsewhere) > before
    assert stores.sessions.end_of_user(user_id(1)) == 0


# spent sign-ins


def test_a_sign_in_is_spent_once(stores: Stores) -> None:
    """True for the first caller with this id, False for every later one, in all processes."""
    assert stores.sessions.spend_sign_in("one", expires_at=LATER) is True
    assert stores.sessions.spend_sign_in("one", expires_at=LATER) is False
    assert stores.another().sessions.spend_sign_in("one", expires_at=LATER + timedelta(1)) is False
    assert stores.another().sessions.spend_sign_in("two", expires_at=LATER) is True


def test_of_many_who_spend_one_sign_in_one_may(stores: Stores) -> None:
    """Forty threads over two openings of the store: exactly one True."""
    openings = [stores.sessions, stores.another().sessions]
    spent = at_once(40, lambda number: openings[number % 2].spend_sign_in("one", expires_at=LATER))
    assert sorted(map(str, spent)) == ["False"] * 39 + ["True"]


def test_spending_disturbs_nobody(sessions: SessionStore) -> None:
    """The log is about sessions and users only."""
    before = log_length(sessions)
    sessions.spend_sign_in("one", expires_at=LATER)
    assert log_length(sessions) == before


# the log of what ended


def told(store: SessionStore, since: LogPosition) -> list[tuple[RevocationKind, str]]:
    """What the log names after `since`, which must be all there was."""
    revocations = store.revocations(since)
    assert revocations.is_complete
    assert not revocations.went_back
    return [(entry.kind, entry.subject) for entry in revocations.entries]


def test_the_log_names_exactly_what_ended(stores: Stores) -> None:
    """A session by its id, a `sid` by the sessions it named, a user's sessions by the user."""
    elsewhere = stores.another().sessions
    one, old, new = session(), session(), session()
    of_sid = [session(entra_session_id="sid-1") for _ in range(2)]
    of_user = [session(user_id(7)) for _ in range(2)]
    for each in (one, old, *of_sid, *of_user):
        stores.sessions.open(each)
    since = elsewhere.revocations(None).position
    stores.sessions.end(one.id)
    stores.sessions.open(new, replaces=old.id)
    stores.sessions.end_by_entra_session("sid-1")
    stores.sessions.end_of_user(user_id(7))
    stores.sessions.note_rights_changed(user_id(8))
    named = told(elsewhere, since)
    assert named[:2] == [(RevocationKind.SESSION, one.id), (RevocationKind.SESSION, old.id)]
    assert sorted(subject for _, subject in named[2:4]) == sorted(each.id for each in of_sid)
    assert named[4:] == [(RevocationKind.USER, user_id(7)), (RevocationKind.RIGHTS, user_id(8))]


def test_the_log_is_read_from_where_one_was(stores: Stores) -> None:
    """Each reading gives what came after the one before, once; nothing where nothing ended."""
    elsewhere = stores.another().sessions
    since = elsewhere.revocations(None).position
    for number in range(3):
        stores.sessions.note_rights_changed(user_id(number))
        revocations = elsewhere.revocations(since)
        assert [entry.subject for entry in revocations.entries] == [user_id(number)]
        since = revocations.position
        assert elsewhere.revocations(since) == Revocations(position=since)
        assert stores.sessions.revocations(since) == Revocations(position=since)


def test_a_reader_without_a_position_has_nothing_to_drop(stores: Stores) -> None:
    """Whoever remembers nothing is told only where the log stands."""
    stores.sessions.note_rights_changed(SOMEBODY)
    fresh = stores.another().sessions.revocations(None)
    assert fresh == Revocations(position=stores.sessions.revocations(None).position)


def test_note_rights_changed_is_seen_by_every_process_at_once(stores: Stores) -> None:
    """The log grows with each call and another opening sees it in its next call."""
    elsewhere = stores.another().sessions
    for _ in range(3):
        before = log_length(elsewhere)
        assert log_length(stores.sessions) == before
        stores.sessions.note_rights_changed(SOMEBODY)
        assert log_length(elsewhere) == log_length(stores.sessions) == before + 1


def test_no_entry_is_lost_among_many(stores: Stores) -> None:
    """Twenty endings at once over two openings are twenty entries, in order and without a gap."""
    openings = [stores.sessions, stores.another().sessions]
    since = stores.sessions.revocations(None).position
    opened = [session() for _ in range(20)]
    for each in opened:
        stores.sessions.open(each)
    assert at_once(20, lambda number: openings[number % 2].end(opened[number].id)) == [True] * 20
    for store in openings:
        entries = store.revocations(since).entries
        assert sorted(entry.subject for entry in entries) == sorted(each.id for each in opened)
        first = since.sequence + 1
        assert [entry.sequence for entry in entries] == list(range(first, first + 20))


def test_who_is_further_behind_than_the_log_reaches_is_told_so(sessions: SessionStore) -> None:
    """The log is bounded; what it has forgotten is not passed over in silence, nor taken for a backup."""
    sessions.note_rights_changed(SOMEBODY)
    since = sessions.revocations(None).position
    for _ in range(ENTRIES_RETAINED + 200):
        sessions.note_rights_changed(SOMEBODY)
    behind = sessions.revocations(since)
    assert (behind.is_complete, behind.went_back) == (False, False)
    assert told(sessions, behind.position) == []


@pytest.mark.parametrize("ahead", [1, 1_000_000])
def test_K6_a_position_of_the_future_means_that_the_store_went_back(stores: Stores, ahead: int) -> None:
    """Whoever has read further than this log reaches knows of endings that it has lost."""
    stores.sessions.open(session())
    stores.sessions.note_rights_changed(SOMEBODY)
    position = stores.sessions.revocations(None).position
    known = LogPosition(position.sequence + ahead, 1)
    assert stores.sessions.revocations(known).went_back
    assert stores.another().sessions.revocations(known).went_back


def test_K6_the_same_number_in_another_history_means_that_the_store_went_back(stores: Stores) -> None:
    """As many endings after the restore as were lost by it do not make it the history that was."""
    stores.sessions.note_rights_changed(SOMEBODY)
    position = stores.sessions.revocations(None).position
    stores.sessions.note_rights_changed(SOMEBODY)
    assert stores.sessions.revocations(LogPosition(position.sequence, position.nonce + 1)).went_back


def test_K6_after_end_all_everybody_goes_on_from_the_new_history(stores: Stores) -> None:
    """Every session is over, the log continues behind what was lost, and who knew that doubts all once."""
    elsewhere, opened = stores.another().sessions, [session(user_id(number)) for number in range(3)]
    for each in opened:
        stores.sessions.open(each)
    stores.sessions.note_rights_changed(SOMEBODY)
    position = stores.sessions.revocations(None).position
    lost = LogPosition(position.sequence + 40, 1)
    assert stores.sessions.end_all(since=lost) == 3
    assert [elsewhere.find(each.id) for each in opened] == [None] * 3
    assert log_length(elsewhere) > lost.sequence
    for known in (lost, position, LogPosition(position.sequence + 7, 1)):
        after = elsewhere.revocations(known)
        assert (after.is_complete, after.went_back) == (False, False)
        assert elsewhere.revocations(after.position) == Revocations(position=after.position)
    assert stores.sessions.end_all() == 0


# count


def test_count_is_of_sessions_within_their_limits(stores: Stores) -> None:
    """What is past either limit is not counted, pruned or not."""
    assert stores.sessions.count(now=NOW) == 0
    for each in (
        session(idle_expires_at=NOW),
        session(absolute_expires_at=NOW),
        session(idle_expires_at=LATER, absolute_expires_at=LATER),
    ):
        stores.sessions.open(each)
    assert stores.another().sessions.count(now=NOW) == 1


# prune


def test_prune_forgets_what_is_past_its_limits(stores: Stores) -> None:
    """Sessions past either limit and spent sign-ins past theirs; how many rows. The others stay."""
    idle = session(idle_expires_at=NOW - timedelta(seconds=1))
    absolute = session(absolute_expires_at=NOW - timedelta(seconds=1))
    live = session(idle_expires_at=LATER, absolute_expires_at=LATER)
    for each in (idle, absolute, live):
        stores.sessions.open(each)
    stores.sessions.spend_sign_in("past", expires_at=NOW - timedelta(seconds=1))
    stores.sessions.spend_sign_in("under way", expires_at=LATER)
    assert stores.sessions.prune(now=NOW) == 3
    elsewhere = stores.another().sessions
    assert [elsewhere.find(each.id) for each in (idle, absolute, live)] == [None, None, live]
    assert elsewhere.spend_sign_in("under way", expires_at=LATER) is False
    assert stores.sessions.prune(now=NOW) == 0


def test_pruning_disturbs_nobody(sessions: SessionStore) -> None:
    """What is past its limit was over already: no live table needs to look again."""
    sessions.open(session(idle_expires_at=NOW - timedelta(1)))
    before = log_length(sessions)
    assert sessions.prune(now=NOW) == 1
    assert log_length(sessions) == before
