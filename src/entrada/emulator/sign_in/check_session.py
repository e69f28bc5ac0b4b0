"""The frame that an application asks whether its session still lasts, as version 1 metadata names it.

An application loads the frame and posts it `client_id session_state`; the frame answers `unchanged`,
`changed` or `error`.  It asks its own server, because the session's cookie is hidden from scripts, and tells
only origins that the application registered.
Source: OpenID Connect Session Management 1.0, 3.
"""

from __future__ import annotations

from ..protocol.http import Request, Response
from ..protocol.redirect_uris import is_origin_of
from ..state.world import World
from .pages import ASSETS


def check_session(world: World, request: Request, _segment: str) -> Response:
    """The frame itself, or its question about one `session_state`."""
    if "session_state" in request.query:
        return Response(body=_state(world, request).encode(), headers=[("cache-control", "no-store")])
    return Response(
        body=(
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Session</title>'
            f'<script src="{ASSETS}/checksession.js"></script></head><body></body></html>\n'
        ).encode(),
        content_type="text/html; charset=utf-8",
        headers=[
            ("content-security-policy", "default-src 'none'; script-src 'self'; connect-src 'self'"),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
        ],
    )


def _state(world: World, request: Request) -> str:
    client = world.directory.apps.get(request.query.get("client_id").lower())
    if client is None or not is_origin_of(client, request.query.get("origin")):
        return "error"
    browser = world.sessions.find(request.cookie(world.cookie_name))
    for account in browser.accounts.values() if browser else ():
        person = world.directory.people.get(account.object_id)
        if account.sid == request.query.get("session_state"):
            return "unchanged" if person and account.auth_time >= person.sessions_valid_from else "changed"
    return "changed"
