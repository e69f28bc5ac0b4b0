"""More than one `entrada serve` at one PostgreSQL: rolling restarts, two versions at once, restored data.

Heavy: a PostgreSQL of the tests' own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg
import pytest

from clients.postgres import running_postgres
from entrada.emulator import RunningEmulator
from storage.test_frozen_postgresql import frozen
from walks.replicas import TOMORROW, Replica, Replicas, led_to, replicas
from walks.site import ROLES, wait_until

pytestmark = pytest.mark.heavy

SPARE_SECONDS = 4
"""The machine may be busy."""
KEY = "0123456789abcdef-a-key-for-all-replicas"


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """The URL of an empty database."""
    with running_postgres("entrada") as address:
        yield f"postgresql://postgres@{address}/entrada"


@pytest.fixture(scope="module")
def servers(
    emulator: RunningEmulator, database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Replicas]:
    environment = {
        **emulator.env("entrada"),
        "ENTRADA_ROLES_MAPPING": ROLES,
        "ENTRADA_DATABASE_URL": database,
        "ENTRADA_SECRET_KEYS": KEY,
        "ENTRADA_RECHECK_EVERY": "1m",
    }
    with replicas(environment, tmp_path_factory.mktemp("replicas")) as made:
        yield made


@pytest.fixture
def pair(servers: Replicas) -> tuple[Replica, Replica]:
    """Two that are ready; those that a test before has stopped are started at once."""
    alive = [each for each in servers.started if each.process.poll() is None and not each.is_other][-2:]
    one, two = [*alive, *(servers.start(wait=False) for _ in range(2 - len(alive)))]
    for each in (one, two):
        wait_until(each.is_ready, seconds=60)
    return one, two


def test_fault_21_two_that_start_at_once_on_an_empty_database(
    pair: tuple[Replica, Replica], servers: Replicas, http: httpx.Client
) -> None:
    """One makes the tables, both are ready. Who signs in, begun here and completed there, is signed in at
    both; signed out there, the session is over here within a second."""
    one, two = pair
    visitor = servers.browser(http, one)
    visitor.begin("/reports")
    visitor.approve_as("ada@contoso.test")
    assert led_to(visitor, two).complete().status_code == 303
    for each in (one, two, one):
        assert (led_to(visitor, each).whoami() or {})["name"]
    kept = visitor.session_cookie
    assert kept is not None
    assert led_to(visitor, two).sign_out().status_code == 303
    visitor.present(kept.value)
    wait_until(lambda: led_to(visitor, one).whoami() is None, seconds=1)


def test_each_person_is_asked_about_by_one_of_many(
    pair: tuple[Replica, Replica],
    servers: Replicas,
    database: str,
    emulator: RunningEmulator,
    http: httpx.Client,
) -> None:
    """Three people are due at once, at two servers that both look who is: Entra is asked three times."""
    for name in ("ada", "ed", "vi"):
        servers.browser(http, pair[0]).sign_in_as(f"{name}@contoso.test")
    with psycopg.connect(database, autocommit=True) as connection:
        waiting = "SELECT count(*) FROM entrada_kept_sign_in WHERE next_check_at < %s"
        emulator.clear_requests()
        due = int(time.time() * 1_000_000) - 1
        connection.execute("UPDATE entrada_kept_sign_in SET next_check_at = 1")
        wait_until(lambda: connection.execute(waiting, [due]).fetchone() == (0,))

    def refreshes() -> int:
        return sum(one.form.get("grant_type") == "refresh_token" for one in emulator.requests)

    wait_until(lambda: refreshes() == 3)
    threading.Event().wait(2.5)  # two more rounds of both's looking
    assert refreshes() == 3


def test_fault_18_two_versions_at_once_during_a_rolling_restart(
    pair: tuple[Replica, Replica], servers: Replicas, http: httpx.Client
) -> None:
    """A newer version prepares the database while the older goes on: sign-ins cross in both directions, each
    reads the other's sessions and endings, and the older one may even be started again."""
    old = pair[0]
    before = servers.browser(http, old)
    before.sign_in_as("ada@contoso.test")
    crossing = servers.browser(http, old)
    crossing.begin("/")
    crossing.approve_as("ed@contoso.test")
    new = servers.start(command=TOMORROW)
    again = servers.start()
    assert led_to(crossing, new).complete().status_code == 303
    back = servers.browser(http, new)
    back.begin("/")
    back.approve_as("vi@contoso.test")
    assert led_to(back, old).complete().status_code == 303
    for visitor in (before, crossing, back):
        for each in (old, new, again):
            assert led_to(visitor, each).whoami() is not None
    for visitor, out_at, seen_at in ((before, new, old), (crossing, old, new)):
        cookie = visitor.session_cookie
        assert cookie is not None
        led_to(visitor, out_at).sign_out()
        visitor.present(cookie.value)
        wait_until(lambda at=seen_at, who=visitor: led_to(who, at).whoami() is None, seconds=1)  # type: ignore[misc]


def test_fault_18_a_rolling_restart_while_people_work(
    pair: tuple[Replica, Replica], servers: Replicas, http: httpx.Client
) -> None:
    """One after the other is replaced; the way leads to who is ready. Six people who look at pages all the
    while are never signed out, and who is replaced stops with status 0."""
    people = [servers.browser(http, pair[number % 2]) for number in range(6)]
    for visitor in people:
        visitor.sign_in_as("ada@contoso.test")
    in_service, lost, looks, over = list(pair), list[str](), [0], threading.Event()

    def work(number: int) -> None:
        while not over.is_set():
            at = in_service[number % len(in_service)]
            try:
                if led_to(people[number], at).whoami() is None:
                    lost.append(at.log[-500:])
            except httpx.HTTPError as failure:
                lost.append(repr(failure))
            looks[0] += 1
            over.wait(0.02)

    with ThreadPoolExecutor(6) as threads:
        for number in range(6):
            threads.submit(work, number)
        try:
            fresh = [servers.start(wait=False), servers.start(wait=False)]
            for old, new in zip(pair, fresh, strict=True):
                wait_until(new.is_ready, seconds=60)
                in_service.append(new)
                in_service.remove(old)
                seen = looks[0]
                wait_until(lambda seen=seen: looks[0] > seen + 12)  # type: ignore[misc]  # whoever was there has left
                assert old.stop() == 0
        finally:
            over.set()
    assert lost == []
    assert looks[0] > 50


def test_fault_29_told_to_stop_in_the_middle_of_a_sign_in(
    pair: tuple[Replica, Replica], servers: Replicas, http: httpx.Client
) -> None:
    """The one where it began stops with status 0; it is completed at the other."""
    one, two = pair
    visitor = servers.browser(http, one)
    visitor.begin("/reports")
    visitor.approve_as("ada@contoso.test")
    assert one.stop() == 0
    assert led_to(visitor, two).complete().headers["location"].endswith("/reports")
    assert visitor.whoami() is not None


def test_fault_16_older_data_under_running_servers(
    pair: tuple[Replica, Replica], servers: Replicas, database: str, http: httpx.Client
) -> None:
    """The tables are put back to before somebody was signed out: the session of then is not let in again, at
    no replica; everybody is out, it is said, and people sign in anew."""
    one, two = pair
    visitor = servers.browser(http, one)
    visitor.sign_in_as("ada@contoso.test")
    cookie = visitor.session_cookie
    assert cookie is not None
    tables = ("entrada_session", "entrada_revocation", "entrada_revoked")
    with psycopg.connect(database, autocommit=True) as connection:
        for table in tables:
            connection.execute(f"CREATE TABLE backup_of_{table} AS TABLE {table}")
        visitor.sign_out()
        for each in pair:  # both have learnt of it
            visitor.present(cookie.value)
            wait_until(lambda at=each: led_to(visitor, at).whoami() is None, seconds=1)  # type: ignore[misc]
        with connection.transaction():
            for table in tables:
                connection.execute(f"DELETE FROM {table}")
                connection.execute(f"INSERT INTO {table} SELECT * FROM backup_of_{table}")
    visitor.present(cookie.value)
    wait_until(lambda: led_to(visitor, one).whoami() is None, seconds=1)
    assert any("all_sessions_ended" in each.log for each in pair)
    assert [led_to(visitor, each).whoami() for each in (one, two)] == [None, None]
    assert led_to(visitor, two).sign_in_as("ada@contoso.test").status_code == 303
    assert led_to(visitor, one).whoami() is not None


def test_K16_a_database_that_stands_still(
    pair: tuple[Replica, Replica], servers: Replicas, database: str, http: httpx.Client
) -> None:
    """A request that has to ask it ends after five seconds with 503 and text, and lets nobody in; when it
    goes on, whoever was signed in still is, without anybody's doing."""
    one, two = pair
    visitor = servers.browser(http, one)
    visitor.sign_in_as("ada@contoso.test")
    with frozen(database):
        began = time.monotonic()
        answer = led_to(visitor, two).open("/auth/account")
        assert time.monotonic() - began < 5 + SPARE_SECONDS
        assert (answer.status_code, answer.headers["content-type"]) == (503, "text/html; charset=utf-8")
        assert "Ada" not in answer.text
    wait_until(lambda: led_to(visitor, two).open("/auth/account").status_code == 200, seconds=30)
    assert "Traceback" not in one.log + two.log


def test_workers_at_postgresql(servers: Replicas, http: httpx.Client) -> None:
    """The fork shares no connection: forty requests are answered, a sign-out counts for both, and they stop
    with status 0."""
    server = servers.start("--workers", "2")
    visitor = servers.browser(http, server)
    visitor.sign_in_as("ada@contoso.test")
    cookie = visitor.session_cookie
    assert cookie is not None
    with ThreadPoolExecutor(8) as threads:
        said = list(threads.map(lambda _: visitor.whoami() is not None, range(40)))
    assert said == [True] * 40
    visitor.sign_out()
    visitor.present(cookie.value)
    wait_until(lambda: [visitor.whoami() for _ in range(6)] == [None] * 6, seconds=2)
    assert server.stop() == 0
    assert "Traceback" not in server.log


def test_the_broker_at_postgresql_by_two_workers(servers: Replicas, http: httpx.Client) -> None:
    """A broker with two workers starts and shows its keys, the same ones from both."""
    server = servers.start("--workers", "2", ENTRADA_BROKER="true")
    keys = {http.get(f"{server.address}/auth/broker/jwks.json").text for _ in range(8)}
    assert len(keys) == 1
    assert server.stop() == 0
