"""Where commands keep what they want to find again.

Source: XDG Base Directory Specification, "$XDG_STATE_HOME".
"""

from __future__ import annotations

import os
from pathlib import Path


def user_state_directory() -> Path | None:
    """`entrada` in the user's state directory; None without XDG_STATE_HOME and without a home.

    A container that runs under a user id which no file knows has neither.
    """
    base = os.environ.get("XDG_STATE_HOME", "")
    if base.startswith("/"):
        return Path(base, "entrada")
    if os.environ.get("HOME") == "":
        return None  # `Path.home` would take it for the root of the file system
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home / ".local" / "state" / "entrada" if home.is_absolute() else None
