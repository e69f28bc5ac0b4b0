"""Who signs people in: Entrada, and what one would use instead."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from bench.apache import start_apache
from bench.environment import output_of, peer_python, peer_version
from bench.processes import CannotRun, Server, free_port, start
from bench.provider import SERVERS, Provider


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """`start` runs it on a port; `path` begins a sign-in there. `does` says what a sign-in is there."""

    name: str
    version: Callable[[], str]
    start: Callable[[Provider, Path, int], Server]
    path: str
    does: str


@dataclass(frozen=True, kw_only=True)
class RunningContestant:
    contestant: Contestant
    server: Server
    start_url: str


def run(contestant: Contestant, provider: Provider, folder: Path) -> RunningContestant:
    """The contestant, answering.

    Raises:
        CannotRun: with the reason.
    """
    port, own = free_port(), folder / contestant.name.replace(" ", "-")
    own.mkdir()
    server = contestant.start(provider, own, port)
    try:
        server.wait_for_port(port)
    except CannotRun:
        server.stop()
        raise
    return RunningContestant(
        contestant=contestant, server=server, start_url=f"http://localhost:{port}{contestant.path}"
    )


def entrada_environment(provider: Provider, folder: Path, port: int) -> dict[str, str]:
    return {
        **provider.entrada,
        "ENTRADA_PUBLIC_URL": f"http://localhost:{port}",
        "ENTRADA_DATABASE_URL": f"sqlite:///{folder / 'entrada.db'}",
        "ENTRADA_ROLES_MAPPING": '{"Admin": "Admin", "Editor": "Editor", "Viewer": "Viewer"}',
    }


def _entrada(provider: Provider, folder: Path, port: int) -> Server:
    return start(
        [sys.executable, "-m", "entrada.cli", "serve", "--port", str(port)],
        environment=entrada_environment(provider, folder, port),
        folder=folder,
        name="entrada",
    )


def _script(name: str, **more: str) -> Callable[[Provider, Path, int], Server]:
    def begin(provider: Provider, folder: Path, port: int) -> Server:
        command: Sequence[str | Path] = [peer_python(), SERVERS / f"{name}.py"]
        return start(command, environment=provider.environment(port) | more, folder=folder, name=name)

    return begin


def _flask_identity(provider: Provider, folder: Path, port: int) -> Server:
    return start(
        [
            peer_python(),
            "-m",
            "gunicorn",
            "--workers",
            "1",
            "--bind",
            f"127.0.0.1:{port}",
            "flask_identity:app",
        ],
        environment=provider.environment(port)
        | {"PYTHONPATH": str(SERVERS), "BENCH_SESSIONS": str(folder / "sessions")},
        folder=folder,
        name="flask-identity",
    )


def _apache_version() -> str:
    return "libapache2-mod-auth-openidc " + output_of(
        ["dpkg-query", "--show", "--showformat=${Version}", "libapache2-mod-auth-openidc"]
    )


def _entrada_version() -> str:
    return f"entrada {version('entrada')}, msal {version('msal')}, urllib3 {version('urllib3')}"


ENTRADA = Contestant(
    name="Entrada",
    version=_entrada_version,
    start=_entrada,
    path="/auth/entra/start?next=/",
    does="`entrada serve`: MSAL, own verification, account and session in SQLite",
)
CONTESTANTS = (
    ENTRADA,
    Contestant(
        name="MSAL alone",
        version=peer_version("msal", "requests", "uvicorn"),
        start=_script("msal_alone"),
        path="/start",
        does="one shared application; no verification, no storage; everybody waits while one redeems",
    ),
    Contestant(
        name="MSAL in a thread",
        version=peer_version("msal", "requests", "uvicorn"),
        start=_script("msal_alone", BENCH_THREAD="1"),
        path="/start",
        does="the same, redeeming in a thread, so that nobody waits",
    ),
    Contestant(
        name="MSAL per sign-in",
        version=peer_version("msal", "requests", "uvicorn"),
        start=_script("msal_alone", BENCH_PER_SIGN_IN="1"),
        path="/start",
        does="the first with an application made for each sign-in",
    ),
    Contestant(
        name="mod_auth_openidc",
        version=_apache_version,
        start=start_apache,
        path="/index.html",
        does="Apache, event MPM, one child; session in shared memory",
    ),
    Contestant(
        name="Flask + identity",
        version=peer_version("identity", "flask", "gunicorn"),
        start=_flask_identity,
        path="/start",
        does="gunicorn, one sync worker; session on the file system",
    ),
    Contestant(
        name="bare prototype",
        version=peer_version("uvicorn"),
        start=_script("bare"),
        path="/start",
        does="the exchange by hand; no verification, no storage: the floor",
    ),
)
