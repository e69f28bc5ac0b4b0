"""Logs that cannot be written, files with mistakes, secrets and keys that change, clocks that are off."""

from __future__ import annotations

import os
import signal
import statistics
import time
from dataclasses import replace

from entrada.emulator.directory.records import Secret
from walks.nursery import until
from walks.visitor import Visitor

from .conftest import ON_POSTGRESQL, ON_SQLITE, BeginThree
from .three import SECRET_KEY

TRUSTED = 'trusted_proxies = ["127.0.0.1"]\n'
NEW_KEY = "the-key-that-comes-after-it-is-as-long-as-the-one-before-it-was-y"


@ON_SQLITE
def test_fault_23_a_log_on_a_full_disk(begin_three: BeginThree) -> None:
    """The log may be lost, access is not: whoever signs in comes in; how many lines are gone is counted."""
    three = begin_three()
    three.kill(0)
    three.start(0, log="/dev/full")
    three.ready()
    visitor = three.signed_in(three.person("pat"))
    assert three.is_in_everywhere(visitor)
    visitor.sign_out()
    assert three.is_out_everywhere(visitor)
    assert three.holds_its_promises()


@ON_SQLITE
def test_fault_24_a_settings_file_with_a_mistake(begin_three: BeginThree) -> None:
    """Read again by three servers: each keeps its rules and says why. A server that starts refuses."""
    three = begin_three(number=1)
    file = three.nursery.directory / "entrada.toml"
    file.write_text(f'{TRUSTED}[[rules]]\npath = "/admin/**"\nroles = ["Admin"]\n')
    three.kill(0)
    for number in range(3):
        three.start(number)
    three.ready()
    visitor = three.signed_in(three.person("pat"))
    file.write_text(f'{TRUSTED}[[rules]]\npath = "/admin/**"\nacces = "public"\n')
    for place in three.places:
        os.kill(place.pid, signal.SIGHUP)
    until(lambda: three.nursery.logs().count("stay as they were") == 3)
    for number in range(3):
        assert asked_by_proxy(three.visitor(number, visitor), "/admin/x") == 403
        assert asked_by_proxy(three.visitor(number), "/admin/x") == 401
        assert asked_by_proxy(three.visitor(number, visitor), "/reports") == 200
    late = three.nursery.begin_server(public_url=three.public_url, **three.settings)
    until(late.is_gone)
    assert "entrada.toml, line 4" in late.log.read_text("utf-8")
    without = {**three.settings, "ENTRADA_TENANT_ID": ""}
    file.unlink()
    late = three.nursery.begin_server(public_url=three.public_url, **without)
    until(late.is_gone)
    assert "ENTRADA_TENANT_ID is not set" in late.log.read_text("utf-8")
    assert three.holds_its_promises()


def asked_by_proxy(visitor: Visitor, path: str) -> int:
    """What a proxy is told about a request of this browser."""
    host = visitor.site.public_url.partition("://")[2]
    fields = {"x-original-method": "GET", "x-original-host": host, "x-original-uri": path}
    return visitor.send("GET", "/auth/nginx", fields).status_code


@ON_SQLITE
def test_fault_25_a_client_secret_is_rotated(begin_three: BeginThree) -> None:
    """Two secrets in the settings, either alone at Entra: sign-ins and re-checks go on all the while."""
    old, new = "old~secret~of~this~application~0123456789", "new~secret~of~this~application~0123456789"
    three = begin_three(ENTRADA_RECHECK_EVERY="1s", ENTRADA_CLIENT_SECRET=f"{new},{old}")
    client_id = three.settings["ENTRADA_CLIENT_ID"]
    app = three.emulator.app(client_id)
    visitors = []
    for number, at_entra in enumerate(((old,), (old, new), (new,))):
        directory_app = replace(app, secrets=tuple(Secret(value=value) for value in at_entra))
        three.emulator.directory.apps[app.client_id] = directory_app
        visitors.append(three.signed_in(three.person(f"pat{number}"), number))
        three.emulator.clear_requests()
        until(lambda: three.refreshes() >= 2)
    assert all(three.is_in_everywhere(visitor) for visitor in visitors)
    assert three.holds_its_promises()


@ON_SQLITE
def test_fault_25_the_key_of_cookies_is_rotated(begin_three: BeginThree) -> None:
    """One server after the other gets the new key in front: nobody is signed out, none of the sign-ins
    under way fails, and everybody is asked about as before.
    """
    three = begin_three(ENTRADA_RECHECK_EVERY="2s")
    person = three.person("pat")
    visitor = three.signed_in(person)
    under_way = three.visitor(0)
    under_way.begin()
    for keys in (f"{SECRET_KEY},{NEW_KEY}", f"{NEW_KEY},{SECRET_KEY}"):
        for number in range(3):
            three.kill(number)
            three.start(number, ENTRADA_SECRET_KEYS=keys)
            three.ready()
            assert three.is_in_everywhere(visitor)
    finished = three.visitor(2, under_way)
    finished.approve_as(three.person("kim"), under_way.at_entra)
    assert finished.complete().status_code == 303
    three.emulator.clear_requests()
    until(lambda: three.refreshes() >= 2)
    assert three.is_in_everywhere(visitor)
    three.emulator.change_person(person.user_principal_name, enabled=False)
    until(lambda: three.is_out_everywhere(visitor))
    assert three.is_in_everywhere(finished)
    assert three.holds_its_promises()


@ON_POSTGRESQL
def test_fault_33_checks_are_quick_with_a_session_read_for_the_first_time(begin_three: BeginThree) -> None:
    """Three servers that have just started answer for sixty sessions each within a quarter of a second."""
    three = begin_three(number=1)
    visitors = [three.signed_in(three.person(f"one{number}")) for number in range(20)]
    begun = time.monotonic()
    three.kill(0)
    for number in range(3):
        three.start(number)
    three.ready()
    assert time.monotonic() - begun < 15.0
    took = []
    for visitor in visitors:
        for number in range(3):
            asked = time.perf_counter()
            assert three.visitor(number, visitor).whoami() is not None
            took.append(time.perf_counter() - asked)
    assert statistics.quantiles(took, n=20)[18] < 0.25
    assert three.holds_its_promises()
