"""Who administers, and which of their forms count. Asked at every request, of what is stored now.

An administrator has a session of a browser (never a token) and one of the roles in $[admin_roles], and
answers for the people of their own tenant alone: whoever administers another tenant hands out this
registration's roles there. Somebody with identities of several tenants administers nobody, because it is not
known which of them brought the role.

Everybody else gets the same refusal at every address here, whether what it names is there or not.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from entrada.accounts.administration import AdministrationRules, answers_for, tenant_administered_by
from entrada.accounts.identity import User, UserId
from entrada.audit.acts import Cause
from entrada.audit.acts import person as person_actor
from entrada.entra.authority import TenantId
from entrada.errors import AdministrationRefused, PageNotFound, RequestRefused, RoleRequired
from entrada.events import Event
from entrada.sessions.session import Session
from entrada.web.auth import Auth, Route
from entrada.web.messages import WebRequest, WebResponse
from entrada.web.pages.values import Action
from entrada.web.refusals import page_response, record_refusal
from entrada.web.same_origin import require_same_origin

RECENT = timedelta(minutes=15)
"""How old the sign-in of an administrator may be who changes what somebody may do."""


@dataclass(frozen=True, kw_only=True)
class Administrator:
    """Who administers in this request. `tenant_id` is the tenant that they answer for."""

    user: User
    tenant_id: TenantId
    session: Session
    form_token: str = field(repr=False)
    now: datetime
    admin_roles: frozenset[str]

    @property
    def is_recent(self) -> bool:
        return self.session.is_recent(self.now, within=RECENT)

    @property
    def rules(self) -> AdministrationRules:
        """What no administrator may do."""
        return AdministrationRules(roles=self.admin_roles, by=self.user.id)

    @property
    def cause(self) -> Cause:
        """As the audit trail has what they do."""
        return Cause(actor=person_actor(self.user.id), at=self.now)

    def answers_for(self, person: User) -> bool:
        return answers_for(self.tenant_id, person)


AdminRoute = Callable[[Auth, WebRequest, Administrator], WebResponse]


def for_administrators(respond: AdminRoute) -> Route:
    """The page, for administrators alone; a form counts only with its token and from our own page."""

    def route(auth: Auth, request: WebRequest) -> WebResponse:
        # What ended or changed a moment ago counts already; pages elsewhere may trust memory a little longer.
        auth.relying_party.session_check.look()
        checked = auth.session_of(request)
        if checked is None:
            return auth.challenge(request)
        session = auth.relying_party.sessions.find(checked.session_id)
        user = auth.relying_party.accounts.get(checked.principal.user_id)
        tenant_id = None if user is None else tenant_administered_by(user, auth.admin_roles)
        if session is None or user is None or tenant_id is None:
            return auth.failure(administrators_only(), request, session=checked)
        token = auth.form_token(request)
        if request.method == "POST":
            require_form(auth, request)
        administrator = Administrator(
            user=user,
            tenant_id=tenant_id,
            session=session,
            form_token=token,
            now=auth.relying_party.clock.now(),
            admin_roles=auth.admin_roles,
        )
        try:
            return respond(auth, request, administrator)
        except (AdministrationRefused, PageNotFound) as error:
            return _refused(auth, request, error)

    return route


def _refused(auth: Auth, request: WebRequest, error: RequestRefused) -> WebResponse:
    """A page with the way back to where administrators work; a script gets what it always gets."""
    if not request.wants_page:
        return auth.failure(error, request)
    status = 404 if isinstance(error, PageNotFound) else 409
    record_refusal(error, Event.REQUEST_REFUSED, status=status)
    sentence, hint = error.told(auth.pages.names)
    page = auth.pages.note(
        "It is not there" if status == 404 else "Nothing was changed",
        paragraphs=[sentence, hint],
        actions=[Action(label="Go to the list of people", path=auth.site.admin_path(), first=True)],
    )
    return page_response(page, status=status)


def sign_in_again(auth: Auth, way_back: str, *, paragraph: str, back: Action) -> WebResponse:
    """Asks for a sign-in of this moment; it leads to `way_back`, where the same form waits."""
    page = auth.pages.note(
        "Sign in once more first",
        paragraphs=[f"Your sign-in is a while ago, and this {paragraph} Nothing was changed."],
        actions=[
            Action(label="Sign in again", path=auth.site.start_at(way_back, prompt="login"), first=True),
            back,
        ],
    )
    return page_response(page, status=403)


def require_form(auth: Auth, request: WebRequest) -> None:
    """Passes for a form of this session's that our own page has sent.

    Raises:
        RequestRefused: another site's form, or one without its token.
    """
    token = auth.form_token(request)
    require_same_origin(request, origins=auth.site.urls, form_token=token)
    sent = dict(request.form_pairs()).get("csrf_token", "")
    if not hmac.compare_digest(sent.encode("utf-8", "replace"), token.encode()):
        raise RequestRefused(
            "This form was not sent by this page as it is now, so nothing was changed.",
            hint="Open the page anew and use its own button.",
        )


def person_named(auth: Auth, administrator: Administrator, user_id: str | None) -> User:
    """The person with this id, if they are among those that the administrator answers for.

    Raises:
        PageNotFound: there is nobody, or somebody of another tenant: alike.
    """
    user = auth.relying_party.accounts.get(UserId(user_id or ""))
    if user is None or not administrator.answers_for(user):
        raise PageNotFound(
            "There is no such account.",
            hint="It may have been deleted. The list of people shows who has an account.",
        )
    return user


def administrators_only() -> RoleRequired:
    """For whoever has none of the roles that administer."""
    return RoleRequired(
        "This page is for administrators of the sign-in service.",
        hint="$[admin_roles] names the roles that administer; ask for one in Microsoft Entra ID.",
    )
