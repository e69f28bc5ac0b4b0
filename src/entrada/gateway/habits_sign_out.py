"""Signing out by a link, as people of oauth2-proxy and Easy Auth have it, and not by another site's (E7).

A link signs out only when the browser itself says that a person followed it here: a top-level visit from
this very origin or from no page at all (ADR 32). Every other GET that wants a page gets the page with the
button, and what wants no page (an image, a frame, a script, a prefetch) changes nothing. The button posts
back, with the evidence that every sign-out asks for (ADR 7).

Where the person wanted to go travels to Entra and back in `state`, sealed: what was not sealed here, or is
no page of this application any more, leads nowhere (E13).
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from entrada.errors import RequestRefused
from entrada.web import sign_out_routes
from entrada.web.auth import Auth
from entrada.web.messages import WebRequest, WebResponse, not_early, redirect
from entrada.web.refusals import page_response
from entrada.web.same_origin import require_same_origin

_SEALED_FOR = "after signing out"


def sign_out(
    auth: Auth, request: WebRequest, *, parameter: str, way_back: Callable[[Auth, WebRequest], str | None]
) -> WebResponse:
    """`way_back` reads, from `parameter` above all, where the person wants to be afterwards.

    Raises:
        RequestRefused: nobody who may has asked for it.
    """
    if request.is_early:
        return not_early()
    next_path = way_back(auth, request)
    state = None if next_path is None else _seal(auth, next_path)
    if request.method == "POST":
        form_token = auth.form_token(request) if auth.cookie.values(request) else None
        require_same_origin(request, origins=auth.site.urls, form_token=form_token)
        return sign_out_routes.end_here_and_at_entra(auth, request, state=state)
    if request.method == "GET" and _is_followed_from_here(request):
        return sign_out_routes.end_here_and_at_entra(auth, request, state=state)
    if not request.wants_page:
        raise RequestRefused(
            "A script, an image or a frame signs nobody out.",
            hint="Let people follow the link, or send a POST from this application.",
        )
    session = auth.session_of(request)
    if session is None:
        return redirect(next_path or auth.site.signed_out_path)
    page = auth.pages.confirm_sign_out(
        logout_path=request.path + ("" if next_path is None else f"?{urlencode({parameter: next_path})}"),
        csrf_token=auth.form_token(request),
        name=session.principal.name,
        next_path=auth.site.front_page,
        form_action_hosts=auth.form_action_hosts(),
    )
    return page_response(page)


def after_sign_out(auth: Auth, request: WebRequest) -> WebResponse:
    """The signed-out page, or on to where the person wanted to be."""
    next_path = _unseal(auth, request.first("state"))
    return sign_out_routes.signed_out(auth, request) if next_path is None else redirect(next_path)


def _is_followed_from_here(request: WebRequest) -> bool:
    """Browsers that do not say (before 2023 some did not) get the page with the button."""
    headers = request.headers
    return (
        headers.get("sec-fetch-site") in ("same-origin", "none")
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )


def _seal(auth: Auth, next_path: str) -> str:
    return auth.pending.sealer.seal(next_path.encode(), context=_SEALED_FOR)


def _unseal(auth: Auth, state: str | None) -> str | None:
    plain = None if state is None else auth.pending.sealer.unseal(state, context=_SEALED_FOR)
    return None if plain is None else auth.site.next_path(plain.decode())
