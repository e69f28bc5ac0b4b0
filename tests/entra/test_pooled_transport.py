"""The way out to Entra: kept alive, bounded, following nothing, trusting whom it was told to."""

from __future__ import annotations

import gzip
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from entra.tiny_server import Behaviour, Handler, TinyServer, certificate, serving
from entrada.entra import pooled_transport, strict_response
from entrada.entra.pooled_transport import LARGEST_RESPONSE_BYTES, PooledTransport
from entrada.errors import ConfigurationError, EntraUnavailable

ENVIRONMENT = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def quick_and_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short limits, and no proxy of this machine."""
    monkeypatch.setattr(pooled_transport, "CONNECT_SECONDS", 3.0)
    monkeypatch.setattr(pooled_transport, "READ_SECONDS", 1.0)
    monkeypatch.setattr(strict_response, "WHOLE_RESPONSE_SECONDS", 1.5)
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def transport() -> Iterator[PooledTransport]:
    made = PooledTransport()
    yield made
    made.close()


def ok(handler: Handler) -> None:
    handler.answer(b'{"ok": true}', content_type="application/json")


def unavailable(transport: PooledTransport, url: str, method: str = "GET", **sent: Any) -> EntraUnavailable:
    with pytest.raises(EntraUnavailable) as refusal:
        transport.send(method, url, **sent)
    return refusal.value


# --- what goes out and comes back ---


@pytest.mark.parametrize("status", [200, 400, 401, 404, 429, 500, 503])
def test_the_whole_answer_comes_back_whatever_its_status(transport: PooledTransport, status: int) -> None:
    """Status, lower-case header names and body; judging them is for others."""
    with serving(lambda handler: handler.answer(b"body", status=status, X_Some_Header="x")) as server:
        got = transport.send("GET", server.url)
    assert (got.status, got.headers["x-some-header"], got.body) == (status, "x", b"body")
    assert b"body" not in repr(got).encode()


def test_method_path_query_headers_and_body_arrive(transport: PooledTransport) -> None:
    """What is sent is what the other side receives."""
    with serving(ok) as server:
        transport.send("POST", f"{server.url}/token?a=%2F", headers={"x-one": "1"}, body=b"code=x")
        ((method, path, headers, body),) = server.requests
    assert (method, path, body) == ("POST", "/token?a=%2F", b"code=x")
    assert headers["x-one"] == "1"
    assert headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_A28_no_redirect_is_followed(transport: PooledTransport, status: int) -> None:
    """A redirect is given back as it is; the code is not sent again, there or elsewhere."""
    with serving(ok) as elsewhere:
        target = f"{elsewhere.url}/steal"
        with serving(lambda handler: handler.answer(status=status, location=target)) as server:
            got = transport.send("POST", f"{server.url}/token", body=b"client_secret=x&code=y")
        assert got.status == status
        assert len(server.requests) == 1
        assert elsewhere.requests == []


def cut(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("content-length", "100")
    handler.end_headers()
    handler.wfile.write(b"half")
    handler.close_connection = True


def hang_up(handler: Handler) -> None:
    handler.close_connection = True


def babble(handler: Handler) -> None:
    handler.wfile.write(b"\x00\xff no http at all\r\n\r\n")
    handler.close_connection = True


@pytest.mark.parametrize("behaviour", [cut, hang_up, babble])
def test_a_broken_answer_is_unavailable_and_no_post_is_repeated(
    transport: PooledTransport, behaviour: Behaviour
) -> None:
    """A lost connection may have redeemed the code already: the POST is sent once."""
    with serving(behaviour) as server:
        refusal = unavailable(transport, f"{server.url}/token?code=hush", "POST", body=b"code=hush")
        assert len(server.requests) == 1
    assert refusal.reason
    assert "hush" not in f"{refusal.reason}{refusal.sentence}{refusal.hint}"


# --- limits ---


def endless(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("transfer-encoding", "chunked")
    handler.end_headers()
    while not handler.server.over.is_set():
        handler.wfile.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")


def huge(handler: Handler) -> None:
    handler.answer(b"x" * (LARGEST_RESPONSE_BYTES + 1))


@pytest.mark.parametrize("behaviour", [huge, endless])
def test_A29_an_answer_beyond_the_limit_is_refused(
    transport: PooledTransport, behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it is sent, no more than the limit is kept."""
    monkeypatch.setattr(strict_response, "WHOLE_RESPONSE_SECONDS", 30.0)
    with serving(behaviour) as server:
        refusal = unavailable(transport, server.url)
    assert "larger than" in refusal.reason
    assert refusal.answered


def test_the_largest_answer_is_taken(transport: PooledTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly the limit is still an answer."""
    monkeypatch.setattr(strict_response, "WHOLE_RESPONSE_SECONDS", 30.0)
    with serving(lambda handler: handler.answer(b"x" * LARGEST_RESPONSE_BYTES)) as server:
        assert len(transport.send("GET", server.url).body) == LARGEST_RESPONSE_BYTES


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "x-unheard-of"])
def test_A29_a_compressed_answer_is_refused_unopened(transport: PooledTransport, encoding: str) -> None:
    """What was not asked for compressed and comes so is not unfolded: a bomb has nothing to go off in."""
    bomb = gzip.compress(b"0" * 10_000_000)
    with serving(lambda handler: handler.answer(bomb, content_encoding=encoding)) as server:
        assert "compressed" in unavailable(transport, server.url).reason


def silent(handler: Handler) -> None:
    handler.server.over.wait(20)


def stalls(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("content-length", "100")
    handler.end_headers()
    handler.wfile.write(b"x")
    handler.server.over.wait(20)


@pytest.mark.parametrize("behaviour", [silent, stalls])
def test_a_server_that_says_nothing_is_given_up(transport: PooledTransport, behaviour: Behaviour) -> None:
    """No answer, or no more of it, ends within the read limit, with the limit as the reason."""
    with serving(behaviour) as server:
        refusal = unavailable(transport, server.url)
    assert "no response within" in refusal.reason


def drips(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("content-length", "100000")
    handler.end_headers()
    for _ in range(200):
        handler.server.over.wait(0.02)
        handler.wfile.write(b"x")
    handler.close_connection = True


def drips_chunked(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("transfer-encoding", "chunked")
    handler.end_headers()
    for _ in range(200):
        handler.server.over.wait(0.02)
        handler.wfile.write(b"1\r\nx\r\n")
    handler.close_connection = True


@pytest.mark.parametrize("behaviour", [drips, drips_chunked])
def test_an_answer_that_drips_is_cut_off(transport: PooledTransport, behaviour: Behaviour) -> None:
    """An answer that never stalls is given up when the limit for the whole of it has passed."""
    with serving(behaviour) as server:
        began = time.monotonic()
        unavailable(transport, server.url)
        assert time.monotonic() - began < 3


def test_a_refused_connection_is_named(transport: PooledTransport, free_port: int) -> None:
    """Nothing listening there is said so, with host and port."""
    refusal = unavailable(transport, f"http://127.0.0.1:{free_port}/x?code=hush")
    assert refusal.reason == f"127.0.0.1:{free_port}: the connection was refused"


def test_a_name_that_does_not_resolve_is_named(
    transport: PooledTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS failing is told apart, with a hint."""

    def nowhere(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    refusal = unavailable(transport, "https://login.nowhere.test/x")
    assert "could not be resolved" in refusal.reason
    assert "DNS" in refusal.hint


# --- connections ---


def test_many_requests_need_one_connection_and_one_handshake(tmp_path: Path) -> None:
    """Two hundred requests over TLS to one host share one connection."""
    tls, authority = certificate(tmp_path)
    transport = PooledTransport(ca_bundle=authority)
    with serving(ok, tls=tls) as server:
        for number in range(200):
            transport.send("POST" if number % 2 else "GET", f"{server.url}/{number}", body=b"x")
        assert len(server.requests) == 200
        assert server.connections == 1
        transport.close()


def test_threads_share_connections(transport: PooledTransport) -> None:
    """Eight threads at once need no more than eight connections for any number of requests."""
    with serving(ok) as server:
        with ThreadPoolExecutor(8) as threads:
            statuses = list(threads.map(lambda _: transport.send("GET", server.url).status, range(160)))
        assert statuses == [200] * 160
        assert server.connections <= 8
        transport.close()


def test_a_connection_that_the_server_closed_is_opened_anew(transport: PooledTransport) -> None:
    """A kept connection that is gone is noticed before the next request is sent on it."""

    def answer_and_close(handler: Handler) -> None:
        handler.answer()
        handler.close_connection = True

    with serving(answer_and_close) as server:
        for _ in range(3):
            server.closed_one.clear()
            assert transport.send("POST", server.url, body=b"x").status == 200
            assert server.closed_one.wait(5)
        assert (server.connections, len(server.requests)) == (3, 3)


def test_a_failure_does_not_spoil_what_comes_after(transport: PooledTransport) -> None:
    """After a time-out, a cut and an oversized answer, the next request is answered rightly."""
    behaviours = iter([cut, huge, stalls])

    def by_turns(handler: Handler) -> None:
        next(behaviours, ok)(handler)

    with serving(by_turns) as server:
        for _ in range(3):
            unavailable(transport, server.url)
        assert transport.send("GET", server.url).body == b'{"ok": true}'


FORKS = """
import os, sys
from entrada.entra.pooled_transport import PooledTransport
url = sys.argv[1]
transport = PooledTransport()
assert transport.send("GET", url + "/before").status == 200
child = os.fork()
for number in range(20):
    name = f"/{'child' if child == 0 else 'parent'}{number}"
    assert transport.send("GET", url + name).body.decode() == name
if child == 0:
    os._exit(0)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_process_opens_connections_of_its_own() -> None:
    """Parent and child never talk on one socket: each gets its own answers, over its own connection."""
    with serving(lambda handler: handler.answer(handler.path.encode())) as server:
        ran = subprocess.run([sys.executable, "-c", FORKS, server.url], capture_output=True, timeout=60)
        assert (ran.returncode, ran.stderr) == (0, b"")
        assert server.connections == 2


# --- trust ---


def test_the_bundle_is_trusted(tmp_path: Path) -> None:
    """ENTRADA_CA_BUNDLE adds the authority of a corporate proxy or an emulator."""
    tls, authority = certificate(tmp_path)
    with serving(ok, tls=tls) as server:
        transport = PooledTransport(ca_bundle=authority)
        assert transport.send("GET", server.url).status == 200
        transport.close()


def not_trusted(server: TinyServer, authority: Path | None) -> EntraUnavailable:
    transport = PooledTransport(ca_bundle=authority)
    refusal = unavailable(transport, f"{server.url}/token", "POST", body=b"client_secret=hush")
    assert server.requests == []
    return refusal


def test_an_unknown_authority_is_not_trusted_and_is_sent_nothing(tmp_path: Path) -> None:
    """Without the bundle nothing is sent, and the hint names the setting."""
    tls, _ = certificate(tmp_path)
    with serving(ok, tls=tls) as server:
        refusal = not_trusted(server, None)
    assert "not trusted" in refusal.reason
    assert "ENTRADA_CA_BUNDLE" in refusal.hint


def test_an_expired_certificate_is_not_trusted(tmp_path: Path) -> None:
    """A certificate past its end is refused though its authority is known."""
    tls, authority = certificate(tmp_path, expired=True)
    with serving(ok, tls=tls) as server:
        assert "not trusted" in not_trusted(server, authority).reason


def test_a_certificate_for_another_host_is_not_trusted(tmp_path: Path) -> None:
    """A known authority's certificate for another address is refused."""
    tls, authority = certificate(tmp_path, host="192.0.2.7")
    with serving(ok, tls=tls) as server:
        assert "not trusted" in not_trusted(server, authority).reason


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"])
@pytest.mark.parametrize("value", ["empty.pem", "absent.pem"])
def test_the_bundle_works_whatever_other_variables_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """Variables of other libraries neither replace the bundle nor stop it from working."""
    (tmp_path / "empty.pem").write_text("")
    monkeypatch.setenv(name, str(tmp_path / value))
    tls, authority = certificate(tmp_path)
    with serving(ok, tls=tls) as server:
        transport = PooledTransport(ca_bundle=authority)
        assert transport.send("GET", server.url).status == 200
        transport.close()


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_other_libraries_variables_make_nobody_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Only our own setting and the system decide whom to trust."""
    tls, authority = certificate(tmp_path)
    monkeypatch.setenv(name, str(authority))
    with serving(ok, tls=tls) as server:
        not_trusted(server, None)


@pytest.mark.parametrize("content", [None, "", "no pem", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_bundle_that_cannot_be_used_is_told_at_the_start(tmp_path: Path, content: str | None) -> None:
    """A missing, empty or broken file is a sentence that names the setting."""
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_text(content)
    with pytest.raises(ConfigurationError) as refusal:
        PooledTransport(ca_bundle=bundle)
    assert refusal.value.setting == "ENTRADA_CA_BUNDLE"


# --- proxies ---


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_J3_this_very_machine_is_asked_without_a_proxy(
    monkeypatch: pytest.MonkeyPatch, transport: PooledTransport, free_port: int, name: str
) -> None:
    """A proxy in the environment is not asked for loopback addresses: an emulator is reached directly."""
    monkeypatch.setenv(name, f"http://127.0.0.1:{free_port}")
    with serving(ok) as server:
        assert transport.send("GET", server.url).status == 200
