"""How it stands with what this server depends on.

    GET /auth/admin/health

What is not known is said to be so, with the reason; what somebody should do something about is marked.
"""

from __future__ import annotations

from entrada.flows.health import HealthFact
from entrada.web.admin.access import Administrator
from entrada.web.admin.menu import menu_of
from entrada.web.auth import Auth
from entrada.web.messages import WebRequest, WebResponse
from entrada.web.pages.values import Block, Cell, Notice, Row, Table, Tone
from entrada.web.refusals import page_response


def health(auth: Auth, _: WebRequest, who: Administrator) -> WebResponse:
    groups = [] if auth.health is None else auth.health.groups(who.now)
    care = [fact for group in groups for fact in group.facts if fact.needs_care]
    notice = None
    if care:
        count = "One thing needs" if len(care) == 1 else f"{len(care)} things need"
        notice = Notice(text=f"{count} somebody's care.", tone=Tone.CAUTION)
    blocks = [
        Block(
            heading=group.heading,
            anchor=f"health-{number}",
            table=Table(
                caption=group.heading,
                columns=("What", "How it stands", "Mark"),
                rows=[
                    Row(cells=[Cell(text=fact.label), Cell(text=fact.text), Cell(chips=_marks(fact))])
                    for fact in group.facts
                ],
                empty="Nothing is known.",
                aligned=True,
            ),
        )
        for number, group in enumerate(groups, start=1)
    ]
    return page_response(
        auth.pages.desk(
            "Health",
            menu=menu_of(auth, "health"),
            notice=notice,
            result="" if care else "Nothing that is known here needs anybody's care.",
            blocks=blocks,
        )
    )


def _marks(fact: HealthFact) -> list[str]:
    return [*(["Look at this"] if fact.needs_care else []), *([] if fact.is_known else ["Not known"])]
