"""Every fault that can be switched on, by name, and where each belongs.

What a fault of the wire does to a response is in `wire`; what the conformance suite's names stand for is in
`conformance`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ..state.switched_faults import Fault, UnknownFault
from .conformance import parts_of

WIRE_FAULTS: Mapping[str, str] = {
    "delay": "wait `seconds` (default 1), then answer as usual",
    "hang": "never answer; the connection stays open",
    "drop": "close the connection without a byte",
    "server_error": "answer `status` (default 500) with an HTML page",
    "too_many_requests": "answer 429 with Retry-After `retry_after` (default 2)",
    "half_json": "cut the answer's body in half",
    "html": "answer an HTML page with status 200",
    "null": "answer JSON null with status 200",
    "array": "answer a JSON array with status 200",
    "empty": "answer status 200 with no body",
    "oversized": "answer 5 MB of JSON",
    "gzip_bomb": "answer a small gzip body that inflates to 256 MB",
    "redirect": "answer 307 to `to` (default another path of the emulator)",
    "body": "answer `text` with `status` and `content_type`",
}
"""Faults of the wire, and what each does."""

MEANING_FAULTS: Mapping[str, str] = {
    "tamper": "spoil the next `target` (id_token, access_token, token_response, authorization_response, "
    "userinfo, discovery, keys, logout_response): `set`, `remove`, `header_set`, `header_remove`, "
    "`duplicate`, `signature`, `version`",
    "aadsts": "refuse with AADSTS `code`; `shown`, `error`, `suberror` and `claims` may be given",
    "wrong_issuer": "discovery names the issuer `issuer`",
    "key_removed": "the key set lacks the key that signs",
    "key_rotated": "a new key signs, published just before; `keep_old` false drops the older keys",
    "rotate_after_signing": "the keys rotate right after the token was signed; `keep_old` as above",
    "clock": "the emulator's clock is off by `offset_seconds`",
    "graph_error": "Graph answers `status`, `code`, `message`",
}
"""Faults of meaning, and what each does."""

ENDPOINTS = (
    "discovery",
    "keys",
    "instance",
    "userrealm",
    "authorize",
    "login",
    "token",
    "devicecode",
    "logout",
    "checksession",
    "userinfo",
    "graph",
)
"""Endpoint names a fault can be limited to; a Graph path may follow as `graph:/v1.0/me`."""


_DEFAULT_ENDPOINTS = {
    "wrong_issuer": "discovery",
    "key_removed": "keys",
    "key_rotated": "token",
    "rotate_after_signing": "token",
    "graph_error": "graph",
}


def make_faults(
    name: str,
    *,
    endpoint: str | None,
    times: int | None,
    for_seconds: float | None,
    parameters: dict[str, Any],
) -> list[Fault]:
    """The faults that a name stands for: one, or several for a conformance module.

    Raises:
        UnknownFault: no such fault, no such endpoint, or the live service has no such feature.
    """
    base = (endpoint or "").split(":", 1)[0]
    if base not in ("", "*", *ENDPOINTS):
        raise UnknownFault(f"no endpoint is called {endpoint!r}; there are {', '.join(ENDPOINTS)}")
    until = None if for_seconds is None else time.monotonic() + for_seconds
    if for_seconds is not None and times == 1:
        times = None
    if name in WIRE_FAULTS or name in MEANING_FAULTS:
        if name == "tamper":
            parameters = {"target": "id_token", **parameters}
        where = endpoint if endpoint is not None else _DEFAULT_ENDPOINTS.get(name, "")
        return [Fault(name=name, endpoint=where, times=times, until=until, parameters=parameters)]
    return [
        Fault(
            name=part_name,
            endpoint=endpoint if endpoint is not None else part_endpoint,
            times=times,
            until=until,
            parameters={**part_parameters, **parameters},
            origin=name,
        )
        for part_name, part_endpoint, part_parameters in parts_of(name)
    ]
