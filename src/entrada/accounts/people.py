"""Which people somebody looks for, page by page: what the list of accounts is asked.

For people who look for somebody; no walk asks it, and nothing is decided by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from entrada.entra.authority import TenantId


@dataclass(frozen=True, kw_only=True)
class PeopleQuery:
    """Everything that is given must hold; nothing given is everybody.

    `text` is part of a name, username or e-mail address, ASCII letters in either case, or a whole id or
    object id. `signed_in_at`: who has a session within its limits at that time.
    """

    text: str = ""
    role: str | None = None
    tenant_id: TenantId | None = None
    """Who signs in with an identity of that tenant, among others perhaps."""
    is_enabled: bool | None = None
    signed_in_at: datetime | None = None
    given_for: frozenset[str] | None = None
    """Who has a role of Entra's for one of these (`RoleGrant.granted_by`); empty: who has none of Entra's."""
