"""CPU of a sign-in through a broker beside one without it, and of a token response beside npm oidc-provider.

A sign-in through the broker is two walks: the installation's at the broker, and the broker's at Entra. Both
processes count. For the token response codes are made ahead, and nothing but the token endpoint works: an ID
token and an access token signed, a refresh token made, the code spent. Its limit is what the signatures cost.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from bench.browser import Browser, SignInFailed
from bench.emulator_peers import node, npm_home, npm_is_installed, npm_version
from bench.figures import Report, alternate, median, median_ratio, spread
from bench.peers import entrada_environment
from bench.processes import CannotRun, Server, free_port, start
from bench.provider import Provider, start_provider
from entrada.accounts.identity import EntraIdentity
from entrada.broker.grants import (
    CODE_LIFE,
    GRANT_IDLE_LIFE,
    AuthorizationCode,
    Grant,
    Person,
    new_grant_id,
    new_token,
)
from entrada.broker.installations import installation_at
from entrada.broker.sql_store import SEALED_KEYS, SqlBrokerStore
from entrada.compatibility import UTC
from entrada.entra.authority import ObjectId, TenantId
from entrada.sealing import Sealer
from entrada.storage.sql import connect

CROWD = 20
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
FORM = {"content-type": "application/x-www-form-urlencoded"}
SIGNATURES = 2
"""In a token response: ID token and access token."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is done; the smoke test does just enough to see that everything runs."""

    rounds: int = 12
    sign_ins: int = 20
    responses: int = 150
    most_seconds: float = 60.0
    signings: int = 300


SMOKE = Size(rounds=1, sign_ins=2, responses=5, signings=5)


def broker(folder: Path, *, smoke: bool) -> Report:
    """The table of both, and the signing limit."""
    size = SMOKE if smoke else Size()
    with ExitStack() as stack:
        provider = start_provider(folder, people=CROWD)
        stack.enter_context(provider.server)
        alone = stack.enter_context(_Serving.start(provider, folder / "alone"))
        behind = stack.enter_context(_Serving.start_behind_a_broker(provider, folder / "behind"))
        sign_ins = alternate(
            {
                "without a broker": lambda: alone.milliseconds(size.sign_ins),
                "through a broker": lambda: behind.milliseconds(size.sign_ins),
            },
            rounds=size.rounds,
            most_seconds=size.most_seconds,
        )
        redeeming, reasons = _redeemers(behind, folder, stack, installs=not smoke)
        responses = alternate(
            {name: lambda one=one: one.milliseconds(size.responses) for name, one in redeeming.items()},  # type: ignore[misc]
            rounds=size.rounds,
            most_seconds=size.most_seconds,
        )
    limits = {name: _milliseconds_of(sign, size.signings) for name, sign in _signers().items()}
    limit = SIGNATURES * limits["RS256"]
    ours = median(responses["Entrada"])
    rows = [
        _row(f"sign-in {name}", sign_ins[name], sign_ins["without a broker"], "")
        for name in ("without a broker", "through a broker")
    ]
    rows += [
        _row(f"token response, {name}", responses[name], responses["Entrada"], "")
        for name in ("Entrada", "oidc-provider")
        if name in responses
    ]
    rows += [(f"token response, {name}", "–", "–", "–", reason) for name, reason in reasons.items()]
    remarks = [
        f"one signature: {', '.join(f'{name} {spent * 1000:,.0f} µs' for name, spent in limits.items())}",
        f"a token response is {ours / limit:.1f} times its {SIGNATURES} signatures",
    ]
    if "oidc-provider" in responses:
        remarks.insert(0, npm_version("oidc-provider")())
    return Report(
        name="broker",
        title=f"CPU of a sign-in and of a token response, medians of {len(sign_ins['through a broker'])} "
        "alternating rounds",
        columns=("", "CPU ms", "ratio", "spread", ""),
        rows=rows,
        remarks=remarks,
        figures={"sign_in_ms": sign_ins, "token_ms": responses, "signature_ms": limits, "not_run": reasons},
    )


class _Serving:
    """Servers that one sign-in works at, and where it begins."""

    def __init__(self, servers: Sequence[Server], url: str, provider: Provider, database: Path) -> None:
        self.servers, self.url, self.database = servers, url, database
        self.broker_url = url
        self._next = 0
        self._browser = Browser((provider.https_url, provider.http_url))

    @classmethod
    def start(cls, provider: Provider, folder: Path) -> _Serving:
        folder.mkdir()
        port = free_port()
        server = _entrada(entrada_environment(provider, folder, port), folder, port, "serve")
        return cls([server], f"http://localhost:{port}", provider, folder / "entrada.db")

    @classmethod
    def start_behind_a_broker(cls, provider: Provider, folder: Path) -> _Serving:
        folder.mkdir()
        port, broker_port = free_port(), free_port()
        url, broker_url = f"http://localhost:{port}", f"http://localhost:{broker_port}"
        at_broker = entrada_environment(provider, folder, broker_port)
        broker_server = _entrada(at_broker, folder, broker_port, "broker")
        store = _store(folder / "entrada.db")
        store.save_installation(installation_at(url, tenant_id=TenantId(provider.tenant_id)))
        installation = {
            "ENTRADA_BROKER_URL": broker_url,
            "ENTRADA_TENANT_ID": provider.tenant_id,
            "ENTRADA_PUBLIC_URL": url,
            "ENTRADA_DATABASE_URL": f"sqlite:///{folder / 'installation.db'}",
            "ENTRADA_ROLES_MAPPING": at_broker["ENTRADA_ROLES_MAPPING"],
        }
        server = _entrada(installation, folder, port, "serve")
        made = cls([server, broker_server], url, provider, folder / "entrada.db")
        made.broker_url = broker_url
        return made

    def __enter__(self) -> _Serving:
        return self

    def __exit__(self, *_: object) -> None:
        for server in self.servers:
            server.stop()

    def sign_in(self) -> None:
        """The next of the crowd, to the end.

        Raises:
            SignInFailed: a step did not lead on.
        """
        person = f"person{self._next % CROWD}@contoso.test"
        self._next += 1
        self._browser.forget()
        address = f"{self.url}/auth/entra/start?next=/"
        for _ in range(8):
            status, location, body = self._browser.visit(address)
            if not location:
                raise SignInFailed(f"{address[:60]} answered {status}: {body[:120]!r}")
            if location == f"{self.url}/":
                return
            # Entra's own authorize endpoint answers without a page.
            is_at_entra = "/oauth2/v2.0/authorize?" in location
            address = f"{location}&login_hint={person}&_emulator_approve=1" if is_at_entra else location
            address = self._browser.plain(address)
        raise SignInFailed("redirected without end")

    def milliseconds(self, count: int) -> float:
        """CPU of one sign-in in all servers, after two that do not count."""
        for _ in range(2):
            self.sign_in()
        before = self._cpu_seconds()
        for _ in range(count):
            self.sign_in()
        return (self._cpu_seconds() - before) / count * 1000

    def _cpu_seconds(self) -> float:
        return sum(server.cpu_seconds() for server in self.servers)


@dataclass(frozen=True, kw_only=True)
class _Redeemer:
    """A token endpoint, and where its codes come from."""

    server: Server
    url: str
    client_id: str
    redirect_uri: str
    codes: Callable[[int], Sequence[str]]

    def milliseconds(self, count: int) -> float:
        """CPU of one response, after some that do not count."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=20)
        codes = self.codes(count + 3)
        for code in codes[:3]:
            self._redeem(connection, parts.path, code)
        before = self.server.cpu_seconds()
        for code in codes[3:]:
            self._redeem(connection, parts.path, code)
        spent = self.server.cpu_seconds() - before
        connection.close()
        return spent / count * 1000

    def _redeem(self, connection: http.client.HTTPConnection, path: str, code: str) -> None:
        form = {
            "grant_type": "authorization_code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "code": code,
            "code_verifier": VERIFIER,
        }
        connection.request("POST", path, body=urlencode(form), headers=FORM)
        answer = connection.getresponse()
        body = answer.read()
        if (
            answer.status != 200
            or not {"id_token", "access_token", "refresh_token"} <= json.loads(body).keys()
        ):
            raise CannotRun(f"the token endpoint answered {answer.status}: {body[:160]!r}")


def _redeemers(
    behind: _Serving, folder: Path, stack: ExitStack, *, installs: bool
) -> tuple[dict[str, _Redeemer], dict[str, str]]:
    redirect_uri = f"{behind.url}/auth/entra/callback"
    store = _store(behind.database)
    installation = store.find_installation(behind.url)
    if installation is None:
        raise CannotRun("the broker lost its installation")
    tenant_id = installation.tenant_id
    found = {
        "Entrada": _Redeemer(
            server=behind.servers[1],
            url=f"{behind.broker_url}/auth/broker/token",
            client_id=behind.url,
            redirect_uri=redirect_uri,
            codes=lambda count: [_code(store, behind.url, redirect_uri, tenant_id) for _ in range(count)],
        )
    }
    if not (installs or npm_is_installed()):
        return found, {"oidc-provider": "not installed, and the smoke test installs nothing"}
    port = free_port()
    try:
        server = start(
            [node(), npm_home() / "oidc_provider_codes.mjs"],
            environment={
                "BENCH_PORT": str(port),
                "BENCH_CLIENT_ID": "app",
                "BENCH_REDIRECT_URI": redirect_uri,
                "BENCH_CODE_CHALLENGE": CHALLENGE,
                "NODE_ENV": "production",
            },
            folder=folder,
            name="oidc-provider",
            talks=True,
        )
        stack.enter_context(server)
        server.wait_for_port(port)
        peer = _Redeemer(
            server=server,
            url=f"http://localhost:{port}/token",
            client_id="app",
            redirect_uri=redirect_uri,
            codes=lambda count: json.loads(server.ask(str(count))),
        )
        peer.milliseconds(1)
    except CannotRun as reason:
        return found, {"oidc-provider": f"did not run: {reason}"}
    return {**found, "oidc-provider": peer}, {}


def _entrada(environment: dict[str, str], folder: Path, port: int, command: str) -> Server:
    server = start(
        [sys.executable, "-m", "entrada.cli", command, "--port", str(port)],
        environment=environment,
        folder=folder,
        name=f"{command}-{port}",
    )
    server.wait_for_port(port)
    return server


def _store(database: Path) -> SqlBrokerStore:
    opened = connect(f"sqlite:///{database}")
    opened.migrate()
    return SqlBrokerStore(opened, sealer=Sealer([b"k" * 32], purpose=SEALED_KEYS))


def _code(store: SqlBrokerStore, client_id: str, redirect_uri: str, tenant_id: TenantId) -> str:
    """A code as a finished sign-in leaves it."""
    now = datetime.now(UTC)
    person = Person(
        identity=EntraIdentity(
            tenant_id=tenant_id, object_id=ObjectId("aaaaaaaa-0000-4000-8000-000000000001")
        ),
        name="Ada Lovelace",
        username="ada@contoso.test",
        email="ada@contoso.test",
        email_is_verified=True,
        is_guest=False,
        home_tenant=None,
        roles=("Editor",),
        groups=(),
        auth_time=now - timedelta(minutes=1),
    )
    grant = Grant(
        id=new_grant_id(),
        client_id=client_id,
        person=person,
        scopes=frozenset({"openid", "offline_access", "email"}),
        begun_at=now,
        expires_at=now + GRANT_IDLE_LIFE,
    )
    written = new_token(grant.id)
    store.open_grant(
        grant,
        AuthorizationCode(
            hash=written.hash,
            grant_id=grant.id,
            client_id=client_id,
            redirect_uri=redirect_uri,
            code_challenge=CHALLENGE,
            nonce="a-nonce",
            expires_at=now + CODE_LIFE,
        ),
    )
    return written.text


def _signers() -> dict[str, Callable[[bytes], bytes]]:
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    ec_key = ec.generate_private_key(ec.SECP256R1())
    return {
        "RS256": lambda text: rsa_key.sign(text, padding.PKCS1v15(), hashes.SHA256()),
        "ES256": lambda text: ec_key.sign(text, ec.ECDSA(hashes.SHA256())),
    }


def _milliseconds_of(sign: Callable[[bytes], bytes], count: int) -> float:
    text = b"x" * 800
    sign(text)
    before = time.process_time()
    for _ in range(count):
        sign(text)
    return (time.process_time() - before) / count * 1000


def _row(name: str, found: Sequence[float], base: Sequence[float], remark: str) -> tuple[str, ...]:
    return (name, f"{median(found):.2f}", f"{median_ratio(found, base):.2f}", f"±{spread(found):.0%}", remark)
