"""What the suite's streams are made of: three lines, or with the query `endless` one every now and then."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator

ENDLESS = "endless"
_PAUSE_SECONDS = 0.05


def lines(query: str) -> Iterator[str]:
    for number in itertools.count() if query == ENDLESS else range(3):
        if query == ENDLESS:
            time.sleep(_PAUSE_SECONDS)
        yield f"line {number}\n"


async def lines_async(query: str) -> AsyncIterator[str]:
    for number in itertools.count() if query == ENDLESS else range(3):
        if query == ENDLESS:
            await asyncio.sleep(_PAUSE_SECONDS)
        yield f"line {number}\n"
