"""An application to protect, with everything that a browser does to one: pages, a form, an upload, a socket,
an event stream. It has no sign-in, and believes what the gateway tells it.
"""

from __future__ import annotations

import asyncio
import hashlib
import html
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from entrada.cli.serve import listen
from walks.site import wait_until

_PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><link rel="icon" href="data:,"><title>Notes</title>'
)

FORM = """<h1>A new note</h1>
<form method="post" action="/notes" enctype="multipart/form-data">
<p><label>Text <textarea name="text"></textarea></label></p>
<p><label>File <input type="file" name="file"></label></p>
<p><button>Save</button></p>
</form>"""

LIVE = """<h1>Live</h1>
<p>Socket: <output id="socket">none</output>, events: <output id="events">none</output></p>
<script>
const say = (id, text) => { document.getElementById(id).value = text; };
const socket = new WebSocket(`ws://${location.host}/socket`);
socket.onopen = () => socket.send("hello");
socket.onmessage = (message) => say("socket", message.data);
socket.onclose = () => { say("socket", "closed"); window.socketClosed = performance.now(); };
const events = new EventSource("/events");
events.onmessage = (message) => say("events", message.data);
events.onerror = () => { say("events", "ended"); window.eventsEnded ??= performance.now(); };
</script>"""


@dataclass
class NotesApp:
    """`notes` are the forms that arrived: the text, and size and digest of the file."""

    port: int
    notes: list[dict[str, Any]] = field(default_factory=list)

    def application(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/", _page("<h1>Notes</h1>")),
                Route("/reports", _reports),
                Route("/notes/new", _page(FORM)),
                Route("/notes", self._save, methods=["POST"]),
                Route("/admin", _page("<h1>Administration</h1>")),
                Route("/live", _page(LIVE)),
                Route("/events", _events),
                Route("/upload", _upload, methods=["POST"]),
                WebSocketRoute("/socket", _echo),
            ]
        )

    async def _save(self, request: Request) -> Response:
        parts = _parts_of(await request.body(), request.headers["content-type"])
        text, file = parts["text"].decode(), parts["file"]
        self.notes.append({"text": text, "size": len(file), "sha256": hashlib.sha256(file).hexdigest()})
        return _html(f"<h1>Saved</h1><p>{html.escape(text)}</p>")


def _parts_of(body: bytes, content_type: str) -> dict[str, bytes]:
    """The fields of a form as Chromium sends it. Source: RFC 7578."""
    boundary = b"--" + content_type.partition("boundary=")[2].encode()
    found = {}
    for part in body.split(boundary)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = head.partition(b'name="')[2].partition(b'"')[0]
        found[name.decode()] = content.removesuffix(b"\r\n")
    return found


def _html(body: str) -> HTMLResponse:
    return HTMLResponse(f"{_PAGE}{body}")


def _page(body: str) -> Any:
    async def respond(_: Request) -> Response:
        return _html(body)

    return respond


async def _reports(request: Request) -> Response:
    who = request.headers.get("x-forwarded-email", "nobody")
    return _html(f"<h1>Reports</h1><p>{html.escape(who)}: {html.escape(request.url.query)}</p>")


async def _events(_: Request) -> Response:
    async def numbers() -> AsyncIterator[bytes]:
        yield b"data: first\n\n"
        await asyncio.sleep(0.2)  # so that a proxy that waits for more is found out
        yield b"data: second\n\n"
        await asyncio.Event().wait()  # and nothing more

    return StreamingResponse(numbers(), media_type="text/event-stream")


async def _upload(request: Request) -> Response:
    digest = hashlib.sha256()
    size = 0
    async for chunk in request.stream():
        digest.update(chunk)
        size += len(chunk)
    return JSONResponse({"size": size, "sha256": digest.hexdigest()})


async def _echo(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(f"{text} to you")


@contextmanager
def running_notes_app() -> Iterator[NotesApp]:
    """One on a port of its own, until the block ends."""
    listener = listen("127.0.0.1", 0)
    app = NotesApp(port=listener.getsockname()[1])
    server = uvicorn.Server(
        uvicorn.Config(
            app.application(), log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1
        )
    )
    thread = threading.Thread(target=server.run, args=([listener],), name="notes")
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield app
    finally:
        server.should_exit = server.force_exit = True
        thread.join(timeout=10)
