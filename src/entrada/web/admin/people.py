"""The list of accounts, and one account with everything an administrator may do with it.

    GET  /auth/admin                ?q= &state= &role= &signed_in= &after=
    GET  /auth/admin/person         ?id=

No GET changes anything. What the forms do: `changes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from urllib.parse import urlencode

from entrada.accounts.administration import tenant_administered_by
from entrada.accounts.explanation import given_by
from entrada.accounts.identity import GrantSource, LinkedIdentity, RoleGrant, User, UserId
from entrada.accounts.people import PeopleQuery
from entrada.accounts.roles import LONGEST_ROLE
from entrada.sessions.session import Session
from entrada.sessions.store import sessions_of
from entrada.web.admin.access import Administrator
from entrada.web.admin.menu import menu_of
from entrada.web.auth import Auth
from entrada.web.devices import device_in_words
from entrada.web.messages import WebRequest, WebResponse
from entrada.web.pages.moments import shown_time
from entrada.web.pages.values import Action, Block, Cell, Fact, Field, Form, Notice, Row, Table
from entrada.web.refusals import page_response

PAGE = 50
MOST_SESSIONS = 200
LONGEST_END = 40
SESSION_COLUMNS = ("Device", "Address", "Signed in", "Last used", "Ends by")
_STATES = (("", "Anybody"), ("enabled", "Enabled"), ("disabled", "Disabled"))
_SIGNED_IN = (("", "Anybody"), ("now", "Signed in now"))


def people(auth: Auth, request: WebRequest, who: Administrator) -> WebResponse:
    """The list: whoever fits what was asked, a page at a time."""
    asked = {name: request.first(name) or "" for name in ("q", "state", "role", "signed_in", "after")}
    query = PeopleQuery(
        text=asked["q"].strip()[:200],
        role=asked["role"] or None,
        tenant_id=who.tenant_id,
        is_enabled={"enabled": True, "disabled": False}.get(asked["state"]),
        signed_in_at=who.now if asked["signed_in"] == "now" else None,
    )
    after = UserId(asked["after"]) if asked["after"] else None
    found = auth.relying_party.accounts.find_people(query, limit=PAGE + 1, after=after)
    shown = [user for user in found[:PAGE] if who.answers_for(user)]
    filters = {name: value for name, value in asked.items() if value and name != "after"}
    actions = []
    if after is not None:
        actions.append(Action(label="First page", path=_list_path(auth, filters)))
    if len(found) > PAGE:
        path = _list_path(auth, {**filters, "after": found[PAGE - 1].id})
        actions.append(Action(label="Next page", path=path))
    if not shown and asked["q"]:
        path = f"{auth.site.admin_path('explain')}?{urlencode({'q': asked['q']})}"
        actions.append(Action(label="Look among those who were refused", path=path))
    page = auth.pages.desk(
        "People",
        menu=menu_of(auth, ""),
        search=Form(
            label="Find people",
            path=auth.site.admin_path(),
            fields=[
                Field(name="q", label="Name, e-mail address or id", value=asked["q"], kind="search"),
                Field(name="state", label="State", value=asked["state"], options=_STATES),
                Field(
                    name="role", label="Role", value=asked["role"], options=_role_options(auth, asked["role"])
                ),
                Field(name="signed_in", label="Sessions", value=asked["signed_in"], options=_SIGNED_IN),
            ],
            button="Find",
            first=True,
        ),
        result=_result(shown, is_more=len(found) > PAGE, is_later=after is not None),
        blocks=[
            Block(
                heading="Accounts",
                anchor="accounts",
                table=Table(
                    caption="Accounts, by name",
                    columns=("Name", "Roles", "State", "Last sign-in"),
                    rows=[_row(auth, user) for user in shown],
                    empty=_nobody(filters, is_later=after is not None),
                ),
            )
        ],
        actions=actions,
    )
    return page_response(page)


def _result(shown: Sequence[User], *, is_more: bool, is_later: bool) -> str:
    if not shown:
        return "Nobody found."
    count = "1 person" if len(shown) == 1 else f"{len(shown)} people"
    further = " on this page" if is_later else ""
    return f"{count}{further}; more follow." if is_more else f"{count}{further}."


def _nobody(filters: dict[str, str], *, is_later: bool) -> str:
    if is_later:
        return "Nobody comes after that place in the list. Begin at its first page."
    if filters:
        return (
            "Nobody fits all of this. Whoever was refused has no account: the audit trail says who that was "
            "and why, and so does the log, at sign_in_refused."
        )
    return "Nobody has signed in yet. An account is made at somebody's first sign-in."


def _role_options(auth: Auth, asked: str) -> Sequence[tuple[str, str]]:
    known = auth.relying_party.sign_in.admission.roles.every_role | auth.admin_roles
    roles = sorted(known | ({asked} if asked else set()))
    return [("", "Any role"), *((role, role) for role in roles)]


def _list_path(auth: Auth, query: dict[str, str]) -> str:
    return auth.site.admin_path() + (f"?{urlencode(query)}" if query else "")


def person_path(auth: Auth, user_id: str, **query: str) -> str:
    return f"{auth.site.admin_path('person')}?{urlencode({'id': user_id, **query})}"


def _row(auth: Auth, user: User) -> Row:
    signed_in = [linked.last_sign_in_at for linked in user.identities if linked.last_sign_in_at is not None]
    return Row(
        cells=[
            Cell(
                text=user.profile.name,
                path=person_path(auth, user.id),
                soft=user.profile.email or user.profile.username or "",
            ),
            Cell(chips=sorted(user.roles)),
            Cell(text=_state(auth, user)),
            Cell(text=shown_time(max(signed_in, default=None))),
        ]
    )


def _state(auth: Auth, user: User) -> str:
    if not user.is_enabled:
        return "Disabled"
    return "Administrator" if tenant_administered_by(user, auth.admin_roles) else "Enabled"


def person_page(
    auth: Auth, request: WebRequest, who: Administrator, user: User, *, notice: Notice | None = None
) -> WebResponse:
    """The page of an account; `notice` says what has just been done."""
    profile = user.profile
    facts = [
        Fact(label="Id", text=user.id, exact=True),
        Fact(label="E-mail", text=_email(user)),
        Fact(label="Username", text=profile.username or "None"),
        Fact(label="State", text=_state_at_length(auth, user)),
        Fact(label="Account since", text=shown_time(user.created_at)),
    ]
    if profile.is_guest:
        facts.append(Fact(label="Guest", text="Yes: their account is of another organisation"))
    page = auth.pages.desk(
        profile.name,
        menu=menu_of(auth, ""),
        notice=notice,
        blocks=[
            Block(heading="Account", anchor="account", facts=facts),
            _roles(auth, who, user, typed=request.first("role") or "", end=request.first("until") or ""),
            _sessions(auth, who, user),
            _identities(auth, user),
            _acts(auth, who, user),
        ],
        actions=[Action(label="Back to the list", path=auth.site.admin_path(), quiet=True)],
    )
    return page_response(page)


def _email(user: User) -> str:
    if user.profile.email is None:
        return "None"
    verified = "verified" if user.profile.email_is_verified else "not verified"
    return f"{user.profile.email} ({verified})"


def _state_at_length(auth: Auth, user: User) -> str:
    if not user.is_enabled:
        return f"Disabled since {shown_time(user.disabled_at)}: cannot sign in"
    if tenant_administered_by(user, auth.admin_roles):
        return "Enabled, and an administrator"
    return "Enabled"


def _roles(auth: Auth, who: Administrator, user: User, *, typed: str, end: str) -> Block:
    grants = sorted(user.grants, key=lambda grant: (grant.role, grant.source))
    return Block(
        heading="Roles",
        anchor="roles",
        table=Table(
            caption=f"Roles of {user.profile.name}",
            columns=("Role", "Given by", "Since", "Until"),
            rows=[_grant_row(auth, who, user, grant) for grant in grants],
            empty="No role.",
        ),
        forms=[
            Form(
                label="Give a role by hand",
                path=auth.site.admin_path("person"),
                csrf_token=who.form_token,
                hidden=[("id", user.id), ("do", "grant")],
                fields=[
                    Field(
                        name="role",
                        label="Another role",
                        value=typed[:LONGEST_ROLE],
                        suggestions=sorted(
                            auth.relying_party.sign_in.admission.roles.every_role | auth.admin_roles
                        ),
                        longest=LONGEST_ROLE,
                        required=True,
                        hint="Given by hand, no sign-in takes it back.",
                    ),
                    Field(
                        name="until",
                        label="Until",
                        value=end[:LONGEST_END],
                        kind="date",
                        longest=LONGEST_END,
                        hint="Through that day, UTC. Empty: it has no end.",
                    ),
                ],
                button="Give this role",
            )
        ],
    )


def _grant_row(auth: Auth, who: Administrator, user: User, grant: RoleGrant) -> Row:
    by_hand = grant.source is GrantSource.MANUAL
    until = shown_time(grant.until, never="No end") if by_hand else "As long as Entra says so"
    actions = []
    if by_hand:
        actions.append(_post(auth, who, user, "Take back", "revoke", about=grant.role, role=grant.role))
    return Row(
        cells=[
            Cell(text=grant.role),
            Cell(text=("By hand: " if by_hand else "Entra: ") + given_by(grant, auth.relying_party.accounts)),
            Cell(text=shown_time(grant.granted_at)),
            Cell(text=until),
        ],
        actions=actions,
    )


def _sessions(auth: Auth, who: Administrator, user: User) -> Block:
    found = live_sessions(auth, user.id, now=who.now)
    actions = []
    if found:
        actions.append(_post(auth, who, user, "End all sessions", "end-all"))
    return Block(
        heading="Sessions",
        anchor="sessions",
        table=Table(
            caption=f"Sessions of {user.profile.name}",
            columns=SESSION_COLUMNS,
            rows=[
                session_row(
                    each,
                    is_own=each.id == who.session.id,
                    actions=[
                        _post(
                            auth, who, user, "End", "end",
                            about=f"the session on {device_in_words(each.opened_by)}", session=each.id,
                        )
                    ],
                )
                for each in found
            ],
            empty="Not signed in.",
        ),
        paragraphs=["Whoever may still sign in can do so again at once."] if found else [],
        actions=actions,
    )  # fmt: skip


def live_sessions(auth: Auth, user_id: UserId, *, now: datetime) -> list[Session]:
    """So many of theirs as a page shows, the last used first."""
    live = (one for one in sessions_of(auth.relying_party.sessions, user_id) if one.is_live(now))
    return sorted(islice(live, MOST_SESSIONS), key=lambda one: one.last_seen_at, reverse=True)


def session_row(session: Session, *, is_own: bool, actions: Sequence[Action]) -> Row:
    """A session, as lists of them show it."""
    device = device_in_words(session.opened_by)
    return Row(
        cells=[
            Cell(text=device, chips=["This one"] if is_own else []),
            Cell(text=session.opened_by.address or "Not known", exact=bool(session.opened_by.address)),
            Cell(text=shown_time(session.created_at)),
            Cell(text=shown_time(session.last_seen_at)),
            Cell(text=shown_time(min(session.idle_expires_at, session.absolute_expires_at))),
        ],
        actions=actions,
    )


def _identities(auth: Auth, user: User) -> Block:
    recheck = auth.relying_party.recheck
    kept = (
        {} if recheck is None else {each.identity: each for each in recheck.sealed_sign_ins.of_user(user.id)}
    )

    def row(linked: LinkedIdentity) -> Row:
        found = kept.get(linked.identity)
        asked = "Nobody asks" if found is None else shown_time(found.next_check_at, never="Nobody asks")
        if found is not None and found.ended_at is not None:
            asked = f"Ended {shown_time(found.ended_at)}: {found.ended_because}"
        groups = sorted(linked.membership.held)
        return Row(
            cells=[
                Cell(text=linked.identity.object_id, exact=True, soft=f"Tenant {linked.identity.tenant_id}"),
                Cell(text=shown_time(linked.last_sign_in_at)),
                Cell(text=asked),
                Cell(chips=groups, text="" if groups else _no_groups(linked)),
            ]
        )

    return Block(
        heading="Identities in Microsoft Entra ID",
        anchor="identities",
        table=Table(
            caption=f"Identities of {user.profile.name}",
            columns=("Object id", "Last sign-in", "Entra is asked again", "Groups asked about"),
            rows=[row(linked) for linked in user.identities],
            empty="None.",
        ),
    )


def _no_groups(linked: LinkedIdentity) -> str:
    return "In none of them" if linked.membership.asked else "Not known"


def _acts(auth: Auth, who: Administrator, user: User) -> Block:
    actions = [
        Action(label="Explain", path=f"{auth.site.admin_path('explain')}?{urlencode({'id': user.id})}")
    ]
    if not user.is_enabled:
        actions.append(_post(auth, who, user, "Enable", "enable"))
    else:
        actions.append(Action(label="Disable…", path=person_path(auth, user.id, sure="disable")))
    actions.append(Action(label="Delete…", path=person_path(auth, user.id, sure="delete")))
    return Block(
        heading="What can be done",
        anchor="acts",
        paragraphs=[
            "Disabled, somebody is signed out everywhere at once and cannot sign in, whatever Entra says. "
            "Deleted, they are forgotten, and may come back as somebody new."
        ],
        actions=actions,
    )


def _post(
    auth: Auth, who: Administrator, user: User, label: str, verb: str, *, about: str = "", **fields: str
) -> Action:
    return Action(
        label=label,
        path=auth.site.admin_path("person"),
        csrf_token=who.form_token,
        about=about,
        fields=[("id", user.id), ("do", verb), *fields.items()],
    )
