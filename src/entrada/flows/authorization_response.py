"""What a browser brings back to the redirect URI, read strictly.

Refuses doubled parameters, an answer that is neither code nor error, anything oversized, and tokens that
only the implicit flow would send. Proves nothing: the pending sign-in does.

Source: RFC 6749 sections 4.1.2 and 4.1.2.1; RFC 9207.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from entrada.errors import ResponseRefused, StateMissing

LARGEST_CODE_CHARACTERS = 8_192
LARGEST_STATE_CHARACTERS = 512
_ONLY_ONCE = frozenset({"state", "code", "error", "error_description", "iss", "id_token", "access_token"})
_NEVER = frozenset({"id_token", "access_token"})
_PRINTABLE = re.compile(r"[\x21-\x7e]+", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class AuthorizationResponse:
    """Exactly one of `code` and `error` is set. `issuer` is the `iss` parameter, if any."""

    state: str
    code: str | None = field(default=None, repr=False)
    error: str | None = None
    error_description: str = ""
    issuer: str | None = None


def read_authorization_response(parameters: Iterable[tuple[str, str]]) -> AuthorizationResponse:
    """The answer, from the decoded pairs of a query or a form.

    Raises:
        ResponseRefused: it cannot be an answer of Entra to us. `StateMissing` when only that is missing.
    """
    found: dict[str, str] = {}
    for name, value in parameters:
        if name in found and name in _ONLY_ONCE:
            raise ResponseRefused(f"This sign-in answer has the parameter {name} twice.")
        found[name] = value
    if not _NEVER.isdisjoint(found):
        raise ResponseRefused("This sign-in answer carries a token, which this application never asks for.")
    state, code, error = found.get("state"), found.get("code"), found.get("error")
    if not state:
        raise StateMissing
    _check_text("state", state, LARGEST_STATE_CHARACTERS)
    if error:
        return AuthorizationResponse(
            state=state,
            error=error[:100],
            error_description=found.get("error_description", "")[:2_000],
            issuer=found.get("iss"),
        )
    if not code:
        raise ResponseRefused("This sign-in answer has neither a code nor an error.")
    _check_text("code", code, LARGEST_CODE_CHARACTERS)
    return AuthorizationResponse(state=state, code=code, issuer=found.get("iss"))


def _check_text(name: str, value: str, limit: int) -> None:
    if len(value) > limit or not _PRINTABLE.fullmatch(value):
        raise ResponseRefused(f"The {name} of this sign-in answer is too long or holds odd characters.")
