"""How far a command is that takes longer than a second: a line a second on standard error, for people alone.

Where standard error is no terminal nothing is said, so that logs and scripts get what they always got.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

EVERY_SECONDS = 1.0

Item = TypeVar("Item")


class Progress:
    """Begins when it is made."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._said_at = time.monotonic()

    def say(self, text: str) -> None:
        """It, unless something was said within the last second."""
        if self._shown and time.monotonic() - self._said_at >= EVERY_SECONDS:
            self._said_at = time.monotonic()
            print(text, file=sys.stderr)


def counted(items: Iterable[Item], what: str) -> Iterator[Item]:
    """Each of them; it is said how many there were, as "People: 12,000 so far", with `what` for "People"."""
    progress = Progress()
    for number, item in enumerate(items, 1):
        yield item
        progress.say(f"{what}: {number:,} so far")
