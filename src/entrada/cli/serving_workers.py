"""`entrada serve --workers N`: what is checked once above, and what each process does.

Shared through the database: accounts, sessions and their ends, whom Entra is asked about again.
Shared through a folder: what metrics count.
Each process has for itself the sessions it remembers, the budgets of failed sign-ins, the access tokens it
has verified, Entra's keys, and its connections.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from queue import SimpleQueue

from entrada.cli.gateway_parts import assertions_of
from entrada.cli.reload import Change, Reading
from entrada.cli.serving import Plan, build_auth, serve_here
from entrada.cli.workers import Workers
from entrada.errors import ConfigurationError
from entrada.gateway.metrics import SharedFolder, process_gone
from entrada.gateway.rules import RuleBook
from entrada.web.auth_routes import AuthRoutes

_OF_ONE_PROCESS = ("memory:", "sqlite://", "sqlite:///:memory:")


def serve_by_workers(
    plan: Plan,
    book: RuleBook,
    reading: Reading,
    hangups: SimpleQueue[int],
    *,
    count: int,
    announce: Callable[[AuthRoutes], None],
) -> int:
    """Until a signal; the exit status.

    Raises:
        ConfigurationError: what would stop each of them, said once; or one process is all there can be.
    """
    if not hasattr(os, "fork"):
        raise ConfigurationError(
            "This system cannot run several workers.", hint="Leave --workers out, and start several servers."
        )
    if plan.settings.database_url in _OF_ONE_PROCESS:
        raise ConfigurationError(
            "$[database_url] keeps everything in the memory of one process, and --workers asks for several.",
            hint="Leave --workers out, or use a database, such as sqlite:///entrada.db.",
            setting="database_url",
        )
    with plan.found.names.in_errors():
        reading.check(book)
    checked, keys = build_auth(plan)
    try:
        with plan.found.names.in_errors():
            assertions_of(plan.settings, book, keys)
        announce(checked)
    finally:
        checked.relying_party.close()
    current = book

    def work(place: int, messages: Iterator[bytes], alive: Callable[[], None]) -> None:
        serve_here(
            plan,
            current,
            _changes(messages, reading),
            announce=lambda _: None,
            shared=SharedFolder(path=folder, place=place),
            alive=alive,
        )

    def on_hangup() -> bytes:
        nonlocal current
        change = reading.again()
        if change.book is None:
            return b""
        current = change.book
        return reading.tables.text.encode()

    with tempfile.TemporaryDirectory(prefix="entrada-metrics-") as folder:
        return Workers(
            count=count,
            work=work,
            on_hangup=on_hangup,
            on_gone=lambda place: process_gone(SharedFolder(path=folder, place=place)),
            hangups=hangups,
        ).run()


def _changes(messages: Iterator[bytes], reading: Reading) -> Iterator[Change]:
    """The process above has read and checked the file: the same text makes the same rules here."""
    for message in messages:
        yield Change(book=reading.of_text(message.decode()) if message else None)
