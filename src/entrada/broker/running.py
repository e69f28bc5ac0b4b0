"""What a broker does besides answering, for as long as its process runs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from entrada.broker.delivery_loop import DeliveryLoop
from entrada.broker.recheck import GrantRecheck, recheck_loop
from entrada.broker.routes import BrokerRoutes
from entrada.entra.pooled_transport import PooledTransport

log = logging.getLogger("entrada")


@contextmanager
def in_background(broker: BrokerRoutes) -> Iterator[None]:
    """Until the end of the block logout tokens are delivered, and Entra is asked again about people whom no
    installation asks about; what is under way then is finished."""
    transport = PooledTransport(ca_bundle=broker.ca_bundle)
    deliveries = DeliveryLoop(broker.broker.provider, transport)
    recheck = recheck_loop(GrantRecheck(broker.broker.provider, seen_within=broker.sessions_last))
    for one in broker.broker.provider.installations():
        if one.may_leave_out_pkce:
            log.warning(
                "insecure_without_pkce: %s may leave out PKCE; whoever takes a code on its way can "
                "have it redeemed into a session of their own there.",
                one.client_id,
            )
    broker.relying_party.start_background()
    deliveries.start()
    recheck.start()
    try:
        yield
    finally:
        recheck.close()
        deliveries.stop()
        transport.close()
