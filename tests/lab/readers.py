"""How applications take a request that has come through: by WSGI, ASGI and PHP, each on its real server.

A request that reached the recorder is sent on to each of them to the byte, and what the application sees
there is judged. Besides them `folded` is the strictest reading: every character of a name that is neither
letter nor digit is the same.

Source: PEP 3333; ASGI, "HTTP connection scope"; RFC 3875, section 4.1.18; PHP, "$_SERVER".
"""

from __future__ import annotations

import base64
import io
import json
import re
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import uvicorn

from entrada.cli.serve import listen
from house import tools
from walks.site import wait_until

from .oracle import readings
from .recorder import Arrival

SECONDS = 2.0
_ROUTER = """<?php
$told = [];
foreach ($_SERVER as $name => $value) {
    if (is_string($value) && (strpos($name, 'HTTP_') === 0 || strpos($name, 'REQUEST_') === 0)) {
        $told[$name] = mb_convert($value);
    }
}
function mb_convert($value) { return preg_replace_callback('/[\\x80-\\xff]/', fn($m) => mb($m[0]), $value); }
function mb($byte) { return chr(0xC0 | ord($byte) >> 6) . chr(0x80 | ord($byte) & 0x3F); }
header('X-Told: ' . base64_encode(json_encode($told)));
"""


@dataclass(frozen=True, kw_only=True)
class View:
    """What an application sees. `variables` by name as CGI writes them, without HTTP_."""

    reader: str
    method: str
    paths: frozenset[str]
    variables: tuple[tuple[str, str], ...]


Reader = Callable[[Arrival], View | None]


def folded(arrival: Arrival) -> View:
    names = ((re.sub(rb"[^A-Z0-9]", b"_", name.strip().upper()), value) for name, value in arrival.fields)
    return View(
        reader="folded",
        method=arrival.method.decode("latin-1"),
        paths=readings(arrival.target),
        variables=tuple((name.decode(), value.strip().decode("latin-1")) for name, value in names),
    )


@contextmanager
def reading(*names: str) -> Iterator[list[Reader]]:
    """The readers of these names, on servers of their own until the end of the block."""
    with ExitStack() as stack:
        yield [folded, *(stack.enter_context(_READERS[name]()) for name in names)]


def _over(name: str, port: int, view_of: Callable[[str, dict[str, Any]], View]) -> Reader:
    def read(arrival: Arrival) -> View | None:
        answer = _answer(port, arrival.raw)
        return None if answer is None else view_of(name, answer)

    return read


def _answer(port: int, raw: bytes) -> dict[str, Any] | None:
    """What the server's application tells, in a field of its response; None if it was not asked."""
    received = b""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as link:
        link.sendall(raw)
        while b"\r\n\r\n" not in received and (chunk := link.recv(1 << 20)):
            received += chunk
    found = re.search(rb"\r\nx-told: ([^\r]*)\r\n", received, re.IGNORECASE)
    if found is None:
        return None
    told: dict[str, Any] = json.loads(base64.b64decode(found[1]))
    return told


def _told(told: Any) -> str:
    return base64.b64encode(json.dumps(told).encode()).decode()


def _of_environment(reader: str, environ: Mapping[str, str]) -> View:
    paths = {
        path for name in ("PATH_INFO", "SCRIPT_NAME", "REQUEST_URI", "RAW_URI") if (path := environ.get(name))
    }
    found: frozenset[str] = frozenset().union(
        *(readings(path.encode("latin-1", "replace")) for path in paths)
    )
    return View(
        reader=reader,
        method=environ["REQUEST_METHOD"],
        paths=found if reader != "php" else readings(environ["REQUEST_URI"].encode("latin-1", "replace")),
        variables=tuple((name[5:], value) for name, value in environ.items() if name.startswith("HTTP_")),
    )


class _Threading(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    timeout = SECONDS

    def log_message(self, *_: Any) -> None: ...

    def get_stderr(self) -> Any:
        return io.StringIO()


@contextmanager
def _wsgi() -> Iterator[Reader]:
    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        told = {name: value for name, value in environ.items() if isinstance(value, str)}
        start_response("200 OK", [("X-Told", _told(told))])
        return [b""]

    with make_server("127.0.0.1", 0, application, _Threading, _Quiet) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield _over("wsgi", server.server_port, _of_environment)
        server.shutdown()
        thread.join(timeout=10)


@contextmanager
def _asgi() -> Iterator[Reader]:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        told = {
            "method": scope.get("method", "GET"),
            "path": scope["path"],
            "raw_path": scope["raw_path"].decode("latin-1"),
            "headers": [[part.decode("latin-1") for part in field] for field in scope["headers"]],
        }
        headers = [(b"x-told", _told(told).encode()), (b"content-length", b"0"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    def view(reader: str, told: dict[str, Any]) -> View:
        return View(
            reader=reader,
            method=told["method"],
            paths=readings(told["path"].encode()) | readings(told["raw_path"].encode("latin-1")),
            variables=tuple((name.replace("-", "_").upper(), value) for name, value in told["headers"]),
        )

    with listen("127.0.0.1", 0) as listener:
        config = uvicorn.Config(
            application, log_config=None, access_log=False, ws="none", lifespan="off", log_level="critical"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        wait_until(lambda: server.started)
        yield _over("asgi", listener.getsockname()[1], view)
        server.should_exit = True
        thread.join(timeout=10)


@contextmanager
def _php() -> Iterator[Reader]:
    php = tools.command_path("php")
    port = tools.free_port()
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "router.php").write_text(_ROUTER)
        process = subprocess.Popen(
            [php, "-n", "-S", f"127.0.0.1:{port}", "-t", place, f"{place}/router.php"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:

            def is_up() -> bool:
                assert process.poll() is None
                with suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    return True
                return False

            wait_until(is_up)
            yield _over("php", port, _of_environment)
        finally:
            process.terminate()
            process.wait(timeout=10)


_READERS = {"wsgi": _wsgi, "asgi": _asgi, "php": _php}
