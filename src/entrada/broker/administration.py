"""What an administrator does with installations that stand in the database: by command or on the page.

A secret is given out once, and only its hash is stored; the one before it works until the next is given.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from entrada.audit.acts import ENTRADA, Actor, Cause
from entrada.broker.grants import hash_of
from entrada.broker.installations import Installation, Proof, Standing
from entrada.broker.provider import Provider
from entrada.errors import InstallationRefused

MOST_SHOWN = 1_000


@dataclass(frozen=True, kw_only=True)
class Untold:
    """How many sign-outs an installation was told of in vain so far, and since when."""

    count: int
    since: datetime


def add(
    provider: Provider, installation: Installation, *, with_secret: bool, actor: Actor = ENTRADA
) -> str | None:
    """Lets it in; its secret, if it is to have one.

    Raises:
        InstallationRefused: there is one of that client id, which stays as it is.
    """
    secret = secrets.token_urlsafe(32) if with_secret else None
    if secret is not None:
        installation = replace(installation, proof=Proof.SECRET, secret_hashes=(hash_of(secret),))
    is_listed = any(one.client_id == installation.client_id for one in provider.listed)
    approved, cause = (
        replace(installation, standing=Standing.APPROVED),
        Cause(actor=actor, at=provider.now(), reason="added"),
    )
    if is_listed or not provider.store.add_installation(approved, cause=cause):
        raise InstallationRefused(
            "There is an installation of that address already.",
            hint="If it is of your tenant it stands in the list; if it asks to be let in, answer there.",
        )
    return secret


def approve(provider: Provider, installation: Installation, *, actor: Actor = ENTRADA) -> None:
    cause = Cause(actor=actor, at=provider.now(), reason="approved")
    provider.store.save_installation(replace(installation, standing=Standing.APPROVED), cause=cause)


def remove(provider: Provider, installation: Installation, *, actor: Actor = ENTRADA) -> None:
    """Shuts it out: what it was given ends, and it is told so."""
    cause = Cause(actor=actor, reason="removed")
    provider.store.remove_installation(installation.client_id, now=provider.now(), cause=cause)


def rotate_secret(provider: Provider, installation: Installation, *, actor: Actor = ENTRADA) -> str:
    """A new secret; the last one works beside it until the next."""
    secret = secrets.token_urlsafe(32)
    kept = (hash_of(secret), *installation.secret_hashes[:1])
    changed = replace(installation, proof=Proof.SECRET, secret_hashes=kept)
    cause = Cause(actor=actor, at=provider.now(), reason="a new client secret")
    provider.store.save_installation(changed, cause=cause)
    return secret


def untold(provider: Provider, clients: Sequence[str]) -> dict[str, Untold]:
    """What these installations were told in vain so far, by client id."""
    found: dict[str, Untold] = {}
    for delivery in provider.store.undelivered(limit=MOST_SHOWN):
        if delivery.client_id in clients:
            before = found.get(delivery.client_id)
            found[delivery.client_id] = Untold(
                count=1 if before is None else before.count + 1,
                since=delivery.ended_at if before is None else before.since,
            )
    return found
