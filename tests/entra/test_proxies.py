"""Through the proxy that the environment names: every form that people write, or a sentence at the start."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from entra.tiny_proxy import proxying
from entra.tiny_server import Handler, TinyServer, certificate, serving
from entrada.entra import pooled_transport, proxies
from entrada.entra.pooled_transport import PooledTransport
from entrada.entra.proxies import Proxies, read_proxies
from entrada.errors import ConfigurationError, EntraUnavailable

LOGIN = "login.contoso.test"
URL = f"https://{LOGIN}/contoso/oauth2/v2.0/token"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of this machine."""
    monkeypatch.setattr(pooled_transport, "CONNECT_SECONDS", 2.0)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def trust(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    return certificate(tmp_path, names=(LOGIN, "localhost"))


@pytest.fixture
def entra(trust: tuple[ssl.SSLContext, Path]) -> Iterator[TinyServer]:
    with serving(lambda handler: handler.answer(b'{"ok": true}'), tls=trust[0]) as server:
        yield server


def asked(environ: dict[str, str], authority: Path, times: int = 1) -> list[int]:
    """The statuses of requests through the proxy of that environment."""
    transport = PooledTransport(ca_bundle=authority, proxies=read_proxies(environ))
    try:
        return [transport.send("POST", URL, body=b"code=x").status for _ in range(times)]
    finally:
        transport.close()


FORMS = [
    ("http://{name}:{password}@127.0.0.1:{port}", "user", "pass"),
    ("http://{name}:{password}@127.0.0.1:{port}/", "user", "pass"),
    ("HTTP://{name}:{password}@localhost:{port}", "user", "pass"),
    ("{name}:{password}@127.0.0.1:{port}", "user", "pass"),
    ("//{name}:{password}@127.0.0.1:{port}", "user", "pass"),
    ("  http://{name}:{password}@127.0.0.1:{port}\n", "user", "pass"),
    ("http://user:p%40ss%23w%3Ard%25@127.0.0.1:{port}", "user", "p@ss#w:rd%"),
    ("http://user:p@ss@127.0.0.1:{port}", "user", "p@ss"),
    ("http://user:p#ss@127.0.0.1:{port}", "user", "p#ss"),
    ("http://user:p/s?s@127.0.0.1:{port}", "user", "p/s?s"),
    ("http://user:100%@127.0.0.1:{port}", "user", "100%"),
    ("http://user:50%zz@127.0.0.1:{port}", "user", "50%zz"),
    ("http://user:a:b@127.0.0.1:{port}", "user", "a:b"),
    ("http://CONTOSO%5Cada:pass@127.0.0.1:{port}", "CONTOSO\\ada", "pass"),
    ("http://CONTOSO\\ada:pass@127.0.0.1:{port}", "CONTOSO\\ada", "pass"),
    ("http://user:@127.0.0.1:{port}", "user", ""),
    ("http://user@127.0.0.1:{port}", "user", ""),
    ("http://us%C3%A9r:p%C3%A4ss@127.0.0.1:{port}", "usér", "päss"),
    ("http://usér:päss@127.0.0.1:{port}", "usér", "päss"),
]


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_K10_name_and_password_are_sent_to_the_proxy_alone(
    entra: TinyServer, trust: tuple[ssl.SSLContext, Path], variable: str
) -> None:
    """Whatever the variable, the proxy gets them with CONNECT, and Entra never sees them."""
    with proxying(entra.url, wants=("user", "pass")) as proxy:
        assert asked({variable: f"http://user:pass@127.0.0.1:{proxy.port}"}, trust[1]) == [200]
    assert (proxy.asked, proxy.proofs) == ([f"{LOGIN}:443"], ["user:pass"])
    ((_, path, headers, body),) = entra.requests
    assert (path, body) == ("/contoso/oauth2/v2.0/token", b"code=x")
    assert not [name for name in headers if name.lower().startswith("proxy")]


@pytest.mark.parametrize(("form", "name", "password"), FORMS, ids=[form for form, *_ in FORMS])
def test_K10_every_form_of_name_and_password_works(
    entra: TinyServer, trust: tuple[ssl.SSLContext, Path], form: str, name: str, password: str
) -> None:
    """With a scheme or without, escaped or as it is, at the end of a file's line."""
    with proxying(entra.url, wants=(name, password)) as proxy:
        value = form.format(name=name, password=password, port=proxy.port)
        assert asked({"HTTPS_PROXY": value}, trust[1]) == [200]


def test_K10_a_proxy_without_a_password_and_without_a_scheme(
    entra: TinyServer, trust: tuple[ssl.SSLContext, Path]
) -> None:
    """`proxy:3128` is an HTTP proxy; it is sent no name."""
    with proxying(entra.url) as proxy:
        assert asked({"HTTPS_PROXY": f"127.0.0.1:{proxy.port}"}, trust[1]) == [200]
    assert proxy.proofs == [None]


def test_K10_a_proxy_at_an_ipv6_address(entra: TinyServer, trust: tuple[ssl.SSLContext, Path]) -> None:
    """In brackets, as in every URL."""
    if not socket.has_ipv6:
        pytest.fail("this machine has no IPv6")
    with proxying(entra.url, wants=("user", "pass"), host="::1") as proxy:
        assert asked({"HTTPS_PROXY": f"http://user:pass@[::1]:{proxy.port}"}, trust[1]) == [200]


def test_K10_a_proxy_that_is_spoken_to_over_tls(
    entra: TinyServer, trust: tuple[ssl.SSLContext, Path]
) -> None:
    """`https://proxy`: TLS to the proxy, and in it TLS to Entra; ENTRADA_CA_BUNDLE vouches for both."""
    with proxying(entra.url, wants=("user", "pass"), tls=trust[0]) as proxy:
        assert (
            asked({"HTTPS_PROXY": f"https://user:pass@localhost:{proxy.port}"}, trust[1], times=3)
            == [200] * 3
        )
    assert len(proxy.asked) == 1


@pytest.mark.parametrize("wants", [None, ("user", "p@ss")])
def test_K10_a_socks_proxy(
    entra: TinyServer, trust: tuple[ssl.SSLContext, Path], wants: tuple[str, str] | None
) -> None:
    """`socks5h://` works with the extra; the proxy resolves the name."""
    with proxying(entra.url, wants=wants, socks=True) as proxy:
        who = "" if wants is None else "user:p%40ss@"
        value = f"socks5h://{who}127.0.0.1:{proxy.port}"
        assert asked({"ALL_PROXY": value}, trust[1], times=3) == [200] * 3
    assert proxy.asked == [f"{LOGIN}:443"]


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks4", "socks4a", "SOCKS5"])
def test_K10_a_socks_proxy_without_the_extra_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """One sentence that names the variable and the package."""
    monkeypatch.setattr(proxies, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError) as refusal:
        read_proxies({"HTTPS_PROXY": f"{scheme}://user:hush@proxy.contoso.test:1080"})
    assert refusal.value.sentence.startswith("HTTPS_PROXY names a SOCKS proxy")
    assert "PySocks" in refusal.value.hint
    assert "hush" not in f"{refusal.value.sentence}{refusal.value.hint}"


def test_many_requests_through_a_proxy_need_one_tunnel_and_one_handshake(
    entra: TinyServer, trust: tuple[ssl.SSLContext, Path]
) -> None:
    """A sign-in does not begin with a new TLS handshake, behind a proxy neither."""
    with proxying(entra.url, wants=("user", "pass")) as proxy:
        value = f"http://user:pass@127.0.0.1:{proxy.port}"
        assert asked({"HTTPS_PROXY": value}, trust[1], times=50) == [200] * 50
    assert (len(proxy.asked), entra.connections) == (1, 1)


REFUSED = [
    "socks://proxy.contoso.test:1080",
    "ftp://proxy.contoso.test:21",
    "pac+http://proxy.contoso.test/proxy.pac",
    "http://",
    "http://user:hush@",
    "http:proxy.contoso.test:3128",
    "http:/proxy.contoso.test:3128",
    "http://proxy.contoso.test:31x8",
    "http://proxy.contoso.test:0",
    "http://proxy.contoso.test:99999",
    "http://proxy.contoso.test:3128/path",
    "http://proxy.contoso.test:3128?x",
    "http://::1:3128",
    "http://[::1:3128",
    "http://[gg::1]:3128",
    "http://proxy contoso.test:3128",
    "http://proxy.contoso.test:3128 http://other:3128",
    '"http://proxy.contoso.test:3128"',
    "'http://user:hush@proxy.contoso.test:3128'",
    "http://user:hush%0d%0aX@proxy.contoso.test:3128",
    "http://-:3128",
]


@pytest.mark.parametrize("value", REFUSED)
@pytest.mark.parametrize("variable", ["https_proxy", "ALL_PROXY"])
def test_K10_what_cannot_be_understood_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """One sentence that names the variable, and never its value: a password may stand in it."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as refusal:
        PooledTransport()
    assert refusal.value.sentence.startswith(variable)
    assert refusal.value.hint
    assert "hush" not in f"{refusal.value.sentence}{refusal.value.hint}"


def test_a_password_stays_out_of_representations() -> None:
    """What was read can be printed."""
    assert "hush" not in repr(read_proxies({"HTTPS_PROXY": "http://user:hush@proxy.contoso.test"}))


def proxy_for(url: str, **environ: str) -> str | None:
    found = read_proxies(environ).proxy_for(urlsplit(url))
    return None if found is None else found.url


def test_the_variable_in_lower_case_wins_and_an_empty_one_switches_off() -> None:
    """As curl and requests have it; HTTPS_PROXY goes before ALL_PROXY."""
    upper, lower = "http://upper.contoso.test:1", "http://lower.contoso.test:2"
    assert proxy_for(URL, HTTPS_PROXY=upper, https_proxy=lower) == lower
    assert proxy_for(URL, HTTPS_PROXY=upper, https_proxy="") is None
    assert proxy_for(URL, HTTPS_PROXY=upper, ALL_PROXY=lower) == upper
    assert proxy_for(URL, ALL_PROXY=lower) == lower
    assert proxy_for(URL, HTTP_PROXY=upper) is None
    assert proxy_for(URL) is None


def test_a_proxy_that_nothing_asks_may_be_anything() -> None:
    """A broken HTTP_PROXY, or a broken ALL_PROXY beside HTTPS_PROXY, stops nothing: neither is used."""
    good = "http://proxy.contoso.test:3128"
    assert proxy_for(URL, HTTPS_PROXY=good, HTTP_PROXY="what?", ALL_PROXY="ftp://x") == good


@pytest.mark.parametrize(
    ("exempt", "is_exempt"),
    [
        ("*", True),
        (LOGIN, True),
        (LOGIN.upper(), True),
        ("contoso.test", True),
        (".contoso.test", True),
        ("*.contoso.test", True),
        ("contoso.test.", True),
        ("localhost, contoso.test", True),
        ("localhost contoso.test", True),
        ("localhost,contoso.test,", True),
        (f"{LOGIN}:443", True),
        (f"{LOGIN}:8443", False),
        ("ontoso.test", False),
        ("example.test", False),
        ("", False),
        (",", False),
        (".", False),
        ("10.0.0.0/8", False),
    ],
)
def test_K10_no_proxy_exempts_hosts_and_domains(exempt: str, is_exempt: bool) -> None:
    """Names in every form that curl, requests or Go take; a domain covers what is below it."""
    found = proxy_for(URL, HTTPS_PROXY="http://proxy.test:3128", NO_PROXY=exempt)
    assert (found is None) == is_exempt
    assert (proxy_for(URL, HTTPS_PROXY="http://proxy.test:3128", no_proxy=exempt) is None) == is_exempt


@pytest.mark.parametrize(
    ("url", "exempt", "is_exempt"),
    [
        ("https://10.1.2.3/", "10.0.0.0/8", True),
        ("https://10.1.2.3/", "10.1.2.3", True),
        ("https://10.1.2.3:8443/", "10.1.2.3:8443", True),
        ("https://11.1.2.3/", "10.0.0.0/8", False),
        ("https://11.1.2.3/", "1.2.3", False),
        ("https://[fd00::1]/", "fd00::/8", True),
        ("https://[fd00::1]/", "fd00::1", True),
        ("https://[fd00::1]:8443/", "[fd00::1]:8443", True),
        ("https://[fd00::1]/", "[fd00::1]", True),
        ("https://[fe00::1]/", "fd00::/8", False),
    ],
)
def test_K10_no_proxy_exempts_addresses_and_networks(url: str, exempt: str, is_exempt: bool) -> None:
    """Addresses of both kinds, alone, with a port, or as a network."""
    found = proxy_for(url, HTTPS_PROXY="http://proxy.test:3128", NO_PROXY=exempt)
    assert (found is None) == is_exempt


@pytest.mark.parametrize(
    "url", ["https://localhost/", "https://127.0.0.1/", "https://127.1.2.3/", "https://[::1]/"]
)
def test_J3_this_very_machine_never_needs_a_proxy(url: str) -> None:
    """An emulator is reached directly, whatever the environment says."""
    assert proxy_for(url, HTTPS_PROXY="http://proxy.test:3128") is None


def refusal_through(value: str, authority: Path | None = None) -> EntraUnavailable:
    transport = PooledTransport(ca_bundle=authority, proxies=read_proxies({"HTTPS_PROXY": value}))
    with pytest.raises(EntraUnavailable) as refusal:
        transport.send("POST", URL, body=b"code=x")
    assert "hush" not in f"{refusal.value.reason}{refusal.value.hint}{refusal.value.sentence}"
    return refusal.value


@pytest.mark.parametrize(
    ("credentials", "why", "hint"),
    [("", "wants a name and password", "HTTPS_PROXY"), ("user:hush@", "did not accept", "HTTPS_PROXY")],
)
def test_K10_a_proxy_that_wants_another_password_says_so(
    entra: TinyServer, credentials: str, why: str, hint: str
) -> None:
    """407 is told apart: nothing was sent, or not the right one."""
    with proxying(entra.url, wants=("user", "pass")) as proxy:
        refusal = refusal_through(f"http://{credentials}127.0.0.1:{proxy.port}")
    assert why in refusal.reason
    assert hint in refusal.hint
    assert entra.requests == []


@pytest.mark.parametrize("status", [403, 502, 503])
def test_a_proxy_that_refuses_is_told_with_its_status(entra: TinyServer, status: int) -> None:
    """Who can mend it is whoever runs the proxy."""
    with proxying(entra.url, status=status) as proxy:
        refusal = refusal_through(f"http://127.0.0.1:{proxy.port}")
    assert f"answered HTTP {status}" in refusal.reason
    assert LOGIN in refusal.hint


def test_a_proxy_that_is_not_there_is_told_as_the_proxy(free_port: int) -> None:
    """Not as Microsoft's outage."""
    refusal = refusal_through(f"http://127.0.0.1:{free_port}")
    assert "the proxy on the way" in refusal.reason
    assert "HTTPS_PROXY" in refusal.hint


def test_a_proxy_that_inspects_tls_is_told_with_the_setting(entra: TinyServer) -> None:
    """Its authority is unknown here: ENTRADA_CA_BUNDLE is the place for it, and nothing was sent."""
    with proxying(entra.url) as proxy:
        refusal = refusal_through(f"http://127.0.0.1:{proxy.port}")
    assert "not trusted" in refusal.reason
    assert "ENTRADA_CA_BUNDLE" in refusal.hint
    assert entra.requests == []


def test_K52_a_proxy_that_adds_bytes_behind_its_answer_is_not_believed(
    monkeypatch: pytest.MonkeyPatch, trust: tuple[ssl.SSLContext, Path]
) -> None:
    """What comes behind the answer to CONNECT, before TLS, is nobody's."""

    def do_connect(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
        handler.server.over.wait(0.5)

    monkeypatch.setattr(Handler, "do_CONNECT", do_connect, raising=False)
    with serving(lambda handler: handler.answer()) as proxy:
        refusal_through(proxy.url, trust[1])
        assert proxy.requests == []


def test_no_proxy_at_all_is_the_default() -> None:
    """An empty environment asks directly."""
    assert read_proxies({}) == Proxies()
