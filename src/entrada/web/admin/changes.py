"""What the forms on an account do.

    GET  /auth/admin/person?id=         the account; with &sure= what an act would mean, and its button
    POST /auth/admin/person             id, do, and what the act is about

What changes who may come in, or what they may do, wants a sign-in of the last minutes: without one the person
signs in again and comes back to the same act, where everything that was typed waits for the button.
Each act ends with a redirect to the account, so that loading it again repeats nothing.
The rules of administration are asked by the store: `entrada.accounts.administration`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from entrada.accounts.explanation import BY_ADMINISTRATOR
from entrada.accounts.identity import GrantSource, User
from entrada.accounts.role_end import read_end
from entrada.accounts.roles import LONGEST_ROLE, is_role_name
from entrada.errors import AdministrationRefused, PageNotFound
from entrada.sessions.session import SessionId
from entrada.web.admin.access import Administrator, person_named, sign_in_again
from entrada.web.admin.people import LONGEST_END, person_page, person_path
from entrada.web.auth import Auth
from entrada.web.messages import WebRequest, WebResponse, redirect
from entrada.web.pages.moments import shown_time
from entrada.web.pages.values import Action, Fact, Notice
from entrada.web.refusals import page_response


@dataclass(frozen=True, kw_only=True)
class _Call:
    """One act on one account, as a form asks for it."""

    auth: Auth
    who: Administrator
    user: User
    form: Mapping[str, str]

    @property
    def role(self) -> str:
        """
        Raises:
            AdministrationRefused: no name of a role.
        """
        role = self.form.get("role", "")
        if any(grant.role == role for grant in self.user.grants):
            return role
        role = role.strip()
        if not is_role_name(role):
            raise AdministrationRefused(
                "That is no name of a role.", hint="Write it as $[roles_mapping] has it, on one line."
            )
        return role

    @property
    def end(self) -> str:
        """As it was typed."""
        return self.form.get("until", "").strip()[:LONGEST_END]

    @property
    def until(self) -> datetime | None:
        """
        Raises:
            AdministrationRefused: no moment, or one that has passed.
        """
        return read_end(self.end, now=self.who.now)


@dataclass(frozen=True, kw_only=True)
class _Act:
    """`sure` is the question before it, with the consequence; {name} and {role} stand in it.

    `holds` says whether the account is so now that `done` is true.
    """

    run: Callable[[_Call], object]
    done: str
    holds: Callable[[User | None, str], bool] = lambda _user, _role: True
    sure: tuple[str, str, str] | None = None
    is_harmless: bool = False
    """Nobody gains anything by it: no recent sign-in is asked for."""


def person(auth: Auth, request: WebRequest, who: Administrator) -> WebResponse:
    """The account, or the question before an act.

    Raises:
        PageNotFound: no such account among those that this administrator answers for.
    """
    user = person_named(auth, who, request.first("id"))
    role = (request.first("role") or "").strip()
    sure, done = _ACTS.get(request.first("sure") or ""), _ACTS.get(request.first("done") or "")
    if sure is not None and sure.sure is not None:
        return _question(auth, request, who, user, role[:LONGEST_ROLE])
    notice = Notice(text=done.done) if done is not None and done.holds(user, role) else None
    return person_page(auth, request, who, user, notice=notice)


def change(auth: Auth, request: WebRequest, who: Administrator) -> WebResponse:
    """Carries out what one of the forms asks for.

    Raises:
        PageNotFound: no such account or session, or an act that is none.
        AdministrationRefused: the rules of administration do not allow it.
    """
    form = dict(request.form_pairs())
    user = person_named(auth, who, form.get("id"))
    verb = form.get("do", "")
    act = _ACTS.get(verb)
    if act is None:
        raise PageNotFound("Nothing was asked for.", hint="Open the account and use one of its buttons.")
    call = _Call(auth=auth, who=who, user=user, form=form)
    about = {"role": call.role} if verb in _ABOUT_A_ROLE else {}
    until = call.until if verb == "grant" else None
    if not act.is_harmless and not who.is_recent:
        return sign_in_again(
            auth,
            person_path(auth, user.id, sure=verb, **about, **({} if until is None else {"until": call.end})),
            paragraph="decides who may come in, or what they may do.",
            back=Action(label=f"Back to {user.profile.name}", path=person_path(auth, user.id), quiet=True),
        )
    act.run(call)
    auth.relying_party.session_check.distrust()
    if verb == "delete":
        return redirect(auth.site.admin_path())
    return redirect(person_path(auth, user.id, done=verb, **about))


def _question(auth: Auth, request: WebRequest, who: Administrator, user: User, role: str) -> WebResponse:
    verb = request.first("sure") or ""
    act = _ACTS[verb]
    assert act.sure is not None
    title, consequence, button = act.sure
    facts = [
        Fact(label="Account", text=user.profile.email or user.profile.username or "No e-mail address"),
        Fact(label="Id", text=user.id, exact=True),
    ]
    fields = [("id", user.id), ("do", verb)]
    if verb in _ABOUT_A_ROLE:
        facts.insert(0, Fact(label="Role", text=role))
        fields.append(("role", role))
    end = (request.first("until") or "").strip()[:LONGEST_END]
    if verb == "grant" and end:
        until = read_end(end, now=who.now)
        facts.insert(1, Fact(label="Until", text=shown_time(until)))
        fields.append(("until", end))
    page = auth.pages.note(
        title.format(name=user.profile.name),
        paragraphs=[consequence],
        facts=facts,
        actions=[
            Action(
                label=button,
                path=auth.site.admin_path("person"),
                csrf_token=who.form_token,
                fields=fields,
                first=True,
            ),
            Action(label="Back", path=person_path(auth, user.id), quiet=True),
        ],
    )
    return page_response(page)


# --- the acts ---


def _end(call: _Call) -> None:
    sessions = call.auth.relying_party.sessions
    found = sessions.find(SessionId(call.form.get("session", "")))
    if found is None or found.user_id != call.user.id:
        raise PageNotFound("There is no such session.", hint="It may have ended by itself meanwhile.")
    sessions.end(found.id, cause=call.who.cause)


def _end_all(call: _Call) -> None:
    call.auth.relying_party.sessions.end_of_user(call.user.id, cause=call.who.cause)


def _set_disabled(call: _Call, *, disabled: bool) -> None:
    call.auth.relying_party.set_disabled(
        call.user.id, disabled=disabled, cause=call.who.cause, rules=call.who.rules
    )


def _grant(call: _Call) -> None:
    call.auth.relying_party.accounts.grant_role(
        call.user.id,
        role=call.role,
        granted_by=BY_ADMINISTRATOR + call.who.user.id,
        now=call.who.now,
        until=call.until,
        cause=call.who.cause,
        rules=call.who.rules,
    )


def _revoke(call: _Call) -> None:
    call.auth.relying_party.accounts.revoke_role(
        call.user.id, role=call.role, cause=call.who.cause, rules=call.who.rules
    )


def _delete(call: _Call) -> None:
    call.auth.relying_party.accounts.delete(call.user.id, cause=call.who.cause, rules=call.who.rules)


def _has_by_hand(user: User | None, role: str) -> bool:
    return user is not None and any(
        grant.role == role and grant.source is GrantSource.MANUAL for grant in user.grants
    )


_ABOUT_A_ROLE = frozenset({"grant", "revoke"})
_ACTS: Mapping[str, _Act] = {
    "end": _Act(run=_end, done="Ended. Servers follow within a second.", is_harmless=True),
    "end-all": _Act(run=_end_all, done="All ended. Servers follow within a second.", is_harmless=True),
    "disable": _Act(
        run=lambda call: _set_disabled(call, disabled=True),
        done="Disabled, and signed out everywhere.",
        holds=lambda user, _: user is not None and not user.is_enabled,
        sure=(
            "Disable {name}?",
            "They are signed out everywhere at once and cannot sign in, whatever Entra says, until they are "
            "enabled here.",
            "Disable",
        ),
    ),
    "enable": _Act(
        run=lambda call: _set_disabled(call, disabled=False),
        done="Enabled: they may sign in again, if Entra lets them.",
        holds=lambda user, _: user is not None and user.is_enabled,
        sure=("Enable {name}?", "They may sign in again, if Entra lets them.", "Enable"),
    ),
    "grant": _Act(
        run=_grant,
        done="The role is given.",
        holds=_has_by_hand,
        sure=("Give {name} a role?", "No sign-in takes back what was given by hand.", "Give this role"),
    ),
    "revoke": _Act(
        run=_revoke,
        done="The role is taken back.",
        holds=lambda user, role: not _has_by_hand(user, role),
        sure=(
            "Take a role back from {name}?",
            "It takes effect at once. What Entra gives besides stays.",
            "Take it back",
        ),
    ),
    "delete": _Act(
        run=_delete,
        done="",
        holds=lambda _user, _role: False,
        sure=(
            "Delete {name}?",
            "Account, roles, sessions and everything that says who they are is forgotten; this cannot be "
            "taken back. It keeps nobody out: if Entra lets them sign in, they come back as somebody new. To "
            "keep somebody out, disable them.",
            "Delete for good",
        ),
    ),
}
