"""The devices that wait for a person to sign in elsewhere, each with the code it shows.

Source: RFC 8628; Microsoft, "OAuth 2.0 device authorization grant flow".
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from .sessions import SignedIn

LIFE_SECONDS = 900
INTERVAL_SECONDS = 5
_ALPHABET = "BCDFGHJKLMNPQRSTVWXZ23456789"


@dataclass(kw_only=True)
class DeviceCode:
    """One waiting device.  `state` is waiting, approved or declined."""

    device_code: str
    user_code: str
    client_id: str
    segment: str
    scope: str
    begun: float
    state: str = "waiting"
    account: SignedIn | None = None

    def expired(self, now: float) -> bool:
        """Whether the fifteen minutes are over."""
        return now - self.begun > LIFE_SECONDS


class DeviceCodes:
    """All waiting devices, by the code they wait with."""

    def __init__(self) -> None:
        self._codes: dict[str, DeviceCode] = {}

    def begin(self, *, client_id: str, segment: str, scope: str, now: float) -> DeviceCode:
        """A fresh pair of codes."""
        for old in [key for key, code in self._codes.items() if code.expired(now)]:
            del self._codes[old]
        code = DeviceCode(
            device_code=secrets.token_urlsafe(48),
            user_code="".join(secrets.choice(_ALPHABET) for _ in range(9)),
            client_id=client_id,
            segment=segment,
            scope=scope,
            begun=now,
        )
        self._codes[code.device_code] = code
        return code

    def find(self, device_code: str) -> DeviceCode | None:
        """The device that waits with this code, whatever became of it."""
        return self._codes.get(device_code)

    def shown(self, user_code: str, *, now: float) -> DeviceCode | None:
        """The waiting device that shows this code, however it was typed."""
        typed = user_code.replace("-", "").replace(" ", "").upper()
        for code in list(self._codes.values()):
            if code.user_code == typed and code.state == "waiting" and not code.expired(now):
                return code
        return None

    def approve(self, device_code: str, account: SignedIn) -> None:
        """The person signed in for this device."""
        code = self._codes.get(device_code)
        if code is not None:
            code.state, code.account = "approved", account

    def decline(self, device_code: str) -> None:
        """The person cancelled."""
        code = self._codes.get(device_code)
        if code is not None:
            code.state = "declined"

    def end(self, code: DeviceCode) -> None:
        """The device has its tokens."""
        self._codes.pop(code.device_code, None)

    def clear(self) -> None:
        """Forget every device."""
        self._codes.clear()
