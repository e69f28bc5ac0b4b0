"""Named log events with allow-listed fields: one line each, nothing secret, nothing a visitor can break.

    record(Event.SIGNED_OUT, user_id=...)      one line in the log
    end = subscribe(listener)                  the same for whoever counts them, at any log level

sign_in_begun, sign_in_completed, sign_in_refused, signed_out, entra_ended_sessions, all_sessions_ended,
access_ended, recheck_failed, request_refused, installation_changed
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from entrada.compatibility import StrEnum

log = logging.getLogger("entrada.events")

FIELDS = frozenset(
    {
        "incident", "code", "check", "error", "aadsts", "entra_correlation_id", "reason", "user_id",
        "tenant_id", "object_id", "redirect_uri", "session_id", "count", "path", "status",
        "roles", "client_id", "found_by", "seconds",
    }
)  # fmt: skip
_LONGEST_VALUE = 200


class Event(StrEnum):
    SIGN_IN_BEGUN = "sign_in_begun"
    SIGN_IN_COMPLETED = "sign_in_completed"
    SIGN_IN_REFUSED = "sign_in_refused"
    SIGNED_OUT = "signed_out"
    ENTRA_ENDED_SESSIONS = "entra_ended_sessions"
    ALL_SESSIONS_ENDED = "all_sessions_ended"
    ACCESS_ENDED = "access_ended"
    RECHECK_FAILED = "recheck_failed"
    REQUEST_REFUSED = "request_refused"
    INSTALLATION_CHANGED = "installation_changed"


_WARNINGS = frozenset(
    {
        Event.SIGN_IN_REFUSED,
        Event.ALL_SESSIONS_ENDED,
        Event.ACCESS_ENDED,
        Event.RECHECK_FAILED,
        Event.REQUEST_REFUSED,
    }
)


Listener = Callable[[Event, Mapping[str, object]], None]
_listeners: tuple[Listener, ...] = ()


def subscribe(listener: Listener) -> Callable[[], None]:
    """Call `listener` with every event from now on, in the thread that records it; the result ends that."""
    global _listeners
    _listeners = (*_listeners, listener)

    def end() -> None:
        global _listeners
        _listeners = tuple(each for each in _listeners if each is not listener)

    return end


def record(event: Event, **fields: object) -> None:
    """Writes one line, `event name=value …`, values cut and escaped. An unknown field is our mistake."""
    unknown = fields.keys() - FIELDS
    if unknown:
        raise ValueError(f"event fields not on the list: {sorted(unknown)}")
    shown = " ".join(f"{name}={_shown(value)}" for name, value in fields.items() if value is not None)
    level = logging.WARNING if event in _WARNINGS else logging.INFO
    log.log(level, "%s %s", event.value, shown)
    for listener in _listeners:
        listener(event, fields)


def _shown(value: object) -> str:
    text = str(value)[:_LONGEST_VALUE]
    plain = text.isascii() and text.isprintable() and " " not in text and '"' not in text
    return text if plain else ascii(text)
