"""Listening sockets that systemd has opened and hands over: socket activation.

They are descriptors 3 and following, meant for the process that LISTEN_PID names. A restart then refuses
nobody, because who comes meanwhile waits in the socket's queue, which is systemd's; and the account of the
service may have a port below 1024 that it could not open itself.

Source: systemd, sd_listen_fds(3) and systemd.socket(5), Accept=no.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

from entrada.errors import ConfigurationError

FIRST = 3
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def inherited_listeners(environment: MutableMapping[str, str], *, pid: int) -> list[socket.socket]:
    """The sockets, none if none are meant for this process; what says so is taken out of the environment.

    Raises:
        ConfigurationError: what was handed over is no listening stream socket.
    """
    for_whom, count, _ = (environment.pop(name, "") for name in _VARIABLES)
    if for_whom != str(pid) or not count.isascii() or not count.isdigit():
        return []
    return [_listener(number) for number in range(FIRST, FIRST + int(count))]


def _listener(number: int) -> socket.socket:
    try:
        os.set_inheritable(number, False)
        found = socket.socket(fileno=number)
        is_good = found.type == socket.SOCK_STREAM and found.getsockopt(
            socket.SOL_SOCKET, socket.SO_ACCEPTCONN
        )
    except OSError:
        is_good = 0
    if not is_good:
        raise ConfigurationError(
            f"Descriptor {number}, which the socket unit handed over, is no listening stream socket.",
            hint="Write ListenStream= and Accept=no in the .socket unit.",
        )
    return found


def address_of(listener: socket.socket) -> tuple[str, int] | None:
    """Host and port; None for a unix socket."""
    if listener.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    host, port = listener.getsockname()[:2]
    return host, port


def shown(listener: socket.socket) -> str:
    """The address for the log."""
    address = address_of(listener)
    if address is None:
        return f"unix:{listener.getsockname()}"
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"
