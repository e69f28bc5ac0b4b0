"""Several requests to Graph in one: each is answered as if it had come by itself.

Source: Microsoft Graph, "Combine multiple HTTP requests using JSON batching".
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from ..protocol.http import Parameters, Request, Response, json_response
from .access import GraphError

_MOST = 20


def batch(request: Request, one: Callable[[Request], Response]) -> Response:
    """The answers to all requests of the batch, in their order; `one` answers each.

    Raises:
        GraphError: 400, the batch cannot be read.
    """
    body = request.json()
    asked = body.get("requests") if isinstance(body, dict) else None
    if not isinstance(asked, list) or not asked or not all(isinstance(part, dict) for part in asked):
        raise GraphError(400, "BadRequest", "Invalid batch payload format.")
    if len(asked) > _MOST:
        raise GraphError(400, "BadRequest", f"The number of requests exceeds the maximum of {_MOST}.")
    ids = [str(part.get("id") or "") for part in asked]
    if "" in ids or len(set(ids)) != len(ids):
        raise GraphError(400, "BadRequest", "Every request of a batch needs an id of its own.")
    parts = [_part(request, part) for part in asked]
    return json_response({"responses": [_told(id_, one(part)) for id_, part in zip(ids, parts, strict=True)]})


def _part(outer: Request, asked: dict[str, Any]) -> Request:
    """One request of the batch, with the outer one's token unless it brings its own."""
    method, url, headers = asked.get("method"), asked.get("url"), asked.get("headers") or {}
    if not isinstance(method, str) or not isinstance(url, str) or not isinstance(headers, dict):
        raise GraphError(400, "BadRequest", "A request of the batch has no method or no url.")
    path, _, text = url.partition("?")
    if "://" in path or path.strip("/").lower() == "$batch":
        raise GraphError(400, "BadRequest", "The url of a request in a batch is relative to the version.")
    version = outer.path.lstrip("/").partition("/")[0]
    own = {str(name).lower(): str(value) for name, value in headers.items()}
    return Request(
        method=method.upper(),
        path=f"/{version}/{path.lstrip('/')}",
        query=Parameters(text),
        headers={"authorization": outer.headers.get("authorization", ""), **own},
        body=json.dumps(asked["body"]).encode() if "body" in asked else b"",
        base_url=outer.base_url,
    )


def _told(request_id: str, response: Response) -> dict[str, Any]:
    told: dict[str, Any] = {"id": request_id, "status": response.status}
    told["headers"] = {
        **{name.title(): value for name, value in response.headers},
        "Content-Type": response.content_type,
    }
    if response.content_type.startswith("application/json"):
        told["body"] = json.loads(response.body)
    elif response.body:
        told["body"] = b64encode(response.body).decode()
    return told
