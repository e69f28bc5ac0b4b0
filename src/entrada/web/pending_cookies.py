"""The cookies of sign-ins under way: one each, at most five, never more than proxies let through.

Also the short memory of refusals that cuts a loop.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from entrada.flows.pending import (
    MOST_PENDING,
    MOST_PENDING_CHARACTERS,
    PENDING_LIFE,
    PendingSignIn,
    seal_pending,
    tag_of,
    unseal_pending,
)
from entrada.sealing import Sealer
from entrada.web.messages import CookieRules, WebRequest

_NAME = "entrada_pending_"
_REFUSALS = "entrada_refusals"
REFUSALS_LIFE_SECONDS = 120
MOST_REFUSALS = 3


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
    sealer: Sealer
    cross_site: bool
    """True for form_post: Entra's POST brings only SameSite=None cookies."""

    def keep(
        self, pending: PendingSignIn, request: WebRequest, rules: CookieRules, *, now: datetime
    ) -> list[str]:
        """Set-Cookie values: the new sign-in in, and the oldest out where there are too many."""
        sealed = seal_pending(pending, self.sealer)
        kept_characters = len(sealed) + len(_NAME)
        cookies = [self._set(pending.tag, sealed, rules)]
        for position, (tag, value) in enumerate(self._newest_first(request, rules, now), start=2):
            kept_characters += len(value) + len(_NAME)
            if value == "" or position > MOST_PENDING or kept_characters > MOST_PENDING_CHARACTERS:
                cookies.append(rules.delete(_NAME + tag))
        return cookies

    def find(self, state: str, request: WebRequest, rules: CookieRules) -> PendingSignIn | None:
        """The sign-in that this browser began with that state."""
        tag = tag_of(state)
        sealed = request.cookie(rules.name(_NAME + tag))
        return None if sealed is None else unseal_pending(sealed, tag=tag, sealer=self.sealer)

    def drop(self, state: str, rules: CookieRules) -> str:
        return rules.delete(_NAME + tag_of(state))

    def refusals(self, request: WebRequest, rules: CookieRules) -> Refusals:
        plain = self.sealer.unseal(request.cookie(rules.name(_REFUSALS)) or "", context=_REFUSALS)
        try:
            return Refusals(**json.loads(plain)) if plain else Refusals()
        except (TypeError, ValueError):
            return Refusals()

    def keep_refusals(self, refusals: Refusals, rules: CookieRules) -> str:
        plain = json.dumps(
            {"count": refusals.count, "reason": refusals.reason, "sentence": refusals.sentence}
        ).encode()
        sealed = self.sealer.seal(plain, context=_REFUSALS)
        return rules.set(_REFUSALS, sealed, max_age_seconds=REFUSALS_LIFE_SECONDS, cross_site=self.cross_site)

    def forget_refusals(self, request: WebRequest, rules: CookieRules) -> list[str]:
        return [rules.delete(_REFUSALS)] if request.cookie(rules.name(_REFUSALS)) else []

    def _set(self, tag: str, sealed: str, rules: CookieRules) -> str:
        return rules.set(
            _NAME + tag,
            sealed,
            max_age_seconds=int(PENDING_LIFE.total_seconds()),
            cross_site=self.cross_site,
        )

    def _newest_first(
        self, request: WebRequest, rules: CookieRules, now: datetime
    ) -> Sequence[tuple[str, str]]:
        """(tag, value) of the pending sign-ins sent along; what is not a live one of ours has value ""."""
        prefix, found = rules.name(_NAME), []
        for name, value in request.cookies():
            if not name.startswith(prefix):
                continue
            tag = name.removeprefix(prefix)
            pending = unseal_pending(value, tag=tag, sealer=self.sealer)
            if pending is None or pending.is_expired(now):
                found.append((0, tag, ""))
            else:
                found.append((pending.begun_at, tag, value))
        return [(tag, value) for _, tag, value in sorted(found, reverse=True)]
