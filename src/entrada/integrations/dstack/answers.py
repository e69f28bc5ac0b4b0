"""Answers in the shapes that dstack's clients read: its JSON of a refusal, its own page, and pages of ours.

A refusal is 400 with a `detail` list: the only status whose words dstack's command line shows.

Source: dstack, `utils/routers.py`: `error_detail`; `dstack/api/server`: `APIClient._request`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from entrada.build import ProductParts
from entrada.errors import AdmissionRefused, EntradaError, RequestRefused
from entrada.events import Event
from entrada.web.messages import SAFE_HEADERS, WebRequest, WebResponse, json_response
from entrada.web.pages.parts import Action
from entrada.web.refusals import page_response, record_refusal, status_of

START_PATH = "/auth/entra/start"
SIGN_IN_PAGE = "/"


def guarded(
    answer: Callable[[WebRequest], WebResponse],
    request: WebRequest,
    failure: Callable[[EntradaError], WebResponse],
) -> WebResponse:
    """The answer, or what `failure` makes of a refusal."""
    try:
        return answer(request)
    except EntradaError as error:
        return failure(error)


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


def failure_json(error: EntradaError) -> WebResponse:
    incident = record_refusal(error, Event.SIGN_IN_REFUSED, status=400)
    detail = {"msg": f"{error.sentence} {error.hint}", "code": "error"}
    return json_response(400, {"detail": [detail], "error": error.code, "incident": incident})


def failure_page(error: EntradaError, parts: ProductParts, *, may_retry: bool = True) -> WebResponse:
    """What went wrong, and a way to try again; who was not let in gets to choose another account."""
    status = status_of(error)
    incident = record_refusal(error, Event.SIGN_IN_REFUSED, status=status)
    retry_path = START_PATH
    if isinstance(error, AdmissionRefused):
        retry_path += "?prompt=select_account"
    page = parts.pages.failure(
        error,
        actions=[
            *([Action(label="Try again", path=retry_path, first=True)] if may_retry else []),
            Action(label="Go to the sign-in page", path=SIGN_IN_PAGE, quiet=True),
        ],
        incident=incident,
        when=parts.clock.now(),
    )
    return page_response(page, status=status)


def ui_page(html: bytes, *, cookies: Sequence[str]) -> WebResponse:
    """dstack's own page, which then asks for the outcome. Never kept, never framed."""
    headers = [
        ("content-type", "text/html; charset=utf-8"),
        ("content-security-policy", "frame-ancestors 'none'"),
        *SAFE_HEADERS,
    ]
    return with_cookies(WebResponse(status=200, headers=headers, body=html), cookies)


def json_bytes(document: bytes, *, cookies: Sequence[str]) -> WebResponse:
    headers = [("content-type", "application/json"), *SAFE_HEADERS]
    return with_cookies(WebResponse(status=200, headers=headers, body=document), cookies)


def with_cookies(answer: WebResponse, cookies: Sequence[str]) -> WebResponse:
    headers = [*answer.headers, *(("set-cookie", cookie) for cookie in cookies)]
    return WebResponse(status=answer.status, headers=headers, body=answer.body)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member twice")
    return members
