"""The re-check of a product's people, and the watch of their directories, with what its settings say."""

from __future__ import annotations

from entrada.build import ProductParts
from entrada.build.directory_watch import build_directory_watch
from entrada.flows.background_watch import BackgroundWatch
from entrada.flows.recheck import Due, Recheck, RecheckStore
from entrada.flows.tenant_watch import DirectoryStore


def recheck_of(parts: ProductParts, store: RecheckStore[Due]) -> Recheck[Due]:
    """The re-check over a product's links and users."""
    return Recheck(
        identification=parts.identification,
        admission=parts.admission,
        store=store,
        sealer=parts.sign_in_sealer,
        every=parts.recheck_every,
    )


def watch_of(
    parts: ProductParts, store: DirectoryStore[Due], recheck: Recheck[Due]
) -> BackgroundWatch[Due] | None:
    """The watch over the same people; None where the settings ask for none."""
    return build_directory_watch(
        parts.identification,
        store=store,
        recheck=recheck,
        transport=parts.transport,
        every=parts.delta_every,
    )
