"""Who is signed in: as JSON for scripts, as a page for people, who can end their other sessions there."""

from __future__ import annotations

from datetime import datetime

from entrada.accounts.principal import UserPrincipal
from entrada.audit.acts import Cause, person
from entrada.errors import PageNotFound
from entrada.sessions.session import Session, SessionId
from entrada.sessions.store import sessions_of
from entrada.web.admin.access import require_form
from entrada.web.admin.menu import menu_of
from entrada.web.admin.people import SESSION_COLUMNS, live_sessions, session_row
from entrada.web.auth import Auth
from entrada.web.devices import device_in_words
from entrada.web.messages import WebRequest, WebResponse, json_response, redirect
from entrada.web.pages.moments import shown_time
from entrada.web.pages.values import Action, Block, Fact, MenuItem, Notice, Row, Table
from entrada.web.refusals import page_response


def me(auth: Auth, request: WebRequest) -> WebResponse:
    session = auth.session_of(request)
    if session is None:
        return json_response(401, {"error": "login_required", "login_path": auth.site.login_path})
    principal, party = session.principal, auth.relying_party
    idle_expires_at = session.idle_expires_at(party.session_check.policy, now=party.clock.now())
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
                "idle_expires_at": idle_expires_at.isoformat(),
                "absolute_expires_at": session.absolute_expires_at.isoformat(),
            },
        },
    )


def account(auth: Auth, request: WebRequest) -> WebResponse:
    """Who is signed in, what they may do, and where else they are signed in."""
    checked = auth.session_of(request)
    if checked is None:
        return auth.challenge(request)
    principal, token = checked.principal, auth.form_token(request)
    live = live_sessions(auth, principal.user_id, now=auth.relying_party.clock.now())
    own = sorted(live, key=lambda one: one.id != checked.session_id)
    others = len(own) > 1
    page = auth.pages.desk(
        "Your account",
        menu=_menu(auth, principal),
        notice=Notice(text="Ended. They are signed out there within a second.")
        if request.first("done") == "ended"
        else None,
        blocks=[
            Block(heading="You are signed in", anchor="you", facts=_facts(auth, principal)),
            Block(
                heading="Where you are signed in",
                anchor="sessions",
                paragraphs=["If you do not know one of these, end it, and tell your administrator."]
                if others
                else [],
                table=Table(
                    caption="Your sessions",
                    columns=SESSION_COLUMNS,
                    rows=[_row(auth, one, checked.session_id, token) for one in own],
                    empty="Nowhere.",
                ),
                actions=[
                    Action(
                        label="End all others",
                        path=auth.site.account_path,
                        csrf_token=token,
                        fields=[("end", "others")],
                    )
                ]
                if others
                else [],
            ),
        ],
        actions=[
            Action(label="Go to the application", path=auth.site.front_page, first=True),
            Action(label="Sign out", path=auth.site.logout_path, csrf_token=token),
        ],
        form_action_hosts=auth.form_action_hosts(),
    )
    return page_response(page)


def _menu(auth: Auth, principal: UserPrincipal) -> list[MenuItem]:
    if not principal.has_any_role(*auth.admin_roles):
        return []
    return menu_of(auth, None)


def _roles(auth: Auth, principal: UserPrincipal) -> str:
    """The roles, and until when those are held that end."""
    user = auth.relying_party.accounts.get(principal.user_id)
    ends: dict[str, datetime] = {}
    for grant in () if user is None else user.grants:
        if grant.until is not None:
            ends[grant.role] = grant.until
    lasting = {grant.role for grant in (() if user is None else user.grants) if grant.until is None}
    return ", ".join(
        f"{role} (until {shown_time(ends[role])})" if role in ends and role not in lasting else role
        for role in sorted(principal.roles)
    )


def _facts(auth: Auth, principal: UserPrincipal) -> list[Fact]:
    return [
        Fact(label="Name", text=principal.name),
        Fact(label="E-mail", text=principal.email or "None"),
        Fact(label="Roles", text=_roles(auth, principal) or "None"),
        Fact(label="Tenant", text=principal.tenant_id, exact=True),
        Fact(label="Object id", text=principal.object_id, exact=True),
    ]


def _row(auth: Auth, session: Session, this: SessionId, token: str) -> Row:
    device = device_in_words(session.opened_by)
    end = Action(
        label="End",
        about=f"the session on {device}",
        path=auth.site.account_path,
        csrf_token=token,
        fields=[("end", session.id)],
    )
    is_own = session.id == this
    return session_row(session, is_own=is_own, actions=[] if is_own else [end])


def end_sessions(auth: Auth, request: WebRequest) -> WebResponse:
    """Ends other sessions of the same person: one, or all but this.

    Raises:
        RequestRefused: another site's form, one without its token, or a session of somebody else's.
    """
    checked = auth.session_of(request)
    if checked is None:
        return auth.challenge(request)
    require_form(auth, request)
    wanted = dict(request.form_pairs()).get("end", "")
    sessions, user_id = auth.relying_party.sessions, checked.principal.user_id
    others = [one.id for one in sessions_of(sessions, user_id) if one.id != checked.session_id]
    ending = others if wanted == "others" else [one for one in others if one == wanted]
    if not ending and wanted != "others":
        raise PageNotFound(
            "There is no such session of yours.", hint="It may have ended by itself meanwhile."
        )
    cause = Cause(actor=person(user_id), at=auth.relying_party.clock.now(), reason="ended on their own page")
    for session_id in ending:
        sessions.end(session_id, cause=cause)
    auth.relying_party.session_check.distrust()
    return redirect(f"{auth.site.account_path}?done=ended")
