"""The table in memory: bounded, found by session and by user, steered by nobody, and small."""

from __future__ import annotations

import secrets
import tracemalloc
from dataclasses import replace
from datetime import timedelta

import pytest

from entra.tokens import NOW, OBJECT_ID, TENANT
from entrada.accounts.identity import EntraIdentity, UserId
from entrada.accounts.principal import UserPrincipal
from entrada.entra.authority import ObjectId
from entrada.sessions import live as live_module
from entrada.sessions.live import LiveSession, LiveSessions, look_up
from entrada.sessions.session import Session
from entrada.sessions.token import SessionToken, new_session_token

IDENTITY = EntraIdentity(tenant_id=TENANT, object_id=ObjectId(OBJECT_ID))
ADA = UserPrincipal(
    user_id=UserId("a" * 32),
    identity=IDENTITY,
    name="Ada",
    email="ada@contoso.test",
    username="ada@contoso.test",
    roles=frozenset({"Admin"}),
)


def entry(token: SessionToken, person: UserPrincipal = ADA, *, good_until: float = 100.0) -> LiveSession:
    session = Session(
        id=token.id,
        secret_hash=token.secret_hash,
        user_id=person.user_id,
        identity=person.identity,
        created_at=NOW,
        last_seen_at=NOW,
        idle_expires_at=NOW,
        absolute_expires_at=NOW + timedelta(hours=1),
    )
    return LiveSession(session, person, good_until=good_until)


def table(*tokens: SessionToken, person: UserPrincipal = ADA) -> LiveSessions:
    made = LiveSessions(trusted_until=1_000.0)
    for token in tokens:
        assert made.put(token.id, entry(token, person), changes=made.changes)
    return made


def is_found(live: LiveSessions, token: SessionToken, *, now: float = 0.0) -> bool:
    return look_up(live, token.cookie_value.encode(), now) is not None


def test_a_live_session_gives_back_what_was_put_in() -> None:
    """The person, the times and the hash come out as they went in."""
    token = new_session_token()
    live = look_up(table(token), token.cookie_value.encode(), 0.0)
    assert live is not None
    assert live.principal == ADA
    assert (live.created_at, live.absolute_expires_at) == (NOW, NOW + timedelta(hours=1))
    assert live.secret_hash == token.secret_hash
    assert live.prepared is None


@pytest.mark.parametrize("text", [None, "", "ada", "Zoë 漢字", "\ud800", "a\x1fb", "\xfd\xfe\xff", "x" * 600])
def test_every_text_survives(text: str | None) -> None:
    """No name, address or username is taken for another, for an absent one, or for two."""
    for person in (
        replace(ADA, name=text or ""),
        replace(ADA, email=text),
        replace(ADA, username=text),
        replace(ADA, email=text, username=text),
        replace(ADA, email=None, username=text),
        replace(ADA, email=text, username=None),
    ):
        assert entry(new_session_token(), person).principal == person


@pytest.mark.parametrize(("now", "found"), [(99.9, True), (100.0, False)])
def test_F5_an_entry_answers_until_its_time(now: float, found: bool) -> None:
    """At the very moment until which an entry is good, memory says nothing more."""
    token = new_session_token()
    assert is_found(table(token), token, now=now) is found


def test_nothing_is_answered_when_the_log_was_not_looked_at() -> None:
    """A table that nobody keeps true finds nothing."""
    token = new_session_token()
    live = table(token)
    live.trusted_until = 50.0
    assert is_found(live, token, now=49.9)
    assert not is_found(live, token, now=50.0)


def test_F2_only_the_whole_cookie_finds() -> None:
    """Every altered character, a cut, a doubled or another separator: unknown."""
    token = new_session_token()
    live, good = table(token), token.cookie_value
    spoiled = [
        good[:number] + ("A" if good[number] != "A" else "B") + good[number + 1 :] for number in range(66)
    ]
    spoiled += [good[:-1], good + "A", good + " ", good[1:], "", good[:22], good[:23], good.replace(".", "")]
    assert is_found(live, token)
    assert [value for value in spoiled if look_up(live, value.encode(), 0.0)] == []


@pytest.mark.parametrize("value", [b"", b"\xed\xa0\x80", b"\x00" * 66, "é".encode() * 10_000])
def test_F4_odd_cookie_values_are_only_unknown(value: bytes) -> None:
    """No bytes make the look-up raise."""
    assert look_up(table(new_session_token()), value, 0.0) is None


def test_exactly_the_session_that_ended_goes() -> None:
    """Of several sessions of one person and of others, one is taken out."""
    tokens = [new_session_token() for _ in range(4)]
    live = table(*tokens)
    live.drop_session(tokens[1].id)
    live.drop_session("of nobody")
    assert [is_found(live, token) for token in tokens] == [True, False, True, True]


@pytest.mark.parametrize("number", [1, 2, 5])
def test_everything_of_a_user_goes_and_nothing_of_others(number: int) -> None:
    """However many sessions a user has, all go; other people's stay."""
    theirs, others = [new_session_token() for _ in range(number)], new_session_token()
    live = table(*theirs)
    ed = replace(ADA, user_id=UserId("e" * 32))
    live.put(others.id, entry(others, ed), changes=live.changes)
    live.drop_user(ADA.user_id)
    live.drop_user("nobody")
    assert [is_found(live, token) for token in [*theirs, others]] == [False] * number + [True]
    assert len(live) == 1


def test_what_was_taken_out_leaves_nothing_behind() -> None:
    """Put in, replaced, dropped singly, by user and by clearing: no index grows."""
    live, tokens = table(), [new_session_token() for _ in range(6)]
    for token in [*tokens, *tokens]:
        live.put(token.id, entry(token), changes=live.changes)
    for token in tokens[:5]:
        live.drop_session(token.id)
    assert live._of_user == {ADA.user_id: {tokens[5].id.encode()}}
    live.drop_session(tokens[5].id)
    assert (live._entries, live._of_user) == ({}, {})
    live.put(tokens[0].id, entry(tokens[0]), changes=live.changes)
    live.clear()
    assert (live._entries, live._of_user) == ({}, {})


def test_nothing_is_put_in_that_was_read_before_something_ended() -> None:
    """Whoever read a session before an ending was learnt may not know of it."""
    live, token = table(), new_session_token()
    before = live.changes
    live.drop_session("another")
    assert live.put(token.id, entry(token), changes=before) is False
    assert not is_found(live, token)


def test_the_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is full, what was put in longest ago goes, some at a time."""
    monkeypatch.setattr(live_module, "MOST_LIVE_SESSIONS", 5)
    monkeypatch.setattr(live_module, "DROPPED_WHEN_FULL", 2)
    tokens = [new_session_token() for _ in range(7)]
    live = table(*tokens)
    assert [is_found(live, token) for token in tokens] == [False, False, True, True, True, True, True]
    assert len(live) == 5
    assert sum(len(keys) for keys in live._of_user.values()) == 5


def test_no_secret_stands_in_the_table() -> None:
    """Neither the cookie's value nor its secret is anywhere in it or in its repr."""
    token = new_session_token()
    live = table(token)
    (held,) = live._entries.values()
    assert token.secret.encode() not in held._packed
    assert token.secret not in repr(live) + repr(held)
    assert token.id.encode() not in held._packed


def test_a_live_session_of_a_person_of_their_own_takes_at_most_half_a_kilobyte() -> None:
    """Ten thousand sessions of ten thousand people, everything counted that their entries hold alive."""
    live, count = LiveSessions(trusted_until=1.0), 10_000
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(count):
            user = UserId(secrets.token_hex(16))
            person = UserPrincipal(
                user_id=user,
                identity=EntraIdentity(tenant_id=TENANT, object_id=ObjectId(f"{number:08d}{OBJECT_ID[8:]}")),
                name=f"Firstname Lastname {number}",
                email=f"firstname.lastname.{number}@contoso.example",
                username=f"firstname.lastname.{number}@contoso.example",
                roles=frozenset({"Editor", "Viewer"}),
            )
            token = new_session_token()
            live.put(token.id, entry(token, person, good_until=number + 0.5), changes=live.changes)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(live) == count
    assert taken / count <= 500
