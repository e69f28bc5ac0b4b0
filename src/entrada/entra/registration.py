"""The app registration that an application signs people in through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from entrada.entra.authority import Authority
from entrada.entra.credential import ClientCredential


@dataclass(frozen=True, kw_only=True)
class Registration:
    """Where it lives, its ID, and how the application proves itself: one kind of credential, in order."""

    authority: Authority
    client_id: str
    credentials: Sequence[ClientCredential]
