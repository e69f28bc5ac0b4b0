"""`entrada run`: the application begins and ends with it, whatever either of them does."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGKILL, SIGTERM, Signals

import httpx
import pytest

from entrada.cli.running.command import Place
from entrada.cli.running.listening import IS_KNOWN, listeners_at, listeners_of
from entrada.cli.running.waiting import listens
from entrada.emulator import RunningEmulator, start
from house.tools import could_not_run, free_port
from walks.site import wait_until
from walks.visitor import new_http

from .runs import complaint, ended, is_gone, processes_below, running, small


@pytest.fixture(scope="module")
def entra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    with start(state_dir=tmp_path_factory.mktemp("entra")) as emulator:
        yield emulator


@pytest.fixture
def proc() -> None:
    """A system that tells in /proc who listens and who is whose child, or the test could not run."""
    if not IS_KNOWN:
        could_not_run("this system has no /proc")


# --- how it ends ---


def test_the_applications_end_is_ours(entra: RunningEmulator, tmp_path: Path) -> None:
    """A crash is a 502 for who waits, one sentence, and its exit status; nothing is started again."""
    with running(entra, tmp_path, *small("serve")) as run:
        with new_http() as http:
            visitor = run.visitor(http)
            visitor.sign_in_as("ada@contoso.test")
            crashed = visitor.open("/crash")
        assert crashed.status_code == 502
        assert "text/html" in crashed.headers["content-type"]
        assert run.process.wait(timeout=30) == 7
        assert "ended with status 7, so there is nothing left to serve" in complaint(run.log)
        assert run.log.count("Starting ") == 1


@pytest.mark.parametrize("number", [SIGTERM, SIGINT, SIGHUP])
def test_a_signal_reaches_the_application(entra: RunningEmulator, tmp_path: Path, number: Signals) -> None:
    """It ends by it, and the exit status says so: 128 and the number, or its own for one it handles."""
    with running(entra, tmp_path, *small("serve")) as run:
        run.signal(number)
        status = run.process.wait(timeout=30)
        # Python ends by KeyboardInterrupt, which it turns into the signal again.
        assert status == 128 + number
        assert "Traceback" not in run.log or number == SIGINT
        assert "killed" not in run.log


def test_its_output_is_left_alone(entra: RunningEmulator, tmp_path: Path) -> None:
    """What the application writes to standard output is there, and nothing of ours."""
    with running(entra, tmp_path, *small("serve")) as run:
        run.end()
        assert run.out == "the application's own word\n"


def test_one_that_ignores_signals_is_killed(entra: RunningEmulator, tmp_path: Path) -> None:
    """After some seconds, which is said; the exit status is that of the kill."""
    with running(entra, tmp_path, *small("deaf", "serve")) as run:
        assert run.end() == 128 + SIGKILL
        assert "did not end when asked to, and was killed" in run.log


def test_a_second_signal_is_impatience(entra: RunningEmulator, tmp_path: Path) -> None:
    """Ctrl-C twice: no more waiting."""
    with running(entra, tmp_path, *small("deaf", "serve")) as run:
        (child,) = processes_below(run.process.pid) if IS_KNOWN else (0,)
        run.signal(SIGINT)
        wait_until(lambda: not answers(run.address))
        run.signal(SIGINT)
        assert run.process.wait(timeout=4) == 128 + SIGKILL
        assert not child or is_gone(child)


def test_kill_leaves_nothing_running(entra: RunningEmulator, tmp_path: Path, proc: None) -> None:
    """`kill -9` of `entrada run`: the application, and what it has put into the background, end alike."""
    note = tmp_path / "pid"
    with running(entra, tmp_path / "run", *small("leaves", str(note))) as run:
        pids = processes_below(run.process.pid)
        assert int(note.read_text()) in pids
        run.signal(SIGKILL)
        wait_until(lambda: all(map(is_gone, pids)), seconds=30)


def test_kill_of_the_supervisor_leaves_nothing_running(
    entra: RunningEmulator, tmp_path: Path, proc: None
) -> None:
    """Nor does `kill -9` of the process between: one sentence, exit status 1."""
    with running(entra, tmp_path, *small("serve")) as run:
        (supervisor,) = Path(f"/proc/{run.process.pid}/task/{run.process.pid}/children").read_text().split()
        pids = processes_below(run.process.pid)
        os.kill(int(supervisor), SIGKILL)
        assert run.process.wait(timeout=30) == 1
        assert "was killed, so" in complaint(run.log)
        wait_until(lambda: all(map(is_gone, pids)))


def test_what_is_left_in_the_background_ends_too(entra: RunningEmulator, tmp_path: Path, proc: None) -> None:
    """A double fork into a session of its own is no way out."""
    note = tmp_path / "pid"
    with running(entra, tmp_path / "run", *small("leaves", str(note))) as run:
        run.end()
        assert is_gone(int(note.read_text()))


def answers(address: str) -> bool:
    """Whether anybody takes connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))) == 0


# --- how it does not begin ---


def test_a_daemon_is_refused(entra: RunningEmulator, tmp_path: Path, proc: None) -> None:
    """A command that goes into the background at once: one sentence, 1, and the daemon ends."""
    note = tmp_path / "pid"
    status, log = ended(entra, tmp_path / "run", *small("daemon", str(note)))
    assert (status, "ended with status 0 before it listened" in complaint(log)) == (1, True)
    assert is_gone(int(note.read_text()))


@pytest.mark.parametrize(("code", "status"), [("0", 1), ("3", 3)])
def test_one_that_ends_at_once(entra: RunningEmulator, tmp_path: Path, code: str, status: int) -> None:
    """One sentence; the exit status is its own, but never that all went well."""
    assert ended(entra, tmp_path, *small("ends", code))[0] == status


@pytest.mark.parametrize(
    ("word", "status", "sentence"),
    [
        pytest.param("no-such-program", 127, "There is no command 'no-such-program'.", id="not there"),
        pytest.param("./entrada.toml", 126, "'./entrada.toml' cannot be run", id="no program"),
    ],
)
def test_a_command_that_cannot_be_started(
    entra: RunningEmulator, tmp_path: Path, word: str, status: int, sentence: str
) -> None:
    """As a shell has it: 127 and 126, and one sentence."""
    found, log = ended(entra, tmp_path, word)
    assert (found, complaint(log).startswith(sentence)) == (status, True)


def test_one_that_never_listens(entra: RunningEmulator, tmp_path: Path, proc: None) -> None:
    """One sentence with the time and the place; it is ended."""
    status, log = ended(entra, tmp_path, *small("never"), options=["--start-within", "1s"])
    assert status == 1
    assert "does not listen on 127.0.0.1:" in complaint(log)
    assert "after 1 s." in complaint(log)
    assert "{port}" in log


def test_one_that_listens_elsewhere(entra: RunningEmulator, tmp_path: Path, proc: None) -> None:
    """The sentence says where."""
    port = free_port()
    command = small("port", "127.0.0.1", str(port))
    status, log = ended(entra, tmp_path, *command, options=["--start-within", "2s"])
    assert (status, complaint(log).endswith(f"but on 127.0.0.1:{port}.")) == (1, True)


def test_one_that_listens_late(entra: RunningEmulator, tmp_path: Path) -> None:
    """Who came meanwhile is answered when it does."""
    with running(entra, tmp_path, *small("late", "1")) as run:
        assert httpx.get(f"{run.address}/healthz", trust_env=False).status_code == 200


def test_one_that_listens_everywhere(entra: RunningEmulator, tmp_path: Path, proc: None) -> None:
    """The network could reach it without signing in: it is ended, with one sentence."""
    status, log = ended(entra, tmp_path, *small("everywhere"))
    assert (status, "listens on 0.0.0.0:" in complaint(log)) == (1, True)


def test_one_with_a_second_port(entra: RunningEmulator, tmp_path: Path, proc: None) -> None:
    """Another port that the network reaches may be meant: it is a warning."""
    port = free_port()
    with running(entra, tmp_path, *small("twice", str(port))) as run:
        assert f"also listens on 0.0.0.0:{port}" in run.log


def test_a_port_that_somebody_else_has(proc: None) -> None:
    """What listens there and is no process of the application is never told who people are."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        place = Place(port=taken.getsockname()[1], socket=None, public_url="http://localhost")
        assert listeners_at(place.port)
        assert not listens([], place)
        assert listens(listeners_of([os.getpid()]), place)


def test_our_own_port_is_taken(entra: RunningEmulator, tmp_path: Path) -> None:
    """As `entrada serve` says it; the application is not started."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        status, log = ended(entra, tmp_path, *small("serve"), options=["--port", port])
    assert (status, "cannot listen on" in complaint(log)) == (1, True)
    assert "Starting" not in log


def test_two_at_once(entra: RunningEmulator, tmp_path: Path) -> None:
    """Each has a port of its own."""
    with (
        running(entra, tmp_path / "a", *small("serve")) as first,
        running(entra, tmp_path / "b", *small("serve")) as second,
    ):
        for run in (first, second):
            with new_http() as http:
                visitor = run.visitor(http)
                visitor.sign_in_as("ada@contoso.test")
                assert visitor.open("/x").json()["path"] == "/x"


def test_without_a_tenant(entra: RunningEmulator, tmp_path: Path) -> None:
    """What to set, and how to try it with the emulator; nothing was started."""
    status, log = ended(entra, tmp_path, *small("serve"), ENTRADA_TENANT_ID="")
    assert (status, complaint(log)) == (1, "ENTRADA_TENANT_ID is not set, so nobody could sign in.")
    assert "entrada emulator" in log
    assert "Starting" not in log
