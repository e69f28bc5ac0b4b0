"""Signing out over HTTP: asked for by a person, or by Entra's front channel."""

from __future__ import annotations

from entrada.errors import RequestRefused
from entrada.events import Event, record
from entrada.web.auth import SESSION_COOKIE, Auth, page_response
from entrada.web.messages import WebRequest, WebResponse, redirect
from entrada.web.same_origin import require_same_origin


def confirm_sign_out(auth: Auth, request: WebRequest) -> WebResponse:
    session = auth.session_of(request)
    if session is None:
        return redirect(auth.site.signed_out_path)
    page = auth.pages.confirm_sign_out(
        logout_path=auth.site.logout_path,
        csrf_token=auth.form_token(request),
        name=session.principal.name,
        form_action_hosts=auth.form_action_hosts(),
    )
    return page_response(page)


def sign_out(auth: Auth, request: WebRequest) -> WebResponse:
    cookie = auth.session_cookie(request)
    require_same_origin(
        request, origins=auth.site.urls, form_token=None if cookie is None else auth.form_token(request)
    )
    rules, sign_out = auth.site.cookie_rules(request), auth.relying_party.sign_out
    everywhere = ("everywhere", "1") in request.form_pairs()
    session = None if cookie is None else sign_out.end(cookie, everywhere=everywhere)
    if session is not None:
        record(Event.SIGNED_OUT, user_id=session.user_id, session_id=session.id)
    back = auth.site.url_of(request) + auth.site.signed_out_path
    entra_url = sign_out.entra_url(session, post_logout_redirect_uri=back) if session else None
    return redirect(entra_url or auth.site.signed_out_path, cookies=[rules.delete(SESSION_COOKIE)])


def signed_out(auth: Auth, request: WebRequest) -> WebResponse:
    del request  # whatever Entra sends along, nothing hangs on it
    return page_response(auth.pages.signed_out(login_path=auth.site.login_path))


def front_channel(auth: Auth, request: WebRequest) -> WebResponse:
    """Always 200 and never a cookie: a frame cannot act on an answer, and nobody learns what a sid is."""
    try:
        session_ids = [value for name, value in request.query_pairs() if name == "sid"]
    except RequestRefused:
        session_ids = []  # more parameters than Entra ever sends
    if len(session_ids) == 1:
        count = auth.relying_party.sign_out.end_by_entra(session_ids[0])
        record(Event.ENTRA_ENDED_SESSIONS, count=count)
    return page_response(
        auth.pages.front_channel_done(framed_by=[auth.login_url(), *auth.form_action_hosts()])
    )
