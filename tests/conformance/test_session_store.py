"""What `SessionStore` promises, sentence by sentence, of every implementation."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest

from conformance.samples import LATER, NOW, at_once, session, user_id
from conformance.stores import Stores
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
    before = elsewhere.revocation_epoch()
    stores.sessions.open(new, replaces=old.id)
    assert elsewhere.find(old.id) is None
    assert elsewhere.find(new.id) == new
    assert elsewhere.revocation_epoch() > before


def test_opening_without_anything_to_replace_disturbs_nobody(stores: Stores) -> None:
    """The epoch stays when no session ended, also when the one to replace is not there."""
    elsewhere = stores.another().sessions
    before = elsewhere.revocation_epoch()
    stores.sessions.open(session())
    stores.sessions.open(session(), replaces=SessionId("gone"))
    assert elsewhere.revocation_epoch() == before


# touch


def test_touch_moves_the_idle_limit(stores: Stores) -> None:
    """The time last seen and the idle limit move; nothing else does, and no live table is disturbed."""
    opened, other, elsewhere = session(), session(), stores.another().sessions
    stores.sessions.open(opened)
    stores.sessions.open(other)
    before = elsewhere.revocation_epoch()
    stores.sessions.touch(opened.id, last_seen_at=LATER, idle_expires_at=LATER + timedelta(hours=8))
    assert elsewhere.find(opened.id) == replace(
        opened, last_seen_at=LATER, idle_expires_at=LATER + timedelta(hours=8)
    )
    assert elsewhere.find(other.id) == other
    assert elsewhere.revocation_epoch() == before


def test_a_touch_after_the_end_does_not_bring_a_session_back(stores: Stores) -> None:
    """An ended session stays ended: no row is made."""
    opened = session()
    stores.sessions.open(opened)
    stores.another().sessions.end(opened.id)
    stores.sessions.touch(opened.id, last_seen_at=LATER, idle_expires_at=LATER)
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
    """True if it was there; then no process finds it, and the epoch has grown."""
    opened, other, elsewhere = session(), session(), stores.another().sessions
    stores.sessions.open(opened)
    stores.sessions.open(other)
    before = elsewhere.revocation_epoch()
    assert stores.sessions.end(opened.id) is True
    assert elsewhere.find(opened.id) is None
    assert elsewhere.revocation_epoch() > before
    assert elsewhere.find(other.id) == other


def test_ending_what_is_not_there(stores: Stores) -> None:
    """False, and no process is disturbed."""
    elsewhere = stores.another().sessions
    before = elsewhere.revocation_epoch()
    assert stores.sessions.end(SessionId("never there")) is False
    assert elsewhere.revocation_epoch() == before


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
    before = elsewhere.revocation_epoch()
    assert stores.sessions.end_by_entra_session("sid-1") == 2
    assert [elsewhere.find(each.id) for each in theirs] == [None, None]
    assert [elsewhere.find(each.id) for each in others] == others
    assert elsewhere.revocation_epoch() > before


@pytest.mark.parametrize(
    "sid", ["unknown", "%", "_", "a-sid\0", "\0", "\ud800", "x" * 100_000, "' OR 1=1 --"]
)
def test_E10_a_made_up_sid_ends_nothing_and_disturbs_nobody(stores: Stores, sid: str) -> None:
    """What a stranger sends to the front-channel address costs no live table its trust."""
    opened = session(entra_session_id="a-sid")
    stores.sessions.open(opened)
    elsewhere = stores.another().sessions
    before = elsewhere.revocation_epoch()
    assert stores.sessions.end_by_entra_session(sid) == 0
    assert elsewhere.find(opened.id) == opened
    assert elsewhere.revocation_epoch() == before


def test_E15_every_session_of_a_user_ends(stores: Stores) -> None:
    """End every session of a user; how many there were."""
    theirs, other = [session(user_id(1)) for _ in range(3)], session(user_id(2))
    for each in (*theirs, other):
        stores.sessions.open(each)
    elsewhere = stores.another().sessions
    before = elsewhere.revocation_epoch()
    assert stores.sessions.end_of_user(user_id(1)) == 3
    assert [elsewhere.find(each.id) for each in theirs] == [None] * 3
    assert elsewhere.find(other.id) == other
    assert elsewhere.revocation_epoch() > before
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
    """The epoch is about sessions and users only."""
    before = sessions.revocation_epoch()
    sessions.spend_sign_in("one", expires_at=LATER)
    assert sessions.revocation_epoch() == before


# the epoch


def test_note_change_is_seen_by_every_process_at_once(stores: Stores) -> None:
    """The epoch grows with each call and another opening sees it in its next call."""
    elsewhere = stores.another().sessions
    for _ in range(3):
        before = elsewhere.revocation_epoch()
        assert stores.sessions.revocation_epoch() == before
        stores.sessions.note_change()
        assert elsewhere.revocation_epoch() > before
        assert stores.sessions.revocation_epoch() == elsewhere.revocation_epoch()


def test_no_change_is_lost_among_many(stores: Stores) -> None:
    """Twenty changes at once over two openings grow it by twenty at least, never backwards for a reader."""
    openings = [stores.sessions, stores.another().sessions]
    before = stores.sessions.revocation_epoch()

    def change_and_read(number: int) -> bool:
        seen = openings[number % 2].revocation_epoch()
        openings[number % 2].note_change()
        return openings[number % 2].revocation_epoch() > seen

    assert at_once(20, change_and_read) == [True] * 20
    assert openings[1].revocation_epoch() >= before + 20


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
    before = sessions.revocation_epoch()
    assert sessions.prune(now=NOW) == 1
    assert sessions.revocation_epoch() == before
