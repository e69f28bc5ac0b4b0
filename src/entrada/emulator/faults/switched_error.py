"""An AADSTS error that was switched on rather than caused."""

from __future__ import annotations

from collections.abc import Mapping

from ..protocol.errors import EntraError


def switched_error(parameters: Mapping[str, object]) -> EntraError:
    """The error an `aadsts` fault describes: its `code`, and what else of the error is to differ."""
    code, status = parameters.get("code", 50000), parameters.get("status", 0)
    return EntraError(
        code if isinstance(code, int) else 50000,
        str(parameters.get("detail", "")),
        error=str(parameters.get("error", "")),
        status=status if isinstance(status, int) else 0,
        suberror=str(parameters.get("suberror", "")),
        shown=str(parameters.get("shown", "")),
        claims=str(parameters.get("claims", "")),
    )
