"""The pages of somebody who is signed in, and of anything else that has to be said."""

from __future__ import annotations

from collections.abc import Sequence

from entrada.web.pages.rendering import Rendering
from entrada.web.pages.values import Action, Fact, Notice, Page


class AccountPages(Rendering):
    def signed_in(
        self,
        *,
        logout_path: str,
        csrf_token: str,
        name: str,
        email: str | None,
        roles: Sequence[str],
        application_path: str = "/",
        form_action_hosts: Sequence[str] = (),
    ) -> Page:
        """Who is signed in, with which roles, and the way out."""
        actions = (
            Action(label="Go to the application", path=application_path, first=True),
            Action(label="Sign out", path=logout_path, csrf_token=csrf_token),
        )
        return self._page(
            "signed_in.html",
            form_action_hosts=form_action_hosts,
            name=name,
            email=email,
            roles=tuple(roles),
            actions=actions,
        )

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
