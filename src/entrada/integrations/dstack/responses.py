"""Responses in the shapes that dstack's clients read: its JSON of a refusal, and its own page.

A refusal is 400 with a `detail` list: the only status whose words dstack's command line shows.

Source: dstack, `utils/routers.py`: `error_detail`; `dstack/api/server`: `APIClient._request`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from entrada.errors import EntradaError, NameOf, RequestRefused, TooManyRequests, native_name
from entrada.events import Event
from entrada.web.messages import SAFE_HEADERS, WebRequest, WebResponse, json_response
from entrada.web.refusals import record_refusal


def json_body(request: WebRequest) -> Mapping[str, Any]:
    """The JSON object that was posted; an empty body is an empty one.

    Raises:
        RequestRefused: anything else. A form or a plain text may come from another site's page.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        document = json.loads(request.body or b"{}", object_pairs_hook=_each_once)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or (request.body and content_type != "application/json"):
        raise RequestRefused("This request is not the JSON that was expected.")
    return document


def failure_json(error: EntradaError, names: NameOf = native_name) -> WebResponse:
    """As dstack's page and command line read a refusal, which show the words with 400."""
    status = 429 if isinstance(error, TooManyRequests) else 400
    incident = record_refusal(error, Event.SIGN_IN_REFUSED, status=status)
    detail = {"msg": " ".join(error.told(names)), "code": "error"}
    document = {"detail": [detail], "error": error.code, "incident": incident}
    wait = error.retry_after_seconds if isinstance(error, TooManyRequests) else None
    return json_response(status, document).with_headers(
        *([] if wait is None else [("retry-after", str(wait))])
    )


def ui_page(html: bytes) -> WebResponse:
    """dstack's own page, which then asks for the outcome. Never kept, never framed."""
    headers = [
        ("content-type", "text/html; charset=utf-8"),
        ("content-security-policy", "frame-ancestors 'none'"),
        *SAFE_HEADERS,
    ]
    return WebResponse(status=200, headers=headers, body=html)


def json_bytes(document: bytes) -> WebResponse:
    """200 with a document that is JSON already."""
    headers = [("content-type", "application/json"), *SAFE_HEADERS]
    return WebResponse(status=200, headers=headers, body=document)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member twice")
    return members
