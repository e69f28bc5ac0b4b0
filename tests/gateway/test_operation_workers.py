"""`entrada serve --workers N` as real processes: one port, one truth, and nobody left behind."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from signal import SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGSTOP, SIGTERM, Signals

import httpx
import pytest

from entrada.cli import workers
from entrada.cli.serve import listen, server_config
from entrada.emulator import RunningEmulator
from entrada.gateway.server import GatewayServer
from house.tools import could_not_run
from walks.site import wait_until
from walks.visitor import new_http

from .operation import RULES, Serving, cookie_of, serving
from .test_gateway_walk import assert_closes_soon, open_socket
from .test_operation_reload import change
from .upstream import Upstream


def children(server: Serving) -> set[int]:
    """The pids of the processes that serve."""
    file = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    if not file.exists():
        could_not_run("this system does not list the children of a process in /proc")
    return {int(pid) for pid in file.read_text().split()}


def is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


class Alone:
    """One worker answers at a time: the others are stopped. So a test chooses who is asked."""

    def __init__(self, server: Serving) -> None:
        self.pids = sorted(children(server))

    def __enter__(self) -> Alone:
        return self

    def ask(self, pid: int) -> None:
        os.kill(pid, SIGCONT)
        for other in self.pids:
            if other != pid:
                os.kill(other, SIGSTOP)

    def __exit__(self, *_: object) -> None:
        for pid in self.pids:
            with suppress(ProcessLookupError):
                os.kill(pid, SIGCONT)


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    """A client that keeps no connection: each request goes to whoever accepts it."""
    with new_http(limits=httpx.Limits(max_keepalive_connections=0)) as client:
        yield client


@pytest.fixture
def server(emulator: RunningEmulator, tmp_path: Path) -> Iterator[Serving]:
    with serving(emulator, tmp_path, "--workers", "2") as running:
        wait_until(lambda: len(children(running)) == 2)
        yield running


def ready(server: Serving, http: httpx.Client) -> None:
    """Every worker answers."""
    with Alone(server) as alone:
        for pid in alone.pids:
            alone.ask(pid)
            wait_until(lambda: http.get(f"{server.address}/readyz").status_code == 200)


def test_a_sign_out_in_one_worker_is_seen_in_the_other_within_a_second(
    server: Serving, http: httpx.Client
) -> None:
    """Each remembers the session for itself; the end of it is everybody's."""
    visitor = server.visitor(http)
    visitor.sign_in_as("ada@contoso.test")
    cookie = cookie_of(visitor)
    with Alone(server) as alone:
        first, second = alone.pids
        for pid in alone.pids:
            alone.ask(pid)
            assert [server.check("/admin/x", cookie=cookie) for _ in range(3)] == [200] * 3
        alone.ask(first)
        visitor.sign_out()
        ended = time.monotonic()
        alone.ask(second)
        wait_until(lambda: server.check("/admin/x", cookie=cookie) == 401, seconds=1)
        assert time.monotonic() - ended < 1


def test_d12_a_socket_of_one_worker_closes_after_a_sign_out_in_the_other(
    emulator: RunningEmulator, tmp_path: Path, upstream: Upstream, http: httpx.Client
) -> None:
    """Within a second, whoever carries it."""
    arguments = ("--workers", "2", "--upstream", f"http://127.0.0.1:{upstream.port}")
    with serving(emulator, tmp_path, *arguments) as server:
        visitor = server.visitor(http)
        visitor.sign_in_as("ada@contoso.test")
        wait_until(lambda: len(children(server)) == 2)
        with Alone(server) as alone:
            first, second = alone.pids
            alone.ask(first)
            with open_socket(visitor.site, cookie_of(visitor)) as link:
                alone.ask(second)
                visitor.sign_out()
                os.kill(first, SIGCONT)
                assert_closes_soon(link)


@pytest.mark.parametrize("number", [SIGKILL, SIGTERM], ids=lambda number: number.name)
def test_a_worker_that_dies_is_replaced(server: Serving, http: httpx.Client, number: Signals) -> None:
    """The port answers on, and the log says so."""
    ready(server, http)
    before = children(server)
    victim = min(before)
    os.kill(victim, number)
    wait_until(lambda: len(children(server)) == 2 and victim not in children(server))
    assert f"Worker {victim} ended" in server.log
    ready(server, http)
    assert server.end() == 0


def test_one_that_dies_again_and_again_is_replaced_with_pauses(server: Serving) -> None:
    """Six deaths in a row do not make the machine busy, and the last replacement serves."""
    victims: set[int] = set()
    started = time.monotonic()
    for _ in range(4):
        wait_until(lambda: len(children(server) - victims) == 2)
        victim = max(children(server) - victims)
        victims.add(victim)
        os.kill(victim, SIGKILL)
        wait_until(lambda gone=victim: gone not in children(server))
    wait_until(lambda: len(children(server)) == 2, seconds=30)
    assert time.monotonic() - started > 1.5
    assert server.check("/admin/x") == 401


def test_one_that_hangs_is_killed_and_replaced(tmp_path: Path) -> None:
    """What has said that it is alive and says so no more; what has not begun to is given its time."""
    assert workers.HUNG_SECONDS == 30
    program = """
import logging, os, queue, signal, sys, time
from entrada.cli import workers
workers.HUNG_SECONDS, workers.LOOK_EVERY_SECONDS = 0.5, 0.1
logging.basicConfig(level=logging.INFO)

def work(place, messages, alive):
    if place == 0:
        time.sleep(60)  # still starting
    if os.path.exists("hung"):
        os.kill(os.getppid(), signal.SIGTERM)
        while True:
            alive()
            time.sleep(0.1)
    open("hung", "w").close()
    alive()
    time.sleep(60)

hangups = queue.SimpleQueue()
made = workers.Workers(count=2, work=work, on_hangup=lambda: b"", on_gone=print, hangups=hangups)
sys.exit(made.run())
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=50
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count("does not answer any more") == 1
    assert ran.stderr.count("ended (by SIGKILL); another takes its place") == 1


def test_a_server_says_every_second_that_it_is_alive() -> None:
    """From its event loop: a loop that hangs says nothing."""
    said: list[float] = []

    async def run() -> None:
        made = GatewayServer(server_config(None), alive=lambda: said.append(time.monotonic()))
        serving_it = asyncio.ensure_future(made.serve(sockets=[listen("127.0.0.1", 0)]))
        while len(said) < 2:
            await asyncio.sleep(0)
        made.end()
        await serving_it

    asyncio.run(run())
    assert 0.9 < said[1] - said[0] < 5


@pytest.mark.parametrize(("number", "status"), [(SIGTERM, 0), (SIGINT, 130)], ids=["SIGTERM", "SIGINT"])
def test_sigterm_drains_all_and_no_child_remains(
    emulator: RunningEmulator,
    tmp_path: Path,
    upstream: Upstream,
    http: httpx.Client,
    number: Signals,
    status: int,
) -> None:
    """Fault scenario 29: what is under way is finished, the status is that of a wanted end."""
    arguments = ("--workers", "2", "--upstream", f"http://127.0.0.1:{upstream.port}")
    with serving(emulator, tmp_path, *arguments) as server:
        visitor = server.visitor(http)
        visitor.sign_in_as("ada@contoso.test")
        pids = children(server)
        got: list[httpx.Response] = []
        reading = threading.Thread(target=lambda: got.append(visitor.open("/events")))
        before = len(upstream.requests)
        reading.start()
        wait_until(lambda: len(upstream.requests) > before)
        server.signal(number)
        assert server.process.wait(timeout=30) == status
        reading.join(timeout=30)
        assert got[0].text.count("data: ") == 3
        assert all(is_gone(pid) for pid in pids)
        assert "Traceback" not in server.log


def test_no_worker_outlives_the_process_above(server: Serving) -> None:
    """Killed without a chance to tell anybody, it takes them along; what they do is finished first."""
    pids = children(server)
    server.process.kill()
    server.process.wait()
    wait_until(lambda: all(is_gone(pid) for pid in pids))
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{server.address}/healthz", trust_env=False)


def test_metrics_cover_all_workers(server: Serving, http: httpx.Client) -> None:
    """Whoever is asked tells what all have counted, the fast path's included, and those that have died."""
    visitor = server.visitor(http)
    visitor.sign_in_as("ada@contoso.test")
    cookie = cookie_of(visitor)
    allowed = 'entrada_decisions_total{result="allowed",rule="/admin/**"}'
    with Alone(server) as alone:
        for pid in alone.pids:
            alone.ask(pid)
            assert [server.check("/admin/x", cookie=cookie) for _ in range(10)] == [200] * 10
            # Its own count is in the folder before it is stopped.
            wait_until(lambda: server.figures(http).get(allowed, 0) >= 10)
        assert server.figures(http)[allowed] == 20
        alone.ask(alone.pids[0])
        wait_until(lambda: server.figures(http)[allowed] == 20)
        # One of them has read Entra's keys, at the sign-in.
        assert 0 <= server.figures(http)['entrada_key_age_seconds{keys="entra"}'] < 600
    os.kill(alone.pids[1], SIGKILL)
    wait_until(lambda: len(children(server)) == 2 and alone.pids[1] not in children(server))
    ready(server, http)
    figures = server.figures(http)
    assert figures[allowed] == 20
    assert figures["entrada_sessions"] == 1
    assert figures['entrada_sign_ins_total{outcome="completed"}'] == 1


def test_new_rules_reach_every_worker_and_every_replacement(server: Serving, http: httpx.Client) -> None:
    """Read once above; a file that is broken afterwards keeps what was read last, for replacements, too."""
    ready(server, http)
    everybody = RULES.replace('roles = ["Admin"]', 'access = "public"')
    change(server, everybody)
    with Alone(server) as alone:
        for pid in alone.pids:
            alone.ask(pid)
            wait_until(lambda: server.check("/admin/x") == 200)
    change(server, everybody + "[[rules]]\n", told="stay as they were")
    victim = alone.pids[0]
    os.kill(victim, SIGKILL)
    wait_until(lambda: len(children(server)) == 2 and victim not in children(server))
    with Alone(server) as alone:
        for pid in alone.pids:
            alone.ask(pid)
            wait_until(lambda: server.check("/admin/x") == 200)


def test_the_access_log_of_all_is_one_file(
    emulator: RunningEmulator, tmp_path: Path, http: httpx.Client
) -> None:
    """Whole lines, whoever writes; SIGHUP opens it anew in every worker."""
    log = tmp_path / "access.log"
    with serving(emulator, tmp_path, "--workers", "2", ENTRADA_ACCESS_LOG=str(log)) as server:
        wait_until(lambda: len(children(server)) == 2)
        with Alone(server) as alone:
            for number, pid in enumerate(alone.pids):
                alone.ask(pid)
                for _ in range(50):
                    server.check(f"/of-{number}")
        wait_until(lambda: log.read_text().count("/of-") == 100)
        paths = [json.loads(line)["path"] for line in log.read_text().splitlines()]
        assert {paths.count("/of-0"), paths.count("/of-1")} == {50}
        log.rename(tmp_path / "old.log")
        server.signal(SIGHUP)
        wait_until(log.exists)


def test_everybody_is_looked_at_once(emulator: RunningEmulator, tmp_path: Path, http: httpx.Client) -> None:
    """Every worker re-checks, each person is asked about by one of them."""
    with serving(emulator, tmp_path, "--workers", "3", ENTRADA_RECHECK_EVERY="1m") as server:
        people = ("ada@contoso.test", "ed@contoso.test", "vi@contoso.test")
        for person in people:
            server.visitor(http).sign_in_as(person)
        ready(server, http)

        def asked() -> int:
            return sum(
                request.path.endswith("/token") and dict(request.form).get("grant_type") == "refresh_token"
                for request in emulator.requests
            )

        before = asked()
        with closing(sqlite3.connect(tmp_path / "entrada.db")) as database:
            database.execute("UPDATE entrada_kept_sign_in SET next_check_at = last_sign_in_at")
            database.commit()
        wait_until(lambda: asked() >= before + len(people))
        rounds = time.monotonic() + 2.5
        wait_until(lambda: time.monotonic() > rounds)  # each worker looks every second
        assert asked() == before + len(people)


@pytest.mark.parametrize(
    ("workers", "database", "status", "part"),
    [
        ("2", "memory:", 1, "ENTRADA_DATABASE_URL"),
        ("0", "", 2, "from 1 to 64"),
        ("many", "", 2, "from 1 to 64"),
        ("65", "", 2, "from 1 to 64"),
    ],
)
def test_what_cannot_be_shared_stops_the_start(
    emulator: RunningEmulator, tmp_path: Path, workers: str, database: str, status: int, part: str
) -> None:
    """One sentence, once, whatever the number of workers."""
    more = {"ENTRADA_DATABASE_URL": database} if database else {}
    with serving(emulator, tmp_path, "--workers", workers, wait=False, **more) as server:
        assert server.process.wait(timeout=60) == status
        assert server.log.count(part) == 1
        assert "Traceback" not in server.log


def test_warnings_are_said_once(server: Serving) -> None:
    """What the settings warn of stands in the log once, not once for each worker."""
    assert server.log.count("is plain http") == 1
    assert server.log.count("Entrada serves") == 1
