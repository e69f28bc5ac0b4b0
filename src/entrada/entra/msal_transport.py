"""What MSAL is given in place of its own: our transport for HTTP, and a cache that stores nothing.

Source: MSAL Python, `msal.oauth2cli.http` (what it asks of an HTTP client) and `msal.TokenCache`.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import msal

from entrada.entra.authority import Authority
from entrada.entra.transport import HttpTransport, read_retry_after
from entrada.errors import EntraUnavailable
from entrada.strict_json import JsonRefused, read_json_object

# MSAL writes whole token responses into these loggers when something is odd about them.
for _name in ("msal.application", "msal.oauth2cli.oauth2", "msal.oauth2cli.oidc", "msal.token_cache"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

# With query the code stands in one URL, which is answered at once by a 303, no-store and no-referrer, and is
# useless without the PKCE verifier in a cookie.  MSAL would say so on stderr at the first sign-in.
warnings.filterwarnings("ignore", message="response_mode='form_post' is recommended", category=UserWarning)


class NoTokenCache(msal.TokenCache):  # type: ignore[misc]  # msal is untyped
    """Keeps nothing. MSAL's own cache holds every token of every person and searches it linearly."""

    def add(self, event: Any, now: Any = None) -> None:
        """Forget at once."""


class NoHttpCache(dict[Any, Any]):
    """Keeps nothing. MSAL gives an answer again for a while, such as a refusal for a minute: whoever has
    consented meanwhile would be refused still, and of an exchange on-behalf-of it does not look whose it is.
    """

    def __setitem__(self, key: Any, value: Any) -> None:
        """Forget at once."""


@dataclass(frozen=True, kw_only=True)
class _MsalResponse:
    status_code: int
    text: str = field(repr=False)
    headers: Mapping[str, str]

    def raise_for_status(self) -> None:
        if self.status_code >= 400:
            raise EntraUnavailable(reason=f"HTTP {self.status_code}")


class MsalHttpClient:
    """The get and post that MSAL asks for, over our transport.

    Discovery is answered from the document that was checked already, so MSAL cannot be shown another one.
    Whatever address MSAL makes of it, a form with the client secret goes to the checked token endpoint alone.
    A token response that is not a JSON object stops here: MSAL would write it into the log.
    """

    def __init__(self, transport: HttpTransport, *, metadata: Mapping[str, Any], token_endpoint: str) -> None:
        self._transport = transport
        self._token_endpoint = token_endpoint
        # MSAL takes no plain http, which a broker on this very machine speaks.
        shown = {**metadata, "token_endpoint": _with_https(token_endpoint)}
        self._metadata = _MsalResponse(status_code=200, text=json.dumps(shown), headers={})

    def get(self, url: str, **_: Any) -> _MsalResponse:
        if not url.endswith("/.well-known/openid-configuration"):
            raise EntraUnavailable(reason="MSAL asked for something other than discovery")
        return self._metadata

    def post(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        data: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> _MsalResponse:
        del params, url
        response = self._transport.send(
            "POST",
            self._token_endpoint,
            headers={
                **{name: value for name, value in (headers or {}).items() if value is not None},
                "content-type": "application/x-www-form-urlencoded",
            },
            body=urlencode(data or {}).encode("ascii"),
        )
        if response.status == 429 or response.status >= 500:
            raise EntraUnavailable(
                reason=f"the token endpoint answered HTTP {response.status}",
                retry_after_seconds=read_retry_after(response),
            )
        if not (response.status == 200 or 400 <= response.status < 500):
            raise EntraUnavailable(reason=f"the token endpoint answered HTTP {response.status}")
        read_object(response.body, "the token endpoint")
        return _MsalResponse(
            status_code=response.status,
            text=response.body.decode("utf-8", "replace"),
            headers=response.headers,
        )

    def close(self) -> None:
        """The transport belongs to whoever made it."""


def msal_authority(authority: Authority) -> str:
    """The authority as MSAL wants it: https, and with a tenant in its path.

    Discovery is answered from `MsalHttpClient`, so nothing is ever asked of this address.
    """
    return _with_https(f"{authority.login_url}/{authority.tenant}")


def _with_https(url: str) -> str:
    return f"https://{url.removeprefix('http://')}" if url.startswith("http://") else url


def read_object(body: bytes, whose: str) -> dict[str, Any]:
    """The JSON object in a response of `whose`.

    Raises:
        EntraUnavailable: anything else.
    """
    try:
        return read_json_object(body)
    except JsonRefused as refused:
        raise EntraUnavailable(
            reason=f"{whose} answered something that is {refused}", answered=True
        ) from None
