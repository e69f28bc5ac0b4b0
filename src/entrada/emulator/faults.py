"""Faults that are switched on: which, where, for how many requests or how long.

Owns the list and the arithmetic of "the next n requests" and "for a time".  What each wire fault does to an
answer is in `wire_faults`; what the conformance suite's names stand for is in `conformance`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

WIRE_FAULTS: Mapping[str, str] = {
    "delay": "wait `seconds` (default 1), then answer as usual",
    "hang": "never answer; the connection stays open",
    "drop": "close the connection without a byte",
    "server_error": "answer `status` (default 500) with an HTML page",
    "too_many_requests": "answer 429 with Retry-After `retry_after` (default 2)",
    "half_json": "cut the answer's body in half",
    "html": "answer an HTML page with status 200",
    "null": "answer JSON null with status 200",
    "array": "answer a JSON array with status 200",
    "empty": "answer status 200 with no body",
    "oversized": "answer 5 MB of JSON",
    "gzip_bomb": "answer a small gzip body that inflates to 256 MB",
    "redirect": "answer 307 to `to` (default another path of the emulator)",
    "body": "answer `text` with `status` and `content_type`",
}
"""Faults of the wire, and what each does."""

MEANING_FAULTS: Mapping[str, str] = {
    "tamper": "spoil the next `target` (id_token, access_token, token_response, authorization_response, "
    "userinfo, discovery, keys, logout_response): `set`, `remove`, `header_set`, `header_remove`, "
    "`duplicate`, `signature`, `version`",
    "aadsts": "refuse with AADSTS `code`; `shown`, `error`, `suberror` and `claims` may be given",
    "wrong_issuer": "discovery names the issuer `issuer`",
    "key_removed": "the key set lacks the key that signs",
    "key_rotated": "a new key signs, published just before; `keep_old` false drops the older keys",
    "rotate_after_signing": "the keys rotate right after the token was signed; `keep_old` as above",
    "clock": "the emulator's clock is off by `offset_seconds`",
    "graph_error": "Graph answers `status`, `code`, `message`",
}
"""Faults of meaning, and what each does."""

ENDPOINTS = (
    "discovery",
    "keys",
    "instance",
    "userrealm",
    "authorize",
    "login",
    "token",
    "devicecode",
    "logout",
    "checksession",
    "userinfo",
    "graph",
)
"""Endpoint names a fault can be limited to; a Graph path may follow as `graph:/v1.0/me`."""


class UnknownFault(ValueError):
    """No fault has this name, or it cannot be emulated; the message says which."""


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


_DEFAULT_ENDPOINTS = {
    "wrong_issuer": "discovery",
    "key_removed": "keys",
    "key_rotated": "token",
    "rotate_after_signing": "token",
    "graph_error": "graph",
}


def make_faults(
    name: str,
    *,
    endpoint: str | None,
    times: int | None,
    for_seconds: float | None,
    parameters: dict[str, Any],
) -> list[Fault]:
    """The faults that a name stands for: one, or several for a conformance module.

    Raises:
        UnknownFault: no such fault, no such endpoint, or the live service has no such feature.
    """
    from .conformance import parts_of

    base = (endpoint or "").split(":", 1)[0]
    if base not in ("", "*", *ENDPOINTS):
        raise UnknownFault(f"no endpoint is called {endpoint!r}; there are {', '.join(ENDPOINTS)}")
    until = None if for_seconds is None else time.monotonic() + for_seconds
    if for_seconds is not None and times == 1:
        times = None
    if name in WIRE_FAULTS or name in MEANING_FAULTS:
        if name == "tamper":
            parameters = {"target": "id_token", **parameters}
        where = endpoint if endpoint is not None else _DEFAULT_ENDPOINTS.get(name, "")
        return [Fault(name=name, endpoint=where, times=times, until=until, parameters=parameters)]
    return [
        Fault(
            name=part_name,
            endpoint=endpoint if endpoint is not None else part_endpoint,
            times=times,
            until=until,
            parameters={**part_parameters, **parameters},
            origin=name,
        )
        for part_name, part_endpoint, part_parameters in parts_of(name)
    ]
