"""The access log: one JSON object on a line for each request, to stdout or a file.

    {"time": "2026-03-01T09:30:00.123Z", "client": "192.0.2.7", "part": "check", "method": "GET",
     "host": "tool.contoso.com", "path": "/admin/x", "status": 200, "rule": "/admin/**", "result": "allowed",
     "user_id": "6f…", "duration_ms": 0.412}

Of a proxy's question method, host and path are those of the request that it asks about. No query is ever
written, on no path: codes, states and tokens stand in queries, the applications' own among them. What a
visitor sends is cut, and written in ASCII by JSON's rules: it makes no second line and no second field.

A line is one write; several processes may append to one file. Writing happens in a thread of its own: a full
disk or a reader that stands still costs lines, which are counted and said, and delays nobody.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from pathlib import Path
from time import perf_counter

from starlette.types import Scope

from entrada.errors import ConfigurationError
from entrada.gateway.asgi import peer_of, target_of
from entrada.gateway.clients import client_behind
from entrada.gateway.fields import Field
from entrada.gateway.hops import TrustedHops
from entrada.gateway.outcome import Outcome, label_of

STDOUT = "stdout"
MOST_WAITING = 20_000
"""Lines that wait for the writer; further ones are lost, and counted."""
WRITE_EVERY_SECONDS = 0.2
_LONGEST = {"method": 32, "host": 255, "path": 2048}
_QUIET_SECONDS = 60.0

log = logging.getLogger("entrada")


class AccessLog:
    """Appends to `target`: `stdout`, or a path. `hops` are believed about whose request it was."""

    def __init__(self, target: str, *, hops: TrustedHops, now: Callable[[], datetime]) -> None:
        """
        Raises:
            ConfigurationError: the file cannot be opened for appending.
        """
        self._target, self._hops, self._now = target, hops, now
        self._file = _open(target)
        self._lines: deque[str] = deque()
        self._is_reopening = False
        self._is_cut = False
        self._closing = threading.Event()
        self._lost = 0
        self._said_at: float | None = None
        self._writer = threading.Thread(target=self._write_on, name="entrada-access-log", daemon=True)
        self._writer.start()

    def request_finished(self, outcome: Outcome, scope: Scope) -> None:
        """For `Observed`."""
        peer = peer_of(scope)
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        caller = outcome.caller
        self._add(
            client=self._client(peer, scope["headers"]),
            request=request_text(
                outcome.part,
                outcome.method or scope["method"],
                outcome.host or (hosts[0] if len(hosts) == 1 else ""),
                outcome.target or target_of(scope),
                rule=None if outcome.part == "own" else label_of(outcome.rule),
                result=outcome.result,
            ),
            status=outcome.status,
            user_id=None if caller is None else caller.user_id or caller.object_id,
            seconds=perf_counter() - outcome.started,
        )

    def fast_answer(
        self, request: str, user_id: str, peer: str | None, fields: list[Field], started: float
    ) -> None:
        """For the fast path; `request` is of `request_text`."""
        self._add(
            client=self._client(peer, fields),
            request=request,
            status=200,
            user_id=user_id,
            seconds=perf_counter() - started,
        )

    def reopen(self) -> None:
        """After the file was moved away: a new one of the same name, with the next lines."""
        self._is_reopening = self._target != STDOUT

    def close(self) -> None:
        """Writes what waits, for two seconds at most."""
        self._closing.set()
        self._writer.join(timeout=2)

    def _client(self, peer: str | None, fields: list[Field]) -> str | None:
        if not self._hops.trust(peer):
            return peer
        lines = tuple(value for name, value in fields if name == b"x-forwarded-for")
        return _client_behind(lines, self._hops) or peer

    def _add(
        self, *, client: str | None, request: str, status: int | None, user_id: str | None, seconds: float
    ) -> None:
        if len(self._lines) >= MOST_WAITING:
            self._lost += 1
            return
        time = self._now().isoformat(timespec="milliseconds").removesuffix("+00:00")
        self._lines.append(
            f'{{"time": "{time}Z", "client": {_value(client)}, {request}, '
            f'"status": {"null" if status is None else status}, "user_id": {_value(user_id)}, '
            f'"duration_ms": {seconds * 1000:.3f}}}\n'
        )

    def _write_on(self) -> None:
        is_closing = False
        while not is_closing:
            is_closing = self._closing.wait(WRITE_EVERY_SECONDS)
            if self._is_reopening:
                self._is_reopening = False
                self._open_anew()
            while self._lines:
                # Whole lines in each write, so that processes do not cut one another's.
                self._write([self._lines.popleft() for _ in range(min(16, len(self._lines)))])
            self._say_lost()

    def _open_anew(self) -> None:
        """What cannot be opened leaves the old."""
        try:
            opened = _open(self._target)
        except ConfigurationError as error:
            log.error("The access log stays where it was: %s", error.sentence)
            return
        os.close(self._file)
        self._file = opened

    def _write(self, lines: list[str]) -> None:
        whole = data = (("\n" if self._is_cut else "") + "".join(lines)).encode("ascii")
        try:
            while data:
                data = data[os.write(self._file, data) :]
            self._is_cut = False
        except OSError:
            self._is_cut = self._is_cut or len(data) != len(whole)
            self._lost += len(lines)

    def _say_lost(self) -> None:
        now = perf_counter()
        if self._lost and (self._said_at is None or now - self._said_at >= _QUIET_SECONDS):
            log.error("%d lines of the access log could not be written.", self._lost)
            self._said_at, self._lost = now, 0


def request_text(
    part: str, method: str, host: str, target: bytes, *, rule: str | None, result: str | None
) -> str:
    """The part of a line that is the same for every such request."""
    path = target.partition(b"?")[0].partition(b"#")[0].decode("latin-1")
    values = {
        "part": part,
        "method": method[: _LONGEST["method"]],
        "host": host[: _LONGEST["host"]],
        "path": path[: _LONGEST["path"]],
        "rule": rule,
        "result": result,
    }
    return json.dumps(values)[1:-1].replace("\x7f", "\\u007f")


def _value(text: str | None) -> str:
    return "null" if text is None else encode_basestring_ascii(text)


@lru_cache(maxsize=1024)
def _client_behind(lines: tuple[bytes, ...], hops: TrustedHops) -> str | None:
    return client_behind({"headers": [(b"x-forwarded-for", value) for value in lines]}, hops)


def _open(target: str) -> int:
    if target == STDOUT:
        return os.dup(sys.stdout.fileno())
    try:
        return os.open(Path(target), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOCTTY, 0o600)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"The access log {target!r} cannot be opened ({getattr(error, 'strerror', None) or error}).",
            hint="Name a file in a directory that the user Entrada runs as may write to, or stdout.",
            setting="access_log",
        ) from None
