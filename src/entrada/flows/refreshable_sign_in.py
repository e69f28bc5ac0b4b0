"""What is kept of a sign-in so that Entra can be asked again: the refresh token, and what answers must match.

Refresh tokens are stored sealed, each bound to its identity: a row copied to another person opens nothing.

Source: OpenID Connect Core 1.0, section 12.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime

from entrada.accounts.identity import EntraIdentity
from entrada.entra.id_token import RememberedSignIn
from entrada.entra.jws import RawRefreshToken
from entrada.flows.identification import Identified
from entrada.sealing import Sealer


@dataclass(frozen=True, kw_only=True)
class RefreshableSignIn:
    """What a refresh needs: the token, and the sign-in that its answer is compared with.

    `confirmed_at` is when Entra issued the newest ID token that passed; None: sealed by an older version.
    """

    remembered: RememberedSignIn
    refresh_token: RawRefreshToken = field(repr=False)
    confirmed_at: datetime | None = None


def seal_sign_in(identified: Identified, sealer: Sealer) -> str | None:
    """What is needed of this sign-in; None if Entra gave no refresh token."""
    if identified.refresh_token is None:
        return None
    id_token = identified.id_token
    return _seal(id_token.remembered, identified.refresh_token, id_token.issued_at, sealer)


def seal_again(refreshable: RefreshableSignIn, identified: Identified, sealer: Sealer) -> str:
    """What the next refresh needs after this one: the sign-in itself stays what answers are compared with.

    A refreshed ID token need not hold all that is compared, the nonce for one (Core 1.0, 12.2).
    """
    return _seal(
        refreshable.remembered,
        identified.refresh_token or refreshable.refresh_token,
        identified.id_token.issued_at,
        sealer,
    )


def unseal_sign_in(sealed: str, identity: EntraIdentity, sealer: Sealer) -> RefreshableSignIn | None:
    """What was sealed for this identity, or None: sealed with a lost key, changed, or another person's."""
    plain = sealer.unseal(sealed, context=_context(identity))
    if plain is None:
        return None
    try:
        refreshable = json.loads(plain)
        if not refreshable["nonce"]:
            return None  # nothing to compare with: an older version of the broker sealed such after a refresh
        auth_time, confirmed_at = refreshable.pop("auth_time"), refreshable.pop("confirmed_at", None)
        return RefreshableSignIn(
            refresh_token=RawRefreshToken(refreshable.pop("refresh_token")),
            confirmed_at=_moment(confirmed_at),
            remembered=RememberedSignIn(**refreshable, auth_time=_moment(auth_time)),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _seal(
    remembered: RememberedSignIn, refresh_token: RawRefreshToken, confirmed_at: datetime, sealer: Sealer
) -> str:
    auth_time = None if remembered.auth_time is None else remembered.auth_time.isoformat()
    refreshable = {
        **asdict(remembered),
        "auth_time": auth_time,
        "refresh_token": refresh_token,
        "confirmed_at": confirmed_at.isoformat(),
    }
    identity = EntraIdentity(tenant_id=remembered.tenant_id, object_id=remembered.object_id)
    return sealer.seal(json.dumps(refreshable, separators=(",", ":")).encode(), context=_context(identity))


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _context(identity: EntraIdentity) -> str:
    return f"{identity.tenant_id}/{identity.object_id}"
