"""The faults that are on: which, where, for how many requests or how long.

Owns the list and the arithmetic of "the next n requests" and "for a time", and knows no fault's meaning.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True)
class Fault:
    """One fault that is on.  `times` None means without limit; `until` is monotonic seconds, or None."""

    name: str
    endpoint: str = ""
    times: int | None = 1
    until: float | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    origin: str = ""

    def concerns(self, endpoint: str) -> bool:
        """Whether the fault is meant for this endpoint; `graph` covers every path of Graph."""
        return (
            self.endpoint in ("", "*")
            or endpoint == self.endpoint
            or endpoint.startswith(f"{self.endpoint}:")
            or (":" in self.endpoint and endpoint.startswith(self.endpoint))
        )

    def as_dict(self) -> dict[str, Any]:
        """The fault as the control API shows it."""
        return {
            "fault": self.name,
            "endpoint": self.endpoint or "*",
            "times": self.times,
            "seconds_left": None if self.until is None else round(max(0.0, self.until - time.monotonic()), 1),
            "origin": self.origin,
            **self.parameters,
        }


class Faults:
    """The faults that are on, safe to change from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def __bool__(self) -> bool:
        return bool(self._faults)

    def add(self, faults: Iterable[Fault]) -> None:
        """Switch faults on."""
        with self._lock:
            self._faults.extend(faults)

    def clear(self) -> None:
        """Switch every fault off."""
        with self._lock:
            self._faults.clear()

    def active(self) -> list[Fault]:
        """The faults that are still on."""
        with self._lock:
            self._expire()
            return list(self._faults)

    def take(self, names: Iterable[str], endpoint: str, **match: object) -> Fault | None:
        """The first fault of these names for this endpoint, counted as used once.

        A keyword is compared with the fault's parameter of that name when the fault has one.
        """
        if not self._faults:
            return None
        with self._lock:
            self._expire()
            for fault in self._faults:
                if fault.name in names and fault.concerns(endpoint) and _matches(fault, match):
                    if fault.times is not None:
                        fault.times -= 1
                        self._expire()
                    return fault
        return None

    def take_all(self, names: Iterable[str], endpoint: str, **match: object) -> list[Fault]:
        """Every fault of these names for this endpoint, each counted as used once."""
        if not self._faults:
            return []
        taken: list[Fault] = []
        with self._lock:
            self._expire()
            for fault in self._faults:
                if fault.name in names and fault.concerns(endpoint) and _matches(fault, match):
                    if fault.times is not None:
                        fault.times -= 1
                    taken.append(fault)
            self._expire()
        return taken

    def _expire(self) -> None:
        now = time.monotonic()
        self._faults = [
            fault
            for fault in self._faults
            if (fault.times is None or fault.times > 0) and (fault.until is None or fault.until > now)
        ]


def _matches(fault: Fault, match: Mapping[str, object]) -> bool:
    return all(
        name not in fault.parameters or fault.parameters[name] == value for name, value in match.items()
    )


class UnknownFault(ValueError):
    """No fault has this name, or it cannot be emulated; the message says which."""
