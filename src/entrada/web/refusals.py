"""A refusal as a response: its status code, its page or JSON, and its one line in the log.

The only place that knows errors of the walks and status codes.
Page, JSON and log carry the same number, called the incident.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from entrada.accounts.principal import UserPrincipal
from entrada.audit import acts
from entrada.clock import Clock
from entrada.errors import (
    AddressTooLong,
    AdmissionRefused,
    AmbiguousRequest,
    ApiTokenError,
    ApiTokenRefused,
    BearerError,
    BearerRequestRefused,
    ClosedToEverybody,
    ConfigurationError,
    EntradaError,
    EntraRefused,
    EntraUnavailable,
    ForwardAuthRefused,
    InsufficientScope,
    InteractionRequired,
    PageNotFound,
    RequestRefused,
    ResponseRefused,
    SignInError,
    TokenRefused,
    TooManyAttempts,
    TooManyRequests,
    Unavailable,
    UpstreamUnavailable,
)
from entrada.events import Event, record
from entrada.flows.identification import Identified
from entrada.web.messages import SAFE_HEADERS, WebRequest, WebResponse, json_response
from entrada.web.pages import Pages
from entrada.web.pages.values import Action, Fact, Page
from entrada.web.site import Site

_ABOUT_THE_PAGE = (
    AmbiguousRequest,
    ApiTokenRefused,
    ClosedToEverybody,
    ForwardAuthRefused,
    PageNotFound,
    UpstreamUnavailable,
)
"""What signing in, or as somebody else, does not change."""

_TELL_BY_SENTENCE = (ResponseRefused, ForwardAuthRefused)
"""Whose sentence is what the log needs, and holds nothing that a visitor wrote but names."""

_BY_OAUTH_ERROR = {"access_denied": 403, "temporarily_unavailable": 503, "server_error": 502}


def status_of(error: EntradaError) -> int:
    """The HTTP status for an error; 500 is none of them."""
    match error:
        case TooManyAttempts() | TooManyRequests():
            return 429
        case EntraRefused():
            return _BY_OAUTH_ERROR.get(error.error, 400)
        case AdmissionRefused():
            return 403
        case SignInError():
            return 400
        case PageNotFound():
            return 404
        case AddressTooLong():
            return 414
        case InsufficientScope():
            return 403
        case InteractionRequired(is_repeated=False):
            return 401
        case ApiTokenError():
            return 403
        case BearerRequestRefused() | AmbiguousRequest():
            return 400
        case BearerError():
            return 401
        case RequestRefused():
            return 403
        case UpstreamUnavailable():
            return 504 if error.timed_out else 502
        case EntraUnavailable(answered=True):
            return 502
        case Unavailable() | ConfigurationError():
            return 503
        case _:
            return 400


@dataclass(frozen=True, kw_only=True)
class Person:
    """Who was refused, as far as it is verified: for the page, and by their ids for the log."""

    name: str
    account: str | None
    tenant_id: str
    object_id: str | None
    roles: Sequence[str] | None
    """None: nobody has looked which they have."""
    user_id: str | None = None
    """Their account, where they are signed in to it."""


def person_of(found: Identified | UserPrincipal) -> Person:
    """The person of a sign-in, with the roles that it brought, or the one who is signed in."""
    if isinstance(found, UserPrincipal):
        return Person(
            name=found.name,
            account=found.username or found.email,
            tenant_id=found.identity.tenant_id,
            object_id=found.identity.object_id,
            roles=sorted(found.roles),
            user_id=found.user_id,
        )
    newcomer = found.newcomer
    return Person(
        name=newcomer.profile.name,
        account=newcomer.profile.username or newcomer.profile.email,
        tenant_id=newcomer.identity.tenant_id,
        object_id=newcomer.identity.object_id,
        roles=sorted({grant.role for grant in newcomer.grants} | found.id_token.roles),
    )


def person_in(error: EntradaError) -> Person | None:
    """Whom the error itself names; see `AdmissionRefused`."""
    refused = error.refused if isinstance(error, AdmissionRefused) else None
    if refused is None:
        return None
    return Person(
        name=refused.name,
        account=refused.account,
        tenant_id=refused.tenant_id,
        object_id=refused.object_id,
        roles=refused.roles or None,
    )


def record_refusal(error: EntradaError, event: Event, *, status: int, person: Person | None = None) -> str:
    """One line in the log about a refusal, with its evidence; the incident number it bears."""
    incident, person = secrets.token_hex(8), person or person_in(error)
    if isinstance(error, TooManyRequests) and not error.is_news:
        return incident  # whoever asks too often shall not fill the log as well
    record(
        event,
        incident=incident,
        code=error.code,
        status=status,
        check=getattr(error, "check", None),
        error=getattr(error, "error", None),
        aadsts=getattr(error, "aadsts", None),
        reason=error.sentence if isinstance(error, _TELL_BY_SENTENCE) else getattr(error, "reason", None),
        tenant_id=None if person is None else person.tenant_id,
        object_id=None if person is None else person.object_id,
        roles=None if person is None or person.roles is None else ",".join(person.roles),
        entra_correlation_id=error.correlation_id,
    )
    return incident


def act_of_refusal(
    error: EntradaError, event: Event, *, status: int, person: Person | None, incident: str, now: datetime
) -> acts.Act | None:
    """What the audit trail says of a refusal; None: nothing.

    Entered are refusals of a person, and sign-ins that Entra answered and that came to nothing. A response to
    no sign-in of this browser, which a stranger can send at will, is none.
    """
    person = person or person_in(error)
    is_news = person is not None or isinstance(error, (EntraRefused, TokenRefused))
    if not is_news or not isinstance(error, (SignInError, ClosedToEverybody, BearerError)):
        return None
    subject = acts.NOBODY
    if person is not None:
        is_known = person.user_id is not None
        subject = acts.Subject(
            tenant_id=person.tenant_id,
            object_id=person.object_id,
            name=None if is_known else person.name,
            account=None if is_known else person.account,
        )
    return acts.Act(
        action=acts.Action(event.value),
        cause=acts.Cause(actor=acts.ENTRADA, at=now),
        user_id=None if person is None else person.user_id,
        subject=subject,
        details={
            "incident": incident,
            "code": error.code,
            "status": status,
            "check": getattr(error, "check", None),
            "error": getattr(error, "error", None),
            "aadsts": getattr(error, "aadsts", None),
            "roles": None if person is None or person.roles is None else ",".join(person.roles),
            "entra_correlation_id": error.correlation_id,
        },
    )


@dataclass(frozen=True, kw_only=True)
class RefusalPages:
    """Makes the response to a refusal, for the pages of one application."""

    site: Site
    pages: Pages
    clock: Clock
    enter: Callable[[acts.Act], None] = lambda _: None
    """Has it entered into the audit trail; waits for nothing and never fails."""

    def record(self, error: EntradaError, event: Event, *, status: int, person: Person | None = None) -> str:
        """In the log and in the audit trail; the incident number that it bears in both."""
        incident = record_refusal(error, event, status=status, person=person)
        act = act_of_refusal(
            error, event, status=status, person=person, incident=incident, now=self.clock.now()
        )
        if act is not None:
            self.enter(act)
        return incident

    def response(
        self,
        error: EntradaError,
        request: WebRequest,
        *,
        next_path: str | None = None,
        person: Person | None = None,
        is_signed_in: bool = False,
        may_retry: bool = True,
    ) -> WebResponse:
        """The page, or for a script the JSON, of a refusal; logged once.

        `next_path` is where the person was going, and where trying again shall lead. `person` is the one that
        was refused; `is_signed_in` says whether somebody has a session here.
        """
        status, person = status_of(error), person or person_in(error)
        is_sign_in = request.path == self.site.start_path or request.path in self.site.callback_routes
        event = Event.SIGN_IN_REFUSED if is_sign_in else Event.REQUEST_REFUSED
        incident = self.record(error, event, status=status, person=person)
        retry_after = getattr(error, "retry_after_seconds", None)
        headers = [] if retry_after is None else [("retry-after", str(retry_after))]
        if not (request.wants_page or request.path in self.site.callback_routes):
            sentence, hint = error.told(self.pages.names)
            return json_response(
                status, {"error": error.code, "message": sentence, "hint": hint, "incident": incident}
            ).with_headers(*headers)
        is_over = is_signed_in and isinstance(error, ResponseRefused)
        page = self.pages.failure(
            error,
            heading="You are signed in already" if is_over else None,
            actions=self._actions(error, next_path, is_signed_in=is_signed_in, may_retry=may_retry),
            person=() if person is None else _facts_about(person),
            incident=incident,
            when=self.clock.now(),
        )
        return page_response(page, status=status).with_headers(*headers)

    def _actions(
        self, error: EntradaError, next_path: str | None, *, is_signed_in: bool, may_retry: bool
    ) -> list[Action]:
        """The ways on: again, with another account, home, and out. A way that cannot help is left out."""
        site = self.site
        actions = []
        match error:
            case TooManyAttempts():
                pass
            case UpstreamUnavailable() if next_path is not None:
                actions.append(Action(label="Try again", path=next_path, first=True))
            case _ if isinstance(error, _ABOUT_THE_PAGE):
                pass
            case AddressTooLong():
                actions.append(Action(label="Sign in", path=site.start_path, first=True))
            case AdmissionRefused():
                start = site.start_at(next_path, prompt="select_account")
                actions.append(Action(label="Use another account", path=start))
            case ResponseRefused() if is_signed_in:
                pass  # nothing to start again: the person is in
            case _ if may_retry:
                actions.append(Action(label="Try again", path=site.start_at(next_path), first=True))
        if is_signed_in:
            first = not actions
            actions.append(Action(label="Go to the application", path=site.front_page, first=first))
            actions.append(Action(label="Sign out", path=site.logout_path, quiet=True))
        elif isinstance(error, _ABOUT_THE_PAGE):
            first = not actions
            actions.append(Action(label="Go to the front page", path=site.front_page, first=first))
        elif site.offers_login:
            actions.append(Action(label="Go to the sign-in page", path=site.login_path, quiet=True))
        return actions


def page_response(page: Page, *, status: int = 200, cookies: Sequence[str] = ()) -> WebResponse:
    return WebResponse(
        status=status,
        headers=[
            ("content-type", "text/html; charset=utf-8"),
            ("content-security-policy", page.content_security_policy),
            *SAFE_HEADERS,
        ],
        body=page.html,
    ).with_cookies(cookies)


def _facts_about(person: Person) -> list[Fact]:
    account = "" if person.account is None else f" ({person.account})"
    facts = [Fact(label="Signed in as", text=f"{person.name}{account}")]
    if person.roles is not None:
        facts.append(Fact(label="Roles", text=", ".join(person.roles) or "None"))
    return facts
