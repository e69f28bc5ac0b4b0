"""A small HTTP server on a free port, with or without TLS, that misbehaves as asked.

`Behaviour` is a function of the request handler: it writes whatever bytes it likes. The server counts
connections, so that a test can say how many handshakes there were.
"""

from __future__ import annotations

import ipaddress
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from entra.tokens import private_key
from entrada.compatibility import UTC

Behaviour = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    server: TinyServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    body = b""

    def do_GET(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.requests.append((self.command, self.path, dict(self.headers.items()), self.body))
        self.server.behaviour(self)

    do_POST = do_GET

    def answer(self, body: bytes = b"{}", *, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class TinyServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, behaviour: Behaviour, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviour = behaviour
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.connections = 0
        self.over = threading.Event()
        """Set at the end: whoever waits to misbehave waits for this."""
        self.closed_one = threading.Event()
        self._tls = tls

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.server_address[1]}"

    def get_request(self) -> Any:
        connection, address = super().get_request()
        self.connections += 1
        if self._tls:
            # The handshake happens with the first read, in the connection's own thread.
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        self.closed_one.set()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the tests."""


@contextmanager
def serving(behaviour: Behaviour, *, tls: ssl.SSLContext | None = None) -> Iterator[TinyServer]:
    server = TinyServer(behaviour, tls)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


def certificate(
    directory: Path, *, expired: bool = False, host: str = "127.0.0.1", names: tuple[str, ...] = ()
) -> tuple[ssl.SSLContext, Path]:
    """A server's context for `host` and `names`, and the PEM file of the authority of its certificate."""
    key, name = (
        private_key("tiny server"),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tiny authority")]),
    )
    begins = datetime.now(UTC) - timedelta(days=3)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=1 if expired else 30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.IPAddress(ipaddress.ip_address(host)), *(x509.DNSName(name) for name in names)]
            ),
            critical=False,
        )
        .sign(key, SHA256())
    )
    authority, pair = directory / "authority.pem", directory / "server.pem"
    authority.write_bytes(made.public_bytes(Encoding.PEM))
    pair.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + made.public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    return context, authority
