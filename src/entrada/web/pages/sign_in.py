"""The pages around a sign-in: the button, what came of a consent link, and the end of a sign-out.

Source: Microsoft, "Sign in with Microsoft: branding guidelines for applications"; OpenID Connect
Front-Channel Logout 1.0, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from entrada.web.pages.rendering import Rendering, origin_of
from entrada.web.pages.values import Action, Notice, Page

DEFAULT_LABEL: Final = "Sign in with Microsoft Entra ID"


class SignInPages(Rendering):
    def login(
        self,
        *,
        start_path: str,
        label: str = DEFAULT_LABEL,
        notice: Notice | None = None,
        insecure_http: bool = False,
        front_page: str = "/",
    ) -> Page:
        """The sign-in page: one button that leads to `start_path`.

        Its script puts the fragment of the page's address, which browsers send to no server, behind `next`;
        `front_page` is where a link without `next` leads.
        """
        return self._page(
            "login.html",
            script="fragment.js",
            start_path=start_path,
            label=label,
            notice=notice,
            insecure_http=insecure_http,
            front_page=front_page,
        )

    def consent(self, *, granted: bool, tenant_is_allowed: bool, start_path: str) -> Page:
        """After the link with which an administrator accepts for everyone in their organisation."""
        return self._page(
            "consent.html", granted=granted, tenant_is_allowed=tenant_is_allowed, start_path=start_path
        )

    def open_in_window(self, *, path: str) -> Page:
        """In a frame of another page, where nobody can sign in: a link that opens a window of its own.

        Anybody may frame it: it says nothing about who looks at it, and its link changes nothing.
        """
        return self._page("open_in_window.html", frame_ancestors="*", path=path)

    def form_not_sent(self, *, login_path: str, framed: bool = False) -> Page:
        """After a form that came without a session: how to sign in beside it and send it again.

        `framed`: it was in a frame, which browsers do not load again with the form; anybody may frame it.
        """
        ancestors = "*" if framed else "'none'"
        return self._page(
            "form_not_sent.html", frame_ancestors=ancestors, login_path=login_path, framed=framed
        )

    def signed_in_here(self, *, name: str, front_page: str) -> Page:
        """The end of a sign-in in a tab of its own: `name` can go on in the tab that they came from."""
        return self._page("signed_in_here.html", name=name, front_page=front_page)

    def signed_out(self, *, login_path: str) -> Page:
        """The end of a sign-out. Leads to the sign-in page only when asked to."""
        return self._page("signed_out.html", login_path=login_path)

    def confirm_sign_out(
        self,
        *,
        logout_path: str,
        csrf_token: str,
        name: str,
        next_path: str = "/",
        form_action_hosts: Sequence[str] = (),
    ) -> Page:
        """Asks before signing out, for a sign-out that came as a link. `next_path` is where staying leads."""
        sign_out = Action(label="Sign out", path=logout_path, csrf_token=csrf_token, first=True)
        return self._page(
            "confirm_sign_out.html",
            form_action_hosts=form_action_hosts,
            sign_out=sign_out,
            name=name,
            next_path=next_path,
        )

    def front_channel_done(self, *, framed_by: Sequence[str]) -> Page:
        """Nothing to see, in a frame of Entra's. `framed_by` are the only origins that may show it."""
        ancestors = " ".join(map(origin_of, framed_by)) or "'none'"
        policy = f"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}"
        html = self._environment.get_template("front_channel_done.html").render()
        return Page(html=html.encode(), content_security_policy=policy)
