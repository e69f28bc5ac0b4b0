"""How far the changes of a tenant's directory have been read, as stores keep it: one row a tenant.

The row is a lease, too: of all servers one reads on, until it stops renewing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from entrada.entra.authority import TenantId


@dataclass(frozen=True, kw_only=True)
class DeltaPosition:
    """`links` are Graph's own, opaque, by what they tell of: nothing in them opens anything.

    `looked_at` is when Graph last said everything that changed among people, `asked_at` when the last whole
    round of questions about everybody signed in began. `problem` says what is not read, and why.
    """

    tenant_id: TenantId
    links: Mapping[str, str] = field(default_factory=dict, repr=False)
    looked_at: datetime | None = None
    asked_at: datetime | None = None
    problem: str | None = None


def written_links(links: Mapping[str, str]) -> str:
    """The links as stores write them."""
    return json.dumps(dict(links), separators=(",", ":"), sort_keys=True)


def read_links(text: str | None) -> Mapping[str, str]:
    """What `written_links` wrote; anything else is no link, and reading begins anew."""
    try:
        links = json.loads(text or "{}")
    except ValueError:
        return {}
    if not isinstance(links, dict) or not all(isinstance(link, str) for link in links.values()):
        return {}
    return links
