"""A PostgreSQL with a standby, and one that speaks TLS, by one URL.

Heavy: real servers.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from clients.postgres import running_postgres, running_standby
from conformance.samples import ADA, identity, log_length
from entrada.errors import StoreUnavailable
from entrada.storage.sql import Database, SqlSessionStore, connect
from entrada.storage.sql.migrations import HEAD, VERSION_TABLE
from gateway.authority import Authority, new_authority
from storage.forked import DONE, ending_of, fork, kill
from storage.servers import check_over, other_program, signed_in, until

pytestmark = pytest.mark.heavy

WAIT = timedelta(seconds=4)
LAST_SAID = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE %s AND pid <> pg_backend_pid()"
"""How many connections' last statement looks like that."""


@contextmanager
def opened(url: str) -> Iterator[Database]:
    with closing(connect(url, wait=WAIT)) as database:
        yield database


def test_fault_15_a_fail_over_that_loses_what_had_ended() -> None:
    """Somebody is signed out, and the primary goes before its standby has heard of it. While it could only be
    read, the standby was refused; promoted, it is found by the same URL. The lost ending is noticed by who
    knew of it, and the session is not let in again."""
    with running_postgres("entrada") as primary, running_standby(primary) as standby:
        both = f"postgresql://postgres@{standby.address},{primary}/entrada"
        with opened(both) as database:
            database.migrate()
            sessions, check = SqlSessionStore(database), check_over(database)
            _, ended, cookie = signed_in(database, identity(1), ADA)
            _, _, another = signed_in(database, identity(2), ADA)
            assert check.check(cookie) is not None
            standby.has_caught_up()
            with (
                opened(f"postgresql://postgres@{standby.address}/entrada") as alone,
                pytest.raises(StoreUnavailable, match="only be read"),
            ):
                log_length(SqlSessionStore(alone))
            standby.fall_behind()
            sessions.end(ended.id)
            until(lambda: check.check(cookie) is None)
            standby.kill_the_primary()
            standby.promote()
            until(lambda: is_answered(sessions))
            assert sessions.find(ended.id) is not None, "the standby had heard of it: nothing is shown"
            check.distrust()
            assert check.check(cookie) is None
            assert check.check(another) is None
            assert sessions.find(ended.id) is None


def is_answered(sessions: SqlSessionStore) -> bool:
    try:
        log_length(sessions)
    except StoreUnavailable:
        return False
    return True


def test_tls_with_an_authority_of_ones_own(tmp_path: Path) -> None:
    """verify-full accepts the server whose certificate that authority signed for this name, and nobody else;
    channel_binding asks for a server that proves to know the password over this very connection."""
    ours, others = new_authority(tmp_path / "ours"), new_authority(tmp_path / "others")
    with running_postgres("entrada") as address:
        with other_program(f"postgresql://postgres@{address}/entrada") as they:
            speak_tls(they, ours)
        port = address.rpartition(":")[2]

        def url(host: str, authority: Authority, *, user: str = "postgres", more: str = "") -> str:
            options = f"sslmode=verify-full&sslrootcert={quote(str(authority.ca_file))}{more}"
            return f"postgresql://{user}@{host}:{port}/entrada?{options}"

        with opened(url("localhost", ours)) as database:
            database.migrate()
            with database.reading() as connection:
                question = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
                assert connection.exec_driver_sql(question).scalar() is True
            listener = database.listening(lambda: None)
            assert listener is not None
            listener.start()
            until(lambda: listener.is_listening)
            listener.close()
        for wrong in (
            url("localhost", others),
            url("127.0.0.1", ours),
            url("localhost", ours, more="&channel_binding=require"),
        ):
            with opened(wrong) as database, pytest.raises(StoreUnavailable, match="cannot be reached"):
                log_length(SqlSessionStore(database))
        bound = url("localhost", ours, user="ada:correct-horse", more="&channel_binding=require")
        with opened(bound) as database, database.reading() as connection:
            assert connection.exec_driver_sql("SELECT current_user").scalar() == "ada"


def speak_tls(they: psycopg.Connection, authority: Authority) -> None:
    """The server answers with a certificate for `localhost`; ada has a password there."""
    folder = Path(str((they.execute("SHOW data_directory").fetchone() or ("",))[0]))
    certificate = Path(shutil.copy(authority.certify("localhost"), folder / "server.pem"))
    certificate.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(certificate, folder.stat().st_uid, folder.stat().st_gid)
    hba = folder / "pg_hba.conf"
    hba.write_text(f"hostssl all ada 127.0.0.1/32 scram-sha-256\n{hba.read_text('utf-8')}", "utf-8")
    they.execute("CREATE ROLE ada LOGIN PASSWORD 'correct-horse'")
    they.execute("ALTER SYSTEM SET ssl_cert_file = 'server.pem'")
    they.execute("ALTER SYSTEM SET ssl_key_file = 'server.pem'")
    they.execute("ALTER SYSTEM SET ssl = on")
    they.execute("SELECT pg_reload_conf()")
    until(lambda: they.execute("SHOW ssl").fetchone() == ("on",))


def test_fault_21_a_server_that_is_killed_while_it_makes_the_tables() -> None:
    """Killed inside of it, nothing of it is there, and the one that waits for it makes them all."""
    with running_postgres("entrada") as address:
        url = f"postgresql://postgres@{address}/entrada"

        def die_in_the_middle() -> None:
            with opened(url) as database, database._migrating() as connection:
                connection.exec_driver_sql("CREATE TABLE entrada_user (half int)")
                connection.exec_driver_sql("SELECT pg_notify('half', '')")
                signal.pause()

        def wait_and_make() -> None:
            with opened(url) as database:
                database.migrate()

        with other_program(url) as they:
            first = fork(die_in_the_middle)
            try:
                until(lambda: they.execute(LAST_SAID, ["%pg_notify%"]).fetchone() == (1,))
                second = fork(wait_and_make)
                until(lambda: they.execute(LAST_SAID, ["%advisory%"]).fetchone() == (1,))
            finally:
                kill(first)
            assert ending_of(first) == -signal.SIGKILL
            assert ending_of(second) == DONE
            assert they.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchall() == [(HEAD,)]
