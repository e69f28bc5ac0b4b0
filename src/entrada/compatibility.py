"""What differs between the Pythons we run on, 3.10 to 3.13, in one place.

Mage's own image runs 3.10. A name goes from here when the oldest Python has it.
(The emulator, which imports nothing else of entrada, has a smaller one.)
"""

from __future__ import annotations

import binascii
import re
import sqlite3
import sys
from datetime import timezone

if sys.version_info >= (3, 11):
    from enum import StrEnum

    import tomllib
else:
    from enum import Enum

    import tomli as tomllib

    class StrEnum(str, Enum):
        """An enumeration whose members are text, as of Python 3.11."""

        __str__ = str.__str__

        def __format__(self, format_spec: str) -> str:
            return str.__format__(self, format_spec)


__all__ = ["UTC", "StrEnum", "decode_strict_base64", "sqlite_error_name", "tomllib"]

UTC = timezone.utc

# Python 3.10 tells neither code nor name. SQLite's own words for them have not changed since 2001.
_SQLITE_NAMES = {
    "database is locked": "SQLITE_BUSY",
    "database table is locked": "SQLITE_LOCKED",
    "attempt to write a readonly database": "SQLITE_READONLY",
    "disk I/O error": "SQLITE_IOERR",
    "database disk image is malformed": "SQLITE_CORRUPT",
    "database or disk is full": "SQLITE_FULL",
    "unable to open database file": "SQLITE_CANTOPEN",
    "file is not a database": "SQLITE_NOTADB",
    "authorization denied": "SQLITE_PERM",
    "access permission denied": "SQLITE_PERM",
}


def sqlite_error_name(failure: sqlite3.Error) -> str:
    """SQLite's name of the error, such as SQLITE_BUSY, without the extension behind it; "" if it has none."""
    name: str | None = getattr(failure, "sqlite_errorname", None)
    if name is None:
        text = str(failure)
        return "SQLITE_ERROR" if text.startswith("no such ") else _SQLITE_NAMES.get(text, "")
    return "_".join(name.split("_")[:2])


_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


def decode_strict_base64(text: bytes) -> bytes:
    """The bytes of a standard base64 text with its padding, nothing skipped.

    Raises:
        ValueError: a character outside the alphabet, or padding that is not as it must be.
    """
    if sys.version_info >= (3, 11):
        return binascii.a2b_base64(text, strict_mode=True)
    if not _BASE64.fullmatch(text):
        raise binascii.Error("not strict base64")
    return binascii.a2b_base64(text)
