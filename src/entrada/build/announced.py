"""What the log says at the start about the addresses that answers come to."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from entrada.entra.authority import Authority


def announce_redirect_uris(log: logging.Logger, authority: Authority, addresses: Sequence[str]) -> None:
    """Which addresses to register, and where: behind a broker nothing is registered in Entra."""
    for address in addresses:
        if authority.is_broker:
            log.info("Answers of the broker %s come to %s", authority.login_url, address)
        else:
            log.info("Redirect URI to register in Entra, platform Web: %s", address)
