"""Where an authorization response goes, and how it is written into that address.

Source: RFC 6749, 4.1.2; OAuth 2.0 Multiple Response Type Encoding Practices.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]*")


@dataclass(frozen=True, kw_only=True)
class ReturnAddress:
    """A checked redirect URI, how to answer there, and the state to bring back."""

    redirect_uri: str
    response_mode: str
    state: str | None

    def url(self, parameters: dict[str, str]) -> str:
        """The address with the parameters in its query or fragment."""
        encoded = "&".join(
            f"{name}={value if _UNRESERVED.fullmatch(value) else quote(value, safe='')}"
            for name, value in parameters.items()
        )
        if self.response_mode == "fragment":
            return f"{self.redirect_uri}#{encoded}"
        return f"{self.redirect_uri}{'&' if '?' in self.redirect_uri else '?'}{encoded}"
