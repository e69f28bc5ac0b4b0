"""Entra's front channel: a frame of Entra's names a session by `sid`, and that session ends.

Always 200 and never a cookie: a frame cannot act on a response, and nobody learns what a sid is.

Source: OpenID Connect Front-Channel Logout 1.0; Microsoft, "Single sign-out".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from entrada.entra.application import EntraApplication
from entrada.entra.claims import is_session_id_of_entra
from entrada.errors import EntradaError, RequestRefused
from entrada.events import Event, record
from entrada.web.budgets import FailureBudget
from entrada.web.messages import WebRequest


def end_named_session(
    request: WebRequest, end: Callable[[str], int], *, budget: FailureBudget, now: float
) -> int:
    """Hand the one `sid` of this request to `end`; how many sessions that were. None is a failure.

    Raises:
        StoreUnavailable: from `end`.
        TooManyRequests: too many from there have named no session.
    """
    budget.take(request.peer, now=now)
    count = _end(request, end)
    if count:
        budget.give_back(request.peer, now=now)
        record(Event.ENTRA_ENDED_SESSIONS, count=count)
    return count


def _end(request: WebRequest, end: Callable[[str], int]) -> int:
    try:
        session_ids = [value for name, value in request.query_pairs() if name == "sid"]
    except RequestRefused:
        return 0  # more parameters than Entra ever sends
    if len(session_ids) != 1 or not is_session_id_of_entra(session_ids[0]):
        return 0
    return end(session_ids[0])


def entra_origins(application: EntraApplication) -> Sequence[str]:
    """Who may show the response in a frame: the login host, and where its sign-out is."""
    origins = [application.authority.login_url]
    try:
        end_session = urlsplit(application.metadata().end_session_endpoint or "")
    except EntradaError:
        return origins
    if end_session.netloc:
        origins.append(f"{end_session.scheme}://{end_session.netloc}")
    return origins
