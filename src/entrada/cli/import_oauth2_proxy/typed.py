"""One value of oauth2-proxy's as its option's kind, or a refusal with the file, the line and the fix."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NoReturn

from entrada.cli.import_oauth2_proxy.options import OPTIONS, Kind, Place
from entrada.settings.tables import wrong

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_VARIABLE = re.compile(r"\$\{\w+|\$[A-Z_][A-Z0-9_]+")


def refuse(place: Place, sentence: str, hint: str) -> NoReturn:
    """Stops with the file, the line and the fix."""
    raise wrong(place.file, place.line, f"{place.written} {sentence}", hint)


def typed(place: Place, option: str, value: object) -> str | bool | Sequence[str]:
    """The value as the option's kind; numbers and durations stay text."""
    match OPTIONS[option]:
        case Kind.SWITCH:
            if isinstance(value, bool):
                return value
            if isinstance(value, str) and value in _TRUE | _FALSE:
                return value in _TRUE
            refuse(place, "is neither true nor false.", "Write true or false.")
        case Kind.LIST:
            items = value if isinstance(value, list) else [value]
            texts = [item for item in items if isinstance(item, str)]
            if len(texts) != len(items):
                refuse(place, "is no list of texts.", 'Write ["one", "another"].')
            return [part.strip() for text in texts for part in text.split(",") if part.strip()]
        case Kind.TEXT:
            if isinstance(value, (bool, list, dict)) or value is None:
                refuse(place, "is no text.", 'Write "…".')
            return str(value)


def plain(place: Place, value: str) -> str:
    """The value, unless it is a variable's, which is not known here."""
    if _VARIABLE.search(value):
        refuse(
            place,
            "takes its value from a variable.",
            "Write the value there, or in a file with OAUTH2_PROXY_… that is given as well.",
        )
    return value
