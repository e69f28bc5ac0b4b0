"""Signing in over HTTP: the page with the button, the way to Entra, and the way back."""

from __future__ import annotations

from entrada.errors import EntradaError, EntraRefused, ResponseRefused, StateMissing, TooManyAttempts
from entrada.events import Event, record
from entrada.flows.authorization_response import read_authorization_response
from entrada.flows.pending import PendingSignIn
from entrada.flows.sign_in import ANSWERABLE_BY_A_PERSON
from entrada.sessions.token import parse_session_token
from entrada.web.auth import SESSION_COOKIE, Auth, page_response
from entrada.web.messages import WebRequest, WebResponse, redirect
from entrada.web.pending_cookies import MOST_REFUSALS
from entrada.web.redirects import safe_next_path
from entrada.web.site import PREFIX

PROMPTS = frozenset({"login", "select_account", "none"})
_LONGEST_HINT = 320


def login(auth: Auth, request: WebRequest) -> WebResponse:
    rules = auth.site.cookie_rules(request)
    next_path = auth.next_path(request)
    if auth.session_of(request) is not None:
        return redirect(next_path)
    page = auth.pages.login(
        start_path=auth.start_path(next_path),
        label=auth.sign_in_label,
        insecure_http=not rules.secure,
    )
    cookies = auth.pending.forget_refusals(request, rules)
    if any(name == rules.name(SESSION_COOKIE) for name, _ in request.cookies()):
        cookies.append(rules.delete(SESSION_COOKIE))
    return page_response(page, cookies=cookies)


def start(auth: Auth, request: WebRequest) -> WebResponse:
    rules = auth.site.cookie_rules(request)
    refusals = auth.pending.refusals(request, rules)
    if refusals.count >= MOST_REFUSALS:
        raise TooManyAttempts(attempts=refusals.count, reason=refusals.sentence)
    prompt = request.first("prompt")
    return _begin(
        auth,
        request,
        next_path=auth.next_path(request),
        prompt=prompt if prompt in PROMPTS else None,
        login_hint=_hint(request.first("login_hint")),
        domain_hint=_hint(request.first("domain_hint")),
    )


def _begin(
    auth: Auth,
    request: WebRequest,
    *,
    next_path: str,
    prompt: str | None = None,
    login_hint: str | None = None,
    domain_hint: str | None = None,
) -> WebResponse:
    rules = auth.site.cookie_rules(request)
    present = auth.session_of(request)
    pending, entra_url = auth.relying_party.begin_sign_in(
        redirect_uri=auth.site.redirect_uri(request),
        next_path=next_path,
        prompt=prompt,
        login_hint=login_hint,
        domain_hint=domain_hint,
        replaces=None if present is None else present.session_id,
    )
    record(Event.SIGN_IN_BEGUN, redirect_uri=pending.redirect_uri)
    now = auth.relying_party.clock.now()
    return redirect(entra_url, cookies=auth.pending.keep(pending, request, rules, now=now))


def callback(auth: Auth, request: WebRequest) -> WebResponse:
    rules = auth.site.cookie_rules(request)
    if (request.method == "POST") != auth.answers_by_post:
        raise ResponseRefused("This sign-in answer came by another way than the one that was asked for.")
    pairs = request.form_pairs() if auth.answers_by_post else request.query_pairs()
    response = read_authorization_response(pairs)
    pending = auth.pending.find(response.state, request, rules)
    if pending is None:
        raise _nothing_pending(auth, request)
    spent = auth.pending.drop(response.state, rules)
    session_cookie = auth.session_cookie(request)
    try:
        signed_in = auth.relying_party.complete_sign_in(
            response,
            pending,
            replaces=None if session_cookie is None else parse_session_token(session_cookie),
        )
    except EntradaError as error:
        return _refused(auth, error, pending, request, spent)
    record(
        Event.SIGN_IN_COMPLETED,
        user_id=signed_in.user.id,
        tenant_id=signed_in.session.identity.tenant_id,
        object_id=signed_in.session.identity.object_id,
    )
    return redirect(
        safe_next_path(pending.next_path, own_prefix=PREFIX),
        cookies=[
            rules.set(SESSION_COOKIE, signed_in.token.cookie_value, max_age_seconds=None),
            spent,
            *auth.pending.forget_refusals(request, rules),
        ],
    )


def _refused(
    auth: Auth, error: EntradaError, pending: PendingSignIn, request: WebRequest, spent: str
) -> WebResponse:
    """A silent sign-in that needs a person becomes an interactive one, once; the rest is a page."""
    rules = auth.site.cookie_rules(request)
    if isinstance(error, EntraRefused):
        if pending.silent and error.error in ANSWERABLE_BY_A_PERSON:
            again = _begin(auth, request, next_path=pending.next_path)
            return WebResponse(status=again.status, headers=[*again.headers, ("set-cookie", spent)])
        refusals = auth.pending.refusals(request, rules).and_one(
            f"{error.error} {error.aadsts or ''}", error.sentence
        )
        cookies = [spent, auth.pending.keep_refusals(refusals, rules)]
    else:
        cookies = [spent]
    answer = auth.failure(error, request, next_path=pending.next_path)
    return WebResponse(
        status=answer.status,
        headers=[*answer.headers, *(("set-cookie", cookie) for cookie in cookies)],
        body=answer.body,
    )


def _nothing_pending(auth: Auth, request: WebRequest) -> StateMissing:
    """For somebody who is signed in, most likely the Back button: then there is nothing to start again."""
    if auth.session_of(request) is None:
        return StateMissing()
    return StateMissing(
        "You are signed in already; this answer was for a sign-in that is over.",
        hint="Go on to the application. If someone sent you this link, do not use it.",
    )


def _hint(text: str | None) -> str | None:
    """A hint worth passing on: short, printable, one line."""
    return text if text and len(text) <= _LONGEST_HINT and text.isprintable() else None
