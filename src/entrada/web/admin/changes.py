"""What the forms on an account do.

    GET  /auth/admin/person?id=         the account; with &sure= what an act would mean, and its button
    POST /auth/admin/person             id, do, and what the act is about

Each ends with a redirect to the account, so that loading it again repeats nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from entrada.accounts.identity import User
from entrada.errors import PageNotFound
from entrada.sessions.session import SessionId
from entrada.web.admin.access import Administrator, person_named
from entrada.web.admin.people import person_page, person_path
from entrada.web.auth import Auth
from entrada.web.messages import WebRequest, WebResponse, redirect
from entrada.web.pages.values import Notice

Act = Callable[[Auth, Administrator, User, Mapping[str, str]], WebResponse]

_DONE = {"ended": "Ended. Servers follow within a second."}


def person(auth: Auth, request: WebRequest, who: Administrator) -> WebResponse:
    user = person_named(auth, who, request.first("id"))
    done = _DONE.get(request.first("done") or "")
    return person_page(auth, request, who, user, notice=None if done is None else Notice(text=done))


def change(auth: Auth, request: WebRequest, who: Administrator) -> WebResponse:
    """Carries out what one of the forms asks for.

    Raises:
        PageNotFound: no such account or session, or an act that is none.
    """
    form = dict(request.form_pairs())
    user = person_named(auth, who, form.get("id"))
    act = _ACTS.get(form.get("do", ""))
    if act is None:
        raise PageNotFound("Nothing was asked for.", hint="Open the account and use one of its buttons.")
    return act(auth, who, user, form)


def _end(auth: Auth, who: Administrator, user: User, form: Mapping[str, str]) -> WebResponse:
    sessions = auth.relying_party.sessions
    found = sessions.find(SessionId(form.get("session", "")))
    if found is None or found.user_id != user.id:
        raise PageNotFound("There is no such session.", hint="It may have ended by itself meanwhile.")
    sessions.end(found.id, cause=who.cause)
    auth.relying_party.session_check.distrust()
    return redirect(person_path(auth, user.id, done="ended"))


def _end_all(auth: Auth, who: Administrator, user: User, _: Mapping[str, str]) -> WebResponse:
    auth.relying_party.sessions.end_of_user(user.id, cause=who.cause)
    auth.relying_party.session_check.distrust()
    return redirect(person_path(auth, user.id, done="ended"))


_ACTS: Mapping[str, Act] = {"end": _end, "end-all": _end_all}
