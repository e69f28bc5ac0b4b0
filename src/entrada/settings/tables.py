"""Tables of entrada.toml that are no settings, read one value at a time; what is wrong is said with its line.

    [[rules]]            [[installations]]
    path = "/admin/**"   url = "https://app.example.com"

tomllib tells no lines, so they are looked for in the text: good enough to point at, never to decide by.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from entrada.errors import ConfigurationError
from entrada.settings.sources import read_settings_file

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class SettingsFile:
    """A settings file as it was read: its entries, and its text to point into."""

    name: str
    entries: Mapping[str, Any]
    text: str = field(repr=False)

    def tables(self, name: str) -> Sequence[SettingsTable]:
        """The tables `[[name]]`, in their order; none is no mistake.

        Raises:
            ConfigurationError: `name` is something else than tables.
        """
        found = self.entries.get(name, [])
        lines = self.text.splitlines()
        header = re.compile(rf"\s*\[\[\s*[\"']?{name}[\"']?\s*\]\]\s*(?:#.*)?")
        where: list[int | None] = [number for number, line in enumerate(lines, 1) if header.fullmatch(line)]
        if not isinstance(found, list) or not all(isinstance(values, dict) for values in found):
            raise wrong(self.name, None, f"{name} is no list of tables.", f"Begin each with [[{name}]].")
        if len(where) != len(found):
            where = [None] * len(found)
        return [
            SettingsTable(values, file=self.name, lines=lines, line=line)
            for values, line in zip(found, where, strict=True)
        ]


def read_tables_of(file: Path | None) -> SettingsFile:
    """The settings file for its tables; an empty one without a file.

    Raises:
        ConfigurationError: it cannot be read, or is not TOML.
    """
    if file is None:
        return SettingsFile(name="", entries={}, text="")
    entries, text = read_settings_file(file)
    return SettingsFile(name=str(file), entries=entries, text=text)


class SettingsTable:
    """One table, where it stands, and its values read one by one."""

    def __init__(
        self, values: Mapping[str, Any], *, file: str, lines: Sequence[str], line: int | None
    ) -> None:
        self.values, self.file, self.line, self._lines = values, file, line, lines

    def refuse(self, sentence: str, hint: str, key: str | None = None) -> NoReturn:
        raise wrong(self.file, self._line_of(key), sentence, hint)

    def text(self, key: str) -> str | None:
        value = self.values.get(key)
        if value is not None and (not isinstance(value, str) or not value):
            self.refuse(f"{key} is no text.", f'Write {key} = "…".', key)
        return value

    def texts(self, key: str) -> frozenset[str]:
        """A list of texts; empty only if the key is absent: an empty list could mean nothing or all."""
        if key not in self.values:
            return frozenset()
        value = self.values[key]
        if not isinstance(value, list) or not value or not all(isinstance(v, str) and v for v in value):
            self.refuse(f"{key} is no list of texts.", f'Write {key} = ["…"], or leave it out.', key)
        return frozenset(value)

    def mapping(self, key: str) -> Mapping[str, tuple[str, ...]] | None:
        """A table whose values are a text or a list of texts each; None if the key is absent."""
        if key not in self.values:
            return None
        value = self.values[key]
        found: dict[str, tuple[str, ...]] = {}
        for name, given in value.items() if isinstance(value, dict) else ():
            texts = [given] if isinstance(given, str) else given
            if isinstance(texts, list) and texts and all(isinstance(one, str) and one for one in texts):
                found[name] = tuple(texts)
        if not found or len(found) != len(value):
            self.refuse(f"{key} is no table of texts.", f'Write {key} = {{ "…" = "…" }}.', key)
        return found

    def flag(self, key: str) -> bool:
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            self.refuse(f"{key} is neither true nor false.", f"Write {key} = true, without quotes.", key)
        return value

    def parsed(self, key: str, parse: Callable[[str], T]) -> T | None:
        text = self.text(key)
        try:
            return None if text is None else parse(text)
        except ValueError as error:
            self.refuse(
                f"{key} = {text!r} cannot be used.", f"{str(error)[:1].upper()}{str(error)[1:]}.", key
            )

    def only(self, known: Sequence[str]) -> None:
        for key in self.values:
            if key not in known:
                close = difflib.get_close_matches(key, known, 1, 0.5)
                fix = f"Did you mean {close[0]}?" if close else f"There are {', '.join(known)}."
                self.refuse(f"{key} means nothing here.", fix, key)

    def _line_of(self, key: str | None) -> int | None:
        if self.line is None or key is None:
            return self.line
        written = re.compile(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=")
        for number, line in enumerate(self._lines[self.line :], self.line + 1):
            if line.lstrip().startswith("["):
                break
            if written.match(line):
                return number
        return self.line


def wrong(file: str, line: int | None, sentence: str, hint: str) -> ConfigurationError:
    """What is wrong in a settings file, with its line where it is known."""
    return ConfigurationError(f"{file}{'' if line is None else f', line {line}'}: {sentence}", hint=hint)
