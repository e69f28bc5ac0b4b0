"""Socket activation of the real `entrada serve`: by a test, by systemd's own tool; the unit files."""

from __future__ import annotations

import configparser
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from entrada.cli.activation import inherited_listeners
from entrada.emulator import RunningEmulator
from entrada.errors import ConfigurationError
from house.tools import ROOT, command_path, free_port
from walks.site import wait_until

from .operation import Launcher, Serving, cookie_of, serving

UNITS = ROOT / "deploy" / "systemd"


def handing_over(*listeners: socket.socket) -> Launcher:
    """Starts another program with these sockets as descriptors 3 and following, as systemd does."""
    program = f"""
import os, sys
for number, each in enumerate({[each.fileno() for each in listeners]}):
    os.dup2(each, 3 + number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="{len(listeners)}")
os.execv(sys.argv[1], sys.argv[1:])
"""
    return lambda _: [sys.executable, "-c", program]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_inherited_socket_is_served(
    emulator: RunningEmulator, tmp_path: Path, http: httpx.Client, listener: socket.socket, workers: str
) -> None:
    """The public URL may be left out as without it; --port names nothing any more; SIGTERM ends it well."""
    port = listener.getsockname()[1]
    unused = str(free_port())
    with (
        listener,
        serving(
            emulator,
            tmp_path,
            *("--workers", workers, "--port", unused),
            launcher=handing_over(listener),
            pass_fds=[listener.fileno()],
            port=port,
        ) as server,
    ):
        assert f"on 127.0.0.1:{port}" in server.log
        visitor = server.visitor(http)
        visitor.sign_in_as("ada@contoso.test")
        assert server.check("/admin/x", cookie=cookie_of(visitor)) == 200
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{unused}/healthz", trust_env=False)
        assert server.end() == 0


def test_who_comes_during_a_restart_waits(
    emulator: RunningEmulator, tmp_path: Path, http: httpx.Client, listener: socket.socket
) -> None:
    """The queue is not ours: a request that comes between two processes is answered by the second."""
    port = listener.getsockname()[1]

    def started() -> AbstractContextManager[Serving]:
        return serving(
            emulator,
            tmp_path,
            launcher=handing_over(listener),
            pass_fds=[listener.fileno()],
            port=port,
        )

    with listener:
        with started() as first:
            assert first.end() == 0
        answers: list[int] = []
        asking = threading.Thread(
            target=lambda: answers.append(
                httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False, timeout=60).status_code
            )
        )
        asking.start()
        with started():
            asking.join(timeout=60)
        assert answers == [200]


def test_a_unix_socket_is_served(emulator: RunningEmulator, tmp_path: Path) -> None:
    """As behind a proxy on the same machine, which is believed because `unix` is listed."""
    path = tmp_path / "entrada.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(128)
        with serving(
            emulator,
            tmp_path,
            toml='trusted_proxies = ["unix"]\n\n[[rules]]\npath = "/open"\naccess = "public"\n',
            launcher=handing_over(listener),
            pass_fds=[listener.fileno()],
            wait=False,
        ) as server:
            asked = {"X-Original-Method": "GET", "X-Original-Host": "h", "X-Original-URI": "/open"}
            transport = httpx.HTTPTransport(uds=str(path))
            with httpx.Client(transport=transport, base_url="http://h", timeout=60) as client:
                assert client.get("/healthz").status_code == 200
                assert client.get("/auth/nginx", headers=asked).status_code == 200
                assert client.get("/metrics", headers={"Host": "localhost"}).status_code == 404
            assert f"on unix:{path}" in server.log
            assert server.end() == 0


def test_systemds_own_tool_starts_it(emulator: RunningEmulator, tmp_path: Path, http: httpx.Client) -> None:
    """`systemd-socket-activate` listens, and starts Entrada when the first request comes."""
    tool = command_path("systemd-socket-activate")
    port = free_port()
    with serving(
        emulator,
        tmp_path,
        # It passes on no variable but those that it is told to.
        launcher=lambda names: [tool, f"--listen=127.0.0.1:{port}", *(f"-E{name}" for name in names)],
        port=port,
        wait=False,
    ) as server:
        wait_until(lambda: "Listening on" in server.log)
        assert httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False, timeout=60).status_code == 200
        visitor = server.visitor(http)
        visitor.sign_in_as("ada@contoso.test")
        assert server.end() == 0


@pytest.mark.parametrize("pid", ["", "1", "x", str(os.getpid() + 1)])
def test_descriptors_for_somebody_else_are_left_alone(pid: str) -> None:
    """LISTEN_PID names another process: a child must not take what its parent was given."""
    environment = {"LISTEN_PID": pid, "LISTEN_FDS": "1", "OTHER": "kept"}
    assert inherited_listeners(environment, pid=os.getpid()) == []
    assert environment == {"OTHER": "kept"}


@pytest.mark.parametrize("kind", ["nothing", "a datagram socket", "a file", "a connection"])
def test_what_is_no_listening_socket_stops_the_start(tmp_path: Path, kind: str) -> None:
    """With a sentence that names the unit's line, in a process of its own: descriptor 3 is someone's here."""
    made = {
        "nothing": "os.close(3)",
        "a datagram socket": "s = socket.socket(type=socket.SOCK_DGRAM); os.dup2(s.fileno(), 3)",
        "a file": "os.dup2(os.open('x', os.O_CREAT | os.O_RDWR), 3)",
        "a connection": "s = socket.socketpair()[0]; os.dup2(s.fileno(), 3)",
    }[kind]
    program = f"""
import os, socket, sys
os.dup2(0, 3)
{made}
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
from entrada.cli import main
sys.exit(main(["serve"]))
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 1
    assert "Descriptor 3" in ran.stderr
    assert "ListenStream=" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_hint_of_a_wrong_descriptor_is_ours() -> None:
    """The error is of the tree, so that the command line can say it."""
    with pytest.raises(ConfigurationError):
        inherited_listeners({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "100000"}, pid=os.getpid())


def test_the_unit_files_are_good(tmp_path: Path) -> None:
    """systemd itself finds nothing wrong with them, with a program in the place of ours."""
    tool = command_path("systemd-analyze")
    for name in ("entrada.service", "entrada.socket"):
        text = (UNITS / name).read_text().replace("/opt/entrada/bin/entrada", sys.executable)
        (tmp_path / name).write_text(text)
    ran = subprocess.run(
        [tool, "verify", "--man=no", str(tmp_path / "entrada.service"), str(tmp_path / "entrada.socket")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    about_ours = [line for line in (ran.stdout + ran.stderr).splitlines() if "entrada" in line]
    assert about_ours == []


def test_the_unit_starts_what_there_is() -> None:
    """The command of the unit has only options that `entrada serve` knows, and waits longer than it does."""
    from entrada.cli import _parser
    from entrada.cli.workers import FINISH_SECONDS

    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string((UNITS / "entrada.service").read_text())
    command = unit["Service"]["ExecStart"].split()
    args = _parser(only="serve").parse_args(command[1:])
    assert args.workers == 2
    assert float(unit["Service"]["TimeoutStopSec"]) > FINISH_SECONDS
    assert unit["Service"]["KillMode"] == "mixed"
