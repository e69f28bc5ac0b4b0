"""A page that lists several things, each with what can be done with it, and may take a new one."""

from __future__ import annotations

from collections.abc import Sequence

from entrada.web.pages.rendering import Rendering
from entrada.web.pages.values import Action, Entry, Notice, Page, Section


class ListingPages(Rendering):
    def listing(
        self,
        title: str,
        *,
        paragraphs: Sequence[str] = (),
        sections: Sequence[Section] = (),
        entry: Entry | None = None,
        actions: Sequence[Action] = (),
        notice: Notice | None = None,
        form_action_hosts: Sequence[str] = (),
    ) -> Page:
        """`entry` stands below the list, `actions` at the end."""
        return self._page(
            "listing.html",
            form_action_hosts=form_action_hosts,
            title=title,
            paragraphs=tuple(paragraphs),
            sections=tuple(sections),
            entry=entry,
            actions=tuple(actions),
            notice=notice,
        )
