"""A stream of the application's ends with the session that opened it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from entrada.adapters import response_watch, wsgi
from entrada.adapters.asgi import EntradaMiddleware
from entrada.adapters.body_watch import StreamEnded
from entrada.errors import ApiTokenRefused, RequestRefused
from flows.world import PUBLIC_URL, SCRIPT, Browser, new_browser


async def events(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": b"data: x\n\n", "more_body": True})
        await asyncio.sleep(0.02)


async def silent(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.Event().wait()


def headers_of(browser: Browser) -> dict[str, str]:
    return {**SCRIPT, "host": PUBLIC_URL.removeprefix("https://"), "cookie": browser.cookie_header}


def sign_out(browser: Browser) -> None:
    browser.auth.relying_party.sign_out.end(browser.session_cookie or "", everywhere=True)
    browser.entra.clock.advance(seconds=1)


def sent_by(browser: Browser, app: Any) -> list[Any]:
    """What the server is given until the application is done; the person signs out on the way."""
    sent: list[Any] = []
    headers = [(name.encode(), value.encode()) for name, value in headers_of(browser).items()]
    scope = {"type": "http", "method": "GET", "path": "/events", "query_string": b"", "headers": headers}

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    async def whole() -> None:
        serving = asyncio.ensure_future(EntradaMiddleware(app, auth=browser.auth)(scope, receive, send))
        await asyncio.sleep(0.15)
        assert not serving.done()
        await asyncio.to_thread(sign_out, browser)
        await asyncio.wait_for(serving, 5)

    asyncio.run(whole())
    return sent


def test_an_event_stream_breaks_off_when_its_reader_signs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its end, so that nobody takes the half for the whole."""
    monkeypatch.setattr(response_watch, "MOMENT_SECONDS", 0.05)
    browser = new_browser()
    browser.sign_in()
    sent = sent_by(browser, events)
    assert sent[0]["status"] == 200
    assert all(message.get("more_body") for message in sent[1:])


def test_a_response_that_is_waited_for_becomes_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it had been sent yet."""
    monkeypatch.setattr(response_watch, "MOMENT_SECONDS", 0.05)
    browser = new_browser()
    browser.sign_in()
    assert sent_by(browser, silent)[0]["status"] == 401


def test_what_is_done_behind_a_response_goes_on_when_its_reader_signs_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A background task is the application's own: its reader has got all of the response."""
    monkeypatch.setattr(response_watch, "MOMENT_SECONDS", 0.05)
    browser = new_browser()
    done: list[bool] = []
    browser.sign_in()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun"})
        await asyncio.sleep(0.6)
        done.append(True)

    assert [message.get("body") for message in sent_by(browser, app)] == [None, b"begun"]
    assert done == [True]


def test_a_stream_over_wsgi_breaks_off_when_its_reader_signs_out() -> None:
    """With the next piece that it would have sent; what the application had opened is closed."""
    browser = new_browser()
    browser.sign_in()
    closed: list[bool] = []

    class Pieces:
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield b"x"

        def close(self) -> None:
            closed.append(True)

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return Pieces()

    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/events",
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers_of(browser).items()},
    }
    body: Any = wsgi.EntradaMiddleware(app, auth=browser.auth)(environ, lambda *_: lambda _: None)
    pieces = iter(body)
    assert [next(pieces) for _ in range(3)] == [b"x"] * 3
    browser.entra.clock.advance(seconds=2)
    assert next(pieces) == b"x"
    sign_out(browser)
    with pytest.raises(StreamEnded):
        next(pieces)
    body.close()
    assert closed == [True]


def mail_by_generator(begins: bool, told: list[str]) -> list[bytes]:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        if begins:
            start_response("200 OK", [("Content-Length", "1")])
        yield wsgi.token_for(environ, ["Mail.Read"]).encode()

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/mail", "HTTP_ACCEPT": "application/json"}
    start: Any = lambda status, _: told.append(status)  # noqa: E731
    return list(wsgi.EntradaMiddleware(app, auth=new_browser().auth)(environ, start))


def test_a_wsgi_application_that_is_a_generator_is_refused_as_any_other() -> None:
    """It runs with its first piece; what it raises before it has begun (`token_for`) is a response, no 500.

    Behind `start_response` it stays the server's: Gunicorn would send the headers of both.
    """
    told: list[str] = []
    assert b"api_token_refused" in b"".join(mail_by_generator(begins=False, told=told))
    assert told == ["403 Forbidden"]
    with pytest.raises(ApiTokenRefused):
        mail_by_generator(begins=True, told=told)
    assert told[1:] == ["200 OK"]


def test_a_form_over_wsgi_whose_length_nobody_says_is_refused() -> None:
    """In chunks, at a server that neither counts them nor says where they end: it is not taken for empty."""
    told: list[str] = []
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/auth/logout",
        "HTTP_TRANSFER_ENCODING": "chunked",
        "wsgi.input": io.BytesIO(b"3\r\na=1\r\n0\r\n\r\n"),
    }
    app = wsgi.EntradaMiddleware(lambda *_: [], auth=new_browser().auth)
    body = b"".join(app(environ, lambda status, _: told.append(status)))  # type: ignore[arg-type]
    assert told == ["403 Forbidden"]
    assert b"how long it is" in body


@pytest.mark.parametrize("length", ["-1", "+3", "3, 30", "x", "\u0663"])
def test_a_form_over_wsgi_of_a_length_that_is_none_is_refused(length: str) -> None:
    """Django's own server lets it through, and Django takes it for an empty form, or for another one."""
    with pytest.raises(RequestRefused, match="how long it is"):
        wsgi.require_whole({"CONTENT_LENGTH": length}, b"a=1")
    wsgi.require_whole({"CONTENT_LENGTH": "3"}, b"a=1")
    wsgi.require_whole({"CONTENT_LENGTH": ""}, b"")
