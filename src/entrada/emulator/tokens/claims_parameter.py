"""The `claims` parameter: what of the sign-in and of the tokens the client asks for.

Source: OpenID Connect Core 1.0, 5.5; Microsoft, "Claims challenges, claims requests and client capabilities".
"""

from __future__ import annotations

import json
from typing import Any


def read_claims_parameter(text: str) -> dict[str, Any]:
    """The `claims` parameter as an object; anything else reads as none."""
    try:
        value = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def asks_for_step_up(claims_parameter: str) -> bool:
    """Whether the request's `claims` ask for an authentication context or answer a policy's challenge."""
    return any(
        isinstance(part, dict) and ("acrs" in part or "capolids" in part)
        for part in read_claims_parameter(claims_parameter).values()
    )


def asked_contexts(claims_parameter: str) -> tuple[str, ...]:
    """The authentication contexts (`acrs`) the request asks for."""
    found: list[str] = []
    for part in read_claims_parameter(claims_parameter).values():
        asked: Any = part.get("acrs") if isinstance(part, dict) else None
        if isinstance(asked, dict):
            values = asked.get("values", [asked.get("value")])
            found += [value for value in values if isinstance(value, str)] if isinstance(values, list) else []
    return tuple(dict.fromkeys(found))


def newest_allowed(claims_parameter: str) -> float:
    """The moment a claims challenge of continuous access evaluation asks the sign-in to be newer than."""
    asked = read_claims_parameter(claims_parameter).get("access_token")
    challenge = asked.get("nbf") if isinstance(asked, dict) else None
    try:
        return float(challenge.get("value", 0)) if isinstance(challenge, dict) else 0.0
    except (TypeError, ValueError):
        return 0.0


def wants_continuous_access(claims_parameter: str) -> bool:
    """Whether the client said `xms_cc` with `cp1`: it understands claims challenges."""
    asked = read_claims_parameter(claims_parameter).get("access_token")
    capabilities = asked.get("xms_cc") if isinstance(asked, dict) else None
    return isinstance(capabilities, dict) and "cp1" in capabilities.get("values", ())
