"""Pages and commands among a hundred thousand accounts: each within a fifth of a second, on both databases.

The best of a few tries counts, and of time the CPU: of this process, which is visitor, server and SQLite, and
of all of PostgreSQL's. Other work on the machine says nothing about ours.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from administration.conftest import press, text_of
from clients.postgres import cpu_seconds_of, postmaster_of, running_postgres
from entrada.build import open_stores
from entrada.cli import main
from entrada.clock import SystemClock
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CONTOSO_ID
from storage.many_people import add_many
from walks.site import ROLES, Site, served
from walks.visitor import Visitor

PEOPLE = 100_000
LONGEST_SECONDS = 0.2
TRIES = 6
MAPPING = json.dumps({**json.loads(ROLES), "Readers": "Reader"})
SOMEBODY = f"{54_321:032x}"


@dataclass(frozen=True, kw_only=True)
class Many:
    site: Site
    database_url: str
    ada: Visitor
    postmaster: int | None

    def cpu_seconds(self) -> float:
        """What this process and PostgreSQL have used."""
        return time.process_time() + (0.0 if self.postmaster is None else cpu_seconds_of(self.postmaster))


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.heavy)])
def many(
    request: pytest.FixtureRequest,
    emulator: RunningEmulator,
    http: httpx.Client,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Many]:
    with ExitStack() as stack:
        file = tmp_path_factory.mktemp("many") / "entrada.db"
        url, postmaster = f"sqlite:///{file}", None
        if request.param == "postgresql":
            address = stack.enter_context(running_postgres("entrada"))
            url, postmaster = f"postgresql://postgres@{address}/entrada", postmaster_of(address)
        stores = open_stores(url)
        assert stores.database is not None
        add_many(stores.database, PEOPLE, now=SystemClock().now(), tenant_id=CONTOSO_ID)
        stores.close()
        site = stack.enter_context(
            served(
                emulator,
                database=file if request.param == "sqlite" else None,
                ENTRADA_DATABASE_URL=url,
                ENTRADA_ADMIN_ROLES="Admin",
                ENTRADA_ROLES_MAPPING=MAPPING,
                ENTRADA_SECRET_KEYS="a-long-and-secret-key-of-the-tests-0123456789",
            )
        )
        ada = Visitor(site, http)
        ada.sign_in_as("ada@contoso.test")
        yield Many(site=site, database_url=url, ada=ada, postmaster=postmaster)


def seconds(call: Callable[[], Any], many: Many) -> float:
    """The quickest of a few; no more are made than are needed."""
    quickest = float("inf")
    for _ in range(TRIES):
        begun = many.cpu_seconds()
        call()
        quickest = min(quickest, many.cpu_seconds() - begun)
        if quickest < LONGEST_SECONDS / 2:
            break
    return quickest


PAGES = {
    "first page": ("/auth/admin", "50 people; more follow."),
    "a later page": (f"/auth/admin?after={SOMEBODY}", "50 people on this page; more follow."),
    "part of a name": ("/auth/admin?q=p99999%40", "1 person."),
    "nobody": ("/auth/admin?q=zzzz", "Nobody found."),
    "everybody by text": ("/auth/admin?q=contoso", "50 people; more follow."),
    "enabled": ("/auth/admin?state=enabled", "50 people; more follow."),
    "disabled": ("/auth/admin?state=disabled", "50 people; more follow."),
    "a rare role": ("/auth/admin?role=Admin", "3 people."),
    "signed in": ("/auth/admin?signed_in=now", "50 people; more follow."),
    "all filters": ("/auth/admin?q=erson&state=enabled&role=Reader&signed_in=now", "people; more follow."),
    "an account": (f"/auth/admin/person?id={SOMEBODY}", "erson 54321"),
    "explained": (f"/auth/admin/explain?id={SOMEBODY}&role=Admin", "They have no role"),
    "explained by name": ("/auth/admin/explain?q=p54321%40", "Explain"),
    "audit": ("/auth/admin/audit", "entries"),
    "audit of one": ("/auth/admin/audit?q=ada%40", "entr"),
    "health": ("/auth/admin/health", "Answers"),
    "own account": ("/auth/account", "This one"),
}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_among_a_hundred_thousand(page: str, many: Many) -> None:
    """Every page of administrators, and one's own, within 200 ms."""
    path, words = PAGES[page]
    answer = many.ada.open(path)
    assert answer.status_code == 200
    assert words in text_of(answer)
    taken = seconds(lambda: many.ada.open(path), many)
    assert taken < LONGEST_SECONDS, f"{page}: {taken * 1000:.0f} ms"


def test_a_mapping_tried_on_a_hundred_thousand(many: Many) -> None:
    """One that changes nobody's role, and one that changes everybody's, within 200 ms each."""
    page = many.ada.open("/auth/admin/mapping")
    others = MAPPING.replace('"Reader"', '"Other"')
    for mapping, words in ((MAPPING, "No people"), (others, "250 people of the first 250")):
        assert words in text_of(press(many.ada, page, "Try it", mapping=mapping))
        taken = seconds(lambda mapping=mapping: press(many.ada, page, "Try it", mapping=mapping), many)  # type: ignore[misc]
    assert taken < LONGEST_SECONDS, f"{words}: {taken * 1000:.0f} ms"


COMMANDS = {
    "list": ("users", "list"),
    "list a role": ("users", "list", "--role", "Admin", "--json"),
    "list by text": ("users", "list", "p9999"),
    "show": ("users", "show", "p54321@contoso.test"),
    "show by id": ("users", "show", SOMEBODY),
    "export": ("users", "export", SOMEBODY),
    "grant": ("users", "grant", SOMEBODY, "Editor"),
    "disable": ("users", "disable", SOMEBODY),
    "enable": ("users", "enable", SOMEBODY),
    "sessions": ("sessions", "list"),
    "sessions of one": ("sessions", "list", "p54300@contoso.test"),
    "explain": ("explain", "p54321@contoso.test", "--role", "Admin"),
    "audit": ("audit", "--person", SOMEBODY),
    "mapping": ("mapping", "test", MAPPING),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_among_a_hundred_thousand(
    command: str, many: Many, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    """Every command about people within 200 ms, besides what the interpreter needs to start."""
    monkeypatch.chdir(tmp_path)
    for name, value in (
        ("DATABASE_URL", many.database_url),
        ("ROLES_MAPPING", MAPPING),
        ("ADMIN_ROLES", "Admin"),
    ):
        monkeypatch.setenv(f"ENTRADA_{name}", value)
    words = COMMANDS[command]

    def run() -> None:
        assert main(words) == 0

    run()
    taken = seconds(run, many)
    capsys.readouterr()
    assert taken < LONGEST_SECONDS, f"{command}: {taken * 1000:.0f} ms"
