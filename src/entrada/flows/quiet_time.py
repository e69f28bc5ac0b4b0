"""Entra said to come back later: until then it is not asked, whoever wants to.

Source: RFC 6585, section 4; RFC 9110, section 10.2.3 (Retry-After).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from entrada.clock import Clock
from entrada.errors import EntraUnavailable

LONGEST_SECONDS = 300
"""What names a longer time is asked again after this one."""


@dataclass(kw_only=True)
class QuietTime:
    """Of one process. `with quiet.kept():` around what asks Entra."""

    clock: Clock
    _until: float = float("-inf")

    @contextmanager
    def kept(self) -> Iterator[None]:
        """
        Raises:
            EntraUnavailable: it is quiet time still, with the seconds that are left.
        """
        left = self._until - self.clock.monotonic()
        if left > 0:
            raise EntraUnavailable(
                reason="Microsoft asked to come back later", retry_after_seconds=math.ceil(left)
            )
        try:
            yield
        except EntraUnavailable as error:
            if error.retry_after_seconds:
                seconds = min(error.retry_after_seconds, LONGEST_SECONDS)
                self._until = max(self._until, self.clock.monotonic() + seconds)
            raise
