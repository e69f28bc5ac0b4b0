"""Delivers logout tokens in the background, for as long as the broker runs.

Every half second it looks for what is due: an installation hears within a second that a sign-in ended.
One installation's deliveries are made one after the other, those of several side by side, so one that takes
its time keeps nobody else waiting; when it fails, what else it was to hear waits as well.
Several brokers may run one each; a delivery is claimed by one of them.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from entrada.broker.backchannel_logout import CLAIM, claim_due, deliver, postpone
from entrada.broker.provider import Provider
from entrada.broker.store import Delivery
from entrada.entra.transport import HttpTransport
from entrada.errors import Unavailable
from entrada.flows.background_loop import BackgroundLoop

LOOK_EVERY = timedelta(seconds=0.5)
PRUNE_EVERY_LOOKS = 1_200
SIDE_BY_SIDE = 64
"""Installations that are told at the same time."""
PATIENCE = timedelta(seconds=30)
"""How long `stop` waits for a look under way."""

log = logging.getLogger("entrada.broker")


class DeliveryLoop:
    """`stop` ends it, and waits for the delivery under way."""

    def __init__(self, provider: Provider, transport: HttpTransport) -> None:
        self._provider, self._transport = provider, transport
        self._lock = threading.Lock()
        self._waiting: dict[str, deque[tuple[Delivery, datetime]]] = {}
        """By client id; an installation that is here is being told. With each, when the claim is over."""
        self._pool = ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="entrada-logout-token")
        self._looks = 0
        self._loop = BackgroundLoop(
            name="entrada-logout-tokens",
            work=self._look,
            every=LOOK_EVERY,
            patience=PATIENCE,
            postponed="Logout tokens have to wait",
            doing="delivering logout tokens",
            log=log,
        )

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        """Ends it after what is being delivered; one that was never started is stopped already."""
        self._loop.close()
        with self._lock:
            self._waiting.clear()
        self._pool.shutdown(cancel_futures=True)

    def _look(self) -> None:
        self._looks += 1
        self._hand_out()
        if self._looks % PRUNE_EVERY_LOOKS == 0:
            self._provider.store.prune(now=self._provider.now())

    def _hand_out(self) -> None:
        while due := claim_due(self._provider):
            claimed_until = self._provider.now() + CLAIM
            for delivery in due:
                with self._lock:
                    queue = self._waiting.get(delivery.client_id)
                    if queue is None:
                        queue = self._waiting[delivery.client_id] = deque()
                        self._pool.submit(self._tell, delivery.client_id, queue)
                    queue.append((delivery, claimed_until))

    def _tell(self, client_id: str, queue: deque[tuple[Delivery, datetime]]) -> None:
        """What one installation is to hear, until there is nothing more or it does not take it."""
        failed = False
        while True:
            with self._lock:
                if not queue or self._loop.is_closing():
                    if self._waiting.get(client_id) is queue:
                        del self._waiting[client_id]
                    return
                delivery, claimed_until = queue.popleft()
            if self._provider.now() >= claimed_until:
                continue  # anybody's again: it is found at the next look
            try:
                if failed:
                    postpone(self._provider, delivery)
                    continue
                outcome = deliver(self._provider, delivery, self._post)
                _note(outcome, {"client_id": client_id, "tries": delivery.tries + 1})
                failed = outcome == "postponed"
            except Unavailable as failure:
                log.warning("Logout tokens have to wait: %s", failure.sentence)
            except Exception:
                log.exception("Delivering a logout token failed; it goes on.")

    def _post(self, url: str, form: str) -> int:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        return self._transport.send("POST", url, headers=headers, body=form.encode("ascii")).status


def _note(outcome: str, fields: Mapping[str, object]) -> None:
    level = logging.INFO if outcome in ("delivered", "not_wanted") else logging.WARNING
    log.log(level, "logout_token %s client_id=%s tries=%s", outcome, fields["client_id"], fields["tries"])
