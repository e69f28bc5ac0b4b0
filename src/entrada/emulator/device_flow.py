"""The device authorization grant: a code on one screen, a sign-in on another.

Source: RFC 8628; Microsoft, "OAuth 2.0 device authorization grant flow".
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .sessions import SignedIn

if TYPE_CHECKING:
    from .world import World

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


def new_device_code(world: World, *, client_id: str, segment: str, scope: str) -> DeviceCode:
    """A fresh pair of codes."""
    now = world.clock.now()
    for old in [key for key, code in world.device_codes.items() if code.expired(now)]:
        del world.device_codes[old]
    code = DeviceCode(
        device_code=secrets.token_urlsafe(48),
        user_code="".join(secrets.choice(_ALPHABET) for _ in range(9)),
        client_id=client_id,
        segment=segment,
        scope=scope,
        begun=now,
    )
    world.device_codes[code.device_code] = code
    return code


def by_user_code(world: World, user_code: str) -> DeviceCode | None:
    """The waiting device that shows this code, however it was typed."""
    typed = user_code.replace("-", "").replace(" ", "").upper()
    now = world.clock.now()
    for code in list(world.device_codes.values()):
        if code.user_code == typed and code.state == "waiting" and not code.expired(now):
            return code
    return None


def approve_device_code(world: World, device_code: str, account: SignedIn) -> None:
    """The person signed in for this device."""
    code = world.device_codes.get(device_code)
    if code is not None:
        code.state, code.account = "approved", account


def decline_device_code(world: World, device_code: str) -> None:
    """The person cancelled."""
    code = world.device_codes.get(device_code)
    if code is not None:
        code.state = "declined"
