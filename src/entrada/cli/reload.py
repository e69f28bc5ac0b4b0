"""SIGHUP: `[[rules]]` and `[[routes]]` are read again, and the access log is opened anew.

    hangups = hangups_noted()                    from now on SIGHUP ends nothing
    for change in reading.changes(hangups):      a `Change` for each SIGHUP, whatever the file says

A file with a mistake changes nothing: the old rules and routes stay, and the log says why, with file, line
and fix. So does a file without any rule where there were some: it is half written, or was emptied by mistake,
and would let in whoever is signed in. Everything else in the file counts from the next start, which the log
says where it was changed.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue

from entrada.cli.gateway_parts import rules_of
from entrada.compatibility import tomllib
from entrada.errors import ConfigurationError, EntradaError
from entrada.gateway.rules import RuleBook
from entrada.settings import Settings
from entrada.settings.sources import check_names
from entrada.settings.tables import SettingsFile, read_tables_of

RELOADED_TABLES = ("rules", "routes")

log = logging.getLogger("entrada")


@dataclass(frozen=True, kw_only=True)
class Change:
    """What one SIGHUP brought. `book` None: the rules stay as they were."""

    book: RuleBook | None


def hangups_noted() -> SimpleQueue[int]:
    """A queue with an entry for each SIGHUP from now on; nothing but that happens in the handler."""
    hangups: SimpleQueue[int] = SimpleQueue()
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, lambda number, _: hangups.put(number))
    return hangups


@dataclass(kw_only=True)
class Reading:
    """The settings file as it was read last. `check` raises for rules that cannot be carried out."""

    tables: SettingsFile
    upstream: str | None = None
    check: Callable[[RuleBook], object] = lambda _: None

    def changes(self, hangups: SimpleQueue[int]) -> Iterator[Change]:
        """Waits for each SIGHUP; never ends."""
        while True:
            hangups.get()
            yield self.again()

    def again(self) -> Change:
        """The file as it is now. Never raises for what stands in it: it says so in the log."""
        before = self.tables
        if not before.name:
            log.warning("SIGHUP: there is no settings file to read again.")
            return Change(book=None)
        try:
            tables = read_tables_of(Path(before.name))
            check_names(Path(before.name), tables.entries, Settings.model_fields)
            book = rules_of(tables, self.upstream)
            _check_that_rules_are_left(before, tables)
            self.check(book)
        except EntradaError as error:
            log.error("SIGHUP: the rules and routes stay as they were. %s %s", error.sentence, error.hint)
            return Change(book=None)
        ignored = sorted(
            name
            for name in {*before.entries, *tables.entries} - set(RELOADED_TABLES)
            if before.entries.get(name) != tables.entries.get(name)
        )
        self.tables = tables
        log.info("SIGHUP: %d rules and %d routes now decide.", len(book.rules), len(book.routes))
        if ignored:
            log.warning("SIGHUP: %s was changed too, which counts from the next start.", ", ".join(ignored))
        return Change(book=book)

    def of_text(self, text: str) -> RuleBook:
        """The rules in a text that was read and checked before."""
        entries = tomllib.loads(text)
        return rules_of(replace(self.tables, entries=entries, text=text), self.upstream)


def _check_that_rules_are_left(before: SettingsFile, now: SettingsFile) -> None:
    if before.tables("rules") and not now.tables("rules"):
        raise ConfigurationError(
            f"{now.name} has no [[rules]] any more, and whoever is signed in would be let in everywhere.",
            hint="Write the file whole before SIGHUP; if no rules are meant, start again.",
        )
