"""What happened, who did it and why: the audit trail as a page.

    GET /auth/admin/audit       ?q= &action= &since= &until= &before=

An administrator reads what happened to people of their own tenant, and what happened to nobody in particular.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import urlencode

from entrada.accounts.explanation import audit_of, audit_of_stranger, who_was_refused
from entrada.accounts.identity import User, UserId
from entrada.accounts.people import PeopleQuery
from entrada.audit.acts import Action, ActorKind
from entrada.audit.chain import AuditEntry, read_object
from entrada.audit.trail import AuditQuery
from entrada.compatibility import UTC
from entrada.web.admin.access import Administrator
from entrada.web.admin.menu import menu_of
from entrada.web.admin.people import person_path
from entrada.web.auth import Auth
from entrada.web.messages import WebRequest, WebResponse
from entrada.web.pages.moments import shown_time
from entrada.web.pages.values import Action as Act
from entrada.web.pages.values import Block, Cell, Field, Form, Row, Table
from entrada.web.refusals import page_response

PAGE = 100
_FIELDS = ("q", "action", "since", "until", "before")
_ACTORS = {
    ActorKind.COMMAND.value: "Command line",
    ActorKind.ENTRA.value: "Entra",
    ActorKind.ENTRADA.value: "Entrada",
    ActorKind.INSTALLATION.value: "Installation",
}


def audit(auth: Auth, request: WebRequest, who: Administrator) -> WebResponse:
    """The newest entries that fit, a page at a time."""
    asked = {name: (request.first(name) or "").strip()[:200] for name in _FIELDS}
    auditing = auth.relying_party.auditing
    before = int(asked["before"]) if asked["before"].isdecimal() and len(asked["before"]) < 16 else None
    query = replace(
        _of_whom(auth, who, asked["q"]),
        actions=[asked["action"]] if asked["action"] else [],
        since=_day(asked["since"]),
        until=_day(asked["until"], days=1),
    )
    found = [] if auditing is None else auditing.trail.newest(query, limit=PAGE + 1, before=before)
    people = _People(auth, who)
    shown = [entry for entry in found[:PAGE] if people.may_read(entry)]
    filters = {name: asked[name] for name in _FIELDS if asked[name] and name != "before"}
    actions = []
    if before is not None:
        actions.append(Act(label="Newest", path=_path(auth, filters)))
    if len(found) > PAGE:
        path = _path(auth, {**filters, "before": str(found[PAGE - 1].number)})
        actions.append(Act(label="Older", path=path))
    page = auth.pages.desk(
        "Audit",
        menu=menu_of(auth, "audit"),
        search=Form(
            label="Find entries",
            path=auth.site.admin_path("audit"),
            fields=[
                Field(name="q", label="Whom it happened to, or who did it", value=asked["q"], kind="search"),
                Field(name="action", label="What", value=asked["action"], options=_actions()),
                Field(name="since", label="From (UTC)", value=asked["since"], kind="date", longest=10),
                Field(name="until", label="To (UTC)", value=asked["until"], kind="date", longest=10),
            ],
            button="Find",
            first=True,
        ),
        result=_result(shown, is_more=len(found) > PAGE),
        blocks=[
            Block(
                heading="Entries",
                anchor="entries",
                table=Table(
                    caption="What happened, the newest first",
                    columns=("When", "What", "To whom", "By whom", "Details"),
                    rows=[_row(entry, people) for entry in shown],
                    empty="Nothing fits all of this." if filters else "Nothing has been written here yet.",
                ),
            )
        ],
        actions=actions,
    )
    return page_response(page)


def _actions() -> Sequence[tuple[str, str]]:
    return [("", "Everything"), *((each.value, in_words(each.value)) for each in Action)]


def in_words(action: str) -> str:
    return action.replace("sign_in", "sign-in").replace("_", " ").capitalize()


def _path(auth: Auth, query: dict[str, str]) -> str:
    return auth.site.admin_path("audit") + (f"?{urlencode(query)}" if query else "")


def _result(shown: Sequence[AuditEntry], *, is_more: bool) -> str:
    count = "1 entry" if len(shown) == 1 else f"{len(shown)} entries"
    return "Nothing found." if not shown else f"{count}; older ones follow." if is_more else f"{count}."


def _of_whom(auth: Auth, who: Administrator, called: str) -> AuditQuery:
    if not called:
        return AuditQuery()
    people = auth.relying_party.accounts.find_people(
        PeopleQuery(text=called, tenant_id=who.tenant_id), limit=2
    )
    if len(people) == 1:
        return audit_of(people[0])
    return audit_of_stranger(called)


def _day(text: str, *, days: int = 0) -> datetime | None:
    """The beginning of that day, or so many days later; None for what is none."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=days)
    except (ValueError, OverflowError):
        return None


class _People:
    """Who is meant by the ids in entries: each is looked up once."""

    def __init__(self, auth: Auth, who: Administrator) -> None:
        self._auth, self._who = auth, who
        self._is_one_tenant = auth.relying_party.sign_in.identification.tenants is None
        self._known: dict[str, User | None] = {}

    def get(self, user_id: str) -> User | None:
        if user_id not in self._known:
            self._known[user_id] = self._auth.relying_party.accounts.get(UserId(user_id))
        return self._known[user_id]

    def may_read(self, entry: AuditEntry) -> bool:
        if self._is_one_tenant or entry.tenant_id == self._who.tenant_id:
            return True
        if entry.tenant_id is not None:
            return False
        named = [one for one in (entry.user_id, _actor_user(entry)) if one is not None]
        return all(
            user is not None and self._who.answers_for(user) for user in (self.get(one) for one in named)
        )

    def cell(self, user_id: str) -> Cell:
        user = self.get(user_id)
        if user is None:
            return Cell(text=user_id, exact=True, soft="No such account any more")
        path = person_path(self._auth, user.id) if self._who.answers_for(user) else None
        return Cell(text=user.profile.name, path=path, soft=user.profile.email or user.profile.username or "")


def _actor_user(entry: AuditEntry) -> str | None:
    return entry.actor_id if entry.actor_kind == ActorKind.PERSON.value else None


def _row(entry: AuditEntry, people: _People) -> Row:
    details = read_object(entry.details)
    said = [f"{name.replace('_', ' ')}: {value}" for name, value in details.items()]
    if entry.session_id is not None:
        said.append(f"session: {entry.session_id}")
    return Row(
        cells=[
            Cell(text=shown_time(entry.at), soft=f"No. {entry.number}"),
            Cell(text=in_words(entry.action)),
            _to_whom(entry, people),
            _by_whom(entry, people),
            Cell(soft="; ".join(said)),
        ]
    )


def _to_whom(entry: AuditEntry, people: _People) -> Cell:
    if entry.user_id is not None:
        return people.cell(entry.user_id)
    if entry.personal is not None or entry.object_id is not None:
        return Cell(text=who_was_refused(entry))
    return Cell(text="Somebody who was forgotten" if entry.is_erased else "Nobody in particular")


def _by_whom(entry: AuditEntry, people: _People) -> Cell:
    if entry.actor_kind != ActorKind.PERSON.value:
        return Cell(text=_ACTORS.get(entry.actor_kind, entry.actor_kind), soft=entry.actor_id)
    return Cell(text="Themself") if entry.actor_id == entry.user_id else people.cell(entry.actor_id)
