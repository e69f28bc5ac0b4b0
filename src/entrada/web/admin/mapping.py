"""What another roles mapping would change, before anybody switches it on.

GET  /auth/admin/mapping    today's mapping, to be changed and tried
POST /auth/admin/mapping    the dry run: it changes nothing, and posts because a mapping may be long
"""

from __future__ import annotations

from collections.abc import Sequence

from entrada.accounts.mapping_trial import (
    LineDifference,
    RoleChange,
    line_difference,
    role_changes,
    tenants_without_administrator,
    with_what_is_said_of_roles,
)
from entrada.accounts.roles import RoleMapping
from entrada.errors import named
from entrada.web.admin.access import Administrator
from entrada.web.admin.menu import menu_of
from entrada.web.admin.people import person_path
from entrada.web.auth import Auth
from entrada.web.messages import WebRequest, WebResponse
from entrada.web.pages.values import Block, Cell, Field, Form, Notice, Row, Table, Tone
from entrada.web.refusals import page_response

MOST_LOOKED_AT = 250
"""People whom a changed line concerns: a page is no place for thousands."""
LONGEST = 20_000


def mapping(auth: Auth, _: WebRequest, who: Administrator) -> WebResponse:
    today = auth.relying_party.sign_in.admission.roles
    return page_response(
        auth.pages.desk(
            "Roles mapping",
            menu=menu_of(auth, "mapping"),
            paragraphs=[
                named(
                    "Which roles Entra's app roles and groups give, by $[roles_mapping]. Another one can be "
                    "tried here: nothing is changed by it.",
                    auth.pages.names,
                )
            ],
            blocks=[_lines_block(line_difference(today, today), heading="Today"), _form(auth, who, "")],
        )
    )


def trial(auth: Auth, request: WebRequest, who: Administrator) -> WebResponse:
    """Who would gain and lose what."""
    text = dict(request.form_pairs()).get("mapping", "").strip()
    today, accounts = auth.relying_party.sign_in.admission.roles, auth.relying_party.accounts
    try:
        wanted = _read(auth, text, today)
    except ValueError as wrong:
        return page_response(
            auth.pages.desk(
                "Roles mapping",
                menu=menu_of(auth, "mapping"),
                notice=Notice(text=f"That mapping cannot be read: {wrong}.", tone=Tone.CAUTION),
                blocks=[_form(auth, who, text)],
            ),
            status=400,
        )
    tried = role_changes(accounts, today=today, wanted=wanted, at_most=MOST_LOOKED_AT)
    changes = [change for change in tried.changes if who.answers_for(change.user)]
    forsaken = tenants_without_administrator(accounts, admin_roles=auth.admin_roles, wanted=wanted)
    caution = None
    if who.tenant_id in forsaken:
        caution = Notice(
            text="With this mapping nobody would administer any more, you included. Whoever runs the server "
            "can make an administrator: `entrada users grant`.",
            tone=Tone.CAUTION,
        )
    return page_response(
        auth.pages.desk(
            "Roles mapping: a trial",
            menu=menu_of(auth, "mapping"),
            notice=caution,
            paragraphs=["Nothing was changed. Whoever only a new line names is seen at their next sign-in."],
            result=_result(changes, is_whole=tried.is_whole),
            blocks=[
                _changes_block(auth, changes),
                _lines_block(line_difference(today, wanted), heading="Its lines"),
                _form(auth, who, text),
            ],
        )
    )


def _read(auth: Auth, text: str, today: RoleMapping) -> RoleMapping:
    """
    Raises:
        ValueError: no mapping that this application could have.
    """
    if auth.read_mapping is None:
        raise ValueError("mappings are not read here")
    if len(text) > LONGEST:
        raise ValueError("it is too long for this page; use `entrada mapping test`")
    try:
        return with_what_is_said_of_roles(auth.read_mapping(text), today)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _result(changes: Sequence[RoleChange], *, is_whole: bool) -> str:
    count = f"{len(changes) or 'No'} people"
    if not is_whole:
        return (
            f"{count} of the first {MOST_LOOKED_AT} whom it concerns would lose or gain a role; `entrada "
            "mapping test` looks at everybody."
        )
    return f"{'1 person' if len(changes) == 1 else count} would lose or gain a role."


def _changes_block(auth: Auth, changes: Sequence[RoleChange]) -> Block:
    rows = [
        Row(
            cells=[
                Cell(
                    text=change.user.profile.name,
                    path=person_path(auth, change.user.id),
                    soft=change.user.profile.email or change.user.profile.username or "",
                ),
                Cell(chips=change.loses),
                Cell(chips=change.gains),
                Cell(text="Cannot sign in any more without a role" if change.is_kept_out else ""),
            ]
        )
        for change in changes
    ]
    return Block(
        heading="People",
        anchor="people",
        table=Table(
            caption="Who would lose or gain a role",
            columns=("Name", "Loses", "Gains", "And then"),
            rows=rows,
            empty="Nobody who is known here would lose or gain a role.",
        ),
    )


def _lines_block(difference: LineDifference, *, heading: str) -> Block:
    rows = [
        Row(cells=[Cell(text=reason), Cell(text=role), Cell(text="New" if is_new else "In force")])
        for (reason, role), is_new in difference.lines
    ]
    rows += [
        Row(cells=[Cell(text=reason), Cell(text=role), Cell(text="Gone")]) for reason, role in difference.gone
    ]
    table = Table(
        caption="What gives which role",
        columns=("What Entra says", "Role here", "Line"),
        rows=rows,
        empty="Nothing gives a role.",
    )
    return Block(heading=heading, anchor="lines", table=table)


def _form(auth: Auth, who: Administrator, text: str) -> Block:
    return Block(
        heading="Try another",
        anchor="try",
        forms=[
            Form(
                label="Try another mapping",
                path=auth.site.admin_path("mapping"),
                csrf_token=who.form_token,
                fields=[
                    Field(
                        name="mapping",
                        label="Mapping",
                        hint='As JSON, such as {"Editors": "Editor", "group:Admins": "Admin"}.',
                        value=text,
                        rows=8,
                        longest=LONGEST,
                        required=True,
                    )
                ],
                button="Try it",
                first=True,
            )
        ],
    )
