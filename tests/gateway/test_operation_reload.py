"""SIGHUP to the real `entrada serve`: new rules and routes, or the old ones and why; nobody is disturbed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from signal import SIGHUP

import httpx
import pytest

from entrada.emulator import RunningEmulator
from walks.site import wait_until

from .operation import RULES, Serving, cookie_of, serving
from .test_gateway_walk import open_socket
from .upstream import Upstream, running_upstream

EVERYBODY = '[[rules]]\npath = "/admin/**"\naccess = "public"\n'


@pytest.fixture
def server(emulator: RunningEmulator, tmp_path: Path) -> Iterator[Serving]:
    with serving(emulator, tmp_path) as running:
        yield running


def change(server: Serving, toml: str, *, told: str = "now decide") -> None:
    """The file has this text, and the server has read it."""
    before = server.log.count(told)
    server.file.write_text(toml)
    server.signal(SIGHUP)
    wait_until(lambda: server.log.count(told) > before)


def test_new_rules_decide_on_both_paths(server: Serving, http: httpx.Client) -> None:
    """Also where the fast path had learnt what the old rules said."""
    visitor = server.visitor(http)
    visitor.sign_in_as("ed@contoso.test")
    cookie = cookie_of(visitor)
    assert [server.check("/reports", cookie=cookie) for _ in range(3)] == [200] * 3
    assert server.check("/admin/x", cookie=cookie) == 403
    change(server, RULES.replace('"/admin/**"', '"/reports/**"'))
    wait_until(lambda: server.check("/reports", cookie=cookie) == 403)
    assert [server.check("/admin/x", cookie=cookie) for _ in range(3)] == [200] * 3
    change(server, RULES)
    wait_until(lambda: server.check("/admin/x", cookie=cookie) == 403)
    assert server.figures(http)['entrada_decisions_total{result="forbidden",rule="/reports/**"}'] >= 1


@pytest.mark.parametrize(
    ("toml", "parts"),
    [
        ('\n\n[[rules]]\npath = "/x"\nacces = "public"\n', ("entrada.toml, line 5", "access")),
        ("this is no toml", ("entrada.toml",)),
        ('[[rules]]\npath = "/**"\naccess = "public"\n[[rules]]\npath = "/admin/**"\nroles = ["Admin"]\n',
         ("entrada.toml, line 4", "Move it above")),
        ('[[routes]]\nupstream = "ftp://x"\n', ("entrada.toml, line 2", "http://host:port")),
        ('[[rules]]\npath = "/x"\ngroups = ["6b1f1a1e-0000-4000-8000-00000000abcd"]\n', ("Start again",)),
        (RULES.replace("[[rules]]", "[[rule]]"), ("'rule'", "Did you mean rules?")),
        (RULES.replace("trusted_proxies", "trusted_proxie"), ("Did you mean trusted_proxies?",)),
        ("", ("no [[rules]] any more", "start again")),
        ('trusted_proxies = ["127.0.0.1"]\n', ("no [[rules]] any more",)),
    ],
    ids=[
        "a key", "no toml", "an order", "an upstream", "a new group", "another table", "no setting", "empty",
        "no rules",
    ],
)  # fmt: skip
def test_a_mistake_keeps_the_old_rules_and_is_said(
    server: Serving, http: httpx.Client, toml: str, parts: tuple[str, ...]
) -> None:
    """With file, line and fix in the log; the next good file counts again."""
    change(server, toml, told="stay as they were")
    (line,) = [line for line in server.log.splitlines() if "stay as they were" in line]
    assert " ERROR " in line
    assert all(part in line for part in parts)
    assert server.check("/admin/x") == 401
    assert server.check("/open/x") == 200
    change(server, EVERYBODY)
    wait_until(lambda: server.check("/admin/x") == 200)


def test_a_file_that_is_gone_keeps_the_old_rules(server: Serving) -> None:
    """Nothing is opened because a file was lost."""
    server.file.unlink()
    server.signal(SIGHUP)
    wait_until(lambda: "stay as they were" in server.log)
    assert server.check("/admin/x") == 401
    assert "Traceback" not in server.log


def test_what_else_was_changed_is_said_to_wait(server: Serving, http: httpx.Client) -> None:
    """Settings are read at the start; a trusted proxy that was removed is still one until then."""
    change(server, 'trusted_proxies = ["192.0.2.1"]\n' + EVERYBODY)
    assert "trusted_proxies was changed too, which counts from the next start" in server.log
    wait_until(lambda: server.check("/admin/x") == 200)


def test_requests_under_way_are_undisturbed(
    emulator: RunningEmulator, tmp_path: Path, http: httpx.Client
) -> None:
    """A socket and a kept-alive connection go on through a change of routes; new requests get the new one."""
    with running_upstream() as first, running_upstream() as second:

        def routes(upstream: Upstream) -> str:
            return f'[[routes]]\nupstream = "http://127.0.0.1:{upstream.port}"\n'

        with serving(emulator, tmp_path, toml=routes(first)) as server:
            visitor = server.visitor(http)
            visitor.sign_in_as("ada@contoso.test")
            site = visitor.site
            with open_socket(site, cookie_of(visitor)) as link:
                assert visitor.open("/one").status_code == 200
                change(server, routes(second))
                wait_until(lambda: bool(visitor.open("/two").status_code == 200 and second.requests))
                link.sendall(b"still here")
                assert link.recv(65_536) == b"still here"
                asked = len(first.requests)
                assert visitor.open("/three").status_code == 200
                assert len(first.requests) == asked
            change(server, "")
            wait_until(lambda: visitor.open("/four").status_code == 404)


def test_a_hundred_changes_under_load_refuse_nobody(server: Serving, http: httpx.Client) -> None:
    """No request fails while the rules are read again and again."""
    visitor = server.visitor(http)
    visitor.sign_in_as("ada@contoso.test")
    cookie = cookie_of(visitor)
    for number in range(100):
        server.file.write_text(RULES + f'[[rules]]\npath = "/{number}"\nroles = ["Nobody"]\n')
        server.signal(SIGHUP)
        assert server.check("/admin/x", cookie=cookie) == 200
    assert server.end() == 0
    assert "Traceback" not in server.log
