"""What WWW-Authenticate says to a caller whose token does not let it in.

Source: RFC 6750, section 3; RFC 9470, section 3; RFC 9110, section 11.6.1; Microsoft, "Claims challenges,
claims requests, and client capabilities".
"""

from __future__ import annotations

import base64
import json
import re

from entrada.errors import (
    BearerRequestRefused,
    BearerTokenRefused,
    EntradaError,
    InsufficientClaims,
    InsufficientScope,
    InteractionRequired,
)

_NOT_QUOTABLE = re.compile(r"[^ !#-\[\]-~]")


def bearer_challenge(error: EntradaError | None) -> str:
    """The field's value for this refusal; for a call without a token, no error is named."""
    parameters = {"realm": "entrada"}
    match error:
        case BearerRequestRefused():
            parameters["error"] = "invalid_request"
        case BearerTokenRefused():
            parameters["error"] = "invalid_token"
        case InsufficientScope():
            parameters["error"] = "insufficient_scope"
            if error.scopes:
                parameters["scope"] = " ".join(sorted(error.scopes))
        case InsufficientClaims(can_be_answered=True):
            parameters["error"] = "insufficient_claims"
            parameters["claims"] = claims_challenge(error.auth_context)
        case InteractionRequired(can_be_answered=True) if error.claims:
            parameters["error"] = "insufficient_claims"
            parameters["claims"] = in_base64(error.claims)
        case InteractionRequired():
            parameters["error"] = "insufficient_scope"
        case InsufficientClaims():
            parameters["error"] = "insufficient_user_authentication"
            parameters["acr_values"] = error.auth_context
    if error is not None:
        parameters["error_description"] = error.sentence
    return "Bearer " + ", ".join(
        f'{name}="{_NOT_QUOTABLE.sub("", value)}"' for name, value in parameters.items()
    )


def claims_challenge(auth_context: str) -> str:
    """The claims request that asks for an authentication context, in base64."""
    asked = {"access_token": {"acrs": {"essential": True, "value": auth_context}}}
    return in_base64(json.dumps(asked, separators=(",", ":")))


def in_base64(claims: str) -> str:
    """A claims request as a challenge bears it."""
    return base64.b64encode(claims.encode()).decode()
