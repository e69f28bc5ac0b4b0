"""Who is signed in: as JSON for scripts, as a page for people."""

from __future__ import annotations

from entrada.web.auth import Auth
from entrada.web.messages import WebRequest, WebResponse, json_response, redirect
from entrada.web.refusals import page_response


def me(auth: Auth, request: WebRequest) -> WebResponse:
    session = auth.session_of(request)
    if session is None:
        return json_response(401, {"error": "login_required", "login_path": auth.site.login_path})
    principal = session.principal
    return json_response(
        200,
        {
            "account_id": principal.user_id,
            "name": principal.name,
            "email": principal.email,
            "username": principal.username,
            "tenant_id": principal.identity.tenant_id,
            "object_id": principal.identity.object_id,
            "roles": sorted(principal.roles),
            "session": {
                "signed_in_at": session.created_at.isoformat(),
                "idle_expires_at": session.idle_expires_at.isoformat(),
                "absolute_expires_at": session.absolute_expires_at.isoformat(),
            },
        },
    )


def account(auth: Auth, request: WebRequest) -> WebResponse:
    session = auth.session_of(request)
    if session is None:
        return redirect(auth.site.login_path)
    page = auth.pages.signed_in(
        logout_path=auth.site.logout_path,
        csrf_token=auth.form_token(request),
        name=session.principal.name,
        email=session.principal.email,
        roles=sorted(session.principal.roles),
        application_path=auth.site.front_page,
        form_action_hosts=auth.form_action_hosts(),
    )
    return page_response(page)
