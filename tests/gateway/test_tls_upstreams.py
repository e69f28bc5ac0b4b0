"""Upstreams behind https: whose certificate is believed, and what happens to the others (scenario 26)."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from entrada.compatibility import tomllib
from entrada.errors import ConfigurationError
from entrada.gateway.tables import read_rule_book
from entrada.settings.tables import SettingsFile

from .authority import Authority, new_authority
from .test_reverse_proxy import GOOD, ask, head_read, link, proxied, read_until, told


@dataclass
class TlsUpstream:
    """Answers each request with 200; `heads` are the requests that came, `handshakes` the connections."""

    port: int
    heads: list[bytes] = field(default_factory=list)
    handshakes: int = 0


@contextmanager
def tls_upstream(certificate: Path, *, clients_of: Path | None = None) -> Iterator[TlsUpstream]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    if clients_of is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients_of)
    listener = socket.create_server(("127.0.0.1", 0))
    upstream = TlsUpstream(port=listener.getsockname()[1])

    def serve(plain: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(plain, server_side=True) as connection:
            upstream.handshakes += 1
            while head := head_read(connection):
                upstream.heads.append(head)
                if b"upgrade: echo" in head:
                    connection.sendall(
                        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n"
                    )
                    while data := connection.recv(65_536):
                        connection.sendall(data)
                    return
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def run() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield upstream
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(timeout=10)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return new_authority(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return new_authority(tmp_path_factory.mktemp("others"))


@pytest.mark.parametrize("options", ["route", "ca_bundle"])
def test_an_upstream_of_a_private_authority_is_believed_and_kept(ours: Authority, options: str) -> None:
    """Named by the route or for all; ten requests, one handshake; an upgrade passes, too."""
    more = {"route": f'ca_file = "{ours.ca_file}"\n'} if options == "route" else {"ca_bundle": ours.ca_file}
    with (
        tls_upstream(ours.certify("localhost")) as upstream,
        proxied(f"https://localhost:{upstream.port}", **more) as port,
    ):
        assert {ask(port, "GET", "/").status for _ in range(10)} == {200}
        assert (upstream.handshakes, len(upstream.heads)) == (1, 10)
        with link(port) as client:
            client.sendall(
                b"GET /s HTTP/1.1\r\nHost: h\r\nUpgrade: echo\r\nConnection: Upgrade\r\nCookie: "
                + GOOD.encode()
                + b"\r\n\r\nearly"
            )
            assert read_until(client, b"early").startswith(b"HTTP/1.1 101")


def test_the_name_to_verify_may_be_another_than_the_address(ours: Authority) -> None:
    """An address in the network, a certificate for a name: `server_name` says which."""
    with tls_upstream(ours.certify("tool.internal")) as upstream:
        origin, ca_file = f"https://127.0.0.1:{upstream.port}", f'ca_file = "{ours.ca_file}"\n'
        with proxied(origin, route=f'{ca_file}server_name = "tool.internal"\n') as port:
            assert ask(port, "GET", "/").status == 200
        with proxied(origin, route=ca_file) as port:
            assert ask(port, "GET", "/").status == 502


BAD = {
    "another name": ("elsewhere.internal", False, "ours", "Hostname mismatch"),
    "expired": ("localhost", True, "ours", "expired"),
    "unknown authority": ("localhost", False, "others", "unable to get local issuer certificate"),
}


@pytest.mark.parametrize("case", BAD)
def test_fault_26_a_certificate_that_proves_nothing_is_502_and_nothing_is_sent(
    case: str, ours: Authority, others: Authority
) -> None:
    """The log has the reason and the upstream; the administrator can fix it; no byte of HTTP goes out."""
    name, expired, whose, reason = BAD[case]
    by = {"ours": ours, "others": others}[whose]
    seen: list[Any] = []
    with (
        tls_upstream(by.certify(name, expired=expired)) as upstream,
        proxied(
            f"https://localhost:{upstream.port}", route=f'ca_file = "{ours.ca_file}"\n', seen=seen
        ) as port,
    ):
        answer = ask(port, "GET", "/")
        assert (answer.status, told(answer)["error"]) == (502, "upstream_not_trusted")
        assert upstream.heads == []
        assert reason in seen[-1].reason
        assert f"https://localhost:{upstream.port}" in seen[-1].reason
        assert str(seen[-1].fixer) == "your administrator"


def test_a_route_s_own_authority_takes_the_place_of_all_others(ours: Authority, others: Authority) -> None:
    """Who is believed for everything else is not believed for this upstream."""
    with (
        tls_upstream(others.certify("localhost")) as upstream,
        proxied(
            f"https://localhost:{upstream.port}",
            route=f'ca_file = "{ours.ca_file}"\n',
            ca_bundle=others.ca_file,
        ) as port,
    ):
        assert told(ask(port, "GET", "/"))["error"] == "upstream_not_trusted"


def test_two_routes_to_one_upstream_keep_their_own_trust(ours: Authority, others: Authority) -> None:
    """A connection that one route may use is not lent to another that would not believe it."""
    with tls_upstream(ours.certify("localhost")) as upstream:
        origin = f"https://localhost:{upstream.port}"
        first = f'[[routes]]\npath = "/a"\nupstream = "{origin}"\nca_file = "{ours.ca_file}"\n'
        with proxied(origin, rules=first, route=f'ca_file = "{others.ca_file}"\n') as port:
            assert [ask(port, "GET", path).status for path in ("/a", "/b", "/a")] == [200, 502, 200]


def test_an_upstream_that_asks_who_we_are(ours: Authority) -> None:
    """With the client certificate it answers; without it is 502."""
    with tls_upstream(ours.certify("localhost"), clients_of=ours.ca_file) as upstream:
        origin, ca_file = f"https://localhost:{upstream.port}", f'ca_file = "{ours.ca_file}"\n'
        with proxied(origin, route=f'{ca_file}client_certificate = "{ours.certify("gateway")}"\n') as port:
            assert ask(port, "GET", "/").status == 200
        with proxied(origin, route=ca_file) as port:
            assert ask(port, "GET", "/").status == 502


def test_an_upstream_that_speaks_no_tls_is_502() -> None:
    """And the log says that it was TLS that failed."""
    seen: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def plain() -> None:
            with listener.accept()[0] as connection:
                connection.recv(1024)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=plain)
        thread.start()
        with proxied(f"https://127.0.0.1:{listener.getsockname()[1]}", seen=seen) as port:
            assert ask(port, "GET", "/").status == 502
        thread.join(timeout=10)
    assert "TLS: " in seen[-1].reason


def refused(route: str) -> ConfigurationError:
    text = f"[[routes]]\n{route}"
    with pytest.raises(ConfigurationError) as wrong:
        read_rule_book(SettingsFile(name="entrada.toml", entries=tomllib.loads(text), text=text))
    return wrong.value


@pytest.mark.parametrize(
    ("route", "line", "words"),
    [
        ('upstream = "https://h"\nca_file = "/no/such.pem"\n', 3, "No such file"),
        ('upstream = "https://h"\nca_file = "{empty}"\n', 3, "ca_file"),
        ('upstream = "https://h"\nclient_certificate = "{ca}"\n', 3, "client_certificate"),
        ('upstream = "https://h"\nserver_name = "https://h"\n', 3, "server_name"),
        ('ca_file = "{ca}"\nupstream = "http://h"\n', 2, "means nothing for http://h"),
        ('server_name = "h"\nupstream = "unix:/run/x.sock"\n', 2, "means nothing for unix:"),
        ('upstream = "https://h"\nverify = false\n', 3, "verify means nothing here"),
        ('upstream = "https://h"\nanswer_within = "0s"\n', 3, "answer_within"),
        ('upstream = "https://h"\nanswer_within = 60\n', 3, "answer_within"),
    ],
)
def test_a_wrong_option_stops_the_start_with_its_line(
    route: str, line: int, words: str, ours: Authority, tmp_path: Path
) -> None:
    """File, line and fix; there is no option that switches verification off."""
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing\n", encoding="utf-8")
    error = refused(route.replace("{ca}", str(ours.ca_file)).replace("{empty}", str(empty)))
    assert error.sentence.startswith(f"entrada.toml, line {line}: ")
    assert words in error.sentence
    assert error.hint
