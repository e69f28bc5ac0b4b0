"""A broker's back channel: it names a session by a signed logout token, and that session ends.

Source: OpenID Connect Back-Channel Logout 1.0, sections 2.5 to 2.8.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from entrada.entra.application import EntraApplication
from entrada.entra.jws import read_kid
from entrada.entra.logout_token import RawLogoutToken, verify_logout_token
from entrada.errors import TokenRefused
from entrada.events import Event, record
from entrada.web.messages import SAFE_HEADERS, WebRequest, WebResponse, json_response


def backchannel_logout(
    request: WebRequest, *, application: EntraApplication, end: Callable[[str], int], now: datetime
) -> WebResponse:
    """200 when the session is over, 400 for anything that is not the broker's word for this application.

    `end` ends the sessions of one `sid` and says how many there were.

    Raises:
        Unavailable: the broker's keys were never read, or the database did not answer; it tries again.
    """
    tokens = [value for name, value in request.form_pairs() if name == "logout_token"]
    if len(tokens) != 1:
        return _refused("logout_token is missing or doubled")
    try:
        token = verify_logout_token(
            RawLogoutToken(tokens[0]),
            keys=application.keys_for(read_kid(tokens[0])),
            issuer=application.metadata().issuer_template,
            client_id=application.client_id,
            now=now,
        )
    except TokenRefused as refused:
        record(Event.REQUEST_REFUSED, code="logout_token_refused", check=refused.check, status=400)
        return _refused(f"the check {refused.check} failed")
    if token.session_id is None:
        return _refused("a logout token must name a session (sid)")
    count = end(token.session_id)
    if count:
        record(Event.ENTRA_ENDED_SESSIONS, count=count)
    return WebResponse(status=200, headers=SAFE_HEADERS)


def _refused(description: str) -> WebResponse:
    return json_response(400, {"error": "invalid_request", "error_description": description})
