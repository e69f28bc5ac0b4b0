"""Two dstack servers behind one address, on one PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from clients.dstack import Dstack, running_dstack
from clients.postgres import SUPERUSER, running_postgres
from entrada.emulator import RunningEmulator
from house import tools
from integrations.dstack.administrator import Administrator, may_use
from integrations.dstack.conftest import SHARED_SETTINGS, NewPerson, NewVisitor
from integrations.dstack.leaving import refreshed, soon
from integrations.dstack.visitor import Visitor, is_dstacks_page
from walks.visitor import query_of

pytestmark = [pytest.mark.heavy, pytest.mark.browser, pytest.mark.timeout(300)]


EVERY_SECONDS = 2


@pytest.fixture(scope="module")
def pair(started_emulator: RunningEmulator) -> Iterator[tuple[Dstack, Dstack]]:
    """Two servers that believe they have one address, the first one's: a balancer's work is the test's."""
    with ExitStack() as stack:
        server = stack.enter_context(running_postgres("dstack"))
        port = tools.free_port()
        settings = SHARED_SETTINGS | {
            "DSTACK_DATABASE_URL": f"postgresql+asyncpg://{SUPERUSER}@{server}/dstack",
            "DSTACK_SERVER_URL": f"http://localhost:{port}",
            "ENTRADA_RECHECK_EVERY": f"{EVERY_SECONDS}s",
        }
        first = stack.enter_context(
            running_dstack(started_emulator, port=port, admin_token="one-token-of-both", **settings)
        )
        second = stack.enter_context(
            running_dstack(started_emulator, admin_token="one-token-of-both", **settings)
        )
        yield first, second


def test_they_share_the_looking_again(
    pair: tuple[Dstack, Dstack], emulator: RunningEmulator, new_visitor: NewVisitor, new_person: NewPerson
) -> None:
    """Entra is asked about a person once an interval, not once a server; both refuse who left.

    The first test here, as long as nobody else is asked about.
    """
    first, second = pair
    pat = new_person("Viewer")
    token = new_visitor(first).sign_in_as(pat)["creds"]["token"]
    began = time.monotonic()
    while refreshed(emulator) < 3:
        assert time.monotonic() < began + 60
        time.sleep(0.05)
    assert time.monotonic() - began > 2 * EVERY_SECONDS, "asked more often than once an interval"
    emulator.change_person(pat.user_principal_name, enabled=False)
    soon(lambda: not may_use(first, token), "the token is void", first)
    assert not may_use(second, token)


def completed_at(other: Dstack, visitor: Visitor) -> httpx.Response:
    """The last step, sent by the balancer to the other server."""
    given = query_of(visitor.coming_back)
    body = {"code": given["code"], "state": given["state"], "base_url": visitor.dstack.address}
    return visitor.fetch(f"{other.address}/api/auth/entra/callback", body)


def test_begun_on_one_finished_on_the_other(
    pair: tuple[Dstack, Dstack], emulator: RunningEmulator, new_visitor: NewVisitor, new_person: NewPerson
) -> None:
    """A sign-in begun on one server finishes on the other, and both know the person from then on."""
    first, second = pair
    visitor, pat = new_visitor(first), new_person("Viewer")
    visitor.begin()
    arriving = visitor.approve_as(pat).replace(first.address, second.address)
    assert is_dstacks_page(visitor.open(arriving, sec_fetch_site="cross-site"))
    told = visitor.ask_to_complete(**{name: query_of(arriving)[name] for name in ("code", "state")})
    assert told.status_code == 200, told.text
    visitor.begin()
    visitor.approve_as(pat)
    answer = completed_at(second, visitor)
    assert answer.status_code == 200, answer.text
    assert answer.json()["id"] == told.json()["id"]
    assert Administrator(first).memberships(answer.json()["username"], "main") == {"main": "user"}


def test_A4_replay_at_the_other(
    pair: tuple[Dstack, Dstack], emulator: RunningEmulator, new_visitor: NewVisitor, new_person: NewPerson
) -> None:
    """An answer that one server took is refused by the other, though the cookies are put back."""
    first, second = pair
    visitor = new_visitor(first)
    visitor.begin()
    kept = dict(visitor.jar.cookies)
    visitor.approve_as(new_person("Viewer"))
    assert visitor.complete().status_code == 200
    visitor.jar.cookies.update(kept)
    assert completed_at(second, visitor).status_code == 400


def test_C13_first_sign_ins_at_both_at_once(
    pair: tuple[Dstack, Dstack], emulator: RunningEmulator, new_visitor: NewVisitor, new_person: NewPerson
) -> None:
    """Twenty browsers of a new person, answered by either server, make one user on PostgreSQL."""
    first, second = pair
    pat, visitors = new_person("Viewer"), [new_visitor(first) for _ in range(20)]
    for visitor in visitors:
        visitor.begin()
        visitor.approve_as(pat)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda n: completed_at(pair[n % 2], visitors[n]), range(20)))
    assert [answer.status_code for answer in answers] == [200] * 20, {one.text for one in answers}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(Administrator(second).users(pat.user_principal_name)) == 1
