"""Entries written out as JSON lines: in order, at least once, by one server, not lost for a full disk."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from entrada.audit.acts import Act, Action, Cause, Subject, person
from entrada.audit.export import ExportTarget, FileTarget, StdoutTarget, SyslogTarget, target_at
from entrada.audit.trail import AuditTrail
from entrada.build import open_stores
from entrada.clock import SystemClock
from entrada.flows.audit_export import AuditExport
from entrada.flows.leased_job import LeasedJob
from entrada.leases import LeaseStore
from entrada.storage.memory_audit import MemoryAuditTrail
from entrada.storage.memory_leases import MemoryLeases
from storage.prepared import prepared_copy


@pytest.fixture
def trail() -> MemoryAuditTrail:
    return MemoryAuditTrail()


def export_of(trail: AuditTrail, target: ExportTarget, leases: LeaseStore | None = None) -> AuditExport:
    clock = SystemClock()
    leases = leases or MemoryLeases()
    job = LeasedJob(name="export", leases=leases, clock=clock, life=timedelta(seconds=1))
    return AuditExport(trail=trail, target=target, job=job, clock=clock)


def happen(trail: AuditTrail, count: int = 1, name: str = "Nora") -> None:
    for _ in range(count):
        trail.record(
            Act(
                action=Action.SIGN_IN_REFUSED,
                cause=Cause(actor=person("a" * 32)),
                subject=Subject(object_id="oid", name=name),
                details={"code": "x"},
            )
        )


def numbers_in(path: Path) -> list[int]:
    return [json.loads(line)["number"] for line in path.read_text("utf-8").splitlines()]


def test_a_file_has_every_entry_in_order_from_the_oldest_on(trail: MemoryAuditTrail, tmp_path: Path) -> None:
    """Each is one line of JSON, as `entrada audit --json` has it; the file is its owner's alone."""
    path = tmp_path / "audit.jsonl"
    happen(trail, 3)
    export = export_of(trail, FileTarget(path=path))
    assert export.beat() == 3
    happen(trail, 1200)
    assert export.beat() == 1200
    assert export.beat() == 0
    assert numbers_in(path) == list(range(1, 1204))
    assert json.loads(path.read_text().splitlines()[0]) == trail.following(0)[0].documented()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_server_that_starts_again_goes_on_where_the_last_one_was(
    trail: MemoryAuditTrail, tmp_path: Path
) -> None:
    """Nothing twice after a clean stop, and what happened in between is there."""
    target = FileTarget(path=tmp_path / "audit.jsonl")
    happen(trail, 2)
    export_of(trail, target).close()
    happen(trail, 2)
    export_of(trail, target).beat()
    assert numbers_in(target.path) == [1, 2, 3, 4]


def test_a_file_that_was_moved_away_is_begun_anew_where_it_ended(
    trail: MemoryAuditTrail, tmp_path: Path
) -> None:
    """Rotation needs no signal: the old file and the new one together have each entry once."""
    target = FileTarget(path=tmp_path / "audit.jsonl")
    export = export_of(trail, target)
    happen(trail, 2)
    export.beat()
    target.path.rename(tmp_path / "audit.jsonl.1")
    happen(trail, 2)
    export.beat()
    assert numbers_in(tmp_path / "audit.jsonl.1") == [1, 2]
    assert numbers_in(target.path) == [3, 4]


def test_what_a_killed_server_left_of_a_line_spoils_no_other(trail: MemoryAuditTrail, tmp_path: Path) -> None:
    """The torn end stays a line of its own, and its entry comes again whole."""
    target = FileTarget(path=tmp_path / "audit.jsonl")
    target.path.write_text('{"number": 1, "at"')
    happen(trail, 2)
    export_of(trail, target).beat()
    torn, *whole = target.path.read_text().splitlines()
    assert torn == '{"number": 1, "at"'
    assert [json.loads(line)["number"] for line in whole] == [1, 2]


def test_fault_23_a_full_disk_is_said_and_nothing_is_left_out(
    trail: MemoryAuditTrail, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Once a minute in the log, not at each beat; when there is room again, everything is written."""
    path = tmp_path / "audit.jsonl"
    path.symlink_to("/dev/full")
    export = export_of(trail, FileTarget(path=path))
    happen(trail, 2)
    assert [export.beat() for _ in range(3)] == [0, 0, 0]
    assert caplog.text.count("No space left on device. They are kept, and written out later.") == 1
    path.unlink()
    happen(trail, 1)
    assert export.beat() == 3
    assert numbers_in(path) == [1, 2, 3]


def test_of_two_servers_one_writes(trail: MemoryAuditTrail, tmp_path: Path) -> None:
    """And when it stops, the other goes on at once: each entry is there once."""
    leases, target = MemoryLeases(), FileTarget(path=tmp_path / "audit.jsonl")
    one, two = (export_of(trail, target, leases) for _ in range(2))
    happen(trail, 2)
    assert (one.beat(), two.beat()) == (2, 0)
    happen(trail, 1)
    assert two.beat() == 0
    one.close()
    happen(trail, 1)
    two.loop.close()
    export_of(trail, target, leases).beat()
    assert numbers_in(target.path) == [1, 2, 3, 4]


def test_of_several_hosts_each_has_a_whole_file(
    trail: MemoryAuditTrail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same path on another host is another file: each begins with the oldest entry, and goes on."""
    path = tmp_path / "audit.jsonl"
    files = {}
    for host in ("one", "two"):
        monkeypatch.setattr(socket, "gethostname", lambda host=host: host)
        happen(trail, 2)
        export_of(trail, FileTarget(path=path)).beat()
        files[host] = path.rename(tmp_path / host)
    monkeypatch.setattr(socket, "gethostname", lambda: "one")
    files["one"].rename(path)
    export_of(trail, FileTarget(path=path)).beat()
    assert (numbers_in(path), numbers_in(files["two"])) == ([1, 2, 3, 4], [1, 2, 3, 4])


def test_a_thread_of_its_own_writes_within_seconds(trail: MemoryAuditTrail, tmp_path: Path) -> None:
    """And a clean stop writes what is there."""
    target = FileTarget(path=tmp_path / "audit.jsonl")
    export = export_of(trail, target)
    export.loop.start()
    happen(trail, 5)
    export.close()
    assert numbers_in(target.path) == [1, 2, 3, 4, 5]
    assert not export.loop.is_running


def test_standard_output_has_what_happens_from_now_on(
    trail: MemoryAuditTrail, capsys: pytest.CaptureFixture[str]
) -> None:
    """A log that already holds the past is not given it again."""
    happen(trail, 3)
    export = export_of(trail, StdoutTarget())
    assert export.beat() == 0
    happen(trail, 2, name="Nora\n{}\x1b[2J\u202e")
    assert export.beat() == 2
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["number"] for line in lines] == [4, 5]
    assert all(line.isascii() and line.isprintable() for line in lines)


def test_syslog_has_one_message_an_entry(trail: MemoryAuditTrail, tmp_path: Path) -> None:
    """Facility authpriv, by the local socket; without one the log says so."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(str(tmp_path / "log"))
        export = export_of(trail, SyslogTarget(address=tmp_path / "log"))
        export.beat()
        happen(trail, 1)
        assert export.beat() == 1
        message = daemon.recv(65536).decode()
    head, _, line = message.partition(": ")
    assert head == f"<85>entrada[{os.getpid()}]"
    assert json.loads(line)["number"] == 1


@pytest.mark.parametrize(
    ("setting", "kind"), [("stdout", StdoutTarget), ("syslog", SyslogTarget), ("./stdout", FileTarget)]
)
def test_the_setting_names_a_target(setting: str, kind: type) -> None:
    """Two words, and otherwise a file."""
    assert isinstance(target_at(setting), kind)


KILLED = """
import sys
from pathlib import Path
from entrada.audit.acts import Act, Action
from entrada.audit.export import FileTarget
from entrada.build import open_stores
from flows.test_audit_export import export_of
stores = open_stores(sys.argv[1])
export = export_of(stores.audit, FileTarget(path=Path(sys.argv[2])))
print("ready", flush=True)
while True:
    stores.audit.record(*[Act(action=Action.ACCOUNT_ENABLED) for _ in range(20)])
    export.beat()
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return prepared_copy(tmp_path / "entrada.db")


def test_fault_17_a_server_killed_while_it_writes_loses_no_entry(url: str, tmp_path: Path) -> None:
    """Killed at any moment, three times: every entry is there, in order, and some perhaps twice."""
    path = tmp_path / "audit.jsonl"
    tests = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": tests}
    for number in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, url, str(path)], stdout=subprocess.PIPE, env=environment
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        before = path.stat().st_size if path.exists() else 0
        while not path.exists() or path.stat().st_size < before + 20_000 * (number + 1):
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        process.stdout.close()
    stores = open_stores(url)
    last = export_of(stores.audit, FileTarget(path=path))
    while last.job.hold() is None:
        pass  # the killed one's lease has yet to end
    last.beat()
    head = stores.audit.extent().head.number
    stores.close()
    found, torn = [], 0
    for line in path.read_text().splitlines():
        try:
            found.append(json.loads(line)["number"])
        except ValueError:
            torn += 1
    assert set(found) == set(range(1, head + 1))
    assert all(after <= before + 1 for before, after in pairwise(found))
    assert torn <= 3
