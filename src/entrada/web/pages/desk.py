"""The pages that people work on: tables, forms and facts under headings, and a menu between several."""

from __future__ import annotations

from collections.abc import Sequence

from entrada.web.pages.rendering import Rendering
from entrada.web.pages.values import Action, Block, Form, MenuItem, Notice, Page


class DeskPages(Rendering):
    def desk(
        self,
        title: str,
        *,
        blocks: Sequence[Block],
        menu: Sequence[MenuItem] = (),
        menu_label: str = "Administration",
        paragraphs: Sequence[str] = (),
        notice: Notice | None = None,
        search: Form | None = None,
        result: str = "",
        actions: Sequence[Action] = (),
        form_action_hosts: Sequence[str] = (),
    ) -> Page:
        """`search` stands above all blocks; `result` says what came of it, and is read out."""
        has_form = search is not None or any(map(_has_form, blocks)) or any(map(_posts, actions))
        return self._page(
            "desk.html",
            form_action_hosts=form_action_hosts if has_form else None,
            title=title,
            blocks=tuple(blocks),
            menu=tuple(menu),
            menu_label=menu_label,
            paragraphs=tuple(paragraphs),
            notice=notice,
            search=search,
            result=result,
            actions=tuple(actions),
        )


def _has_form(block: Block) -> bool:
    rows = () if block.table is None else block.table.rows
    return bool(block.forms) or any(
        map(_posts, (*block.actions, *(one for row in rows for one in row.actions)))
    )


def _posts(action: Action) -> bool:
    return action.csrf_token is not None
