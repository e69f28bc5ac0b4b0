"""The seam where it is stored, sealed, what a session may use to call other APIs in its person's name.

One for each session, and gone with it, by whatever way it ends: nothing of an ended session can be found,
and nothing be stored for it. Each method is one transaction; threads and servers share it.
`entrada.flows.session_tokens` uses it; `tests/conformance` runs one suite against every implementation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from entrada.sessions.session import SessionId


@dataclass(frozen=True, kw_only=True)
class SealedGrant:
    """`sealed` opens for this session alone. `held_until`: somebody refreshes it, for no longer than that."""

    session_id: SessionId
    sealed: str = field(repr=False)
    held_until: datetime | None = None


class SealedGrants(Protocol):
    """Stores sealed grants beside sessions.

    Raises:
        StoreUnavailable: from any method, when the database does not answer in time.
    """

    def put(self, session_id: SessionId, sealed: str) -> bool:
        """Stores the grant of a session, in the place of an older one; False: there is no such session."""

    def find(self, session_id: SessionId) -> SealedGrant | None:
        """The grant of a session; None: it has none, or it ended."""

    def hold(self, grant: SealedGrant, *, holder: str, now: datetime, until: datetime) -> bool:
        """Makes `holder` the only one who may `renew`, until then; False: somebody else holds it, or it is
        no longer what was found. One that is held for longer was taken before a clock was set back.
        """

    def renew(self, session_id: SessionId, *, holder: str, sealed: str) -> bool:
        """Stores what a holder made of it, and lets go. False: held no more, or the session ended."""

    def let_go(self, session_id: SessionId, *, holder: str) -> None:
        """As it was; does nothing where `holder` holds it no more."""
