"""The requests received, kept for tests and for the control page, with secrets masked when shown."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from ..protocol.http import Parameters, Request

_KEPT = 1_000
_SECRET_NAMES = frozenset(
    {
        "client_secret",
        "client_assertion",
        "assertion",
        "code",
        "refresh_token",
        "access_token",
        "id_token",
        "id_token_hint",
        "password",
        "code_verifier",
        "device_code",
        "logout_hint",
        "ctx",
    }
)
_SECRET_HEADERS = frozenset({"authorization", "cookie"})
MASK = "***"


@dataclass(frozen=True, kw_only=True)
class ReceivedRequest:
    """One request as a test may look at it.  `endpoint` is the emulator's name of what was asked.

    `status` is 0 as long as there is no answer, and for ever when the connection was cut.
    """

    method: str
    path: str
    endpoint: str
    query: dict[str, str]
    form: dict[str, str]
    headers: dict[str, str]
    status: int
    at: float

    def as_dict(self) -> dict[str, Any]:
        """The request as the control API shows it."""
        return dict(self.__dict__)


class Entry:
    """A request as it came, known from its arrival on; `status` follows with the answer."""

    __slots__ = ("at", "endpoint", "request", "status")

    def __init__(self, request: Request, endpoint: str, at: float) -> None:
        self.request = request
        self.endpoint = endpoint
        self.at = at
        self.status = 0


class RequestLog:
    """The last thousand requests."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=_KEPT)

    def add(self, request: Request, endpoint: str, at: float) -> Entry:
        """Remember a request on its arrival; masking waits until somebody looks."""
        entry = Entry(request, endpoint, at)
        self._entries.append(entry)
        return entry

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()

    def shown(self) -> list[ReceivedRequest]:
        """The requests, oldest first, without their secrets."""
        return [_shown(entry) for entry in list(self._entries)]


def _shown(entry: Entry) -> ReceivedRequest:
    request = entry.request
    headers = {
        name: (_masked_authorization(value) if name in _SECRET_HEADERS else value)
        for name, value in request.headers.items()
    }
    return ReceivedRequest(
        method=request.method,
        path=request.path,
        endpoint=entry.endpoint,
        query=_masked(request.query),
        form=_masked(request.form()),
        headers=headers,
        status=entry.status,
        at=entry.at,
    )


def _masked(parameters: Parameters) -> dict[str, str]:
    return {
        name: MASK if name in _SECRET_NAMES and value else value
        for name, value in parameters.as_dict().items()
    }


def _masked_authorization(value: str) -> str:
    scheme, separator, _ = value.partition(" ")
    return f"{scheme} {MASK}" if separator and scheme.isalpha() else MASK
