"""A real site for the walks: uvicorn on a free port of 127.0.0.1, a protected application, SQLite.

The public URL may be another than the address listened on, as behind a proxy that ends TLS.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from entrada.accounts.identity import EntraIdentity, User
from entrada.adapters.starlette import login_required, principal_of, roles_required
from entrada.build import build_auth_routes
from entrada.cli.serve import listen, server_config
from entrada.clock import SystemClock
from entrada.emulator import RunningEmulator
from entrada.entra.authority import ObjectId, TenantId
from entrada.gateway.app import create_app
from entrada.settings import load_settings
from entrada.web.auth_routes import AuthRoutes
from entrada.web.budgets import Allowance, Budgets, FailureBudget

ROLES = '{"Admin": "Admin", "Editor": "Editor", "Viewer": "Viewer"}'
TABLES = ("entrada_user", "entrada_identity", "entrada_role_grant", "entrada_session")


@dataclass
class ShiftedClock:
    """The system's clock, set forward by so much: for what happens after hours."""

    ahead: timedelta = timedelta(0)
    _system: SystemClock = field(default_factory=SystemClock)

    def now(self) -> datetime:
        return self._system.now() + self.ahead

    def monotonic(self) -> float:
        return self._system.monotonic() + self.ahead.total_seconds()

    def pass_by(self, **time: float) -> None:
        self.ahead += timedelta(**time)


@dataclass(frozen=True, kw_only=True)
class Site:
    public_url: str
    address: str
    auth: AuthRoutes
    clock: ShiftedClock
    database: Path | None

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything kept about people and sessions, by table."""
        assert self.database is not None
        return {table: rows_of(self.database, f"SELECT * FROM {table} ORDER BY 1, 2") for table in TABLES}

    def account_of(self, person: Any) -> User | None:
        """The account that this person of the emulator signs in to."""
        identity = EntraIdentity(tenant_id=TenantId(person.tenant_id), object_id=ObjectId(person.object_id))
        return self.auth.relying_party.accounts.find_by_identity(identity)


def rows_of(database: Path, question: str, *values: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(question, values).fetchall()


def without_end() -> Budgets:
    much = Allowance(burst=1e9, per_second=1e9)
    kinds = [FailureBudget(per_peer=much, overall=much) for _ in range(3)]
    return Budgets(foreign=kinds[0], redemptions=kinds[1], front_channel=kinds[2])


@contextmanager
def served(
    emulator: RunningEmulator,
    *,
    database: Path | None,
    public_url: str | None = None,
    clock: ShiftedClock | None = None,
    app_of: Callable[[AuthRoutes], Any] | None = None,
    budgets: Budgets | None = None,
    config_of: Callable[[Any], uvicorn.Config] = server_config,
    calls_apis: bool = False,
    **settings: str,
) -> Iterator[Site]:
    """A site until the end of the block; `settings` beat those that point at the emulator.

    `app_of` makes another application than the protected pages of this module; `config_of` runs it otherwise
    than `entrada serve` does.

    `database` None keeps everything in memory. Without `budgets` as many sign-ins may fail as the tests want:
    all of them come from one address.
    """
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    public_url = public_url or f"http://localhost:{port}"
    environment = {
        **emulator.env("entrada"),
        "ENTRADA_PUBLIC_URL": public_url,
        "ENTRADA_DATABASE_URL": f"sqlite:///{database}" if database else "memory:",
        "ENTRADA_ROLES_MAPPING": ROLES,
        **settings,
    }
    clock = clock or ShiftedClock()
    try:
        auth = build_auth_routes(*load_settings(environment), clock=clock, calls_apis=calls_apis)
        auth = replace(auth, budgets=budgets or without_end())
    except BaseException:
        listener.close()
        raise
    server = uvicorn.Server(config_of(app_of(auth) if app_of else create_app(auth, routes=PROTECTED)))
    thread = threading.Thread(target=server.run, args=([listener],), name="site")
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield Site(
            public_url=public_url,
            address=f"http://127.0.0.1:{port}",
            auth=auth,
            clock=clock,
            database=database,
        )
    finally:
        server.should_exit = True
        # uvicorn takes a fifth of a second to notice; the next test need not wait for that.
        threading.Thread(target=_end, args=(thread, auth), name="site-ending").start()


def _end(serving: threading.Thread, auth: AuthRoutes) -> None:
    serving.join(timeout=30)
    auth.relying_party.close()


def wait_until(condition: Any, *, seconds: float = 15.0) -> None:
    """Returns as soon as the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


@roles_required("Editor", "Admin")
async def _editors(_: Request) -> Response:
    return JSONResponse({"page": "editors"})


@login_required
async def _any_page(request: Request) -> Response:
    person = principal_of(request)
    assert person is not None
    return JSONResponse({"page": request.url.path, "name": person.name, "roles": sorted(person.roles)})


_METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]
PROTECTED = [Route("/editors", _editors), Route("/{path:path}", _any_page, methods=_METHODS)]
