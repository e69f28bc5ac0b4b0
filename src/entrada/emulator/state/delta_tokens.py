"""What a client of Graph's delta queries has been told: pages still to come, and the state it knows.

A token stands for the whole state that its client knows, so that the next answer is the difference.  The
oldest of very many are forgotten; whoever brings one of those, or one from before a reset, has to begin anew.
Source: Microsoft Graph, "Use delta query to track changes in Microsoft Graph data".
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

_MOST_REMEMBERED = 1_000

Records = dict[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Tracking:
    """One client's tracking: of which collection of which tenant, and with which `$select` and `$filter`.

    `known` are the records by id as the client will know them when it has read `waiting`, the pages to come.
    """

    collection: str
    tenant_id: str
    options: tuple[tuple[str, str], ...]
    known: Records
    waiting: tuple[dict[str, Any], ...] = ()


class DeltaTokens:
    """Every tracking, by the token that its client holds."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, Tracking] = OrderedDict()

    def hold(self, tracking: Tracking) -> str:
        """A token for it; the same token may be brought again and again."""
        token = secrets.token_urlsafe(48)
        self._held[token] = tracking
        if len(self._held) > _MOST_REMEMBERED:
            self._held.popitem(last=False)
        return token

    def find(self, token: str, *, collection: str, tenant_id: str) -> Tracking | None:
        """What the token stands for; None for one that is forgotten or was given for something else."""
        found = self._held.get(token)
        return found if found and (found.collection, found.tenant_id) == (collection, tenant_id) else None

    def clear(self) -> None:
        """Forget all: every client has to begin anew."""
        self._held.clear()
