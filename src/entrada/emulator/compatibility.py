"""What differs between the Pythons the emulator runs on, 3.10 to 3.13."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from datetime import timezone
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["UTC", "run_on_a_loop", "tomllib"]

UTC = timezone.utc


def run_on_a_loop(
    work: Coroutine[Any, Any, None], *, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None
) -> None:
    """Runs `work` on a new event loop of that kind, in this thread, and closes the loop."""
    if sys.version_info >= (3, 11):
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(work)
        return
    loop = loop_factory() if loop_factory is not None else asyncio.new_event_loop()
    try:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(work)
    finally:
        asyncio.set_event_loop(None)
        loop.close()
