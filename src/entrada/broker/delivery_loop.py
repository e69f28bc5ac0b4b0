"""Delivers logout tokens in the background, for as long as the broker runs.

Every half second it looks for what is due: an installation hears within a second that a sign-in ended.
Several brokers may run one each; a delivery is claimed by one of them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping

from entrada.broker.backchannel_logout import deliver_due
from entrada.broker.provider import Provider
from entrada.entra.transport import HttpTransport
from entrada.errors import Unavailable

LOOK_EVERY_SECONDS = 0.5
PRUNE_EVERY_LOOKS = 1_200
log = logging.getLogger("entrada.broker")


class DeliveryLoop:
    """`start` once; `stop` ends it, and waits for the delivery under way."""

    def __init__(self, provider: Provider, transport: HttpTransport) -> None:
        self._provider, self._transport = provider, transport
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="entrada-logout-tokens", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends it after what is being delivered; one that was never started is stopped already."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=30)

    def _run(self) -> None:
        looks = 0
        while not self._stopping.wait(LOOK_EVERY_SECONDS):
            looks += 1
            try:
                while deliver_due(self._provider, self._post, note=_note):
                    pass
                if looks % PRUNE_EVERY_LOOKS == 0:
                    self._provider.store.prune(now=self._provider.now())
            except Unavailable as failure:
                log.warning("Logout tokens have to wait: %s", failure.sentence)
            except Exception:
                log.exception("Delivering logout tokens failed; it goes on.")

    def _post(self, url: str, form: str) -> int:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        return self._transport.send("POST", url, headers=headers, body=form.encode("ascii")).status


def _note(outcome: str, fields: Mapping[str, object]) -> None:
    level = logging.INFO if outcome in ("delivered", "not_wanted") else logging.WARNING
    log.log(level, "logout_token %s client_id=%s tries=%s", outcome, fields["client_id"], fields["tries"])
