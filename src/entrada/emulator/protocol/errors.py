"""Errors as Entra words them: one exception, and its JSON, redirect and page forms.

Source: Microsoft, "OAuth 2.0 authorization code flow", "Error response example".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ..clock import Clock
from ..directory.records import new_id
from .aadsts import AADSTS, PAGE, WITHOUT_ADDRESS, Aadsts
from .http import Request, Response, json_response

_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class EntraError(Exception):
    """A refusal with its AADSTS code.

    `detail` follows the code's own sentence; `error`, `status`, `suberror` and `shown` replace the table's;
    `claims` is the claims challenge that would lift the refusal.
    """

    def __init__(
        self,
        code: int,
        detail: str = "",
        *,
        error: str = "",
        status: int = 0,
        suberror: str = "",
        shown: str = "",
        claims: str = "",
    ) -> None:
        meaning = AADSTS.get(code) or Aadsts("invalid_request", "The request was refused.")
        self.code = code
        self.error = error or meaning.error
        self.status = status or meaning.status
        self.suberror = suberror or meaning.suberror
        self.shown = shown or meaning.shown
        self.claims = claims
        self.sentence = f"{meaning.sentence} {detail}".strip()
        super().__init__(f"AADSTS{code}: {self.sentence}")

    @property
    def stays_on_page(self) -> bool:
        """Whether Entra keeps this error on its own page."""
        return self.shown == PAGE


@dataclass(frozen=True, kw_only=True)
class Incident:
    """One occurrence of an error: the error with its ids and time."""

    error: EntraError
    correlation_id: str
    timestamp: str
    trace_id: str = field(default_factory=new_id)

    @property
    def description(self) -> str:
        """The one-line text that Entra puts into `error_description`."""
        return (
            f"AADSTS{self.error.code}: {self.error.sentence} Trace ID: {self.trace_id} "
            f"Correlation ID: {self.correlation_id} Timestamp: {self.timestamp}"
        )


def incident(error: EntraError, *, clock: Clock, correlation_id: str) -> Incident:
    """`error` as it happens now; an occurrence that has no id yet gets one."""
    return Incident(error=error, correlation_id=correlation_id or new_id(), timestamp=clock.stamp())


def correlation_id(request: Request) -> str:
    """The client's own request id when it is a GUID, else empty: made when there is something to tell."""
    for value in (
        request.headers.get("client-request-id"),
        request.query.get("client-request-id"),
        request.query.get("correlation_id"),
    ):
        if value and _GUID.fullmatch(value):
            return value.lower()
    return ""


def error_response(happened: Incident, *, base_url: str) -> Response:
    """The token endpoint's JSON error."""
    error = happened.error
    body: dict[str, object] = {
        "error": error.error,
        "error_description": happened.description,
        "error_codes": [error.code],
        "timestamp": happened.timestamp,
        "trace_id": happened.trace_id,
        "correlation_id": happened.correlation_id,
    }
    if error.code not in WITHOUT_ADDRESS:
        body["error_uri"] = f"{base_url}/error?code={error.code}"
    if error.suberror:
        body["suberror"] = error.suberror
    if error.claims:
        body["claims"] = error.claims
    response = json_response(body, status=error.status)
    if error.status in (429, 503):
        response.with_header("retry-after", "2")
    return response
