"""Emulators of an OpenID provider: ours, those from npm and PyPI, and one client for them all."""

from __future__ import annotations

import http.client
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

from bench.environment import CACHE, peer_python, peer_version
from bench.processes import CannotRun, Server, free_port, start
from bench.provider import SERVERS

# The emulator's public, documented application.
CLIENT_ID = "e0000000-0000-4000-8000-00000000000a"
CLIENT_SECRET = "emu~public.secret-one_of_the_Entra.emulator"
TENANT = "contoso.test"
REDIRECT_URI = "http://localhost:9/auth/entra/callback"
CLIENT = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}


_FORM = {"content-type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True, kw_only=True)
class Emulator:
    """`token` is the path of its token endpoint, `authorize` that of the other; None: it wants a person."""

    name: str
    version: Callable[[], str]
    start: Callable[[Path, int], Server]
    token: str
    authorize: str | None
    machine_scope: str = ""
    serves_machines: bool = True
    """Whether it grants client_credentials."""
    answered_by: str | None = None
    """The form that answers the authorization request, where a redirect does not come by itself."""


def code_flow(one: Emulator, connection: http.client.HTTPConnection) -> None:
    """A person signs in without a page; the code is redeemed.

    Raises:
        CannotRun: no code, or no tokens.
    """
    query = {
        "client_id": CLIENT_ID,
        "response_type": "code",
        "redirect_uri": REDIRECT_URI,
        "scope": "openid",
        "state": "a-state",
        "nonce": "a-nonce",
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
        "login_hint": "ada@contoso.test",
        "_emulator_approve": "1",
    }
    target = f"{one.authorize}?{urlencode(query)}"
    connection.request("GET", target)
    if one.answered_by is not None:
        connection.getresponse().read()
        connection.request("POST", target, body=one.answered_by, headers=_FORM)
    answer = connection.getresponse()
    body = answer.read()
    code = parse_qs(urlsplit(answer.headers.get("location", "")).query).get("code")
    if code is None:
        raise CannotRun(f"authorize answered {answer.status} without a code: {body[:100]!r}")
    form = {
        **CLIENT,
        "grant_type": "authorization_code",
        "code": code[0],
        "redirect_uri": REDIRECT_URI,
        "code_verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    }
    connection.request("POST", one.token, body=urlencode(form), headers=_FORM)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200 or b"id_token" not in body:
        raise CannotRun(f"the token endpoint answered {answer.status}: {body[:100]!r}")


def _entrada(folder: Path, port: int) -> Server:
    ports = ["--port", str(port), "--tls-port", str(free_port())]
    return start(
        [sys.executable, "-m", "entrada.cli", "emulator", *ports, "--state-dir", folder / "state"],
        environment={},
        folder=folder,
        name="emulator",
    )


def _mock(folder: Path, port: int) -> Server:
    command: list[str | Path] = [
        peer_python(),
        "-m",
        "oidc_provider_mock",
        "--port",
        str(port),
        "--user",
        "ada@contoso.test",
    ]
    return start(command, environment={}, folder=folder, name="mock")


def _oauth2_mock_server(folder: Path, port: int) -> Server:
    program = npm_home() / "node_modules" / "oauth2-mock-server" / "dist" / "oauth2-mock-server.mjs"
    return start(
        [node(), program, "-a", "127.0.0.1", "-p", str(port)], environment={}, folder=folder, name="npm"
    )


def _oidc_provider(folder: Path, port: int) -> Server:
    environment = {
        "BENCH_PORT": str(port),
        "BENCH_CLIENT_ID": CLIENT_ID,
        "BENCH_CLIENT_SECRET": CLIENT_SECRET,
        "NODE_ENV": "production",
    }
    program = npm_home() / "oidc_provider.mjs"
    return start([node(), program], environment=environment, folder=folder, name="npm")


def node() -> str:
    """The Node that runs the peers from npm.

    Raises:
        CannotRun: there is none.
    """
    found = shutil.which("node")
    if found is None:
        raise CannotRun("node is not installed")
    return found


def npm_is_installed() -> bool:
    """Whether `npm_home` would find everything there."""
    stamp = CACHE / "node" / ".installed"
    return stamp.exists() and stamp.read_text("utf-8") == (SERVERS / "package.json").read_text("utf-8")


def npm_home() -> Path:
    """Where the packages of bench/servers/package.json are, installed when that file has changed.

    Raises:
        CannotRun: they cannot be installed.
    """
    home, wanted = CACHE / "node", (SERVERS / "package.json").read_text("utf-8")
    stamp, npm = home / ".installed", shutil.which("npm")
    # A module finds its packages beside itself, so the program lives where they are.
    home.mkdir(parents=True, exist_ok=True)
    for program in SERVERS.glob("*.mjs"):
        shutil.copy(program, home)
    if stamp.exists() and stamp.read_text("utf-8") == wanted:
        return home
    if npm is None:
        raise CannotRun("npm is not installed")
    print("Installing the emulators from npm into bench/.cache/node ...", file=sys.stderr, flush=True)
    (home / "package.json").write_text(wanted, "utf-8")
    quiet = ["--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        subprocess.run(
            [npm, "install", *quiet], cwd=home, check=True, capture_output=True, text=True, timeout=180
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as failure:
        raise CannotRun(
            f"its packages could not be installed: {str(failure.stderr).strip()[-160:]}"
        ) from None
    stamp.write_text(wanted, "utf-8")
    return home


def npm_version(package: str) -> Callable[[], str]:
    def found() -> str:
        text = (CACHE / "node" / "node_modules" / package / "package.json").read_text("utf-8")
        match = re.search(r'"version": *"([^"]+)"', text)
        return f"npm {package} {match[1] if match else '?'}"

    return found


EMULATORS: Sequence[Emulator] = (
    Emulator(
        name="entrada emulator",
        version=lambda: f"entrada {version('entrada')}",
        start=_entrada,
        token=f"/{TENANT}/oauth2/v2.0/token",
        machine_scope=f"{CLIENT_ID}/.default",
        authorize=f"/{TENANT}/oauth2/v2.0/authorize",
    ),
    Emulator(
        name="oidc-provider",
        version=npm_version("oidc-provider"),
        start=_oidc_provider,
        token="/token",
        authorize=None,
    ),
    Emulator(
        name="oauth2-mock-server",
        version=npm_version("oauth2-mock-server"),
        start=_oauth2_mock_server,
        token="/token",
        authorize="/authorize",
    ),
    Emulator(
        name="oidc-provider-mock",
        version=peer_version("oidc-provider-mock"),
        start=_mock,
        token="/oauth2/token",
        authorize="/oauth2/authorize",
        serves_machines=False,
        answered_by=urlencode({"sub": "ada@contoso.test"}),
    ),
)
