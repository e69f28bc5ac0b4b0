"""What a session may use to call other APIs: the refresh token of its sign-in, and the tokens it gave so far.

Sealed, bound to the session and its person: a row that is copied to another session opens nothing there.

    new_grant(identified, pending)   at a sign-in
    grant.token(scopes, now)         a token that is still good
    seal_grant / unseal_grant        to and from what is stored
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta

from entrada.entra.api_scopes import ApiScopes
from entrada.entra.api_token import ApiToken
from entrada.entra.jws import RawRefreshToken
from entrada.entra.token_response import AccessTokenResponse
from entrada.flows.identification import Identified
from entrada.flows.pending import PendingSignIn
from entrada.sealing import Sealer
from entrada.sessions.session import Session

MOST_TOKENS = 12
"""In one grant; of more, those go that live shortest."""
ASKED_LATELY = timedelta(minutes=10)
"""For how long Entra is not asked for the same again: who has been there is not sent round in a circle."""


@dataclass(frozen=True, kw_only=True)
class KeptToken:
    """A token as it is stored; times in whole seconds since 1970."""

    token: str = field(repr=False)
    until: int
    got_at: int
    claims: str = ""
    """The claims request that it answers."""


@dataclass(frozen=True, kw_only=True)
class SessionGrant:
    """`tokens` and `claims` by `ApiScopes.key`. `asked`: for what this session's sign-in was begun, and when.

    `auth_contexts` are those that the sign-in met.
    """

    refresh_token: RawRefreshToken | None = field(default=None, repr=False)
    tokens: Mapping[str, KeptToken] = field(default_factory=dict, repr=False)
    claims: Mapping[str, str] = field(default_factory=dict)
    asked: Mapping[str, int] = field(default_factory=dict)
    auth_contexts: frozenset[str] = frozenset()

    def token(self, scopes: ApiScopes, *, good_at: datetime) -> ApiToken | None:
        """The token for these scopes that is still good at that moment."""
        kept = self.tokens.get(scopes.key)
        if kept is None or good_at.timestamp() >= kept.until:
            return None
        until = datetime.fromtimestamp(kept.until, tz=good_at.tzinfo)
        return ApiToken(kept.token, expires_at=until, scopes=scopes.words)

    def got(self, scopes: ApiScopes, answer: AccessTokenResponse, *, asked_at: datetime) -> SessionGrant:
        """With this answer: its refresh token is the newest, the older one stays good at Entra."""
        until = int((asked_at + answer.expires_in).timestamp())
        claims = self.claims.get(scopes.key, "")
        kept = KeptToken(
            token=answer.access_token, until=until, got_at=int(asked_at.timestamp()), claims=claims
        )
        tokens = {key: each for key, each in self.tokens.items() if each.until > asked_at.timestamp()}
        # Consent was given. Whether a stronger sign-in was enough, only the API says.
        asked = self.asked if claims else {key: at for key, at in self.asked.items() if key != scopes.key}
        tokens[scopes.key] = kept
        longest = sorted(tokens, key=lambda key: (key == scopes.key, tokens[key].until))[-MOST_TOKENS:]
        return replace(
            self,
            refresh_token=answer.refresh_token or self.refresh_token,
            tokens={key: tokens[key] for key in longest},
            asked=asked,
        )

    def challenged(self, scopes: ApiScopes, claims: str) -> SessionGrant:
        """The API refuses the token that there was: away with it, and the next one answers `claims`."""
        others = {key: kept for key, kept in self.tokens.items() if key != scopes.key}
        return replace(self, tokens=others, claims={**self.claims, scopes.key: claims})

    def unchallenged(self, scopes: ApiScopes) -> SessionGrant:
        """Entra gives no token for these claims, whoever asks: the next one is asked for without them."""
        return replace(self, claims={key: asked for key, asked in self.claims.items() if key != scopes.key})

    def was_asked_lately(self, key: str, now: datetime) -> bool:
        """Whether this session's person has just been to Entra for the same."""
        at = self.asked.get(key)
        return at is not None and now.timestamp() - at < ASKED_LATELY.total_seconds()


def new_grant(
    identified: Identified, pending: PendingSignIn, before: SessionGrant | None, *, now: datetime
) -> SessionGrant:
    """What a sign-in brings along; `pending` says what it was begun for.

    One that was begun for more than signing in goes on from the session that it replaces, `before`: what had
    been met and asked for there stays so, or two demands would send a person to and fro between them.
    """
    key = " ".join(sorted(pending.scopes))
    went_on = before if before is not None and (pending.scopes or pending.claims) else SessionGrant()
    asked = {other: at for other, at in went_on.asked.items() if went_on.was_asked_lately(other, now)}
    claims = dict(went_on.claims)
    if key:
        asked[key] = int(now.timestamp())
        claims.pop(key, None)
        claims.update({key: pending.claims} if pending.claims else {})
    return SessionGrant(
        refresh_token=identified.refresh_token,
        claims=claims,
        asked=asked,
        auth_contexts=identified.id_token.auth_contexts | went_on.auth_contexts,
    )


def seal_grant(grant: SessionGrant, session: Session, sealer: Sealer) -> str:
    """Text that opens for this session of this person alone."""
    plain = {**asdict(grant), "auth_contexts": sorted(grant.auth_contexts)}
    return sealer.seal(json.dumps(plain, separators=(",", ":")).encode(), context=_context(session))


def unseal_grant(sealed: str, session: Session, sealer: Sealer) -> SessionGrant | None:
    """What was sealed for this session, or None: sealed with a lost key, changed, or another session's."""
    plain = sealer.unseal(sealed, context=_context(session))
    if plain is None:
        return None
    try:
        stored = json.loads(plain)
        tokens = {key: KeptToken(**kept) for key, kept in stored.pop("tokens").items()}
        contexts = frozenset(stored.pop("auth_contexts"))
        return SessionGrant(**stored, tokens=tokens, auth_contexts=contexts)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _context(session: Session) -> str:
    return f"{session.id}/{session.identity.tenant_id}/{session.identity.object_id}"
