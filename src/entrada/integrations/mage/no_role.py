"""The page for somebody who is signed in and has no role in Mage: said by us, in place of Mage's errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from entrada.errors import RoleRequired
from entrada.events import Event
from entrada.integrations.mage.routes import MageRoutes
from entrada.web.messages import WebResponse
from entrada.web.pages.values import Action
from entrada.web.refusals import page_response, record_refusal, status_of


def no_role_page(routes: MageRoutes, user: Mapping[str, Any]) -> WebResponse:
    """`user` is how Mage describes them. Leads to another account, and back to the sign-in page."""
    shown_as = user.get("email") or user.get("username") or "a user without a name"
    error = RoleRequired(
        f"You are signed in as {shown_as}, but you have no role in Mage, so there is nothing to see yet.",
        hint="Ask your administrator to assign you an app role or a group in Microsoft Entra ID, or one of "
        "Mage's owners to give you a role. Then open this page again.",
    )
    status = status_of(error)
    incident = record_refusal(error, Event.REQUEST_REFUSED, status=status)
    page = routes.pages.failure(
        error,
        actions=[
            Action(
                label="Use another account",
                path=f"{routes.addresses.start()}?prompt=select_account",
                first=True,
            ),
            Action(label="Go to the sign-in page", path=routes.addresses.sign_in, quiet=True),
        ],
        incident=incident,
        when=routes.walk.parts.clock.now(),
    )
    return page_response(page, status=status)
