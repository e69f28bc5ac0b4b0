"""How every question to Microsoft Graph is headed, and its response read: a JSON document, or an error.

A response that is not what Graph promises is `EntraUnavailable`, never an empty document; it names the
permission where that is what is missing (403), and how long to wait where Graph throttles.

Source: Microsoft Graph v1.0, "Microsoft Graph error responses and resource types", "Microsoft Graph
throttling guidance", "Paging Microsoft Graph data in your app".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from entrada.entra.jws import RawAccessToken
from entrada.entra.transport import HttpResponse, read_retry_after
from entrada.errors import EntraUnavailable
from entrada.strict_json import JsonRefused, read_json_object

LONGEST_LINK_CHARS = 16_384

_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)
_REQUEST_ID = re.compile(r"[0-9A-Za-z-]{1,64}", re.ASCII)
_MAY_PASS = frozenset({408, 425, 429})
"""Of the statuses that blame the question, those for which asking again may help."""


@dataclass(frozen=True, kw_only=True)
class GraphReader:
    """For questions of one kind, whose errors share `sentence`.

    `forbidden` and `permission` are the reason and the hint of a 403; `hint_of_4xx` is the hint of any other
    status that asking again does not change.
    """

    sentence: str
    forbidden: str
    permission: str
    hint_of_4xx: str | None = None

    def headers(self, access_token: RawAccessToken) -> dict[str, str]:
        """
        Raises:
            EntraUnavailable: anything but a token68, which could smuggle a second header into the request.
        """
        if not _TOKEN68.fullmatch(access_token):
            raise self.refused("the access token for Graph is not usable")
        return {"authorization": f"Bearer {access_token}", "accept": "application/json"}

    def read(self, response: HttpResponse) -> Mapping[str, Any]:
        """The document of a response.

        Raises:
            EntraUnavailable: another status than 200, and whatever is no JSON object.
        """
        if response.status == 403:
            raise self.permission_missing(response)
        if response.status != 200:
            stays = 400 <= response.status < 500 and response.status not in _MAY_PASS
            raise self.refused(
                f"Graph answered HTTP {response.status}",
                hint=self.hint_of_4xx if stays else None,
                response=response,
                retry_after_seconds=read_retry_after(response),
            )
        try:
            return read_json_object(response.body)
        except JsonRefused as refused:
            raise self.refused(f"Graph's response is {refused}", response=response) from None

    def permission_missing(self, response: HttpResponse) -> EntraUnavailable:
        return self.refused(self.forbidden, hint=self.permission, response=response)

    def refused(
        self,
        reason: str,
        *,
        hint: str | None = None,
        response: HttpResponse | None = None,
        retry_after_seconds: int | None = None,
    ) -> EntraUnavailable:
        """The error; one with a `hint` is the administrator's to mend."""
        error = EntraUnavailable(
            self.sentence,
            reason=reason,
            hint=hint,
            retry_after_seconds=retry_after_seconds,
            answered=response is None or (response.status < 500 and response.status != 429),
        )
        request_id = response.headers.get("request-id", "") if response else ""
        error.correlation_id = request_id if _REQUEST_ID.fullmatch(request_id) else None
        return error


def is_of_graph(link: str, graph_url: str) -> bool:
    """Whether a link that a response chose leads to Graph itself: the bearer token goes nowhere else."""
    return link.startswith(f"{graph_url}/v1.0/") and link.isascii() and len(link) <= LONGEST_LINK_CHARS
