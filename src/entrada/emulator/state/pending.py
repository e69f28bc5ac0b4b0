"""Sign-ins that are waiting for the person: an account to pick, a code to type, a consent to give.

Each waits under a random reference that only its page carries; ten minutes, a thousand at most.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..protocol.authorize_request import AuthorizeRequest

_MAX_WAITING = 1_000
LIFE_SECONDS = 600


@dataclass(kw_only=True)
class PendingSignIn:
    """One interaction: the checked request, and what the person has done so far."""

    request: AuthorizeRequest
    begun: float
    reference: str = ""
    object_id: str = ""
    fresh: bool = False
    mfa: bool = False
    consented: bool = False
    approve: bool = False
    device_code: str = ""


class PendingSteps:
    """The waiting sign-ins, by reference; one that never waits needs none."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, PendingSignIn] = OrderedDict()

    def begin(self, request: AuthorizeRequest, *, now: float) -> PendingSignIn:
        """A new interaction for a checked request."""
        return PendingSignIn(request=request, begun=now)

    def keep(self, pending: PendingSignIn) -> None:
        """Let it wait for the person's next step."""
        pending.reference = pending.reference or secrets.token_urlsafe(24)
        self._waiting[pending.reference] = pending
        if len(self._waiting) > _MAX_WAITING:
            self._waiting.popitem(last=False)

    def find(self, reference: str, *, now: float) -> PendingSignIn | None:
        """The waiting sign-in, unless it is over or too old."""
        pending = self._waiting.get(reference)
        if pending is None or now - pending.begun > LIFE_SECONDS:
            return None
        return pending

    def end(self, pending: PendingSignIn) -> None:
        """The interaction is over."""
        self._waiting.pop(pending.reference, None)
