"""The background look at everyone who signed in, on dstack's loop, beside dstack's own background work.

Every server runs it; who is due is claimed in the database, so servers share the work and nobody is asked
about twice. Whatever goes wrong is logged, and tried again a minute later.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from anyio import CapacityLimiter, to_thread

from entrada.errors import StoreUnavailable
from entrada.flows.recheck import Recheck
from entrada.integrations.kit.links import Link

log = logging.getLogger("entrada")

LONGEST_PAUSE = timedelta(minutes=1)


def start_rechecks(recheck: Recheck[Link]) -> asyncio.Task[None]:
    """The task; dropped with the loop at the server's end."""
    return asyncio.create_task(_look_again_and_again(recheck), name="entrada recheck")


async def _look_again_and_again(recheck: Recheck[Link]) -> None:
    pause, alone = min(recheck.every, LONGEST_PAUSE), CapacityLimiter(1)
    while True:
        try:
            await to_thread.run_sync(recheck.run, limiter=alone)
        except StoreUnavailable:
            log.warning("dstack's database did not answer; people are looked at again later.")
        except Exception:
            log.exception("A mistake of Entrada's, in the look at who signed in")
        await asyncio.sleep(pause.total_seconds())
