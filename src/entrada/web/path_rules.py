"""What the rules of a gateway mean for one person: values between it and our pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from entrada.accounts.identity import User


@dataclass(frozen=True, kw_only=True)
class PathDecision:
    """For one identity of the person."""

    object_id: str
    decision: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class PathExplained:
    """`because` says which rule decides, `for_whom` whom it lets in."""

    request: str
    because: str
    for_whom: str
    decisions: Sequence[PathDecision]


ExplainPath = Callable[[User, str], PathExplained]
"""What a person meets at `[METHOD] PATH`. Raises ConfigurationError for what is no such thing."""
