"""Every other way into Mage: who may still use it.

Before: whoever brings a token of a provider that is none, or is ours to answer for, opens nothing.
After Mage has checked a password: nobody whose access Entra has ended; and where only Entra counts, nobody
but the owners named for an emergency.

Refusals come after the password, so that guessing names learns nothing from them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from entrada.integrations.mage.provider import ACTIVE_DIRECTORY, AZURE_DEVOPS

SWITCHED_OFF = 'Signing in with a password is switched off here. Use "Sign in with Microsoft".'
ENDED = 'Microsoft Entra ID has ended your access. Use "Sign in with Microsoft" to get in again.'
UNKNOWN_PROVIDER = "Mage knows no such sign-in provider."
FROM_THE_BUTTON = 'Begin at "Sign in with Microsoft" on the sign-in page.'


@dataclass(frozen=True, kw_only=True)
class OtherSignIns:
    """`break_glass` are e-mail addresses and user names in lower case."""

    entra_only: bool
    break_glass: frozenset[str]
    access_is_over: Callable[[int], bool]

    def refuse_before(
        self, payload: Mapping[str, Any], *, providers: Collection[str], mode: str
    ) -> str | None:
        """Why this request for a session is not even looked at, or None."""
        token, provider = payload.get("token"), payload.get("provider")
        if token or provider:
            if provider in (ACTIVE_DIRECTORY, AZURE_DEVOPS):
                return FROM_THE_BUTTON
            if not isinstance(provider, str) or provider not in providers:
                return UNKNOWN_PROVIDER
            return SWITCHED_OFF if self.entra_only else None
        if self.entra_only and mode.lower() != "local":
            return SWITCHED_OFF  # LDAP would make the user first
        return None

    def refuse_after(
        self, *, user_number: int, email: str | None, username: str | None, is_owner: bool
    ) -> str | None:
        """Why this user, whose password is right, does not get in, or None."""
        named = any(name and name.lower() in self.break_glass for name in (email, username))
        if named and is_owner:
            return None
        if self.entra_only:
            return SWITCHED_OFF
        return ENDED if self.access_is_over(user_number) else None
