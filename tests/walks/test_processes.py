"""`entrada serve`, `entrada settings` and `entrada demo` as programs; several servers on one database."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from entrada.cli import main
from entrada.emulator import RunningEmulator, start
from house.tools import free_port
from walks.nursery import ENTRADA, Nursery, ServerProcess, nursery, plain_environment, until
from walks.site import ROLES, rows_of
from walks.visitor import Visitor


@pytest.fixture
def environment(emulator: RunningEmulator, tmp_path: Path) -> dict[str, str]:
    """All that a server needs, and nothing of this machine's."""
    return {
        **plain_environment(tmp_path),
        **emulator.env("entrada"),
        "ENTRADA_ROLES_MAPPING": ROLES,
        "ENTRADA_DATABASE_URL": f"sqlite:///{tmp_path / 'entrada.db'}",
    }


@pytest.fixture
def servers(emulator: RunningEmulator, tmp_path: Path) -> Iterator[Nursery]:
    with nursery({**emulator.env("entrada"), "ENTRADA_ROLES_MAPPING": ROLES}, tmp_path) as made:
        yield made


def run(*arguments: str, cwd: Path, env: dict[str, str], seconds: float = 60) -> Any:
    return subprocess.run(
        [*ENTRADA, *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=seconds, check=False
    )


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"ENTRADA_TENANT_ID": ""}, "ENTRADA_TENANT_ID is not set"),
        ({"ENTRADA_CLIENT_ID": ""}, "ENTRADA_CLIENT_ID is not set"),
        ({"ENTRADA_CLIENT_SECRET": ""}, "ENTRADA_CLIENT_SECRET is not set"),
        ({"ENTRADA_TENANT_ID": "common"}, "ENTRADA_TENANT_ID is 'common'"),
        ({"ENTRADA_ROLES_MAPPING": "{Admin}"}, "ENTRADA_ROLES_MAPPING"),
        ({"ENTRADA_PUBLIC_URL": "http://app.test"}, "ENTRADA_PUBLIC_URL"),
        ({"ENTRADA_SECRET_KEYS": "too-short"}, "ENTRADA_SECRET_KEYS"),
        ({"ENTRADA_CA_BUNDLE": "/nowhere/ca.pem"}, "ENTRADA_CA_BUNDLE"),
        ({"ENTRADA_INSECURE_ALLOW_EMULATOR": ""}, "ENTRADA_AUTHORITY_HOST"),
        ({"ENTRADA_DATABASE_URL": "sqlite:////nowhere/at/all.db"}, ""),
        ({"ENTRADA_SESSION_IDLE": "8 hours"}, "ENTRADA_SESSION_IDLE"),
    ],
)
def test_wrong_setting_stops_the_start(
    changes: dict[str, str],
    named: str,
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A missing or wrong setting: status 1, one sentence that names it, a hint, no secret, no start."""
    for name, value in {**environment, **changes}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    assert main(["serve", "--port", str(free_port())]) == 1
    said = capsys.readouterr()
    sentence, hint = said.err.splitlines()
    assert sentence.startswith("entrada: ")
    assert named in sentence
    assert hint.startswith("  ")
    assert environment["ENTRADA_CLIENT_SECRET"] not in said.err + said.out


def test_missing_setting_ends_the_program(environment: dict[str, str], tmp_path: Path) -> None:
    """The same as a program: status 1 and stderr, no traceback."""
    done = run(
        "serve", "--port", str(free_port()), cwd=tmp_path, env={**environment, "ENTRADA_TENANT_ID": ""}
    )
    assert done.returncode == 1
    assert "entrada: ENTRADA_TENANT_ID is not set." in done.stderr
    assert "Traceback" not in done.stderr


def test_port_that_is_taken(environment: dict[str, str], tmp_path: Path) -> None:
    """A port that something listens on already: status 1 and a sentence with the port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = run("serve", "--port", port, cwd=tmp_path, env=environment)
    assert done.returncode == 1
    assert port in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_use(environment: dict[str, str], tmp_path: Path) -> None:
    """An option that does not exist: status 2."""
    assert run("serve", "--no-such-option", cwd=tmp_path, env=environment).returncode == 2
    assert run("no-such-command", cwd=tmp_path, env=environment).returncode == 2


def begin_process(environment: dict[str, str], cwd: Path, port: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*ENTRADA, "serve", "--port", str(port)],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def as_place(process: Any, port: int, tmp_path: Path) -> ServerProcess:
    return ServerProcess(
        pid=process.pid,
        public_url=f"http://localhost:{port}",
        address=f"http://127.0.0.1:{port}",
        database=tmp_path / "entrada.db",
        log=tmp_path / "server.log",
    )


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop(
    sent: signal.Signals,
    environment: dict[str, str],
    tmp_path: Path,
    http: httpx.Client,
    emulator: RunningEmulator,
    pat: Any,
) -> None:
    """SIGTERM in the middle of a sign-in: it is finished, nothing new is taken, and the status is 0."""
    port = free_port()
    with begin_process(environment, tmp_path, port) as process:
        place = as_place(process, port, tmp_path)
        until(place.is_up)
        visitor = Visitor(place, http)  # type: ignore[arg-type]  # a place to visit
        visitor.begin()
        visitor.approve_as(pat)
        emulator.fail("delay", endpoint="token", seconds=1.0)
        answers: list[httpx.Response] = []
        coming_back = threading.Thread(target=lambda: answers.append(visitor.complete()))
        coming_back.start()
        until(lambda: rows_of(place.database, "SELECT id FROM entrada_spent_sign_in"))
        process.send_signal(sent)
        coming_back.join(timeout=20)
        output, _ = process.communicate(timeout=20)
    assert [answer.status_code for answer in answers] == [303]
    assert process.returncode == (0 if sent == signal.SIGTERM else 130), output
    assert "Traceback" not in output
    assert len(rows_of(place.database, "SELECT id FROM entrada_session")) == 1


def test_A33_entra_is_down_at_the_start(tmp_path: Path, http: httpx.Client) -> None:
    """A server started without Entra is up but not ready, and is ready by itself once Entra is there."""
    state = tmp_path / "emulator"
    with start(state_dir=state) as gone:
        told = gone.env("entrada")
        ports = {
            name: int(url.rpartition(":")[2])
            for name, url in (("port", gone.http_url), ("tls_port", gone.https_url))
        }
    with nursery({**told, "ENTRADA_ROLES_MAPPING": ROLES}, tmp_path) as servers:
        server = servers.server()
        visitor = Visitor(server, http)  # type: ignore[arg-type]  # a place to visit
        waiting = visitor.open("/readyz")
        assert waiting.status_code == 503
        assert waiting.json()["waiting_for"].keys() == {"entra"}
        assert visitor.open("/auth/entra/start").status_code == 503
        with start(state_dir=state, **ports):
            until(lambda: visitor.open("/readyz").status_code == 200)
            visitor.sign_in_as("ada@contoso.test")
            assert visitor.whoami()["roles"] == ["Admin"]
        assert visitor.open("/readyz").status_code == 200


def test_begun_on_one_server_finished_on_another(servers: Nursery, http: httpx.Client, pat: Any) -> None:
    """Two servers on one database, one public URL: a sign-in begun on one finishes on the other."""
    one = servers.server()
    two = servers.server(public_url=one.public_url)
    here, there = Visitor(one, http), Visitor(two, http)  # type: ignore[arg-type]  # places to visit
    there.jar = here.jar
    here.begin(next="/reports")
    there.approve_as(pat, here.at_entra)
    assert there.complete().headers["location"] == "/reports"
    assert here.whoami()["object_id"] == pat.object_id
    assert there.whoami()["object_id"] == pat.object_id


def test_E8_signed_out_on_one_refused_on_the_other(
    servers: Nursery, http: httpx.Client, emulator: RunningEmulator, pat: Any
) -> None:
    """Whatever ends a session on one server, the other refuses its cookie within a second."""
    one = servers.server()
    two = servers.server(public_url=one.public_url)

    def signed_in() -> tuple[Visitor, Visitor]:
        here, there = Visitor(one, http), Visitor(two, http)  # type: ignore[arg-type]  # places to visit
        here.sign_in_as(pat)
        cookie = here.session_cookie
        assert cookie is not None
        there.present(cookie.value)
        assert there.whoami() is not None
        return here, there

    def refused_within_a_second(there: Visitor) -> None:
        ended = time.monotonic()
        until(lambda: there.whoami() is None, seconds=2)
        assert time.monotonic() - ended < 1.0

    here, there = signed_in()
    here.sign_out()
    refused_within_a_second(there)
    here, there = signed_in()
    _, elsewhere = signed_in()
    here.sign_out(everywhere="1")
    refused_within_a_second(there)
    refused_within_a_second(elsewhere)
    here, there = signed_in()
    (sid,) = rows_of(one.database, "SELECT entra_session_id FROM entrada_session")[0]
    here.open(f"/auth/entra/logout?sid={sid}", sec_fetch_dest="iframe")
    refused_within_a_second(there)
    here, there = signed_in()
    here.sign_in_as(pat)
    refused_within_a_second(there)


def test_E15_session_is_read_from_the_store_by_a_new_server(
    servers: Nursery, http: httpx.Client, pat: Any
) -> None:
    """A server restarted, or added, knows the sessions there are."""
    one = servers.server()
    visitor = Visitor(one, http)  # type: ignore[arg-type]  # a place to visit
    visitor.sign_in_as(pat)
    one.kill()
    again = Visitor(servers.server(public_url=one.public_url), http, visitor.jar)  # type: ignore[arg-type]  # as above
    assert again.whoami()["object_id"] == pat.object_id


@pytest.mark.parametrize("while_it_runs", [True, False])
def test_K6_a_restored_backup_brings_no_ended_session_back(
    while_it_runs: bool, servers: Nursery, http: httpx.Client, pat: Any, tmp_path: Path
) -> None:
    """Signed out everywhere after the backup was made: restored, it lets that cookie in no more."""
    one = servers.server()
    visitor, other = Visitor(one, http), Visitor(one, http)  # type: ignore[arg-type]  # a place to visit
    for each in (visitor, other):
        each.sign_in_as(pat)
    cookie = visitor.session_cookie
    assert cookie is not None
    backup = tmp_path / "backup.db"
    copy_database(one.database, backup)
    other.sign_out(everywhere="1")
    until(lambda: visitor.whoami() is None, seconds=2)
    if while_it_runs:
        copy_database(backup, one.database)
        place = one
    else:
        one.kill()
        for name in ("-wal", "-shm"):
            Path(f"{one.database}{name}").unlink(missing_ok=True)
        one.database.write_bytes(backup.read_bytes())
        place = servers.server(public_url=one.public_url)
    again = Visitor(place, http)  # type: ignore[arg-type]  # as above
    again.present(cookie.value)
    until(lambda: again.whoami() is None, seconds=2)
    assert rows_of(one.database, "SELECT id FROM entrada_session") == []
    assert "all_sessions_ended" in servers.logs()
    again.sign_in_as(pat)
    assert again.whoami() is not None


def copy_database(source: Path, target: Path) -> None:
    """As SQLite's own `.backup` and `.restore` do it."""
    with sqlite3.connect(source) as reading, sqlite3.connect(target) as writing:
        reading.backup(writing)
    reading.close()
    writing.close()


def test_C13_first_sign_ins_at_two_servers_at_once(servers: Nursery, http: httpx.Client, pat: Any) -> None:
    """One person's first sign-ins at two servers at the same moment make one account."""
    one = servers.server()
    two = servers.server(public_url=one.public_url)
    visitors = [Visitor(place, http) for place in (one, two) * 8]  # type: ignore[arg-type]  # places to visit
    for visitor in visitors:
        visitor.begin()
        visitor.approve_as(pat)
    together = threading.Barrier(len(visitors))
    statuses: list[int] = []

    def come_back(visitor: Visitor) -> None:
        together.wait()
        statuses.append(visitor.complete().status_code)

    threads = [threading.Thread(target=come_back, args=(visitor,)) for visitor in visitors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [303] * len(visitors)
    assert len(rows_of(one.database, "SELECT id FROM entrada_user")) == 1


def test_servers_started_at_once_on_a_new_database(servers: Nursery, tmp_path: Path) -> None:
    """Started together where there is no database yet, all come up, with one key."""
    made = [servers.begin_server() for _ in range(4)]
    for server in made:
        until(server.is_up)
    assert len(list(tmp_path.glob("*.keys"))) == 1
    assert "Traceback" not in servers.logs()


def test_J1_log_of_a_server(
    servers: Nursery, http: httpx.Client, emulator: RunningEmulator, pat: Any
) -> None:
    """What `entrada serve` writes tells of sign-ins good and bad, and holds nothing that opens a door."""
    server = servers.server()
    visitor = Visitor(server, http)  # type: ignore[arg-type]  # a place to visit
    secrets = [emulator.env("entrada")["ENTRADA_CLIENT_SECRET"]]
    for spoiled in (None, {"signature": "corrupt"}, {"remove": ["nonce"]}):
        visitor.begin()
        secrets += [cookie.value for cookie in visitor.pending.values()]
        secrets.append(re.findall("code=([^&]+)", visitor.approve_as(pat))[0])
        if spoiled:
            emulator.fail("tamper", **spoiled)
        visitor.complete()
        secrets += [visitor.session_cookie.value] if visitor.session_cookie else []
    log = servers.logs()
    assert log.count("sign_in_completed ") == 1
    assert log.count("sign_in_refused ") == 2
    assert not [secret for secret in secrets if secret in log]


@pytest.mark.parametrize("form", ["table", "json", "markdown"])
def test_settings(form: str, environment: dict[str, str], tmp_path: Path) -> None:
    """`entrada settings` shows values and where they came from, and masks secrets."""
    done = run("settings", "--format", form, cwd=tmp_path, env=environment)
    assert done.returncode == 0
    assert "ENTRADA_CLIENT_ID" in done.stdout
    assert environment["ENTRADA_CLIENT_SECRET"] not in done.stdout + done.stderr
    if form == "json":
        assert isinstance(json.loads(done.stdout), list)


def test_demo_once(tmp_path: Path) -> None:
    """`entrada demo --once` signs one person in by itself, tells each step, and ends with status 0."""
    home = {**plain_environment(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    done = run("demo", "--once", "--port", str(free_port()), cwd=tmp_path, env=home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "signed in as Ada Lovelace with the roles Admin" in done.stdout
    assert "Ready in" in done.stdout
    assert "Traceback" not in done.stderr
    kept = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert kept
    assert all(os.stat(path.parent).st_mode & 0o077 == 0 for path in kept if path.suffix == ".keys")
