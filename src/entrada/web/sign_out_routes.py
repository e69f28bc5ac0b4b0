"""Signing out over HTTP: asked for by a person, or by Entra's front channel."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from entrada.events import Event, record
from entrada.web.auth import Auth
from entrada.web.front_channel import end_named_session, entra_origins
from entrada.web.messages import WebRequest, WebResponse, redirect
from entrada.web.refusals import page_response
from entrada.web.same_origin import require_same_origin
from entrada.web.session_cookie import SESSION_COOKIE


def confirm_sign_out(auth: Auth, request: WebRequest) -> WebResponse:
    session = auth.session_of(request)
    if session is None:
        return redirect(auth.site.signed_out_path)
    page = auth.pages.confirm_sign_out(
        logout_path=auth.site.logout_path,
        csrf_token=auth.form_token(request),
        name=session.principal.name,
        next_path=auth.site.front_page,
        form_action_hosts=auth.form_action_hosts(),
    )
    return page_response(page)


def sign_out(auth: Auth, request: WebRequest) -> WebResponse:
    values = auth.cookie.values(request)
    require_same_origin(
        request, origins=auth.site.urls, form_token=auth.form_token(request) if values else None
    )
    return end_here_and_at_entra(auth, request, everywhere=("everywhere", "1") in request.form_pairs())


def end_here_and_at_entra(
    auth: Auth, request: WebRequest, *, everywhere: bool = False, state: str | None = None
) -> WebResponse:
    """Ends what this browser's cookies open. Whose wish that is, the caller has made sure of.

    `state` comes back from Entra with the person, to the signed-out page.
    """
    values = auth.cookie.values(request)
    rules, walk = auth.site.cookie_rules(request), auth.relying_party.sign_out
    # Of several cookies of that name each session ends that one of them proves.
    ended = [session for value in values if (session := walk.end(value, everywhere=everywhere))]
    for session in ended:
        record(Event.SIGNED_OUT, user_id=session.user_id, session_id=session.id)
    back = auth.site.url_of(request) + auth.site.signed_out_path
    entra_url = walk.entra_url(ended[0].logout_hint, post_logout_redirect_uri=back) if ended else None
    leads_to = entra_url or auth.site.signed_out_path
    if state is not None:
        leads_to += f"{'&' if '?' in leads_to else '?'}{urlencode({'state': state})}"
    return redirect(leads_to, cookies=[rules.delete(SESSION_COOKIE)])


def signed_out(auth: Auth, request: WebRequest) -> WebResponse:
    del request  # whatever Entra sends along, nothing hangs on it
    return page_response(auth.pages.signed_out(login_path=auth.site.login_path))


def front_channel(
    auth: Auth, request: WebRequest, *, end_elsewhere: Callable[[str], int] = lambda _: 0
) -> WebResponse:
    """`end_elsewhere` ends what stands on Entra's session beside the sessions here; how much that was."""
    budget, now = auth.budgets.front_channel, auth.relying_party.clock.monotonic()

    def end(entra_session_id: str) -> int:
        return end_elsewhere(entra_session_id) + auth.relying_party.sign_out.end_by_entra(entra_session_id)

    end_named_session(request, end, budget=budget, now=now)
    application = auth.relying_party.sign_in.application
    return page_response(auth.pages.front_channel_done(framed_by=entra_origins(application)))
