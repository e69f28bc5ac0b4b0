"""The page with the button; the walk itself is `WebSignIn`."""

from __future__ import annotations

from entrada.web.auth import Auth
from entrada.web.interaction import FOR
from entrada.web.messages import WebRequest, WebResponse, redirect
from entrada.web.refusals import page_response
from entrada.web.session_cookie import SESSION_COOKIE


def login(auth: Auth, request: WebRequest) -> WebResponse:
    elsewhere = auth.site.sent_home(request)
    if elsewhere is not None:
        return elsewhere
    rules = auth.site.cookie_rules(request)
    next_path = auth.site.next_path(request.first("next"))
    if auth.session_of(request) is not None:
        return redirect(next_path)
    page = auth.pages.login(
        start_path=auth.site.start_at(next_path),
        label=auth.sign_in_label,
        insecure_http=not rules.secure,
        front_page=auth.site.front_page,
    )
    cookies = auth.pending.forget_refusals(request, rules)
    if request.cookies_named(rules.name(SESSION_COOKIE)):
        cookies.append(rules.delete(SESSION_COOKIE))
    return page_response(page, cookies=cookies)


def signed_in(auth: Auth, request: WebRequest) -> WebResponse:
    """Where a sign-in in a tab of its own ends: the work goes on in another one."""
    session = auth.session_of(request)
    if session is None:
        return redirect(auth.site.login_at(auth.site.signed_in_path))
    return page_response(
        auth.pages.signed_in_here(name=session.principal.name, front_page=auth.site.front_page)
    )


def start(auth: Auth, request: WebRequest) -> WebResponse:
    sealed = request.first(FOR)
    return auth.sign_in.start(request, None if sealed is None else auth.interactions.asked_for(sealed))


def callback(auth: Auth, request: WebRequest) -> WebResponse:
    return auth.sign_in.callback(request)
