"""People the gateway's tests ask about."""

from __future__ import annotations

from typing import Any

from entrada.accounts.groups import Membership
from entrada.gateway.caller import Caller

EDITORS = "11111111-2222-3333-4444-555555555555"
FINANCE = "22222222-2222-3333-4444-555555555555"


def in_groups(*held: str) -> Membership:
    """Of somebody who was asked about these, and about Editors and Finance."""
    return Membership(held=frozenset(held), asked=frozenset({EDITORS, FINANCE, *held}))


def ada(**changed: Any) -> Caller:
    known: dict[str, Any] = {
        "user_id": "0" * 31 + "1",
        "tenant_id": "aaaaaaaa-0000-0000-0000-000000000000",
        "object_id": "bbbbbbbb-0000-0000-0000-000000000000",
        "name": "Ada Lovelace",
        "email": "ada@contoso.test",
        "username": "ada@contoso.test",
        "roles": frozenset({"Admin"}),
        "membership": in_groups(EDITORS),
    }
    return Caller(**known | changed)
