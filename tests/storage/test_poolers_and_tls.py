"""PostgreSQL as others run it: behind PgBouncer, over TLS with an authority of its own, with a standby.

Heavy: real servers.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from clients.postgres import running_postgres
from conformance.samples import ADA, NOW, at_once, identity, session, user_id
from entrada.errors import StoreUnavailable
from entrada.storage.sql import Database, SqlAccountStore, SqlLeases, SqlSessionStore, connect
from house import tools
from storage.others import in_processes, migrate
from storage.servers import other_program, until

pytestmark = pytest.mark.heavy

WAIT = timedelta(seconds=3)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running_postgres("entrada", "other") as address:
        yield address


def is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def pgbouncer(server: str, mode: str) -> Iterator[str]:
    """A PgBouncer with two connections to the server; its `host:port`."""
    port, (host, _, behind) = tools.free_port(), server.partition(":")
    folder = Path(tempfile.mkdtemp(prefix="entrada-pgbouncer-"))
    (folder / "users.txt").write_text('"postgres" ""\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={host} port={behind}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {folder}/users.txt\n"
        f"pool_mode = {mode}\ndefault_pool_size = {2 if mode == 'transaction' else 20}\n"
        f"max_client_conn = 200\nlogfile = {folder}/log\npidfile = {folder}/pid\n"
    )
    unprivileged = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    if unprivileged:
        for each in (folder, *folder.iterdir()):
            os.chown(each, 65534, 65534)
    with subprocess.Popen(
        [tools.command_path("pgbouncer"), "-q", str(folder / "pgbouncer.ini")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **unprivileged,  # type: ignore[call-overload]  # whom it runs as
    ) as process:
        try:
            until(lambda: is_listening(port))
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def pooled(server: str) -> Iterator[str]:
    with pgbouncer(server, "transaction") as address:
        yield f"postgresql://postgres@{address}/entrada"


@contextmanager
def opened(url: str) -> Iterator[Database]:
    with closing(connect(url, wait=WAIT)) as database:
        yield database


def test_behind_pgbouncer_in_transaction_mode_several_start_and_work_at_once(
    server: str, pooled: str
) -> None:
    """Tables are made once by eight who start together; sixteen threads over two connections sign in, write,
    read and end, more often than a statement takes to be prepared; nothing set stays for others."""
    assert in_processes(2, migrate, pooled, 4) == {"NoneType": 8}
    with opened(pooled) as database:
        accounts, sessions = SqlAccountStore(database), SqlSessionStore(database)

        def work(number: int) -> int:
            user = user_id(1000 + number)
            accounts.create(user_id=user, identity=identity(number), profile=ADA, entra_grants=[], now=NOW)
            for _ in range(8):
                mine = session(user)
                sessions.open(mine)
                assert sessions.find(mine.id) == mine
                assert sessions.touch(mine.id, last_seen_at=NOW, idle_expires_at=NOW)
            return sessions.end_of_user(user)

        assert at_once(16, work) == [8] * 16
        lease = SqlLeases(database).take("job", holder="a", life=timedelta(minutes=1))
        assert lease is not None
        assert SqlLeases(database).take("job", holder="b", life=timedelta(minutes=1)) is None
    with other_program(pooled) as they:
        for _ in range(6):
            assert they.execute("SHOW statement_timeout").fetchone() == ("0",)


def test_behind_pgbouncer_a_statement_still_ends_in_time(pooled: str) -> None:
    """The time is set for the transaction, where a connection cannot have it for itself."""
    with opened(pooled) as database, pytest.raises(StoreUnavailable, match="too long"):
        wait_for_nothing(database)


def wait_for_nothing(database: Database) -> None:
    with database.writing() as connection:
        connection.exec_driver_sql("SELECT pg_sleep(60)")


def test_behind_pgbouncer_in_transaction_mode_no_message_comes_and_it_is_said_once(
    pooled: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Found out by a message to oneself; what ends is found by asking."""
    with opened(pooled) as database, caplog.at_level(logging.WARNING, logger="entrada"):
        database.migrate()
        listener = database.listening(lambda: None)
        assert listener is not None
        listener.start()
        until(lambda: "messages do not come through" in caplog.text)
        assert not listener.is_listening
        listener.close()
    assert caplog.text.count("messages do not come through") == 1


def test_behind_pgbouncer_in_session_mode_messages_come(server: str) -> None:
    """As without it."""
    with (
        pgbouncer(server, "session") as address,
        opened(f"postgresql://postgres@{address}/entrada") as database,
    ):
        database.migrate()
        heard: list[float] = []
        listener = database.listening(lambda: heard.append(time.monotonic()))
        assert listener is not None
        listener.start()
        until(lambda: listener.is_listening)
        before = len(heard)
        SqlSessionStore(database).note_rights_changed(user_id(3))
        until(lambda: len(heard) > before, seconds=1)
        listener.close()
