"""What strangers may cause: failures are counted, for each peer and for all together.

Who succeeds spends nothing, so an office behind one address may sign in at nine o'clock all at once.
A peer whose budget is spent waits; when that of all together is spent, only peers that failed lately wait.
Kept in this process alone.

Source: RFC 6585, section 4 (429).
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field

from entrada.errors import TooManyRequests
from entrada.web.peers import UNKNOWN_PEER

_MOST_PEERS = 10_000
_UNDER_WAY = 5
"""So many attempts that are not decided yet do not make a peer one that failed lately."""


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """`burst` failures at once, and `per_second` more as time goes by."""

    burst: float
    per_second: float


PER_PEER = Allowance(burst=120, per_second=2)
OVERALL = Allowance(burst=600, per_second=20)


@dataclass(slots=True)
class _Account:
    left: float
    at: float
    is_refused: bool = False

    def refill(self, allowance: Allowance, now: float) -> None:
        self.left = min(allowance.burst, self.left + max(0.0, now - self.at) * allowance.per_second)
        self.at = now


class FailureBudget:
    """One kind of failure. Times are seconds of a monotonic clock."""

    def __init__(self, *, per_peer: Allowance = PER_PEER, overall: Allowance = OVERALL) -> None:
        self._per_peer, self._overall_allowance = per_peer, overall
        self._overall = _Account(left=overall.burst, at=0.0)
        self._peers: dict[str, _Account] = {}
        self._lock = threading.Lock()

    def take(self, peer: str, *, now: float) -> None:
        """Counts an attempt as failed; `give_back` when it did not.

        Raises:
            TooManyRequests: the attempt must not be made now.
        """
        with self._lock:
            allowance, account = self._account(peer, now)
            self._overall.refill(self._overall_allowance, now)
            failed_lately = account.left < allowance.burst - _UNDER_WAY
            if account.left < 1:
                raise self._refusal(account, (1 - account.left) / allowance.per_second)
            if self._overall.left < 1 and failed_lately:
                raise self._refusal(account, 1 / self._overall_allowance.per_second)
            account.is_refused = False
            account.left -= 1
            self._overall.left = max(0.0, self._overall.left - 1)

    def give_back(self, peer: str, *, now: float) -> None:
        """The attempt did not fail, or not by the peer's doing."""
        with self._lock:
            allowance, account = self._account(peer, now)
            account.left = min(allowance.burst, account.left + 1)
            self._overall.left = min(self._overall_allowance.burst, self._overall.left + 1)

    def _account(self, peer: str, now: float) -> tuple[Allowance, _Account]:
        # Whoever cannot be told apart is everybody.
        allowance = self._overall_allowance if peer == UNKNOWN_PEER else self._per_peer
        account = self._peers.pop(peer, None) or _Account(left=allowance.burst, at=now)
        if len(self._peers) >= _MOST_PEERS:
            del self._peers[next(iter(self._peers))]  # the one that was not seen for longest
        self._peers[peer] = account
        account.refill(allowance, now)
        return allowance, account

    @staticmethod
    def _refusal(account: _Account, wait: float) -> TooManyRequests:
        is_news, account.is_refused = not account.is_refused, True
        return TooManyRequests(retry_after_seconds=max(1, math.ceil(wait)), is_news=is_news)


@dataclass(frozen=True, kw_only=True)
class Budgets:
    """`foreign`: responses on the redirect URI to no sign-in of this browser. `redemptions`: codes that Entra
    refused. `front_channel`: a `sid` that names no session here.
    """

    foreign: FailureBudget = field(default_factory=FailureBudget)
    redemptions: FailureBudget = field(default_factory=FailureBudget)
    front_channel: FailureBudget = field(default_factory=FailureBudget)
