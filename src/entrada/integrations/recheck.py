"""Asks Entra again, in the background, about everyone who signed in.

One look: claim a link that is due → refresh its sign-in → still welcome: roles brought up to date, the newer
refresh token kept; or over: access ended until the next sign-in; or nobody knows: looked at again later.
Without this, a product's long-lived token outlasts the person's account.

Refresh tokens are kept sealed, each bound to its identity: a row copied to another person opens nothing.

Source: Microsoft, "Refresh tokens in the Microsoft identity platform"; OpenID Connect Core 1.0, section 12.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from entrada.accounts.admission import AdmissionPolicy, Newcomer, check_still_welcome
from entrada.accounts.identity import EntraIdentity, RoleGrant, User
from entrada.accounts.roles import RolesSync
from entrada.build import ProductParts
from entrada.entra.claims import RememberedSignIn
from entrada.entra.jws import RawRefreshToken
from entrada.errors import AccountDisabled, EntradaError, EntraRefused, SignInError, Unavailable
from entrada.events import Event, record
from entrada.flows.identification import Identification, Identified, ends_access
from entrada.integrations.links import Link
from entrada.sealing import Sealer


@dataclass(frozen=True, kw_only=True)
class KeptSignIn:
    """What a refresh needs: the token, and the sign-in that its answer is compared with."""

    remembered: RememberedSignIn
    refresh_token: RawRefreshToken = field(repr=False)


def seal_sign_in(identified: Identified, sealer: Sealer) -> str | None:
    """What is kept of this sign-in; None if Entra gave no refresh token."""
    if identified.refresh_token is None:
        return None
    return _seal(identified.id_token.remembered, identified.refresh_token, sealer)


def unseal_sign_in(sealed: str, identity: EntraIdentity, sealer: Sealer) -> KeptSignIn | None:
    """What was kept for this identity, or None: sealed with a lost key, changed, or another person's."""
    plain = sealer.unseal(sealed, context=_context(identity))
    if plain is None:
        return None
    try:
        kept = json.loads(plain)
        auth_time = kept.pop("auth_time")
        return KeptSignIn(
            refresh_token=RawRefreshToken(kept.pop("refresh_token")),
            remembered=RememberedSignIn(
                **kept, auth_time=None if auth_time is None else datetime.fromisoformat(auth_time)
            ),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


class RecheckStore(Protocol):
    """A product's links and users, as far as a re-check needs them. Each method is one transaction."""

    def claim_due(self, *, now: datetime, next_check_at: datetime) -> Link | None:
        """See `links.claim_due`."""

    def find_by_identity(self, identity: EntraIdentity) -> User | None:
        """See `AdmissionStore`."""

    def renew(
        self,
        link: Link,
        *,
        newcomer: Newcomer,
        entra_grants: Sequence[RoleGrant] | None,
        sealed_sign_in: str,
        next_check_at: datetime,
    ) -> None:
        """`links.renew_link`, and if that was still the newest sign-in, roles brought up to date.

        None as grants leaves them as they are.
        """

    def end_access(self, link: Link, *, because: str, now: datetime) -> bool:
        """`links.end_link`, and if that was still the newest sign-in, every way in that it gave is taken.

        False if the person has signed in again since `link` was claimed: then nothing is taken.
        """


@dataclass(frozen=True, kw_only=True)
class Recheck:
    identification: Identification
    admission: AdmissionPolicy
    store: RecheckStore
    sealer: Sealer
    every: timedelta

    def run(self) -> int:
        """Look at everyone who is due; how many that were. Stops at once where Entra does not answer.

        Raises:
            StoreUnavailable: the product's database does not answer.
        """
        looked_at = 0
        while True:
            now = self._now()
            link = self.store.claim_due(now=now, next_check_at=now + self.every)
            if link is None:
                return looked_at
            looked_at += 1
            try:
                self._look_at(link)
            except Unavailable as error:
                self._note_unknown(link, error)
                return looked_at

    def _look_at(self, link: Link) -> None:
        kept = unseal_sign_in(link.sealed_sign_in or "", link.identity, self.sealer)
        if kept is None:
            # Nobody can ask any more: without this, losing the key would mean access for ever.
            self._end(link, because="what was kept of the sign-in cannot be opened")
            return
        try:
            identified = self.identification.refresh(kept.remembered, kept.refresh_token)
            self._renew(link, kept, identified)
        except SignInError as error:
            if isinstance(error, AccountDisabled):
                return  # the product's own administrator said so; there is nothing left to end
            if ends_access(error):
                self._end(link, because=_because(error))
            else:
                self._note_unknown(link, error)

    def _renew(self, link: Link, kept: KeptSignIn, identified: Identified) -> None:
        user = self.store.find_by_identity(link.identity)
        if user is None:
            return  # deleted in the product meanwhile
        newcomer = identified.newcomer
        check_still_welcome(user, newcomer, policy=self.admission)
        sync = self.admission.roles.sync is RolesSync.EVERY_SIGN_IN
        self.store.renew(
            link,
            newcomer=newcomer,
            entra_grants=newcomer.grants if sync else None,
            sealed_sign_in=_seal(
                kept.remembered, identified.refresh_token or kept.refresh_token, self.sealer
            ),
            next_check_at=self._now() + self.every,
        )

    def _end(self, link: Link, *, because: str) -> None:
        if self.store.end_access(link, because=because, now=self._now()):
            record(Event.ACCESS_ENDED, reason=because, user_id=link.user_id, **asdict(link.identity))

    def _note_unknown(self, link: Link, error: EntradaError) -> None:
        record(Event.RECHECK_FAILED, reason=_because(error), user_id=link.user_id, **asdict(link.identity))

    def _now(self) -> datetime:
        return self.identification.clock.now()


def recheck_of(parts: ProductParts, store: RecheckStore) -> Recheck:
    """The re-check of a product's people, with what its settings say."""
    return Recheck(
        identification=parts.identification,
        admission=parts.admission,
        store=store,
        sealer=parts.kept_sealer,
        every=parts.recheck_every,
    )


def _because(error: EntradaError) -> str:
    if isinstance(error, EntraRefused):
        return f"AADSTS{error.aadsts}" if error.aadsts else error.error
    return error.code


def _seal(remembered: RememberedSignIn, refresh_token: RawRefreshToken, sealer: Sealer) -> str:
    auth_time = None if remembered.auth_time is None else remembered.auth_time.isoformat()
    kept = {**asdict(remembered), "auth_time": auth_time, "refresh_token": refresh_token}
    identity = EntraIdentity(tenant_id=remembered.tenant_id, object_id=remembered.object_id)
    return sealer.seal(json.dumps(kept, separators=(",", ":")).encode(), context=_context(identity))


def _context(identity: EntraIdentity) -> str:
    return f"{identity.tenant_id}/{identity.object_id}"
