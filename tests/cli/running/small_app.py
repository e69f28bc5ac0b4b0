"""A small application for `entrada run`, and the ways in which one can go wrong: `small_app.py MODE`.

It answers every request with the fields and the path that it got, as JSON; `/crash` ends it at once.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path

HOST, PORT = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "0"))


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/crash":
            os._exit(7)
        told = {"path": self.path, "fields": self.headers.items(), "environment": dict(os.environ)}
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class _AtSocket(HTTPServer):
    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "", 0

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        connection, _ = super().get_request()
        return connection, ("", 0)


def serve(host: str = HOST, port: int = PORT) -> None:
    ThreadingHTTPServer((host, port), _Echo).serve_forever()


def in_background(note: str) -> int:
    """Starts another of these that has left our process group; its pid stands in the file `note`."""
    code = (
        "import os, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, *sys.argv[1:3]], start_new_session=True)\n"
        "open(sys.argv[3], 'w').write(str(child.pid))\n"
    )
    subprocess.run([sys.executable, "-c", code, __file__, "deaf", note], check=True)
    return int(Path(note).read_text())


def main(mode: str, *arguments: str) -> None:
    match mode:
        case "serve":
            print("the application's own word", flush=True)
            serve()
        case "port":
            serve(arguments[0], int(arguments[1]))
        case "socket":
            _AtSocket(arguments[0], _Echo).serve_forever()  # type: ignore[arg-type]  # a path
        case "late":
            time.sleep(float(arguments[0]))
            serve()
        case "never":
            signal.pause()
        case "everywhere":
            serve("0.0.0.0")
        case "twice":
            threading.Thread(target=serve, args=("0.0.0.0", int(arguments[0])), daemon=True).start()
            serve()
        case "ends":
            sys.exit(int(arguments[0]))
        case "deaf":
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            serve() if len(arguments) else signal.pause()
        case "leaves":
            in_background(arguments[0])
            serve()
        case "daemon":
            in_background(arguments[0])


main(*sys.argv[1:])
