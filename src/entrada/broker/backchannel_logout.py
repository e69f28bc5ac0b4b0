"""Tells installations that a sign-in ended: a signed logout token to each, tried again until it is taken.

What ended is written down together with the ending itself, so that neither a crash nor a sleeping
installation loses it. An installation that is down hears of it when it is back, one that was removed hears of
it at the address it had; one that refuses for a day is given up, and said in the log.

Source: OpenID Connect Back-Channel Logout 1.0, sections 2.5 to 2.8.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol
from urllib.parse import urlencode

from entrada.broker.provider import Provider
from entrada.broker.store import Delivery
from entrada.broker.tokens import LOGOUT_TYPE, logout_token_claims
from entrada.errors import Unavailable

CLAIM = timedelta(seconds=30)
FIRST_PAUSE = timedelta(seconds=1)
SHORT_PAUSE = timedelta(seconds=16)
LONG_PAUSE = timedelta(minutes=5)
TRIES_WITH_SHORT_PAUSES = 40
"""Ten minutes of them: a restart or an update is over by then."""
GIVEN_UP_AFTER = timedelta(days=1)
AT_ONCE = 20


class Post(Protocol):
    """Sends a form; the HTTP status it was answered with.

    Raises:
        Unavailable: no answer.
    """

    def __call__(self, url: str, form: str) -> int: ...


def claim_due(provider: Provider) -> Sequence[Delivery]:
    """What is due, this broker's to deliver until `CLAIM` is over."""
    now = provider.now()
    return provider.store.due_deliveries(now=now, claim_until=now + CLAIM, limit=AT_ONCE)


def postpone(provider: Provider, delivery: Delivery) -> None:
    provider.store.postpone_delivery(delivery.id, due_at=provider.now() + _pause(delivery.tries))


def deliver(provider: Provider, delivery: Delivery, post: Post) -> str:
    """Tell one installation; what became of it."""
    installation = provider.installation(delivery.client_id)
    listed = None if installation is None else installation.backchannel_logout_uri
    address = listed or delivery.address
    if address is None:
        provider.store.delivered(delivery.id)
        return "not_wanted"
    now = provider.now()
    claims = logout_token_claims(
        issuer=provider.issuer,
        client_id=delivery.client_id,
        subject=delivery.subject,
        session_id=delivery.grant_id,
        now=now,
    )
    form = urlencode({"logout_token": provider.signed(claims, typ=LOGOUT_TYPE)})
    try:
        status = post(address, form)
    except Unavailable:
        status = 0
    if 200 <= status < 300:
        provider.store.delivered(delivery.id)
        return "delivered"
    if now >= delivery.ended_at + GIVEN_UP_AFTER:
        provider.store.delivered(delivery.id)
        return "given_up"
    postpone(provider, delivery)
    return "postponed"


def _pause(tries: int) -> timedelta:
    """One second, two, four, eight, then sixteen for ten minutes, then five minutes."""
    if tries >= TRIES_WITH_SHORT_PAUSES:
        return LONG_PAUSE
    return min(FIRST_PAUSE * (1 << min(tries, 16)), SHORT_PAUSE)
