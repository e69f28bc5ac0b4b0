"""A page for anything that has to be said, beside those that have their own make."""

from __future__ import annotations

from collections.abc import Sequence

from entrada.web.pages.rendering import Rendering
from entrada.web.pages.values import Action, Fact, Notice, Page


class AccountPages(Rendering):
    def note(
        self,
        title: str,
        *,
        paragraphs: Sequence[str] = (),
        facts: Sequence[Fact] = (),
        actions: Sequence[Action] = (),
        notice: Notice | None = None,
        form_action_hosts: Sequence[str] = (),
    ) -> Page:
        """A page of the same make for anything else that has to be said."""
        return self._page(
            "note.html",
            form_action_hosts=form_action_hosts,
            title=title,
            paragraphs=tuple(paragraphs),
            facts=tuple(facts),
            actions=tuple(actions),
            notice=notice,
        )
