"""`dstack login` is handed a code and a state, and nothing else: the issuer travels inside the code.

A provider that promises the parameter `iss` is not believed without it. It is as little a secret as in the
address it came in, and is checked where the sign-in is finished.

Source: RFC 9207, section 2.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from urllib.parse import parse_qs, urlencode

_WITH_ISSUER = "with-iss."
"""No code of Entra's or of a broker's begins so; it is what this file writes."""


def with_issuer(code: str, issuer: str | None) -> str:
    """The code as dstack hands it on."""
    if issuer is None:
        return code
    return _WITH_ISSUER + urlsafe_b64encode(urlencode({"code": code, "iss": issuer}).encode()).decode()


def code_and_issuer(carried: str) -> dict[str, str]:
    """`code`, and `iss` if it travelled along. Anything else is a code as it stands."""
    if not carried.startswith(_WITH_ISSUER):
        return {"code": carried}
    try:
        found = parse_qs(
            urlsafe_b64decode(carried.removeprefix(_WITH_ISSUER)).decode("ascii"), strict_parsing=True
        )
        (code,), (issuer,) = found["code"], found["iss"]
    except (ValueError, KeyError):
        return {"code": carried}
    return {"code": code, "iss": issuer}
