"""One broker: its issuer, its parts, and the addresses it answers under.

Every endpoint is a function of this and a request; see the modules of their names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from entrada.broker.grants import Grant, GrantId
from entrada.broker.installations import Installation
from entrada.broker.signing_keys import (
    PUBLISHED_AHEAD,
    SigningKey,
    active_key,
    make_signing_key,
    sign,
)
from entrada.broker.store import BrokerStore
from entrada.clock import Clock
from entrada.entra.authority import TenantId
from entrada.flows.recheck_pace import next_check
from entrada.sealing import Sealer

PREFIX = "/auth/broker"
_REFRESH_MARK = b"refresh token"


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where the endpoints are, below the issuer, which is the broker's public URL."""

    issuer: str

    authorize_path = f"{PREFIX}/authorize"
    token_path = f"{PREFIX}/token"
    userinfo_path = f"{PREFIX}/userinfo"
    end_session_path = f"{PREFIX}/logout"
    jwks_path = f"{PREFIX}/jwks.json"
    installations_path = f"{PREFIX}/installations"
    openid_discovery_path = "/.well-known/openid-configuration"
    oauth_discovery_path = "/.well-known/oauth-authorization-server"

    def url(self, path: str) -> str:
        return self.issuer + path


@dataclass(frozen=True, kw_only=True)
class Provider:
    """`listed` are the operator's own installations; those in the store were added, or asked to be let in.

    `refresh_person` asks Entra again about a grant's person.
    """

    addresses: Addresses
    store: BrokerStore
    clock: Clock
    refresh_person: Callable[[Grant], Grant] = field(repr=False)
    hint_sealer: Sealer = field(repr=False)
    """Seals the hint by which an installation later names the sign-in it wants to end."""
    listed: Sequence[Installation] = ()
    recheck_every: timedelta = timedelta(minutes=15)
    """How often Entra is asked again about a grant's person, if the installation does not have it asked."""
    tenants: frozenset[TenantId] | None = None
    """Those that may sign in through this registration; None: whichever an installation is for."""

    @property
    def issuer(self) -> str:
        return self.addresses.issuer

    def now(self) -> datetime:
        return self.clock.now()

    def next_check(self) -> datetime:
        """When Entra has to be asked again about somebody it has just spoken of."""
        return next_check(self.now(), every=self.recheck_every, chance=1.0)

    def installation(self, client_id: str) -> Installation | None:
        """The installation of that name; the operator's list goes before what was added.

        One for a tenant that is not allowed here is none.
        """
        if not client_id.isprintable():
            return None  # nobody's name, and no text that every database takes
        found = next((one for one in self.listed if one.client_id == client_id), None)
        found = found or self.store.find_installation(client_id)
        return found if found is None or self.allows(found.tenant_id) else None

    def allows(self, tenant_id: TenantId) -> bool:
        return self.tenants is None or tenant_id in self.tenants

    def installations(self) -> Sequence[Installation]:
        """All of them, the operator's list first."""
        named = {one.client_id for one in self.listed}
        return [*self.listed, *(one for one in self.store.installations() if one.client_id not in named)]

    def signing_keys(self) -> Sequence[SigningKey]:
        """The signing keys; the first broker that needs one makes it, for all."""
        keys = self.store.signing_keys()
        if not any(key.retired_at is None for key in keys):
            self.store.add_signing_key(make_signing_key(self.now()))
            keys = self.store.signing_keys()
        return keys

    def signer(self) -> Callable[[Mapping[str, Any], str], str]:
        """Signs claims under a `typ` with the key that signs now, read once for several tokens."""
        key = active_key(self.signing_keys(), self.now())
        return lambda claims, typ: sign(claims, key, typ=typ)

    def signed(self, claims: Mapping[str, Any], *, typ: str = "JWT") -> str:
        return sign(claims, active_key(self.signing_keys(), self.now()), typ=typ)

    def logout_hint_for(self, grant: Grant) -> str:
        """What an installation is given to name this sign-in by when the person signs out there."""
        return self.hint_sealer.seal(grant.id.encode(), context=grant.client_id)

    def grant_of_logout_hint(self, hint: str, client_id: str) -> Grant | None:
        """The sign-in that a hint given to this installation names, while it lives."""
        plain = self.hint_sealer.unseal(hint, context=client_id)
        return None if plain is None else self.store.find_grant(GrantId(plain.decode()))

    def refresh_mark_for(self, grant: Grant) -> str:
        """What every refresh token of this grant's carries, and nobody else can make."""
        return self.hint_sealer.seal(_REFRESH_MARK, context=grant.id)

    def made_refresh_token(self, mark: str | None, grant: Grant) -> bool:
        return mark is not None and self.hint_sealer.unseal(mark, context=grant.id) == _REFRESH_MARK

    def rotate_keys(self) -> SigningKey:
        """A new key, published now, signs soon; the others are believed for as long as what they signed."""
        key = make_signing_key(self.now())
        self.store.add_signing_key(key, others_retire_at=key.made_at + PUBLISHED_AHEAD)
        return key

    def replace_stolen_keys(self) -> SigningKey:
        """A new key signs at once, and nothing that another has signed is believed any more."""
        key = make_signing_key(self.now())
        self.store.replace_signing_keys(key)
        return key
