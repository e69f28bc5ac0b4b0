"""The cookies of sign-ins under way: one each, at most five, never more than proxies let through.

Also the short memory of refusals that cuts a loop.
A cookie is ours if its seal says so, whatever its name: of several under one name the one that opens counts,
and what does not open is left alone, because it may belong to another application on this host.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from entrada.errors import RequestRefused
from entrada.flows.pending import (
    MOST_PENDING,
    MOST_PENDING_CHARACTERS,
    SIGN_IN_LIFE,
    TAG_CHARACTERS,
    PendingSignIn,
    seal_pending,
    tag_of,
    unseal_pending,
)
from entrada.sealing import Sealer
from entrada.web.cookies import CookieRules
from entrada.web.messages import WebRequest

PENDING_COOKIE = "entrada_pending"
REFUSALS_COOKIE = "entrada_refusals"
KEPT_BEYOND_LIFE = timedelta(hours=12)
"""How long an expired sign-in stays, so that a late answer can be told as late and led on."""
REFUSALS_LIFE_SECONDS = 120
MOST_REFUSALS = 3
LARGEST_COOKIE = 4_000
"""Name and value; browsers keep 4,096 characters, and drop a larger cookie in silence."""
_TAG = re.compile(rf"[0-9a-f]{{{TAG_CHARACTERS}}}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Refusals:
    """How often in a row Entra has answered this browser with the same refusal."""

    count: int = 0
    reason: str = ""
    sentence: str = ""

    def and_one(self, reason: str, sentence: str) -> Refusals:
        count = self.count + 1 if reason == self.reason else 1
        return Refusals(count=count, reason=reason[:100], sentence=sentence[:300])


@dataclass(frozen=True, kw_only=True)
class PendingCookies:
    """`cross_site` is true for form_post: Entra's POST brings only SameSite=None cookies.

    `life` is how long a sign-in may take.
    """

    sealer: Sealer
    cross_site: bool
    life: timedelta = SIGN_IN_LIFE

    def remember(
        self, pending: PendingSignIn, request: WebRequest, rules: CookieRules, *, now: datetime
    ) -> list[str]:
        """Set-Cookie values: the new sign-in in, and out what is over or one too many.

        Raises:
            RequestRefused: what an API demands makes it larger than browsers keep.
        """
        name, sealed = _name_of(pending.tag, rules), seal_pending(pending, self.sealer)
        characters = len(name) + len(sealed)
        if characters > LARGEST_COOKIE and (pending.scopes or pending.claims):
            raise RequestRefused(
                "What Microsoft would have to be asked for is too long for a browser to keep meanwhile.",
                hint="Tell your administrator which page this was: it asks for too much at once.",
            )
        cookies = [self._set(name, sealed, rules)]
        ours = sorted(self._ours(request, rules), key=lambda found: found[0].begun_at, reverse=True)
        for position, (other, other_name, value) in enumerate(ours, start=2):
            characters += len(other_name) + len(value)
            too_many = position > MOST_PENDING or characters > MOST_PENDING_CHARACTERS
            if too_many or other.is_expired(now, self.life):
                cookies.append(rules.delete_named(other_name))
        return cookies

    def find(self, state: str, request: WebRequest, rules: CookieRules) -> PendingSignIn | None:
        """The sign-in that this browser began with that state."""
        tag = tag_of(state)
        opened = (
            unseal_pending(value, tag=tag, sealer=self.sealer)
            for value in request.cookies_named(_name_of(tag, rules))
        )
        return next((pending for pending in opened if pending is not None), None)

    def drop(self, state: str, rules: CookieRules) -> str:
        return rules.delete_named(_name_of(tag_of(state), rules))

    def refusals(self, request: WebRequest, rules: CookieRules) -> Refusals:
        for value in request.cookies_named(rules.name(REFUSALS_COOKIE)):
            plain = self.sealer.unseal(value, context=REFUSALS_COOKIE)
            if plain is not None:
                return Refusals(**json.loads(plain))
        return Refusals()

    def keep_refusals(self, refusals: Refusals, rules: CookieRules) -> str:
        plain = json.dumps(
            {"count": refusals.count, "reason": refusals.reason, "sentence": refusals.sentence}
        ).encode()
        return rules.set(
            REFUSALS_COOKIE,
            self.sealer.seal(plain, context=REFUSALS_COOKIE),
            max_age_seconds=REFUSALS_LIFE_SECONDS,
            cross_site=self.cross_site,
        )

    def forget_refusals(self, request: WebRequest, rules: CookieRules) -> list[str]:
        """Set-Cookie values that begin the count anew; none where there is nothing of ours to forget."""
        return [rules.delete(REFUSALS_COOKIE)] if self.refusals(request, rules).count else []

    def _set(self, name: str, sealed: str, rules: CookieRules) -> str:
        kept = self.life + KEPT_BEYOND_LIFE
        return rules.set_named(
            name, sealed, max_age_seconds=int(kept.total_seconds()), cross_site=self.cross_site
        )

    def _ours(self, request: WebRequest, rules: CookieRules) -> Iterator[tuple[PendingSignIn, str, str]]:
        """(sign-in, cookie name, value) of those that were sent along and are ours."""
        prefix = rules.name(PENDING_COOKIE) + "_"
        for name, value in request.cookies():
            tag = name.removeprefix(prefix)
            if name.startswith(prefix) and _TAG.fullmatch(tag):
                pending = unseal_pending(value, tag=tag, sealer=self.sealer)
                if pending is not None:
                    yield pending, name, value


def _name_of(tag: str, rules: CookieRules) -> str:
    return f"{rules.name(PENDING_COOKIE)}_{tag}"
