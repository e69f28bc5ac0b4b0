"""Several processes and one chain: at once, and killed in the middle, on both engines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conformance.samples import ADA, NOW, identity, user_id
from conformance.stores import SHARED, Stores
from entrada.audit.chain import AuditEntry
from entrada.audit.verify import verify

WRITER = """
import sys
from conformance.samples import NOW, session, user_id
from entrada.build import open_stores
stores = open_stores(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[2])):
    opened = session(user_id(1))
    stores.sessions.open(opened)
    stores.accounts.grant_role(user_id(1), role=f"{sys.argv[3]} {number}", granted_by="x", now=NOW)
    stores.sessions.end(opened.id)
    if number == 3:
        print("under way", flush=True)
"""
ENDLESS = 10**6

shared = pytest.mark.parametrize("stores", SHARED, indirect=True)


def writer(stores: Stores, name: str, count: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, stores.database_url or "", str(count), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def let_go(*processes: subprocess.Popen[bytes]) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()


def close(process: subprocess.Popen[bytes]) -> int:
    status = process.wait(60)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    return status


def all_entries(stores: Stores) -> list[AuditEntry]:
    return list(stores.audit.following(0, limit=ENDLESS))


def create_somebody(stores: Stores) -> None:
    stores.accounts.create(user_id=user_id(1), identity=identity(), profile=ADA, entra_grants=[], now=NOW)


@shared
def test_processes_at_once_never_fork_the_chain(stores: Stores) -> None:
    """They write without waiting for one another; while they do, the chain is whole at every look."""
    create_somebody(stores)
    processes = [writer(stores, f"p{number}", 8) for number in range(2)]
    let_go(*processes)
    looks = 0
    while any(process.poll() is None for process in processes):
        assert verify(stores.audit).fault is None
        looks += 1
    assert [close(process) for process in processes] == [0, 0]
    assert looks >= 1
    assert verify(stores.audit).fault is None
    assert len(all_entries(stores)) == 1 + 2 * 8 * 3


@shared
def test_fault_17_killed_anywhere_leaves_no_change_without_its_entry_and_no_entry_without_its_change(
    stores: Stores,
) -> None:
    """kill -9 among writes, twice: roles and sessions are exactly what the entries say."""
    create_somebody(stores)
    for number in range(2):
        process = writer(stores, f"p{number}", ENDLESS)
        let_go(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"under way\n"
        process.send_signal(signal.SIGKILL)
        assert close(process) == -signal.SIGKILL
    assert verify(stores.audit).fault is None
    entries = all_entries(stores)
    begun = {each.session_id for each in entries if each.action == "sign_in_completed"}
    over = {each.session_id for each in entries if each.action == "session_ended"}
    assert {each.id for each in stores.sessions.list_sessions(limit=ENDLESS)} == begun - over
    user = stores.accounts.get(user_id(1))
    assert user is not None
    assert len(user.grants) == sum(each.action == "role_granted" for each in entries)
