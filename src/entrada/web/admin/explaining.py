"""Why somebody is in or out: the words of `entrada explain`, on a page.

    GET /auth/admin/explain     ?id= or ?q= whom, &role= &path=

Also for whoever has no account, because they were refused: the audit trail says who that was and why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from entrada.accounts.explanation import (
    audit_of,
    audit_of_stranger,
    endings,
    obstacles,
    reason_of,
    refusal_in_words,
    ways_to,
    who_was_refused,
)
from entrada.accounts.identity import User
from entrada.accounts.people import PeopleQuery
from entrada.audit.acts import Action
from entrada.audit.chain import AuditEntry
from entrada.errors import EntradaError, named
from entrada.web.admin.access import Administrator, person_named
from entrada.web.admin.menu import menu_of
from entrada.web.admin.people import person_path
from entrada.web.auth import Auth
from entrada.web.messages import WebRequest, WebResponse
from entrada.web.pages.values import Action as Act
from entrada.web.pages.values import Block, Cell, Fact, Field, Form, Row, Table
from entrada.web.refusals import page_response

MOST_FOUND = 20
MOST_REFUSALS = 10


def explain(auth: Auth, request: WebRequest, who: Administrator) -> WebResponse:
    """Of one account, of whoever is called so, or of who was refused.

    Raises:
        PageNotFound: `id` names no account of this administrator's.
    """
    user_id, called = request.first("id"), (request.first("q") or "").strip()[:200]
    if user_id:
        return _about(auth, request, who, person_named(auth, who, user_id))
    query = PeopleQuery(text=called, tenant_id=who.tenant_id)
    accounts = auth.relying_party.accounts
    found = accounts.find_people(query, limit=MOST_FOUND) if called else []
    people = [user for user in found if who.answers_for(user)]
    if len(people) == 1:
        return _about(auth, request, who, people[0])
    refused = refusals(auth, who, called=called) if called else []
    return page_response(
        auth.pages.desk(
            "Explain",
            menu=menu_of(auth, "explain"),
            paragraphs=["Why somebody has their roles, or cannot come in; also who was refused."],
            search=_whom(auth, called),
            result="" if not called else _result(people, refused),
            blocks=_found(auth, people, refused),
        )
    )


def _result(people: Sequence[User], refused: Sequence[AuditEntry]) -> str:
    if people:
        return f"{len(people)} people are called so. Choose one."
    if refused:
        return "Nobody with an account is called so; this is who was refused."
    return "Nobody is called so: no account, and nobody who was refused."


def _whom(auth: Auth, called: str) -> Form:
    return Form(
        label="Explain somebody",
        path=auth.site.admin_path("explain"),
        fields=[
            Field(name="q", label="Name, e-mail address or id", value=called, kind="search", required=True)
        ],
        button="Explain",
        first=True,
    )


def _found(auth: Auth, people: Sequence[User], refused: Sequence[AuditEntry]) -> list[Block]:
    blocks = []
    if people:
        rows = [
            Row(
                cells=[
                    Cell(text=user.profile.name, path=f"{auth.site.admin_path('explain')}?id={user.id}"),
                    Cell(text=user.profile.email or user.profile.username or "None"),
                ]
            )
            for user in people
        ]
        table = Table(caption="Accounts", columns=("Name", "E-mail"), rows=rows, empty="")
        blocks.append(Block(heading="Accounts", anchor="accounts", table=table))
    if refused:
        blocks.append(refusal_block(auth, refused, heading="Refused"))
    return blocks


def refusals(
    auth: Auth, who: Administrator, *, called: str = "", user: User | None = None
) -> list[AuditEntry]:
    """The newest refusals of somebody; with several tenants, of this administrator's."""
    if auth.relying_party.auditing is None:
        return []
    is_one_tenant = auth.relying_party.sign_in.identification.tenants is None
    query = replace(
        audit_of_stranger(called) if user is None else audit_of(user),
        tenant_id=None if is_one_tenant else who.tenant_id,
        actions=[Action.SIGN_IN_REFUSED],
    )
    return list(auth.relying_party.auditing.trail.newest(query, limit=MOST_REFUSALS))


def refusal_block(auth: Auth, refused: Sequence[AuditEntry], *, heading: str) -> Block:
    """Who was refused and why, the newest first."""
    policy = auth.relying_party.sign_in.admission
    rows = [
        Row(
            cells=[
                Cell(text=who_was_refused(entry)),
                Cell(text=named(refusal_in_words(entry, policy), auth.pages.names)),
            ]
        )
        for entry in refused
    ]
    table = Table(
        caption="Refusals, the newest first", columns=("Who", "Why"), rows=rows, empty="None known."
    )
    return Block(heading=heading, anchor="refusals", table=table)


def _about(auth: Auth, request: WebRequest, who: Administrator, user: User) -> WebResponse:
    role, path = (request.first("role") or "").strip()[:200], (request.first("path") or "").strip()[:2000]
    fields = [Field(name="role", label="Why this role, or why not", value=role, suggestions=_roles(auth))]
    if auth.explain_path is not None:
        fields.append(Field(name="path", label="May they open this address", value=path, longest=2000))
    blocks = [_comes_in(auth, user), _roles_explained(auth, user, role)]
    if path and auth.explain_path is not None:
        blocks.append(_path_explained(auth, user, path))
    refused = refusals(auth, who, user=user)
    if refused:
        blocks.append(refusal_block(auth, refused, heading="When they were refused"))
    page = auth.pages.desk(
        f"Explain {user.profile.name}",
        menu=menu_of(auth, "explain"),
        search=Form(
            label="What to explain",
            path=auth.site.admin_path("explain"),
            hidden=[("id", user.id)],
            fields=fields,
            button="Explain",
            first=True,
        ),
        blocks=blocks,
        actions=[Act(label=f"Open {user.profile.name}", path=person_path(auth, user.id))],
    )
    return page_response(page)


def _roles(auth: Auth) -> list[str]:
    return sorted(auth.relying_party.sign_in.admission.roles.every_role | auth.admin_roles)


def _comes_in(auth: Auth, user: User) -> Block:
    recheck = auth.relying_party.recheck
    kept = [] if recheck is None else recheck.sealed_sign_ins.of_user(user.id)
    keeps_out = obstacles(user, auth.relying_party.sign_in.admission)
    words = [named(text, auth.pages.names) for text in (*keeps_out, *endings(kept))]
    if not keeps_out:
        words.append(
            "Nothing that is known here keeps them from signing in. Whether Entra does, it says then."
        )
    return Block(heading="Can they come in?", anchor="comes-in", paragraphs=words)


def _roles_explained(auth: Auth, user: User, role: str) -> Block:
    roles, accounts = auth.relying_party.sign_in.admission.roles, auth.relying_party.accounts
    facts = [
        Fact(label=grant.role, text=named(reason_of(grant, roles, accounts), auth.pages.names))
        for grant in user.grants
        if role in ("", grant.role)
    ]
    words = [] if facts or role else ["They have no role."]
    if role and not facts:
        ways = "; ".join([*ways_to(role, roles), "by hand, by an administrator"])
        words = [f"They have no role {role!r}. It is given for: {ways}."]
    return Block(heading="Why they have their roles", anchor="why-roles", facts=facts, paragraphs=words)


def _path_explained(auth: Auth, user: User, path: str) -> Block:
    assert auth.explain_path is not None
    try:
        opens = auth.explain_path(user, path)
    except EntradaError as error:
        words = list(error.told(auth.pages.names))
        return Block(heading="That address", anchor="path", paragraphs=words)
    facts = [
        Fact(label="Request", text=opens.request, exact=True),
        Fact(label="Decided by", text=f"{opens.because}, for {opens.for_whom}"),
        *(Fact(label=f"As {one.object_id}", text=f"{one.decision}: {one.reason}") for one in opens.decisions),
    ]
    return Block(heading="That address", anchor="path", facts=facts)
