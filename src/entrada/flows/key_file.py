"""The key of this machine's own: made once, stored in a file that only its user can read.

Source: none; processes that start together agree on one key, and no half of one is ever read.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from entrada.errors import ConfigurationError, why_unreadable
from entrada.sealing import SMALLEST_KEY_BYTES


def kept_key(path: Path) -> bytes:
    """The key in this file, made at first use. It appears whole or not at all, also under kill -9.

    Raises:
        ConfigurationError: the file cannot be read or written, or holds no such key.
    """
    try:
        if not path.exists():
            _write_new(path)
        key = path.read_text(encoding="utf-8").strip().encode()
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(path, why_unreadable(error)) from None
    if len(key) < SMALLEST_KEY_BYTES:
        raise _unusable(path, "too short")
    return key


def _write_new(path: Path) -> None:
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
        with suppress(FileExistsError):  # another process was faster; its key counts
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _unusable(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"The key file {str(path)!r} beside the database cannot be used ({why}).",
        hint="Let the user Entrada runs as read and write it, delete it to have a new one made, "
        "or set $[secret_keys].",
        setting="secret_keys",
    )
