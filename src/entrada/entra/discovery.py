"""What an authority's metadata said: read at first use and once a day, good through an outage.

Owns when discovery is asked, by one thread at a time, and what its refusals mean. What the metadata may say
is `entrada.entra.authority`'s.

Source: OpenID Connect Discovery 1.0, section 4.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from entrada.entra.authority import Authority, Metadata
from entrada.entra.key_ring import KeyRing
from entrada.entra.msal_transport import read_object
from entrada.entra.transport import HttpTransport, read_retry_after
from entrada.errors import DiscoveryRefused, EntradaError, EntraUnavailable

METADATA_LIFE = timedelta(hours=24)
FAILED_DISCOVERY_PAUSE = timedelta(seconds=3)


@dataclass(kw_only=True)
class Discovered:
    """The metadata, and MSAL applications, one per credential, the one that worked last in front."""

    metadata: Metadata
    clients: list[Any]
    key_ring: KeyRing
    at: datetime

    def prefer(self, client: Any) -> None:
        if self.clients[0] is not client:
            self.clients = [client, *(other for other in self.clients if other is not client)]

    def used_again(self, now: datetime) -> Discovered:
        """Good for five minutes more."""
        return replace(self, at=now - METADATA_LIFE + timedelta(minutes=5))


class Discovery:
    """What is known so far. Threads share it; one of them asks, through `discover`, given what was known."""

    def __init__(
        self, discover: Callable[[Discovered | None], Discovered], *, clock: Callable[[], datetime]
    ) -> None:
        self.known: Discovered | None = None
        self._discover = discover
        self._clock = clock
        self._lock = threading.Lock()
        self._failed: tuple[datetime, EntradaError] | None = None

    @property
    def is_ready(self) -> bool:
        """Whether `ready` will answer from memory, now and for the next minute."""
        known = self.known
        return known is not None and self._clock() + timedelta(minutes=1) - known.at < METADATA_LIFE

    def ready(self) -> Discovered:
        """What is known, asked for if it is due.

        Raises:
            EntraUnavailable: discovery never succeeded so far.
            DiscoveryRefused: it answered with something the settings do not promise.
        """
        known, now = self.known, self._clock()
        if known is not None and now - known.at < METADATA_LIFE:
            return known
        with self._lock:
            if self.known is not known and self.known is not None:
                return self.known
            if known is None:
                self._refuse_for_a_moment_after_a_failure()
            try:
                self.known = self._discover(known)
            except EntradaError as error:
                if known is None:
                    # The time after the attempt: whoever waited for it need not wait for one more.
                    self._failed = (self._clock(), error)
                    raise
                # Yesterday's metadata still works; ask again in a while rather than at every sign-in.
                self.known = known.used_again(now)
            return self.known

    def _refuse_for_a_moment_after_a_failure(self) -> None:
        if self._failed is None:
            return
        failed_at, error = self._failed
        if timedelta(0) <= self._clock() - failed_at < FAILED_DISCOVERY_PAUSE:
            raise _again(error)


def _again(error: EntradaError) -> EntradaError:
    """The same refusal as an object of its own: whoever handles an error may change it."""
    fresh = type(error).__new__(type(error), *error.args)
    fresh.__dict__.update(error.__dict__)
    return fresh


_TRY_LATER = (408, 425, 429)
"""Refusals for now (RFC 9110, section 15.5.9; RFC 8470; RFC 6585); every other 4xx stays."""


def fetch_metadata(transport: HttpTransport, authority: Authority) -> Mapping[str, Any]:
    """The metadata document as it came, or what its refusal means."""
    answer = transport.send("GET", authority.metadata_url)
    if answer.status == 400 and b"AADSTS90002" in answer.body:
        raise DiscoveryRefused(
            f"Entra knows no tenant {authority.tenant!r} at {authority.login_url}.",
            hint="Check $[tenant_id], and $[cloud] if the tenant lives in a national cloud.",
            setting="tenant_id",
        )
    if answer.status == 404:
        raise DiscoveryRefused(
            f"There is no such place as {authority.metadata_url}.",
            hint="Check $[tenant_id], and $[authority_host] if it is set.",
            setting="tenant_id",
        )
    if 400 <= answer.status < 500 and answer.status not in _TRY_LATER:
        raise DiscoveryRefused(
            f"Entra refuses to describe {authority.metadata_url} (HTTP {answer.status}).",
            hint="Check $[tenant_id], $[cloud] and $[authority_host], and what a proxy on the way allows.",
            setting="tenant_id",
        )
    if answer.status != 200:
        raise EntraUnavailable(
            reason=f"discovery answered HTTP {answer.status}",
            retry_after_seconds=read_retry_after(answer),
        )
    return read_object(answer.body, "discovery")
