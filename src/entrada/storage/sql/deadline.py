"""How long what this thread does may take, set once for everything inside.

with within(timedelta(seconds=5)): ...      seconds_left() counts down in it; blocks inside do not prolong it
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

_block = threading.local()


@contextmanager
def within(limit: timedelta) -> Iterator[None]:
    """What this thread does in the block is over when `limit` has passed. Blocks inside do not prolong it."""
    before = getattr(_block, "ends_at", None)
    ends_at = time.monotonic() + limit.total_seconds()
    _block.ends_at = ends_at if before is None else min(before, ends_at)
    try:
        yield
    finally:
        _block.ends_at = before


def seconds_left() -> float:
    """Of this thread's block, below 0 when it is over; without one, without end."""
    ends_at = getattr(_block, "ends_at", None)
    return math.inf if ends_at is None else ends_at - time.monotonic()
