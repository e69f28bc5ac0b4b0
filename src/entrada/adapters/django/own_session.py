"""Django's own session goes with the person, as `django.contrib.auth.login` and `logout` have it.

    somebody signs in where nobody was      what is in it stays, under another key
    somebody else signs in                  it is emptied
    somebody signs out                      it is emptied

Else whoever came next in a browser would find the basket, the messages and the unsent forms of who was there
before.

Source: Django, "Using the Django authentication system", "How to log a user in" and "How to log a user out".
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from entrada.accounts.identity import UserId
from entrada.errors import EntradaError
from entrada.sessions.token import parse_session_token
from entrada.web.auth_routes import AuthRoutes
from entrada.web.messages import WebRequest, WebResponse
from entrada.web.session_cookie import SESSION_COOKIE

_WHOSE = "_entrada_user_id"


def keep_own_session_apart(
    request: HttpRequest, auth: AuthRoutes, asked: WebRequest, response: WebResponse
) -> None:
    """For a response of our own addresses; nothing where the project has no sessions."""
    session: Any = getattr(request, "session", None)
    value = None if session is None else _session_given(auth, asked, response)
    if value is None:
        return
    user_id = _person_of(auth, value)
    if user_id is None:
        session.flush()
        return
    known = session.get(_WHOSE)
    if known == user_id:
        return
    if known is not None:
        session.flush()
    elif not session.is_empty():
        session.cycle_key()
    session[_WHOSE] = user_id


def _session_given(auth: AuthRoutes, asked: WebRequest, response: WebResponse) -> str | None:
    """The session cookie that the browser gets; empty: it is taken away; None: it stays as it is."""
    own = auth.site.cookie_rules(asked).name(SESSION_COOKIE) + "="
    lines = [value for name, value in response.headers if name == "set-cookie" and value.startswith(own)]
    return lines[-1].removeprefix(own).partition(";")[0] if lines else None


def _person_of(auth: AuthRoutes, cookie_value: str) -> UserId | None:
    """By the store: a session that was just opened is not remembered in this process for being looked at."""
    token, party = parse_session_token(cookie_value), auth.relying_party
    try:
        good = token and party.session_check.find_good(token.id, now=party.clock.now())
    except EntradaError:
        return None  # nobody can say
    return good[0].user_id if good else None
