"""K4, K20, K21: a good request beside bad ones, at a real server; docs/reference/limits.md shows the figures.

    .venv/bin/pytest tests/walks/test_limits.py -s      prints them

The bounds here are generous, as a busy machine is no failure; what is told is what was measured.
"""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from entrada.web.budgets import Budgets
from walks.conftest import NewVisitor, Serve
from walks.site import Site, wait_until
from walks.visitor import PAGE_VISIT, Visitor

GOOD_REQUESTS = 40
STRANGER = "127.0.0.66"
CODES_PER_SECOND = 500


@contextmanager
def in_the_background(work: Callable[[threading.Event], None]) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=30)


def visit(site: Site) -> dict[str, str]:
    """The headers of a page visit at the site's public name."""
    return {**PAGE_VISIT, "host": urlsplit(site.public_url).netloc}


def milliseconds_of_good_requests(visitor: Visitor) -> list[float]:
    """Each on a connection of its own, as a person's first request is."""
    taken = []
    for _ in range(GOOD_REQUESTS):
        with httpx.Client(trust_env=False, timeout=30) as http:
            began = time.perf_counter()
            answer = http.get(f"{visitor.site.address}/auth/login", headers=visit(visitor.site))
            taken.append((time.perf_counter() - began) * 1000)
        assert answer.status_code == 200
    return taken


def told(what: str, taken: list[float]) -> None:
    print(f"\n{what}: median {statistics.median(taken):.1f} ms, slowest {max(taken):.0f} ms")


def test_K20_a_good_request_beside_a_thousand_half_open_ones(visitor: Visitor) -> None:
    """They take places, not time."""
    told("alone", milliseconds_of_good_requests(visitor))
    address = urlsplit(visitor.site.address)
    with ExitStack() as half_open:
        for number in range(1000):
            connection = socket.create_connection((address.hostname, address.port), timeout=10)
            half_open.enter_context(connection)
            connection.sendall(b"GET /auth/login HTTP/1.1\r\nhost: x\r\n" if number % 2 else b"P")
        taken = milliseconds_of_good_requests(visitor)
    told("beside 1,000 half-open connections", taken)
    assert statistics.median(taken) < 500


def test_K4_a_good_request_beside_megabyte_heads(visitor: Visitor) -> None:
    """They are refused once 64 KiB of them are read."""
    address = urlsplit(visitor.site.address)
    head = b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a:b\r\n" * 200_000 + b"\r\n"
    statuses: Counter[bytes] = Counter()

    def send_heads(stop: threading.Event) -> None:
        while not stop.is_set():
            with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
                with suppress(OSError):
                    connection.sendall(head)
                try:
                    statuses[connection.recv(16)[9:12]] += 1
                except OSError:
                    statuses[b"cut"] += 1

    with in_the_background(send_heads):
        taken = milliseconds_of_good_requests(visitor)
    told(f"beside heads of 1 MB ({sum(statuses.values())} of them)", taken)
    assert statuses[b"431"] > 0
    assert set(statuses) <= {b"431", b"cut"}
    assert statistics.median(taken) < 500


def made_up_answers(site: Site, stop: threading.Event, statuses: Counter[int]) -> None:
    """Sign-ins begun and answered with made-up codes, from an address of their own."""
    transport = httpx.HTTPTransport(local_address=STRANGER, verify=False)  # over plain http
    with httpx.Client(transport=transport, timeout=30, headers=visit(site)) as http:
        while not stop.is_set():
            began = time.perf_counter()
            http.cookies.clear()
            away = http.get(f"{site.address}/auth/entra/start")
            state = parse_qs(urlsplit(away.headers["location"]).query)["state"][0]
            url = f"{site.address}/auth/entra/callback?code=1.made-up&state={state}"
            statuses[http.get(url).status_code] += 1
            stop.wait(max(0.0, 1 / CODES_PER_SECOND - (time.perf_counter() - began)))


def test_K21_good_people_get_in_beside_made_up_codes(
    serve: Serve, new_visitor: NewVisitor, emulator: Any, pat: Any
) -> None:
    """The stranger's codes are refused with 429 and reach Entra no more; everybody else signs in."""
    site, statuses = serve(budgets=Budgets()), Counter[int]()
    with in_the_background(lambda stop: made_up_answers(site, stop, statuses)):
        wait_until(lambda: statuses[429] >= 100, seconds=60)
        asked = statuses.copy()
        taken = milliseconds_of_good_requests(new_visitor(site))
        person = new_visitor(site)
        assert person.sign_in_as(pat).status_code == 303
        assert person.whoami()["name"] == "Pat Page"
    told(f"beside made-up codes ({statuses.total()} of them, {statuses[429]} refused with 429)", taken)
    assert asked[429] >= 100
    assert asked[400] + asked[502] + asked[403] <= 130 + 2 * 60
    assert statistics.median(taken) < 500


@pytest.mark.parametrize("sid", ["made-up", "00000000-0000-0000-0000-000000000000"])
def test_K21_made_up_sids_are_refused_and_say_nothing_in_the_log(
    serve: Serve, new_visitor: NewVisitor, caplog: pytest.LogCaptureFixture, sid: str
) -> None:
    """429 with Retry-After after the burst; one line for all of them."""
    visitor = new_visitor(serve(budgets=Budgets()))
    caplog.set_level("INFO")
    with httpx.Client(trust_env=False, timeout=30) as http:
        answers = [
            http.get(f"{visitor.site.address}/auth/entra/logout?sid={sid}{number}") for number in range(200)
        ]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert [answer.status_code for answer in answers[:100]] == [200] * 100
    assert refused
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    lines = [record for record in caplog.records if "too_many_requests" in record.getMessage()]
    assert len(lines) <= 3
    assert not [record for record in caplog.records if "entra_ended_sessions" in record.getMessage()]
