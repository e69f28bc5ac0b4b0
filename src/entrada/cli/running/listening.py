"""Who listens where, as Linux tells it in /proc; elsewhere nothing is known, and nothing is claimed.

    descendants(pid)     every process below one
    listeners_of(pids)   the TCP sockets that these processes listen at
    listeners_at(port)   the TCP sockets at a port of this machine, whoever they belong to

Source: proc(5), "/proc/net/tcp" and "/proc/pid/fd".
"""

from __future__ import annotations

import ipaddress
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_LISTENS = "0A"
IS_KNOWN = sys.platform == "linux" and Path("/proc/net/tcp").exists()


@dataclass(frozen=True, kw_only=True)
class Listener:
    """A listening TCP socket; `uid` is the account it belongs to."""

    address: str
    port: int
    uid: int
    inode: str

    @property
    def is_private(self) -> bool:
        """Whether this machine alone reaches it."""
        address = ipaddress.ip_address(self.address)
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def descendants(pid: int) -> list[int]:
    """The processes below this one that have not ended, in no order."""
    below: dict[int, list[int]] = defaultdict(list)
    for each in Path("/proc").glob("[0-9]*") if IS_KNOWN else ():
        with suppress(OSError, ValueError, IndexError):
            state, parent = (each / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[:2]
            if state not in "ZX":
                below[int(parent)].append(int(each.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        children = below[waiting.pop()]
        found += children
        waiting += children
    return found


def listeners_of(pids: Iterable[int]) -> list[Listener]:
    inodes = {inode for pid in pids for inode in _sockets_of(pid)}
    return [listener for listener in _listeners() if listener.inode in inodes]


def listeners_at(port: int) -> list[Listener]:
    """Whoever they belong to."""
    return [listener for listener in _listeners() if listener.port == port]


def _sockets_of(pid: int) -> Iterator[str]:
    with suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                target = os.readlink(f"/proc/{pid}/fd/{name}")
                if target.startswith("socket:["):
                    yield target[len("socket:[") : -1]


def _listeners() -> Iterator[Listener]:
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path(f"/proc/net/{name}").read_text("ascii").splitlines()[1:]:
                words = line.split()
                if words[3] == _LISTENS:
                    address, port = words[1].split(":")
                    yield Listener(
                        address=_address(address), port=int(port, 16), uid=int(words[7]), inode=words[9]
                    )


def _address(text: str) -> str:
    """The kernel writes words of four bytes, each in the order of this machine."""
    words = [int(text[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(text), 8)]
    return str(ipaddress.ip_address(b"".join(words)))
