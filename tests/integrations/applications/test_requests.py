"""The real products behind `entrada run`, by requests and sockets: who they believe is there."""

from __future__ import annotations

import base64
import json
import re
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from gateway.operation import cookie_of
from integrations.applications.products import OUT_SECONDS, Place
from walks.visitor import SCRIPT, Visitor, new_http

pytestmark = pytest.mark.heavy

SOCKETS = {
    "streamlit": "/_stcore/stream",
    "chainlit": "/ws/socket.io/?EIO=4&transport=websocket",
    "marimo": "/ws?session_id=s_a1b2c3",
    "panel": "/app/ws",
}
TRICKS = (
    "/_stcore/agent/openapi.json",
    "//_stcore/health",
    "/auth/../_stcore/health",
    "/auth/..%2f_stcore/health",
    "/auth/config",
    "/auth/config/../header",
    "/healthz/../app",
    "/static/%2e%2e/app",
    "/auth%2fme",
    "/user",
    "/app",
    "/api/status",
)
"""Addresses of the products, and ways to write one that begins like ours."""

_STAYS_OPEN_SECONDS = 20.0
NEVER = "what no application says"


@pytest.fixture(params=sorted(SOCKETS))
def product(request: pytest.FixtureRequest) -> str:
    return str(request.param)


NewBrowser = Callable[[Place], Visitor]


@pytest.fixture
def new_browser() -> Iterator[NewBrowser]:
    """`new_browser(place)` is somebody's, at that place."""
    with ExitStack() as stack:
        yield lambda place: place.run.visitor(stack.enter_context(new_http()))


def signed_in(visitor: Visitor, person: str) -> Visitor:
    visitor.sign_in_as(f"{person}@contoso.test")
    return visitor


def socket_of(
    place: Place, path: str, visitor: Visitor | None = None, *, origin: str = "", **more: Any
) -> ClientConnection:
    """A socket as a page of the site opens it, or of another `origin`."""
    fields: dict[str, str] = {} if visitor is None else {"Cookie": cookie_of(visitor)}
    return connect(
        place.url.replace("http:", "ws:") + path,
        origin=origin or place.url,  # type: ignore[arg-type]  # a text
        additional_headers={**fields, **more.pop("fields", {})},
        proxy=None,
        **more,
    )


def said(socket: ClientConnection, wanted: str) -> str:
    """Everything that came until this did."""
    came = ""
    deadline = time.monotonic() + _STAYS_OPEN_SECONDS
    while wanted not in came:
        message = socket.recv(timeout=max(0.1, deadline - time.monotonic()))
        came += message if isinstance(message, str) else message.decode("utf-8", "replace")
    return came


def forged(name: str, value: str) -> Mapping[str, str]:
    """The spellings in which a client could try to say that."""
    return {name: value, name.replace("-", "_"): value, name.replace("-", "."): value, name.upper(): value}


FORGED = {
    **forged("X-Entrada-Name", "Grace Hopper"),
    **forged("X-Entrada-Roles", "Admin"),
    **forged("X-Entrada-Object-Id", "11111111-0000-4000-8000-000000000001"),
    **forged("X-Forwarded-User", "11111111-0000-4000-8000-000000000001"),
    **forged("X-Entrada-Email", "grace@contoso.test"),
}


# --- each of them ---


def test_nothing_of_it_is_reached_without_a_session(place: Place, new_browser: NewBrowser) -> None:
    """Pages, addresses of its own, and ways to write one that begins like ours: 303, 401 or a refusal."""
    port = urlsplit(place.run.address).port or 0
    for path in TRICKS:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            url = httpx.URL(f"http://127.0.0.1:{port}").copy_with(raw_path=path.encode())
            answer = client.get(url, headers={"Host": urlsplit(place.url).netloc})
        assert answer.status_code in (303, 400, 401, 404), path
        assert (
            "entrada" in answer.text.lower()
            or answer.headers["content-type"] == "application/json"
            or (answer.status_code == 303)
        ), path


def test_a_socket_asks_for_a_session_and_our_origin(
    place: Place, product: str, new_browser: NewBrowser
) -> None:
    """401 without a session, 403 for another site's page."""
    ada = signed_in(new_browser(place), "ada")
    for visitor, origin, status in ((None, "", 401), (ada, "https://evil.example", 403)):
        with pytest.raises(InvalidStatus) as refused:
            socket_of(place, SOCKETS[product], visitor, origin=origin)
        assert refused.value.response.status_code == status


def opened(place: Place, product: str, visitor: Visitor, **more: Any) -> ClientConnection:
    """The product's socket, as its page opens it."""
    if product == "panel":
        token = panel_token(visitor)
        return socket_of(place, SOCKETS[product], visitor, subprotocols=["bokeh", token], **more)
    if product == "chainlit":
        visitor.fetch("/auth/header", "POST")
    return socket_of(place, SOCKETS[product], visitor, **more)


def panel_token(visitor: Visitor, **fields: str) -> str:
    page = visitor.open("/app", **fields)
    found = re.search(r'"token":\s*"([^"]+)"', page.text)
    assert found is not None, page.text
    return found[1]


def test_a_socket_closes_with_its_session(place: Place, product: str, new_browser: NewBrowser) -> None:
    """Within two seconds of signing out."""
    vi = signed_in(new_browser(place), "vi")
    with opened(place, product, vi) as socket:
        vi.sign_out()
        signed_out = time.monotonic()
        with pytest.raises(ConnectionClosed):
            said(socket, NEVER)
        assert time.monotonic() - signed_out < 2


def test_a_disabled_person_is_out(place: Place, product: str, new_browser: NewBrowser) -> None:
    """Disabled in Entra: the socket closes at the next look."""
    vi = signed_in(new_browser(place), "vi")
    with opened(place, product, vi) as socket:
        place.entra.change_person("vi@contoso.test", enabled=False)
        disabled = time.monotonic()
        with pytest.raises(ConnectionClosed):
            said(socket, NEVER)
        assert time.monotonic() - disabled < OUT_SECONDS
    assert vi.fetch("/user").status_code == 401


# --- who they believe is there ---


def test_streamlit_believes_us_alone(place_of: Callable[[str], Place], new_browser: NewBrowser) -> None:
    """Its agent API runs the application as who is signed in, whatever a client says about itself."""
    place = place_of("streamlit")
    vi = signed_in(new_browser(place), "vi")
    answer = vi.send("POST", "/_stcore/agent/interact", {**SCRIPT, **FORGED}, json={})
    assert answer.status_code == 200, answer.text
    assert "Signed in: Vi Hart, vi@contoso.test" in answer.text
    assert "Grace" not in answer.text
    assert "You may change everything." not in answer.text
    stranger = new_browser(place).send("POST", "/_stcore/agent/interact", dict(SCRIPT), json={})
    assert stranger.status_code == 401


def test_gradio_believes_us_alone(place_of: Callable[[str], Place], new_browser: NewBrowser) -> None:
    """Its queue runs the function as who is signed in, whatever a client says about itself."""
    place = place_of("gradio")
    vi = signed_in(new_browser(place), "vi")
    config = vi.fetch("/config").json()
    (load,) = [each["id"] for each in config["dependencies"] if each["api_name"] == "greeting"]
    job = {"data": [], "fn_index": load, "session_hash": "a1b2c3", "event_data": None, "trigger_id": None}
    joined = vi.send("POST", "/gradio_api/queue/join", {**SCRIPT, **FORGED}, json=job)
    assert joined.status_code == 200, joined.text
    told = vi.fetch("/gradio_api/queue/data?session_hash=a1b2c3").text
    assert "Signed in: Vi Hart, Viewer" in told
    assert "Grace" not in told


def test_marimo_believes_us_alone(place_of: Callable[[str], Place], new_browser: NewBrowser) -> None:
    """The notebook runs as who is signed in, whatever the fields of its socket say besides."""
    place = place_of("marimo")
    vi = signed_in(new_browser(place), "vi")
    with socket_of(place, "/ws?session_id=s_q1w2e3", vi, fields=FORGED) as socket:
        told = said(socket, "Vi Hart")
    assert "Grace" not in told


def test_marimo_forgets_with_us(place_of: Callable[[str], Place], new_browser: NewBrowser) -> None:
    """A session that somebody has left, or is in, is nobody else's, though they know what it is called."""
    place = place_of("marimo")
    path = "/ws?session_id=s_z9y8x7"
    ada, vi = signed_in(new_browser(place), "ada"), signed_in(new_browser(place), "vi")
    with socket_of(place, path, ada) as socket:
        said(socket, "Ada Lovelace")
        with socket_of(place, path, vi) as another:
            assert "Ada" not in said(another, "Vi Hart")
    ada.sign_out()
    signed_in(ada, "ed")
    with socket_of(place, path, ada) as socket:
        assert "Ada" not in said(socket, "Ed Codd")


def test_panel_believes_us_alone(place_of: Callable[[str], Place], new_browser: NewBrowser) -> None:
    """The application runs as who opened the page, whatever the page's request says besides."""
    place = place_of("panel")
    vi = signed_in(new_browser(place), "vi")
    token = panel_token(vi, **{name.replace("-", "_"): value for name, value in FORGED.items()})
    with socket_of(place, SOCKETS["panel"], vi, subprotocols=["bokeh", token]) as socket:
        said(socket, "ACK")
        for part in ('{"msgid": "1", "msgtype": "PULL-DOC-REQ"}', "{}", "{}"):
            socket.send(part)
        told = said(socket, "Vi Hart")
    assert "Grace" not in told


def test_panel_takes_no_token_of_ones_own(place_of: Callable[[str], Place], new_browser: NewBrowser) -> None:
    """Who opened a page stands in a token that its socket sends back: one that nobody signed is none."""
    place = place_of("panel")
    vi = signed_in(new_browser(place), "vi")
    payload = json.loads(_decoded(panel_token(vi).partition(".")[0]))
    opened_by = json.loads(zlib.decompress(_decoded(payload["__bk__zlib_"])))
    assert opened_by["headers"]["X-Entrada-Name"] == "Vi Hart"

    def token(headers: Mapping[str, str]) -> str:
        packed = _encoded(zlib.compress(json.dumps({**opened_by, "headers": headers}).encode()))
        return _encoded(json.dumps({**payload, "session_id": "a" * 44, "__bk__zlib_": packed}).encode())

    truth = opened_by["headers"]
    lie = {**truth, "X-Entrada-Name": "Grace Hopper", "X-Entrada-Roles": "Admin"}
    for signature in ("", f".{_encoded(b'signed')}"):
        with (
            socket_of(
                place, SOCKETS["panel"], vi, subprotocols=["bokeh", token(truth) + signature]
            ) as socket,
            pytest.raises(ConnectionClosed),
        ):
            said(socket, "ACK")
        with pytest.raises(InvalidStatus):
            socket_of(place, SOCKETS["panel"], vi, subprotocols=["bokeh", token(lie) + signature])


def test_panel_forgets_with_us(place_of: Callable[[str], Place], new_browser: NewBrowser) -> None:
    """A page's token is good for minutes: for who signs in next in this browser it opens nothing."""
    place = place_of("panel")
    browser = signed_in(new_browser(place), "ada")
    token = panel_token(browser)
    with socket_of(place, SOCKETS["panel"], browser, subprotocols=["bokeh", token]) as socket:
        said(socket, "ACK")
    browser.sign_out()
    signed_in(browser, "vi")
    with pytest.raises(InvalidStatus) as refused:
        socket_of(place, SOCKETS["panel"], browser, subprotocols=["bokeh", token])
    assert refused.value.response.status_code == 403


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_chainlit_believes_us_alone(place_of: Callable[[str], Place], new_browser: NewBrowser) -> None:
    """Its sign-in by header is that of who is signed in, whatever a client says about itself."""
    place = place_of("chainlit")
    vi = signed_in(new_browser(place), "vi")
    assert vi.fetch("/auth/config").json()["headerAuth"] is True
    assert vi.send("POST", "/auth/header", {**SCRIPT, **FORGED}).status_code == 200
    told = vi.fetch("/user").json()
    assert told["display_name"] == "Vi Hart"
    assert told["metadata"]["roles"] == ["Viewer"]


def test_chainlit_forgets_with_us(place_of: Callable[[str], Place], new_browser: NewBrowser) -> None:
    """Its own cookie is good for two weeks: for the next person in this browser it is none, nor is it for
    somebody whose roles have changed."""
    place = place_of("chainlit")
    browser = signed_in(new_browser(place), "ada")
    browser.fetch("/auth/header", "POST")
    assert browser.fetch("/user").json()["display_name"] == "Ada Lovelace"
    browser.sign_out()
    signed_in(browser, "vi")
    assert browser.fetch("/user").status_code == 401
    browser.fetch("/auth/header", "POST")
    assert browser.fetch("/user").json()["display_name"] == "Vi Hart"
    browser.sign_out()
    signed_in(browser, "ada")
    assert browser.fetch("/user").json()["display_name"] == "Ada Lovelace"
