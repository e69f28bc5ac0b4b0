"""One emulator and one dstack of each version, shared; a test signs in people whom nobody has seen before."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest

from clients.dstack import NEWEST, Dstack, running_dstack
from entrada.emulator import RunningEmulator, start
from entrada.emulator.seed import FINANCE
from integrations.dstack.visitor import Visitor
from walks.visitor import new_http

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

EXTRA_URL = "https://dstack.contoso.test"
ONE_OF_OLGAS = "90000000-0000-4000-8000-000000000217"
"""One of the 250 groups of olga@contoso.test, whose token names none of them."""
SECRET_KEY = "a secret key that only the tests know"
SHARED_SETTINGS = {
    "ENTRADA_ROLES_MAPPING": json.dumps({"Admin": "admin"}),
    "ENTRADA_DSTACK_PROJECTS": json.dumps(
        {
            "Editor": {"main": "manager"},
            "Viewer": {"main": "user"},
            FINANCE: {"budget": "manager"},
            ONE_OF_OLGAS: {"main": "admin"},
        }
    ),
    "DSTACK_ENTRA_EXTRA_URLS": EXTRA_URL,
    "ENTRADA_SECRET_KEYS": SECRET_KEY,
}
"""Of the servers that tests share. Admins administrate; editors manage the project, viewers use it."""

_numbers = itertools.count(1)

NewVisitor = Callable[..., Visitor]
NewPerson = Callable[..., Any]
Servers = Callable[[str], Dstack]


@pytest.fixture(scope="package")
def started_emulator() -> Iterator[RunningEmulator]:
    with start() as running:
        yield running


@pytest.fixture
def emulator(started_emulator: RunningEmulator) -> RunningEmulator:
    """The emulator as it is just after starting."""
    started_emulator.reset()
    return started_emulator


@pytest.fixture(scope="package")
def servers(started_emulator: RunningEmulator) -> Iterator[Servers]:
    """`servers("0.22.1")`: that version on SQLite, started when first asked for."""
    running: dict[str, Dstack] = {}
    with ExitStack() as stack:

        def server(version: str) -> Dstack:
            if version not in running:
                running[version] = stack.enter_context(
                    running_dstack(started_emulator, version=version, **SHARED_SETTINGS)
                )
            return running[version]

        yield server


@pytest.fixture
def dstack(servers: Servers, emulator: RunningEmulator) -> Dstack:
    """The newest version."""
    return servers(NEWEST)


@pytest.fixture(scope="package")
def http() -> Iterator[httpx.Client]:
    with new_http() as client:
        yield client


@pytest.fixture
def new_visitor(request: pytest.FixtureRequest, http: httpx.Client) -> NewVisitor:
    """`new_visitor()` is a browser with no past at the shared server, `new_visitor(other)` at another."""

    def make(at: Dstack | None = None) -> Visitor:
        return Visitor(at or request.getfixturevalue("dstack"), http)

    return make


@pytest.fixture
def visitor(new_visitor: NewVisitor) -> Visitor:
    return new_visitor()


@pytest.fixture
def new_person(emulator: RunningEmulator) -> NewPerson:
    """`new_person("Viewer")`: somebody of Contoso with these app roles whom dstack has never seen."""

    def make(*roles: str, **fields: Any) -> Any:
        number = next(_numbers)
        fields = {"display_name": f"Pat {number}", "mail": f"pat{number}@contoso.test", **fields}
        return emulator.add_person(f"pat{number}@contoso.test", roles=list(roles), **fields)

    return make


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A person's own home, for the command line."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def tab(page: Page) -> Page:
    """A tab that meets nobody but this machine: dstack's page calls a widget of a stranger's."""

    def only_here(route: Route) -> None:
        if urlsplit(route.request.url).hostname in ("localhost", "127.0.0.1"):
            route.continue_()
        else:
            route.abort()

    page.route("**/*", only_here)
    return page
