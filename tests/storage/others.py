"""What other processes do in these tests."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable

from conformance.samples import ADA, NOW, at_once, counted, from_entra, identity, session, user_id
from entrada.storage.sql import SqlAccountStore, SqlSessionStore, connect
from storage.forked import in_child, said_by


def in_processes(number: int, work: Callable[..., Counter[str]], *arguments: object) -> Counter[str]:
    """What `work` counted in `number` processes that do it at once."""
    children = [in_child(lambda: json.dumps(work(*arguments))) for _ in range(number)]
    return sum((Counter(json.loads(said_by(child))) for child in children), start=Counter())


def create_the_same(url: str, threads: int) -> Counter[str]:
    """Every thread signs the same person in for the first time."""
    database = connect(url)
    accounts = SqlAccountStore(database)
    results = at_once(
        threads,
        lambda _: accounts.create(
            user_id=user_id(), identity=identity(), profile=ADA, entra_grants=[], now=NOW
        ),
    )
    database.close()
    return counted(results)


def sign_in_often(url: str, threads: int, each: int) -> Counter[str]:
    """Every thread signs user 1 in, `each` times, with roles of its own: reading, then writing."""
    database = connect(url)
    accounts, sessions = SqlAccountStore(database), SqlSessionStore(database)

    def work(thread: int) -> None:
        for number in range(each):
            opened = session(user_id(1))
            assert sessions.spend_sign_in(opened.id, expires_at=NOW)
            accounts.record_sign_in(
                user_id=user_id(1),
                identity=identity(1),
                profile=ADA,
                entra_grants=[from_entra(f"role {thread}"), from_entra(f"role {number}")],
                now=NOW,
            )
            sessions.open(opened)
            sessions.touch(opened.id, last_seen_at=NOW, idle_expires_at=NOW)
            assert sessions.find(opened.id) is not None

    results = at_once(threads, work)
    database.close()
    return counted(results)


def end_and_look(url: str, times: int) -> Counter[str]:
    """One thread ends sessions, one looks at the log with and without a position."""
    database = connect(url)
    sessions = SqlSessionStore(database)

    def work(number: int) -> str:
        position = sessions.revocations(None).position
        for _ in range(times):
            if number:
                opened = session()
                sessions.open(opened)
                sessions.end(opened.id)
            else:
                seen = sessions.revocations(position)
                if seen.went_back or sessions.revocations(None).went_back:
                    return "doubted"
                position = seen.position
        return "went on"

    said = at_once(2, work)
    database.close()
    return Counter({"went on": 1}) if said == ["went on"] * 2 else Counter(map(str, said))


def migrate(url: str, threads: int) -> Counter[str]:
    """Every thread opens the database for itself and prepares it."""

    def work(_: int) -> None:
        database = connect(url)
        database.migrate()
        database.close()

    return counted(at_once(threads, work))
