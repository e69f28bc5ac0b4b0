"""Nothing of Mage's outlives the server: its scheduler, kernels and shells are processes of their own.

A signal that ends the server reaches them first: asked to end, and after some seconds made to. Then the
server ends by that same signal, as it would without us, so that whoever sent it sees what they expect.
"""

from __future__ import annotations

import importlib
import os
import signal
from types import FrameType
from typing import Any

_SECONDS = 3.0
_ENDING = tuple(found for name in ("SIGTERM", "SIGHUP") if (found := getattr(signal, name, None)) is not None)


def end_with_us() -> None:
    """From here on they end with this process. In the main thread, before Mage starts any of them."""
    owner = os.getpid()

    def end(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        if os.getpid() == owner:  # Mage's scheduler is a copy of this process
            end_children()
        os.kill(os.getpid(), number)

    for number in _ENDING:
        signal.signal(number, end)


def end_children() -> None:
    """Every process that this one has begun, and those begun by them."""
    psutil: Any = importlib.import_module("psutil")  # comes with Mage
    children = psutil.Process().children(recursive=True)
    for ask in ("terminate", "kill"):
        for child in children:
            try:
                getattr(child, ask)()
            except psutil.Error:
                continue  # it has ended by itself
        _, children = psutil.wait_procs(children, timeout=_SECONDS)
