"""The end of a role that is given by hand: as people write it, and which ends there may be.

    read_end        `2027-01-31`, `2027-01-31T18:00Z`, `8h`, `30d` → the moment
    require_future  an end that has passed is a mistake

Where no time is said, a role lasts through that day, UTC.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from entrada.compatibility import UTC
from entrada.errors import AdministrationRefused

_AFTER = re.compile(r"([1-9][0-9]{0,5})([mhd])", re.ASCII)
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)


def read_end(text: str, *, now: datetime) -> datetime | None:
    """The moment that is meant; None where nothing is written: no end.

    Raises:
        AdministrationRefused: it is none, or it has passed.
    """
    text = text.strip()
    if not text:
        return None
    try:
        until = _moment(text, now)
    except (ValueError, OverflowError):
        raise AdministrationRefused(
            f"{text[:40]!r} is no time at which a role can end, so nothing was changed.",
            hint="Write a day (2027-01-31), a time (2027-01-31T18:00Z), or how long (90m, 8h, 30d).",
        ) from None
    require_future(until, now=now)
    return until


def require_future(until: datetime | None, *, now: datetime) -> None:
    """
    Raises:
        AdministrationRefused: the end has passed.
    """
    if until is not None and until <= now:
        raise AdministrationRefused(
            f"{until.astimezone(UTC):%Y-%m-%d %H:%M} UTC has passed: no role can end then. Nothing changed.",
            hint="Give it an end in the future. To take it away now, take it back.",
        )


def _moment(text: str, now: datetime) -> datetime:
    if after := _AFTER.fullmatch(text):
        return now + int(after[1]) * _UNITS[after[2]]
    if _DAY.fullmatch(text):
        return datetime.fromisoformat(text).replace(tzinfo=UTC) + timedelta(days=1)
    if _TIME.fullmatch(text):
        return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)
    raise ValueError
