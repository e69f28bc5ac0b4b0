"""Brokers as processes of their own, behind a front that browsers and installations know.

The front is a proxy at the public URL: it passes requests on to whichever process answers now, and can
end that process at one step of a sign-in, before the step or between the step and its answer.
"""

from __future__ import annotations

import http.client
import itertools
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx

from broker.conftest import BehindBroker, Standing, on_the_air
from broker.world import CHALLENGE, VERIFIER
from clients.plain_browser import Page, PlainBrowser
from entrada.broker.installations import installation_at
from entrada.broker.sql_store import SEALED_KEYS, SqlBrokerStore
from entrada.build import build_auth_routes
from entrada.cli.serve import listen
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CLIENT_ID, CONTOSO_ID, FABRIKAM_ID
from entrada.entra.authority import TenantId
from entrada.gateway.app import create_app
from entrada.sealing import Sealer
from entrada.settings import load_settings
from entrada.storage.sql import connect
from walks.nursery import ENTRADA, Nursery, ServerProcess, nursery, plain_environment, until
from walks.site import PROTECTED

SECRET_KEYS = "a key of the tests that has thirty-two bytes and more"


@dataclass(kw_only=True)
class KillAt:
    """The step at which the process ends: the first request for a path, before it or before its answer."""

    path: str
    answered: bool


class Front:
    """The proxy at the public URL. `behind` are the processes it takes turns with."""

    def __init__(self) -> None:
        self.behind: list[ServerProcess] = []
        self.kill_at: KillAt | None = None
        self.answered_by: dict[str, ServerProcess] = {}
        """Who answers a path, for those that only one of several may."""
        self._turns = itertools.count()
        self._lock = threading.Lock()
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def do_GET(self) -> None:
                front._pass_on(self)

            do_POST = do_HEAD = do_GET

            def log_message(self, *_: object) -> None:
                """Nothing to say."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        return f"http://localhost:{self._server.server_address[1]}"

    @property
    def is_down(self) -> bool:
        return all(one.is_gone() for one in self.behind)

    def __enter__(self) -> Front:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(timeout=10)
        self._server.server_close()

    def _pass_on(self, handler: Any) -> None:
        body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        path = urlsplit(handler.path).path
        with self._lock:
            alive = [one for one in self.behind if not one.is_gone()]
            plan = self.kill_at
            due = plan is not None and plan.path == path and bool(alive)
            if due:
                self.kill_at = None
        if not alive:
            _unreachable(handler)
            return
        process = self.answered_by.get(path) or alive[next(self._turns) % len(alive)]
        if due and plan is not None and not plan.answered:
            process.kill()
            _unreachable(handler)
            return
        headers = {name: value for name, value in handler.headers.items() if name.lower() != "connection"}
        connection = http.client.HTTPConnection(process.address.removeprefix("http://"), timeout=30)
        try:
            connection.request(handler.command, handler.path, body=body, headers=headers)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            _unreachable(handler)
            return
        finally:
            connection.close()
        if due:
            process.kill()
            _unreachable(handler)
            return
        handler.send_response_only(response.status)
        for name, value in response.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                handler.send_header(name, value)
        handler.send_header("content-length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)


def _unreachable(handler: Any) -> None:
    """What a proxy says whose server is gone."""
    handler.send_response_only(502)
    handler.send_header("content-type", "text/plain")
    handler.end_headers()
    handler.wfile.write(b"Bad Gateway")


@dataclass
class BrokerProcesses:
    """Brokers on one database, and installations in this process that know the front's address alone."""

    entra: RunningEmulator
    folder: Path
    front: Front
    servers: Nursery
    stack: ExitStack
    database_url: str
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.front.url

    def start(self, *, command: str = "broker", **settings: str) -> ServerProcess:
        """One more broker, which answers."""
        made = self.servers.begin_server(
            public_url=self.url, command=command, **{**self.settings, **settings}
        )
        until(lambda: made.is_up() or made.is_gone())
        assert not made.is_gone(), made.log.read_text()
        self.front.behind.append(made)
        return made

    @property
    def database(self) -> Path:
        """The file, where it is SQLite."""
        return Path(self.database_url.removeprefix("sqlite:///"))

    @property
    def store(self) -> SqlBrokerStore:
        database = connect(self.database_url)
        self.stack.callback(database.close)
        return SqlBrokerStore(database, sealer=Sealer([SECRET_KEYS.encode()], purpose=SEALED_KEYS))

    def installation(
        self, *, tenant: str = CONTOSO_ID, listener: Any = None, added: bool = True, **settings: str
    ) -> Standing:
        """An `entrada serve` in this process; `added` to the broker's database, or listed elsewhere."""
        listener = listener or listen("127.0.0.1", 0)
        port = listener.getsockname()[1]
        url = f"http://localhost:{port}"
        if added:
            self.store.save_installation(installation_at(url, tenant_id=TenantId(tenant)))
        environment = {
            "ENTRADA_BROKER_URL": self.url,
            "ENTRADA_TENANT_ID": tenant,
            "ENTRADA_PUBLIC_URL": url,
            "ENTRADA_DATABASE_URL": f"sqlite:///{self.folder}/{port}.db",
            **settings,
        }
        auth = build_auth_routes(*load_settings(environment))
        self.stack.callback(auth.relying_party.close)
        self.stack.enter_context(on_the_air(create_app(auth, routes=PROTECTED), listener))
        return Standing(url, auth)

    def command(self, *words: str) -> str:
        """What `entrada broker ...` says, run beside the brokers on their database."""
        ran = subprocess.run(
            [*ENTRADA, "broker", *words],
            cwd=self.folder,
            env={
                **plain_environment(self.folder),
                **self.servers.environment,
                "ENTRADA_PUBLIC_URL": self.url,
                **self.settings,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def code(self, browser: PlainBrowser, who: str, *, client_id: str, redirect_uri: str) -> str:
        """The code that this client would get, for a verifier of `VERIFIER`."""
        return code_at(self.url, browser, who, client_id=client_id, redirect_uri=redirect_uri)

    def redeem(self, at: str, code: str, *, client_id: str, redirect_uri: str) -> httpx.Response:
        """The answer of the token endpoint at this address."""
        return redeem_at(at, code, client_id=client_id, redirect_uri=redirect_uri)

    def token(self, at: str, **form: str) -> httpx.Response:
        return httpx.post(f"{at}/auth/broker/token", data=form, timeout=30, trust_env=False)

    def sign_in(self, browser: PlainBrowser, where: Standing, who: str, path: str = "/") -> Page:
        """The button at that installation, the account at Entra, and back."""
        page = browser.sign_in(f"{where.url}/auth/entra/start?next={path}", who)
        return browser.press("Accept") if "Permissions requested" in page.text else page


@contextmanager
def brokers(
    entra: RunningEmulator, folder: Path, *, database_url: str = "", **settings: str
) -> Iterator[BrokerProcesses]:
    """Nothing runs yet but the front."""
    with ExitStack() as stack:
        front = stack.enter_context(Front())
        entra.change_app(
            CLIENT_ID, audience="AzureADMultipleOrgs", logout_url=f"{front.url}/auth/entra/logout"
        )
        environment = {
            **entra.env("entrada"),
            "ENTRADA_TENANT_ID": "organizations",
            "ENTRADA_ALLOWED_TENANTS": f"{CONTOSO_ID},{FABRIKAM_ID}",
            "ENTRADA_ROLES_MAPPING": '{"Admin": "Operator"}',
            "ENTRADA_ADMIN_ROLES": "Operator",
            "ENTRADA_SECRET_KEYS": SECRET_KEYS,
        }
        database_url = database_url or f"sqlite:///{folder}/broker.db"
        servers = stack.enter_context(nursery(environment, folder))
        yield BrokerProcesses(
            entra,
            folder,
            front,
            servers,
            stack,
            database_url,
            {"ENTRADA_DATABASE_URL": database_url, **settings},
        )


def code_at(url: str, browser: PlainBrowser, who: str, *, client_id: str, redirect_uri: str) -> str:
    """The code that a client of the broker at `url` would get, for a verifier of `VERIFIER`."""
    asked = {
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "response_type": "code",
        "scope": "openid profile email offline_access",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    browser.stop_at = (redirect_uri,)
    page = browser.open(f"{url}/auth/broker/authorize?{urlencode(asked)}")
    if "Pick an account" in page.text:
        page = browser.press("Next", name=who)
    page = browser.press("Accept") if "Permissions requested" in page.text else page
    return page.parameters["code"]


def redeem_at(url: str, code: str, *, client_id: str, redirect_uri: str) -> httpx.Response:
    form = {
        "grant_type": "authorization_code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "code": code,
        "code_verifier": VERIFIER,
    }
    return httpx.post(f"{url}/auth/broker/token", data=form, timeout=30, trust_env=False)


def redeemed_over_http(world: BehindBroker, client_id: str, redirect_uri: str) -> dict[str, Any]:
    """What the token endpoint gives this public client for Ada."""
    with PlainBrowser(world.entra.ca_file) as browser:
        code = code_at(world.url, browser, "ada@contoso.test", client_id=client_id, redirect_uri=redirect_uri)
    answer = redeem_at(world.url, code, client_id=client_id, redirect_uri=redirect_uri)
    assert answer.status_code == 200, answer.text
    return {**answer.json(), "spent_code": code}
