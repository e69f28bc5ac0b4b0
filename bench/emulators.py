"""Emulators of an OpenID provider: tokens a second, CPU of a code flow, time from start to ready.

Each runs alone on the server's core. Tokens are RS256 with a 2,048-bit key, so the core's own limit of such
signatures is the yardstick.
"""

from __future__ import annotations

import http.client
import re
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from bench.environment import CACHE, peer_python, peer_version
from bench.figures import Report, median, ratio
from bench.load import load
from bench.processes import SERVER_CORE, CannotRun, Server, free_port, on_core, start
from bench.provider import SERVERS

# The emulator's public, documented application.
CLIENT_ID = "e0000000-0000-4000-8000-00000000000a"
CLIENT_SECRET = "emu~public.secret-one_of_the_Entra.emulator"
TENANT = "contoso.test"
REDIRECT_URI = "http://localhost:9/auth/entra/callback"
CLIENT = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}


@dataclass(frozen=True, kw_only=True)
class Emulator:
    """`token` is the path of its token endpoint, `authorize` that of the other; None: it wants a person."""

    name: str
    version: Callable[[], str]
    start: Callable[[Path, int], Server]
    token: str
    authorize: str | None
    scope: str = "openid"
    answered_by: str | None = None
    """The form that answers the authorization request, where a redirect does not come by itself."""


def emulators(folder: Path, *, smoke: bool) -> Report:
    """The table of all emulators that run."""
    rounds, flows, starts, seconds = (1, 5, 1, 1.0) if smoke else (3, 100, 3, 2.0)
    tokens, cpu, ready = (defaultdict[str, list[float]](list) for _ in range(3))
    reasons: dict[str, str] = {}
    limits: list[float] = []
    for number in range(rounds):
        limits.append(signing_limit(0.3 if smoke else 1.0))
        for one in (one for one in EMULATORS if one.name not in reasons):
            try:
                _measure(one, folder / f"{number}-{one.name}".replace(" ", "-"), seconds, flows, tokens, cpu)
            except (CannotRun, OSError, LookupError) as reason:
                reasons[one.name] = f"did not run: {reason}"
    for number in range(starts):
        for one in (one for one in EMULATORS if one.name not in reasons):
            ready[one.name].append(
                _start_seconds(one, folder / f"start-{number}-{one.name}".replace(" ", "-"))
            )
    limit = median(limits)
    rows = []
    for one in EMULATORS:
        if one.name in reasons:
            rows.append((one.name, "–", "–", "–", "–", reasons[one.name]))
            continue
        rate = median(tokens[one.name])
        flow = f"{median(cpu[one.name]):.2f}" if cpu[one.name] else "–"
        rows.append(
            (
                one.name,
                f"{rate:,.0f}",
                ratio(rate, limit),
                flow,
                f"{median(ready[one.name]) * 1000:.0f}",
                one.version(),
            )
        )
    ours = EMULATORS[0].name
    ran = ours not in reasons
    return Report(
        name="emulators",
        title=f"beside the RSA-2048 signing limit of the core ({limit:,.0f}/s), medians of {rounds} rounds",
        columns=("", "tokens/s", "of the limit", "code flow CPU ms", "start ms", ""),
        rows=rows,
        remarks=[
            "tokens/s: client_credentials; code flow: authorize and token; start: from nothing, key and all",
            f"one signature costs {1000 / limit:.2f} ms",
        ],
        figures={"limit": limits, "tokens": tokens, "cpu_ms": cpu, "start_s": ready, "not_run": reasons},
        goals={
            "tokens/s at least 0.70 of the limit": ran and median(tokens[ours]) / limit >= 0.70,
            "a code flow costs at most 0.6 ms where a signature costs 0.24 (2.5 signatures)": ran
            and median(cpu[ours]) <= 2.5 * 1000 / limit,
            "ready in under 400 ms": ran and median(ready[ours]) < 0.4,
        },
    )


def signing_limit(seconds: float) -> float:
    """RSA-2048 signatures a second on the server's core, with OpenSSL and nothing around it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    count = 0
    with on_core(SERVER_CORE):
        began = time.process_time()
        while time.process_time() - began < seconds:
            for _ in range(20):
                key.sign(b"header.payload", padding.PKCS1v15(), SHA256())
            count += 20
        return count / (time.process_time() - began)


def _measure(
    one: Emulator,
    folder: Path,
    seconds: float,
    flows: int,
    tokens: dict[str, list[float]],
    cpu: dict[str, list[float]],
) -> None:
    folder.mkdir()
    port = free_port()
    with one.start(folder, port) as server:
        server.wait_for_port(port)
        form = urlencode({**CLIENT, "grant_type": "client_credentials", "scope": _machine_scope(one)})
        url = f"http://127.0.0.1:{port}{one.token}"
        load(server, url, seconds=1, form=form, folder=folder)
        rate = load(server, url, seconds=seconds, form=form, folder=folder).per_second
        tokens[one.name].append(rate)
        if one.authorize is not None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            for _ in range(5):
                code_flow(one, connection)
            before = server.cpu_seconds()
            for _ in range(flows):
                code_flow(one, connection)
            cpu[one.name].append((server.cpu_seconds() - before) / flows * 1000)
            connection.close()


def _machine_scope(one: Emulator) -> str:
    return f"{CLIENT_ID}/.default" if one is EMULATORS[0] else ""


def _start_seconds(one: Emulator, folder: Path) -> float:
    folder.mkdir()
    port = free_port()
    with one.start(folder, port) as server:
        return server.wait_for_port(port)


def code_flow(one: Emulator, connection: http.client.HTTPConnection) -> None:
    """A person signs in without a page; the code is redeemed.

    Raises:
        CannotRun: no code, or no tokens.
    """
    query = {
        "client_id": CLIENT_ID,
        "response_type": "code",
        "redirect_uri": REDIRECT_URI,
        "scope": one.scope,
        "state": "a-state",
        "nonce": "a-nonce",
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
        "login_hint": "ada@contoso.test",
        "_emulator_approve": "1",
    }
    target = f"{one.authorize}?{urlencode(query)}"
    if one.answered_by is None:
        connection.request("GET", target)
    else:
        connection.request("GET", target)
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


_FORM = {"content-type": "application/x-www-form-urlencoded"}


def _entrada(folder: Path, port: int) -> Server:
    ports = ["--port", str(port), "--tls-port", str(free_port())]
    return start(
        [sys.executable, "-m", "entrada.cli", "emulator", *ports, "--state-dir", folder / "state"],
        environment={},
        folder=folder,
        name="emulator",
    )


def _mock(folder: Path, port: int) -> Server:
    command = [peer_python(), "-m", "oidc_provider_mock", "--port", str(port), "--user", "ada@contoso.test"]
    return start(command, environment={}, folder=folder, name="mock")


def _oauth2_mock_server(folder: Path, port: int) -> Server:
    program = _npm() / "node_modules" / "oauth2-mock-server" / "dist" / "oauth2-mock-server.mjs"
    return start(
        [_node(), program, "-a", "127.0.0.1", "-p", str(port)], environment={}, folder=folder, name="npm"
    )


def _oidc_provider(folder: Path, port: int) -> Server:
    environment = {
        "BENCH_PORT": str(port),
        "BENCH_CLIENT_ID": CLIENT_ID,
        "BENCH_CLIENT_SECRET": CLIENT_SECRET,
        "NODE_ENV": "production",
    }
    program = _npm() / "oidc_provider.mjs"
    return start([_node(), program], environment=environment, folder=folder, name="npm")


def _node() -> str:
    node = shutil.which("node")
    if node is None:
        raise CannotRun("node is not installed")
    return node


def _npm() -> Path:
    """Where the packages of bench/servers/package.json are, installed when that file has changed.

    Raises:
        CannotRun: they cannot be installed.
    """
    home, wanted = CACHE / "node", (SERVERS / "package.json").read_text("utf-8")
    stamp, npm = home / ".installed", shutil.which("npm")
    # A module finds its packages beside itself, so the program lives where they are.
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(SERVERS / "oidc_provider.mjs", home)
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


def _npm_version(package: str) -> Callable[[], str]:
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
        authorize=f"/{TENANT}/oauth2/v2.0/authorize",
    ),
    Emulator(
        name="oidc-provider",
        version=_npm_version("oidc-provider"),
        start=_oidc_provider,
        token="/token",
        authorize=None,
    ),
    Emulator(
        name="oauth2-mock-server",
        version=_npm_version("oauth2-mock-server"),
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
        answered_by=urlencode({"sub": "ada@contoso.test"}),
    ),
)
