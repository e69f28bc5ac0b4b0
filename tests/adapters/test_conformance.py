"""Every adapter does the same: one suite, over real servers, against the emulator."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic
from urllib.parse import parse_qsl, unquote_to_bytes, urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from adapters.applications.numbers import ENDLESS
from adapters.serving import Place, Setup, serving
from emulator.relying_party import Entra
from entrada.build.stores import open_stores
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CLIENT_ID
from walks.site import wait_until
from walks.test_under_a_prefix import stripping_proxy
from walks.visitor import SCRIPT, Visitor, query_of

ASGI = [
    Setup(application=name, server="uvicorn", has_sockets=True)
    for name in ("plain_asgi", "on_starlette", "on_fastapi", "on_quart")
] + [
    Setup(application="on_django_async", server="uvicorn"),
    Setup(application="on_tornado", server="tornado", has_sockets=True),
]
WSGI = [
    Setup(application="plain_wsgi", server="gunicorn-sync"),
    Setup(application="plain_wsgi", server="gunicorn-threads"),
    Setup(application="on_flask", server="gunicorn-sync"),
    Setup(application="on_flask", server="gunicorn-threads"),
    Setup(application="on_django", server="gunicorn-sync"),
    Setup(application="on_django", server="gunicorn-threads"),
]
EDITOR, VIEWER = "ed@contoso.test", "vi@contoso.test"


@pytest.fixture(scope="module", params=[*ASGI, *WSGI], ids=str)
def place(
    request: pytest.FixtureRequest, emulator: RunningEmulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    with serving(emulator, request.param, tmp_path_factory.mktemp("application")) as running:
        yield running


@pytest.fixture(params=[*ASGI, *WSGI], ids=str)
def mounted(request: pytest.FixtureRequest, emulator: RunningEmulator, tmp_path: Path) -> Iterator[Place]:
    """Under /tool: for uvicorn behind a proxy that strips it, for Gunicorn behind one that leaves it."""
    callback = "http://localhost/tool/auth/entra/callback"
    emulator.change_app("Entrada (emulated)", web_redirect_uris=[callback])
    try:
        with ExitStack() as running:
            place = running.enter_context(serving(emulator, request.param, tmp_path, prefix="/tool"))
            if place.setup.server == "uvicorn":
                address = running.enter_context(stripping_proxy("/tool", place.address))
                place = replace(place, address=address)
            yield place
    finally:
        emulator.reset()


@pytest.fixture
def visitor(place: Place, http: httpx.Client) -> Visitor:
    return Visitor(place, http)


def signed_in(place: Place, http: httpx.Client, person: str, next: str = "/") -> Visitor:
    visitor = Visitor(place, http)
    answer = visitor.sign_in_as(person, next)
    assert answer.status_code == 303, answer.text
    return visitor


def test_who_is_asking(place: Place, http: httpx.Client, visitor: Visitor) -> None:
    """Nobody is nobody; a person has the name and the roles of their account."""
    assert visitor.open("/").json()["name"] is None
    ed = signed_in(place, http, EDITOR)
    assert (ed.open("/").json()["name"], ed.open("/").json()["roles"]) == ("Ed Codd", ["Editor"])


@pytest.mark.parametrize(
    "page",
    [
        "/members/a",
        "/members/caf%C3%A9%20au%20lait?q=1&q=2&empty=",
        "/members/a%2Fb?x=%2F..%2F",
        "/members/r%C3%A9sum%C3%A9?back=https%3A%2F%2Fexample.com%2F%3Fa%3Db",
    ],
)
def test_a_deep_link_is_kept_byte_for_byte(place: Place, visitor: Visitor, page: str) -> None:
    """The page that was asked for is where the person lands."""
    asked = visitor.open(page)
    assert asked.status_code == 303, asked.text
    login = visitor.open(asked.headers["location"])
    assert login.status_code == 200
    start = next(
        part.split('"')[0].replace("&amp;", "&")
        for part in login.text.split('href="')
        if part.startswith("/auth/entra/start")
    )
    visitor.at_entra = visitor.open(start).headers["location"]
    visitor.approve_as(EDITOR)
    landed = visitor.complete()
    assert landed.headers["location"] in (page, place.public_url + page)
    shown = visitor.open(page)
    assert (shown.status_code, shown.json()["query"]) == (200, urlsplit(page).query)


def test_two_tabs_sign_in_at_once(place: Place, visitor: Visitor) -> None:
    """Each comes back to its own page."""
    first = visitor.begin("/members/one")
    second = visitor.begin("/members/two")
    visitor.approve_as(EDITOR, second)
    assert visitor.complete().headers["location"].endswith("/members/two")
    visitor.approve_as(EDITOR, first)
    assert visitor.complete().headers["location"].endswith("/members/one")


def test_guards(place: Place, http: httpx.Client, visitor: Visitor) -> None:
    """Nobody: the sign-in page, or 401 for a script; the wrong role: 403 as page and as JSON."""
    assert urlsplit(visitor.open("/editors/all").headers["location"]).path == "/auth/login"
    script = visitor.fetch("/editors/all")
    assert (script.status_code, script.json()["error"]) == (401, "login_required")
    assert script.headers["www-authenticate"].startswith("Bearer")
    vi = signed_in(place, http, VIEWER)
    page = vi.open("/editors/all")
    assert page.status_code == 403
    assert "Editor or Admin" in page.text
    assert "text/html" in page.headers["content-type"]
    assert vi.fetch("/editors/all").json()["error"] == "role_required"
    assert signed_in(place, http, EDITOR).fetch("/editors/all").json()["name"] == "Ed Codd"


def test_signing_out_ends_the_session(place: Place, http: httpx.Client) -> None:
    """The cookie that somebody kept is worth nothing afterwards."""
    ed = signed_in(place, http, EDITOR)
    cookie = ed.session_cookie
    assert cookie is not None
    assert ed.sign_out().status_code == 303
    ed.present(cookie.value)
    assert ed.fetch("/members/a").status_code == 401


def test_a_form_that_another_site_posts_signs_nobody_out(place: Place, http: httpx.Client) -> None:
    """Its origin says where it is from."""
    ed = signed_in(place, http, EDITOR)
    ed.send(
        "POST",
        "/auth/logout",
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "origin": "https://elsewhere.test"},
    )
    assert ed.whoami() is not None


def test_a_form_that_is_cut_off_does_nothing(place: Place, http: httpx.Client) -> None:
    """The connection ends before as much has come as was said: what came is not taken for the whole."""
    visitor = signed_in(place, http, EDITOR)
    lines = [
        "POST /auth/logout HTTP/1.1",
        f"Host: {urlsplit(place.public_url).netloc}",
        f"Cookie: {visitor.jar.header('localhost', secure=False, from_another_site=False)}",
        f"Origin: {place.public_url}",
        "Sec-Fetch-Site: same-origin",
        "Content-Type: application/x-www-form-urlencoded",
    ]
    port, answers = urlsplit(place.address).port or 0, []
    whole = "Content-Length: 3", "a=1"
    cut_off = ("Content-Length: 20", "a=1"), ("Transfer-Encoding: chunked", "9\r\na=1")
    for length, body in (*cut_off, whole):
        request = "\r\n".join([*lines, length, "Connection: close", "", body])
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(request.encode())
            if (length, body) != whole:
                connection.shutdown(socket.SHUT_WR)
            answers.append(b"".join(iter(lambda: connection.recv(65_536), b"")))
    assert [b"set-cookie" in answer.lower() for answer in answers] == [False, False, True]
    wait_until(lambda: visitor.whoami() is None)  # another worker hears of it a moment later


def test_entras_front_channel_ends_the_session(
    place: Place, http: httpx.Client, emulator: RunningEmulator
) -> None:
    """Entra names the session by `sid`, without a cookie."""
    ed = signed_in(place, http, EDITOR)
    out = ed.sign_out()
    assert urlsplit(out.headers["location"]).netloc == urlsplit(emulator.http_url).netloc
    assert ed.whoami() is None


def test_a_person_without_an_enabled_account_is_refused(place: Place, visitor: Visitor) -> None:
    """A guest, by default: 403 and no session."""
    answer = visitor.sign_in_as("gus_fabrikam.test#EXT#@contoso.test")
    assert answer.status_code == 403
    assert visitor.session_cookie is None


def test_a_stream_comes_through(place: Place, http: httpx.Client, visitor: Visitor) -> None:
    """Whole for who is signed in, refused for others."""
    assert signed_in(place, http, EDITOR).fetch("/stream").text == "line 0\nline 1\nline 2\n"
    assert visitor.fetch("/stream").status_code == 401


def endless(place: Place) -> str:
    return ("/stream/async" if place.setup.application == "on_django_async" else "/stream") + f"?{ENDLESS}"


@contextmanager
def reading(place: Place, headers: dict[str, str]) -> Iterator[Iterator[bytes]]:
    """A stream that has begun, over a connection of its own; whoever reads too long fails."""
    with (
        httpx.Client(timeout=10, trust_env=False) as own,
        own.stream("GET", place.address + endless(place), headers={**SCRIPT, **headers}) as answer,
    ):
        assert answer.status_code == 200
        pieces = answer.iter_bytes()
        assert next(pieces).startswith(b"line 0")
        yield pieces


def breaks_off(pieces: Iterator[bytes]) -> None:
    """Without its end, which HTTP tells from a whole body; and not after so long."""
    latest = monotonic() + 10
    with pytest.raises(httpx.TransportError):
        any(monotonic() > latest for _ in pieces)


def test_an_endless_stream_breaks_off_when_its_reader_signs_out(place: Place, http: httpx.Client) -> None:
    """In the middle, within seconds; the server goes on, and has no traceback to tell."""
    ed = signed_in(place, http, EDITOR)
    cookie = ed.jar.header("localhost", secure=False, from_another_site=False)
    with reading(place, {"host": urlsplit(place.public_url).netloc, "cookie": cookie}) as pieces:
        assert ed.sign_out().status_code == 303
        breaks_off(pieces)
    assert signed_in(place, http, EDITOR).fetch("/members/a").status_code == 200
    assert "Traceback" not in place.log.read_text("utf-8")


def test_an_endless_stream_breaks_off_when_the_person_of_its_token_is_disabled(
    place: Place, http: httpx.Client, entra: Entra
) -> None:
    """A token is not asked for again while a stream goes on; the account in it is."""
    # Somebody of this test's own: whose tokens of before are over stays without them after it.
    name = f"reader.{id(place)}@contoso.test"
    entra.emulator.add_person(name, display_name="Reader", roles=["Admin"])
    signed_in(place, http, name)
    token = entra.tokens(name, scope=f"openid api://{CLIENT_ID}/access_as_user", prompt="login")
    stores = open_stores(place.database_url)
    (reader,) = [user for user in stores.accounts.list_users() if user.profile.username == name]
    with closing(stores), reading(place, {"authorization": f"Bearer {token['access_token']}"}) as pieces:
        stores.accounts.set_disabled(reader.id, disabled=True, now=datetime.now(timezone.utc))
        breaks_off(pieces)


@pytest.mark.parametrize("body", [b"x" * 70_000, b"code=" + b"y" * 100])
def test_what_comes_to_the_sign_in_pages_is_bounded(place: Place, visitor: Visitor, body: bytes) -> None:
    """A body that is too large, or of no use, is a refusal and no traceback."""
    answer = visitor.send(
        "POST", "/auth/logout", {"accept": "text/html", "origin": "null", "connection": "close"}, content=body
    )
    assert answer.status_code in (303, 400, 403, 413), answer.text


def test_fifty_sign_ins_at_once(place: Place, emulator: RunningEmulator) -> None:
    """All of them land, each as who they are."""
    people = [
        emulator.add_person(f"many{number}.{id(place)}@contoso.test", display_name=f"Many {number}")
        for number in range(50)
    ]
    names: dict[int, str] = {}

    def sign_in(number: int) -> None:
        with httpx.Client(timeout=60, trust_env=False) as own:
            one = Visitor(place, own)
            one.sign_in_as(people[number])
            names[number] = one.open("/").json()["name"]

    threads = [threading.Thread(target=sign_in, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names == {number: f"Many {number}" for number in range(50)}


def test_mounted_under_a_prefix(
    request: pytest.FixtureRequest, emulator: RunningEmulator, http: httpx.Client, mounted: Place
) -> None:
    """The sign-in pages are there too, and a deep link comes back with the prefix."""
    visitor = Visitor(mounted, http)
    asked = visitor.open("/tool/members/a?q=1")
    assert asked.headers["location"] == "/tool/auth/login?next=/tool/members/a%3Fq%3D1"
    visitor.at_entra = visitor.open("/tool/auth/entra/start?next=/tool/members/a%3Fq%3D1").headers["location"]
    assert query_of(visitor.at_entra)["redirect_uri"] == f"{mounted.public_url}/tool/auth/entra/callback"
    visitor.approve_as(EDITOR)
    assert visitor.complete().headers["location"].endswith("/tool/members/a?q=1")
    assert visitor.fetch("/tool/members/a").json()["name"] == "Ed Codd"
    assert visitor.fetch("/tool/auth/me").json()["name"] == "Ed Codd"


# Calling another API as the person


def test_graph_is_called_as_the_person(place: Place, http: httpx.Client, emulator: RunningEmulator) -> None:
    """Without consent a script gets 401 with an address, a page goes through Entra; then there is a token."""
    name = f"mail.{place.setup}@contoso.test"
    one = signed_in(place, http, emulator.add_person(name, display_name="Mel Mail").user_principal_name)
    page = "/mail/async" if place.setup.application == "on_django_async" else "/mail"
    script = one.fetch(page)
    assert (script.status_code, script.json()["error"]) == (401, "interaction_required")
    assert script.json()["sign_in_path"].startswith("/auth/entra/start?for=")
    sent = one.open(f"{page}?box=%2Fin%20box")
    assert sent.status_code == 303
    assert query_of(sent.headers["location"])["scope"].count("/Mail.Read") == 1
    one.answer_at_entra(sent.headers["location"], _emulator_approve="1")
    assert one.complete().headers["location"].endswith(f"{page}?box=%2Fin%20box")
    shown = one.open(f"{page}?box=%2Fin%20box")
    assert shown.status_code == 200, shown.text
    assert [scope.rpartition("/")[2] for scope in shown.json()["api"]] == ["Mail.Read"]


# With an access token


@pytest.fixture
def entra(emulator: RunningEmulator) -> Iterator[Entra]:
    trust = ssl.create_default_context(cafile=emulator.ca_file)
    with httpx.Client(verify=trust, trust_env=False, timeout=20) as client:
        yield Entra(emulator, client)


def test_a_person_calls_with_a_token(
    place: Place, http: httpx.Client, entra: Entra, visitor: Visitor
) -> None:
    """With the roles of the account; the scope is asked for; cookies are not looked at beside it."""
    signed_in(place, http, "ada@contoso.test")
    token = entra.tokens(scope=f"openid api://{CLIENT_ID}/access_as_user", prompt="login")["access_token"]
    for path in ("/files", "/members/a"):
        answer = visitor.fetch(path, authorization=f"Bearer {token}")
        assert (answer.status_code, answer.json()["name"]) == (200, "Ada Lovelace"), path
    refused = signed_in(place, http, EDITOR).fetch("/files", authorization="Bearer no.such.token")
    assert refused.status_code == 401
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]


def test_an_application_calls_where_it_may(place: Place, entra: Entra, visitor: Visitor) -> None:
    """Where the guard names applications and its app role; 403 elsewhere."""
    app = entra.emulator.app(CLIENT_ID)
    entra.emulator.directory.assign(app, app.service_principal_id, "Editor")
    asked = {"grant_type": "client_credentials", "scope": f"api://{CLIENT_ID}/.default"}
    token = entra.token(**asked).json()["access_token"]
    answer = visitor.fetch("/jobs", authorization=f"Bearer {token}")
    assert (answer.status_code, answer.json()["roles"]) == (200, ["Editor"])
    refused = visitor.fetch("/files", authorization=f"Bearer {token}")
    assert refused.status_code == 403
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]


# WebSockets, where the framework has them


def _socket(place: Place, visitor: Visitor) -> object:
    cookie = visitor.jar.header("localhost", secure=False, from_another_site=False)
    url = place.public_url.replace("http:", "ws:") + "/live"
    return connect(url, origin=place.public_url, additional_headers={"cookie": cookie}, proxy=None)


def test_a_socket_lives_as_long_as_the_session(place: Place, http: httpx.Client, visitor: Visitor) -> None:
    """It echoes for who is signed in, and is closed within a second when they sign out."""
    if not place.setup.has_sockets:
        return
    with pytest.raises((InvalidStatus, ConnectionClosed)), _socket(place, visitor) as refused:
        refused.recv(timeout=5)
    ed = signed_in(place, http, EDITOR)
    with _socket(place, ed) as live:
        live.send("hello")
        assert live.recv(timeout=5) == "hello"
        ed.sign_out()
        with pytest.raises(ConnectionClosed) as closed:
            live.recv(timeout=2)
        assert closed.value.rcvd.code == 4401


def test_a_socket_lives_as_long_as_the_token_and_its_persons_account(
    place: Place, http: httpx.Client, entra: Entra
) -> None:
    """With a token on the handshake it echoes; a bad one opens nothing; whose account ends is out at once."""
    if not place.setup.has_sockets:
        return
    signed_in(place, http, EDITOR)
    token = entra.tokens(EDITOR, scope=f"openid api://{CLIENT_ID}/access_as_user", prompt="login")
    url = place.public_url.replace("http:", "ws:") + "/live"

    def opened(credentials: str) -> connect:
        return connect(url, additional_headers={"authorization": f"Bearer {credentials}"}, proxy=None)

    with pytest.raises((InvalidStatus, ConnectionClosed)), opened("no.such.token") as refused:
        refused.recv(timeout=5)
    stores = open_stores(place.database_url)
    (ed,) = [user for user in stores.accounts.list_users() if user.profile.username == EDITOR]
    try:
        with opened(token["access_token"]) as live:
            live.send("hello")
            assert live.recv(timeout=5) == "hello"
            stores.accounts.set_disabled(ed.id, disabled=True, now=datetime.now(timezone.utc))
            with pytest.raises(ConnectionClosed) as closed:
                live.recv(timeout=2)
            assert closed.value.rcvd.code == 4401
    finally:
        stores.accounts.set_disabled(ed.id, disabled=False, now=datetime.now(timezone.utc))
        stores.close()


# Deep links, whatever they look like

_PART = st.one_of(
    st.text("abcXYZ019-._~!$&'()*+,;=:@", min_size=1, max_size=8),
    st.sampled_from(
        ["%2F", "%5C", "%00", "%0D%0A", "%25", "%252F", "%C3%A9", "%FF", "%23", "%3F", "..", ".", "%2e%2e"]
    ),
    st.sampled_from(["\\", "//evil.test", "/\\evil.test", "@evil.test", "[", "|", "^", "`", "<script>", '"']),
)
_PATH = st.lists(st.tuples(_PART, st.sampled_from(["", "/"])), max_size=6).map(
    lambda parts: "/members/a" + "".join(one + slash for one, slash in parts)
)
_QUERY = st.lists(
    st.tuples(st.sampled_from(["q", "next", "a.b", "x[]", "%C3%A9", ""]), st.one_of(_PART, st.just(""))),
    max_size=4,
).map(lambda pairs: "&".join(f"{name}={value}" for name, value in pairs))
_STATED = frozenset({400, 404, 414, 431})
"""The server's, the framework's or our own: nothing is lost in silence."""


def raw_get(place: Place, target: str) -> tuple[int, str]:
    """Status and Location of a page visit whose target goes over the wire as it is."""
    host = urlsplit(place.public_url).netloc
    lines = [f"GET {target} HTTP/1.1", f"Host: {host}", "Connection: close"]
    lines += ["Accept: text/html", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "", ""]
    with socket.create_connection(("127.0.0.1", urlsplit(place.address).port or 0), timeout=20) as connection:
        connection.sendall("\r\n".join(lines).encode("latin-1"))
        answer = b""
        while b"\r\n\r\n" not in answer and (chunk := connection.recv(65_536)):
            answer += chunk
    head = answer.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    return int(head[0].split()[1]), fields.get("location", "")


@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example(path="/members/a", query="q=1&q=2&q=")
@example(path="/members/a//b/../c", query="next=//evil.test")
@example(path="/members/a\\b", query="x=\\")
@example(path="/members/a%00%0D%0Ab", query="%0d%0aset-cookie:x=1")
@example(path="/members/" + "a" * 3_000, query="q=" + "b" * 3_000)
@example(path="/members/a" + "b" * 61_000, query="")
@given(path=_PATH, query=_QUERY)
def test_any_deep_link_comes_back_byte_for_byte_or_is_refused_in_words(
    place: Place, http: httpx.Client, path: str, query: str
) -> None:
    """Through the real server and the whole sign-in; never to another host, and never to the front page."""
    target = path + (f"?{query}" if query else "")
    status, location = raw_get(place, target)
    if status in _STATED:
        return
    if status in (301, 302, 307, 308):  # the framework tidies the path up before any view is asked
        assert urlsplit(location).netloc in ("", urlsplit(place.public_url).netloc), location
        assert not location.startswith(("//", "/\\")), location
        return
    assert status == 303, (status, target)
    login, _, asked = location.partition("?")
    assert login == "/auth/login"
    ((name, kept),) = parse_qsl(asked)
    assert (name, unquote_to_bytes(kept)) == ("next", unquote_to_bytes(target))
    visitor = Visitor(place, http)
    visitor.at_entra = visitor.open(f"/auth/entra/start?{asked}").headers["location"]
    visitor.approve_as(EDITOR)
    landed = visitor.complete().headers["location"]
    landed = landed.removeprefix(place.public_url)
    assert unquote_to_bytes(landed) == unquote_to_bytes(target)
    if not set(target) & set('"<>\\'):  # which no browser sends as they are
        assert landed == target
