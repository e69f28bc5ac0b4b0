"""Who left a watched directory has neither access at the broker nor grants: both, or neither of the two."""

from __future__ import annotations

import signal
from pathlib import Path

from broker.world import ADA, APP, OTHER
from conformance.samples import ADA as PROFILE
from conformance.samples import NOW, user_id
from conformance.test_broker_store import SEALER, a_grant, code_for
from entrada.accounts.sealed_sign_ins import SealedSignIn
from entrada.broker.directory import DirectoryWithGrants
from entrada.broker.grants import Grant
from entrada.broker.sql_store import SqlBrokerStore
from entrada.storage.sql import SqlAccountStore, connect
from entrada.storage.sql.database import Database
from entrada.storage.sql.directory import SqlDirectory
from entrada.storage.sql.sealed_sign_ins import SqlSealedSignIns
from storage.forked import DONE, die_before_statement, ending_of, fork
from storage.prepared import prepared_copy


def opened(url: str) -> tuple[Database, DirectoryWithGrants, SqlBrokerStore]:
    database = connect(url)
    grants = SqlBrokerStore(database, sealer=SEALER)
    return database, DirectoryWithGrants(database, SqlDirectory(database), grants), grants


def link_of(directory: DirectoryWithGrants) -> SealedSignIn:
    (link,) = directory.linked(ADA.tenant_id, [ADA.object_id])
    return link


def begin(grants: SqlBrokerStore, grant: Grant) -> None:
    grants.open_grant(grant, code_for(grant))


def test_killed_at_any_step_a_leaver_has_lost_everything_or_nothing(tmp_path: Path) -> None:
    """The look that follows ends what the killed one has not: access at the broker and every grant."""
    killed, endings = 0, set()
    for number in range(30):
        url = prepared_copy(tmp_path / f"{number}.db")
        database, directory, grants = opened(url)
        SqlAccountStore(database).create(
            user_id=user_id(1), identity=ADA, profile=PROFILE, entra_grants=[], now=NOW
        )
        SqlSealedSignIns(database).remember(
            ADA, user_id=user_id(1), sealed_sign_in="sealed", now=NOW, next_check_at=NOW
        )
        for app in (APP, OTHER):
            begin(grants, a_grant(client_id=app.client_id))
        link = link_of(directory)
        database.close()

        def end(number: int = number, url: str = url, link: SealedSignIn = link) -> None:
            die_before_statement(number)
            _, directory, _ = opened(url)
            directory.end_access(link, because="disabled in the directory", now=NOW)

        ending = ending_of(fork(end))
        database, directory, grants = opened(url)
        is_over, left = link_of(directory).ended_at is not None, len(grants.grants_of_person(ADA))
        assert (is_over, left) in {(True, 0), (False, 2)}
        endings.add(is_over)
        if not is_over:
            assert directory.end_access(link_of(directory), because="disabled in the directory", now=NOW)
            assert link_of(directory).ended_at is not None
        assert grants.grants_of_person(ADA) == []
        assert len(grants.due_deliveries(now=NOW, claim_until=NOW, limit=9)) == 2
        database.close()
        killed += ending == -signal.SIGKILL
        if ending == DONE:
            break
    assert killed >= 8
    assert endings == {True, False}


def test_who_has_grants_alone_is_known_and_loses_them(tmp_path: Path) -> None:
    """Somebody who never signed in at the broker itself: once, and nothing is left to end."""
    database, directory, grants = opened(prepared_copy(tmp_path / "entrada.db"))
    begin(grants, a_grant())
    link = link_of(directory)
    assert directory.end_access(link, because="disabled in the directory", now=NOW)
    assert grants.grants_of_person(ADA) == []
    assert not directory.end_access(link, because="disabled in the directory", now=NOW)
    database.close()
