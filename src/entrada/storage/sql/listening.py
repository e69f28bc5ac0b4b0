"""Hears at once that the log of what ended has grown, where PostgreSQL can say so.

    listener = RevocationListener(connect=connect, wait=wait, send=send, heard=look_at_the_log)
    listener.start()        in a thread with a connection of its own; cheap enough for every request
    listener.close()

Whoever adds to the log sends a message in the same transaction (`revocation.py`), so it comes when the entry
can be read, and not if there is none. A message says only that there is something to read, and names nothing.
One that is lost costs a moment, because the log is read as often as without any messages, and once more after
each connection. `heard` is called in the thread.

LISTEN belongs to one connection to the server. Behind a pooler in transaction mode the messages go to whoever
has that connection later, or nowhere; that is found out by a message to oneself through another connection,
said in the log once, and tried again now and then.

Source: PostgreSQL, "LISTEN", "NOTIFY", "Asynchronous Notification" (libpq); PgBouncer, "Features".
"""

from __future__ import annotations

import logging
import os
import secrets
import selectors
import socket
import time
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import timedelta
from threading import Lock, Thread

import psycopg

from entrada import jitter
from entrada.errors import StoreUnavailable
from entrada.storage.sql.bounded_psycopg import BoundedConnection
from entrada.storage.sql.deadline import within
from entrada.storage.sql.revocation import CHANNEL

SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 15.0
"""Between two attempts to connect: doubled each time, and jittered so that servers do not come together."""
UNHEARD_PAUSE_SECONDS = 300.0
"""Until the next attempt where messages do not come through."""
ECHO_SECONDS = 2.0
"""How long a message to oneself may take."""
PROBE_EVERY_SECONDS = 20.0
"""How often a connection on which nothing came is asked whether it is still there."""

log = logging.getLogger("entrada")


class RevocationListener:
    """`connect` opens a connection within `wait`, `send` sends a message through another connection."""

    def __init__(
        self,
        *,
        connect: Callable[[], BoundedConnection],
        wait: timedelta,
        send: Callable[[str], None],
        heard: Callable[[], None],
    ) -> None:
        self._connect, self._wait, self._send, self._heard = connect, wait, send, heard
        self._was_said = False
        self._thread: Thread | None = None
        self._starting, self._is_closed, self._is_listening = Lock(), False, False
        self._came: list[str] = []
        self._pid = os.getpid()
        self._waker: socket.socket | None = None

    @property
    def is_listening(self) -> bool:
        """Whether messages come through, as far as is known."""
        return self._is_listening and self._pid == os.getpid()

    def start(self) -> None:
        """Does nothing where it runs already; after a fork, begins anew in the child."""
        if self._pid != os.getpid():
            self._begin()
        if self._thread is not None or self._is_closed:
            return
        with self._starting:
            if self._thread is None and not self._is_closed:
                self._waker, woken = socket.socketpair()
                self._thread = Thread(target=self._run, args=(woken,), name="entrada-listener", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """The connection is closed, and the thread ends."""
        if self._pid != os.getpid():
            return
        with self._starting:
            self._is_closed, thread, waker = True, self._thread, self._waker
        if thread is not None and waker is not None:
            with waker, suppress(OSError):
                waker.send(b"x")
                thread.join(timeout=self._wait.total_seconds())

    def _begin(self) -> None:
        """In a forked child, where the thread is not."""
        if self._waker is not None:
            self._waker.close()
        self._pid, self._thread, self._starting, self._came = os.getpid(), None, Lock(), []
        self._waker, self._is_closed, self._is_listening = None, False, False

    def _run(self, woken: socket.socket) -> None:
        with woken:
            pause = SHORTEST_PAUSE_SECONDS
            while not self._is_closed:
                pause = self._try(woken, pause)
                self._is_listening = False
                self._until(woken, pause * jitter.between(0.75, 1.25))

    def _try(self, woken: socket.socket, pause: float) -> float:
        """Connects, and listens as long as that goes well; the pause before the next attempt."""
        try:
            with within(self._wait):
                connection = self._connect()
            with closing(connection):
                connection.add_notify_handler(self._take)
                if not self._comes_through(connection, woken):
                    self._say_once()
                    return UNHEARD_PAUSE_SECONDS
                pause = SHORTEST_PAUSE_SECONDS / 2
                self._listen(connection, woken)
        except (psycopg.Error, OSError, StoreUnavailable):
            pass  # whoever needs the database says that it is gone
        except Exception:
            log.exception("A mistake of Entrada's, in listening to the database")
        return min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _comes_through(self, connection: BoundedConnection, woken: socket.socket) -> bool:
        """Whether what others send reaches this connection."""
        with within(self._wait):
            connection.execute(f"LISTEN {CHANNEL}")
        token = secrets.token_hex(8)
        self._send(token)
        ends_at = time.monotonic() + ECHO_SECONDS
        while not self._is_closed and (left := ends_at - time.monotonic()) > 0:
            if token in self._messages(connection, woken, left):
                return True
        return False

    def _listen(self, connection: BoundedConnection, woken: socket.socket) -> None:
        """Until it is closed, or the connection is lost."""
        if self._was_said:
            log.info("The messages of PostgreSQL come through now.")
        self._is_listening, self._was_said = True, False
        self._call()  # what ended while nobody listened
        while not self._is_closed:
            if self._messages(connection, woken, PROBE_EVERY_SECONDS):
                self._call()
            elif not self._is_closed:
                with within(self._wait):
                    connection.execute("SELECT 1")

    def _messages(self, connection: BoundedConnection, woken: socket.socket, seconds: float) -> list[str]:
        """Those that have come, waited for; none: nothing came in time, or this is being closed.

        Raises:
            psycopg.Error: the connection is lost.
        """
        if not self._came:
            self._until(woken, seconds, connection.pgconn.socket)
            connection.pgconn.consume_input()
            for message in iter(connection.pgconn.notifies, None):
                self._came.append(message.extra.decode("ascii", "replace"))
        came, self._came = self._came, []
        return came

    def _take(self, message: psycopg.Notify) -> None:
        """One that came with the answer to something else."""
        self._came.append(message.payload)

    def _call(self) -> None:
        try:
            self._heard()
        except StoreUnavailable:
            pass  # the next look at the log finds it
        except Exception:
            log.exception("A mistake of Entrada's, in what follows a message of the database")

    @staticmethod
    def _until(woken: socket.socket, seconds: float, *others: int) -> None:
        """Until that time has passed, `close` is called, or there is something to read."""
        with selectors.DefaultSelector() as selector:
            selector.register(woken, selectors.EVENT_READ)
            for each in others:
                selector.register(each, selectors.EVENT_READ)
            selector.select(seconds)

    def _say_once(self) -> None:
        if not self._was_said and not self._is_closed:
            self._was_said = True
            log.warning(
                "PostgreSQL's messages do not come through here, as behind a pooler in transaction mode. "
                "What ends on another server is noticed by asking instead, within a second."
            )
