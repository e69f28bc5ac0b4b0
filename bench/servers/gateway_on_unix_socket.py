"""`entrada serve` on a unix socket: the path is the first argument, the rest is the command line."""

from __future__ import annotations

import socket
import sys

from entrada.cli import main, serve

PATH = sys.argv[1]


def listen(*_: object, **__: object) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(PATH)
    listener.listen(1024)
    return listener


if __name__ == "__main__":
    serve.listen = listen
    sys.exit(main(["serve", *sys.argv[2:]]))
