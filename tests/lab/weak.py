"""An authorization server of the lab's own, to show that another one can be tried, and that holes are found.

It answers as nginx's auth_request wants it, for the sessions that it is given, by the lab's rules. `believes`
are the fields in which it looks for the path, the first one there counts: a server that looks into one which
the proxy does not set believes the client.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .oracle import may, readings
from .subject import RULES, Person

PEOPLE = {
    name: Person(
        name=name,
        cookie=f"session={name}-0123456789".encode(),
        roles=frozenset({role}),
        facts={"USER": f"{name}-1", "EMAIL": f"{name}@contoso.test", "USERNAME": name, "GROUPS": role},
    )
    for name, role in (("ada", "Admin"), ("vi", "Viewer"))
}


@contextmanager
def authorization_server(believes: Sequence[str]) -> Iterator[int]:
    """Its port, until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            cookie = self.headers.get("cookie", "").encode("latin-1")
            person = next((one for one in PEOPLE.values() if cookie == one.cookie), None)
            named = (self.headers.get(name) for name in (*believes, "x-original-uri"))
            path = next((value for value in named if value), "")  # at an address that asks nothing
            method = self.headers.get("x-original-method", "")
            read = readings(path.encode("latin-1"))
            if len(read) == 1 and all(may(person, method.upper(), one, RULES) for one in read):
                self.send_response(200)
                for name in ("User", "Email", "Preferred-Username", "Groups"):
                    fact = name.rpartition("-")[2].upper()
                    self.send_header(f"X-Forwarded-{name}", person.facts[fact] if person else "")
            else:
                self.send_response(403 if person else 401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_PUT = do_HEAD = do_GET

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients go away
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join(timeout=10)
