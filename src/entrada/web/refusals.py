"""From an error of the walks to a status code. The only place that knows both."""

from __future__ import annotations

from entrada.errors import (
    AdmissionRefused,
    AmbiguousRequest,
    BearerError,
    BearerRequestRefused,
    ConfigurationError,
    EntradaError,
    EntraRefused,
    EntraUnavailable,
    InsufficientClaims,
    InsufficientScope,
    PageNotFound,
    RequestRefused,
    SignInError,
    TooManyAttempts,
    Unavailable,
)

_BY_OAUTH_ERROR = {"access_denied": 403, "temporarily_unavailable": 503, "server_error": 502}


def status_of(error: EntradaError) -> int:
    """The HTTP status for an error; 500 is none of them."""
    match error:
        case TooManyAttempts():
            return 429
        case EntraRefused():
            return _BY_OAUTH_ERROR.get(error.error, 400)
        case AdmissionRefused():
            return 403
        case SignInError():
            return 400
        case PageNotFound():
            return 404
        case InsufficientClaims(can_be_answered=True):
            return 401
        case InsufficientScope() | InsufficientClaims():
            return 403
        case BearerRequestRefused() | AmbiguousRequest():
            return 400
        case BearerError():
            return 401
        case RequestRefused():
            return 403
        case EntraUnavailable(answered=True):
            return 502
        case Unavailable() | ConfigurationError():
            return 503
        case _:
            return 400
