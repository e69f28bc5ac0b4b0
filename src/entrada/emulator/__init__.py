"""An emulator of Microsoft Entra ID and a part of Graph, to develop and test against.

    from entrada.emulator import start

    with start() as emulator:
        print(emulator.https_url, emulator.env("entrada"))

It imports nothing of the rest of entrada, so that one misreading of a specification cannot hide in both.
Importing this package is cheap; what serves is imported by `start`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .running import EmulatorError, RunningEmulator
    from .starting import start

__all__ = ["EmulatorError", "RunningEmulator", "start"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from . import starting

        return getattr(starting, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
