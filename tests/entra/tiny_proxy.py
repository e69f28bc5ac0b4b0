"""A real little proxy: CONNECT with a name and password, over plain TCP or TLS; and a SOCKS 5 one.

Whatever name is asked for, the connection goes to `upstream`: the names of the tests exist nowhere.
"""

from __future__ import annotations

import base64
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True)
class TinyProxy:
    """`asked` are the names and ports it was asked for; `proofs` the decoded names and passwords."""

    port: int
    upstream: tuple[str, int] = ("", 0)
    wants: tuple[str, str] | None = None
    status: int = 200
    asked: list[str] = field(default_factory=list)
    proofs: list[str | None] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)


@contextmanager
def proxying(
    upstream: str,
    *,
    wants: tuple[str, str] | None = None,
    status: int = 200,
    tls: ssl.SSLContext | None = None,
    socks: bool = False,
    host: str = "127.0.0.1",
) -> Iterator[TinyProxy]:
    """`upstream` is an address such as a `TinyServer.url`; `wants` the name and password it insists on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, 0), family=family)
    there = upstream.rpartition("/")[2].split(":")
    proxy = TinyProxy(
        port=listener.getsockname()[1], upstream=(there[0], int(there[1])), wants=wants, status=status
    )
    speak = _speak_socks if socks else _speak_connect

    def serve() -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=_one, args=(proxy, near, tls, speak), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def _one(proxy: TinyProxy, near: Any, tls: ssl.SSLContext | None, speak: Any) -> None:
    with suppress(OSError):
        near.settimeout(10)
        if tls is not None:
            near = tls.wrap_socket(near, server_side=True)
        if not speak(proxy, near):
            near.close()
            return
        far = socket.create_connection(proxy.upstream, timeout=10)
        back = threading.Thread(target=_pump, args=(far, near), daemon=True)
        back.start()
        _pump(near, far)
        back.join()
        near.close()
        far.close()


def _pump(source: Any, target: Any) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _speak_connect(proxy: TinyProxy, near: Any) -> bool:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        received = near.recv(65_536)
        if not received:
            return False
        head += received
    proxy.heads.append(head)
    fields = {
        name.lower(): value.strip()
        for name, _, value in (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:])
    }
    proof = fields.get("proxy-authorization")
    said = None if proof is None else base64.b64decode(proof.removeprefix("Basic ")).decode()
    proxy.proofs.append(said)
    proxy.asked.append(head.split(b" ")[1].decode())
    if proxy.wants is not None and said != ":".join(proxy.wants):
        near.sendall(b"HTTP/1.1 407 Who are you\r\nproxy-authenticate: Basic realm=x\r\n\r\n")
        return False
    near.sendall(b"HTTP/1.1 %d Whatever\r\n\r\n" % proxy.status)
    return proxy.status == 200


def _speak_socks(proxy: TinyProxy, near: Any) -> bool:
    """RFC 1928 and RFC 1929."""
    _, count = _exactly(near, 2)
    _exactly(near, count)
    if proxy.wants is not None:
        near.sendall(b"\x05\x02")
        _, length = _exactly(near, 2)
        name = _exactly(near, length).decode()
        password = _exactly(near, _exactly(near, 1)[0]).decode()
        proxy.proofs.append(f"{name}:{password}")
        right = (name, password) == proxy.wants
        near.sendall(b"\x01\x00" if right else b"\x01\x01")
        if not right:
            return False
    else:
        near.sendall(b"\x05\x00")
    *_, kind = _exactly(near, 4)
    length = _exactly(near, 1)[0] if kind == 3 else 4
    host = _exactly(near, length).decode("latin-1")
    proxy.asked.append(f"{host}:{struct.unpack('!H', _exactly(near, 2))[0]}")
    near.sendall(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
    return True


def _exactly(near: Any, count: int) -> bytes:
    data = b""
    while len(data) < count:
        received = near.recv(count - len(data))
        if not received:
            raise OSError
        data += received
    return data
