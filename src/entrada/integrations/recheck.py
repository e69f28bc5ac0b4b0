"""The re-check of a product's people, with what the product's settings say."""

from __future__ import annotations

from entrada.build import ProductParts
from entrada.flows.recheck import Due, Recheck, RecheckStore


def recheck_of(parts: ProductParts, store: RecheckStore[Due]) -> Recheck[Due]:
    """The re-check over a product's links and users."""
    return Recheck(
        identification=parts.identification,
        admission=parts.admission,
        store=store,
        sealer=parts.sign_in_sealer,
        every=parts.recheck_every,
    )
