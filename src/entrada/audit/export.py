"""Where entries go beside the database, as JSON lines: a file, standard output, or syslog.

    target_at("stdout")     what the setting names
    target.write(lines)     all of them, or OSError; some may be there then, and come again

A file is opened anew for each batch, so that it may be moved away at any time, and is its owner's alone.
What a killed process left of a line stays a line of its own.

Source: JSON Lines; RFC 3164 (the local syslog socket).
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from entrada.audit.chain import AuditEntry

STDOUT, SYSLOG = "stdout", "syslog"
SYSLOG_SOCKET = Path("/dev/log")
AUTHPRIV_NOTICE = 10 * 8 + 5
"""Facility and severity: messages about who may do what."""


class ExportTarget(Protocol):
    @property
    def name(self) -> str:
        """By which the store remembers how far it has come."""

    @property
    def is_whole(self) -> bool:
        """Whether it begins with the oldest entry there is, rather than with the next one."""

    def check(self) -> None:
        """Whether it can be written to.

        Raises:
            OSError: it cannot.
        """

    def write(self, lines: Sequence[str]) -> None:
        """Raises:
        OSError: it cannot be written to; not all of them are there.
        """


@dataclass(frozen=True, kw_only=True)
class FileTarget:
    path: Path
    is_whole: bool = True

    @property
    def name(self) -> str:
        return f"{self.path.absolute()} on {socket.gethostname()}"

    def check(self) -> None:
        os.close(self._open())

    def write(self, lines: Sequence[str]) -> None:
        text = "".join(f"{line}\n" for line in lines).encode()
        descriptor = self._open()
        try:
            if not self._ends_with_a_line(descriptor):
                text = b"\n" + text
            while text:
                text = text[os.write(descriptor, text) :]
        finally:
            os.close(descriptor)

    def _open(self) -> int:
        return os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)

    def _ends_with_a_line(self, descriptor: int) -> bool:
        size = os.fstat(descriptor).st_size
        if size == 0:
            return True
        os.lseek(descriptor, size - 1, os.SEEK_SET)
        return os.read(descriptor, 1) == b"\n"


@dataclass(frozen=True, kw_only=True)
class StdoutTarget:
    name: str = STDOUT
    is_whole: bool = False

    def check(self) -> None:
        """There is always one."""

    def write(self, lines: Sequence[str]) -> None:
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        sys.stdout.flush()


@dataclass(frozen=True, kw_only=True)
class SyslogTarget:
    address: Path = SYSLOG_SOCKET
    name: str = SYSLOG
    is_whole: bool = False

    def check(self) -> None:
        self._connected().close()

    def write(self, lines: Sequence[str]) -> None:
        with self._connected() as connection:
            for line in lines:
                connection.send(f"<{AUTHPRIV_NOTICE}>entrada[{os.getpid()}]: {line}".encode())

    def _connected(self) -> socket.socket:
        family = getattr(socket, "AF_UNIX", None)
        if family is None:
            raise OSError("this system has no syslog")
        connection = socket.socket(family, socket.SOCK_DGRAM)
        try:
            connection.connect(str(self.address))
        except OSError:
            connection.close()
            raise
        return connection


def target_at(setting: str) -> ExportTarget:
    """What a setting such as `stdout`, `syslog` or `/var/log/entrada/audit.jsonl` names."""
    if setting == STDOUT:
        return StdoutTarget()
    return SyslogTarget() if setting == SYSLOG else FileTarget(path=Path(setting))


def line_of(entry: AuditEntry) -> str:
    """An entry in one line: ASCII, without anything that a terminal takes for a command."""
    return json.dumps(entry.documented())
