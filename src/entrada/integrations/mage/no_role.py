"""The page for somebody who is signed in and has no role in Mage: said by us, in place of Mage's errors."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from entrada.errors import RoleRequired
from entrada.events import Event, record
from entrada.integrations.mage.routes import MageRoutes
from entrada.web.auth import page_response
from entrada.web.messages import WebResponse
from entrada.web.refusals import status_of


def no_role_page(routes: MageRoutes, user: Mapping[str, Any]) -> WebResponse:
    """`user` is how Mage describes them. Leads to another account, and back to the sign-in page."""
    shown_as = user.get("email") or user.get("username") or "a user without a name"
    error = RoleRequired(
        f"You are signed in as {shown_as}, but you have no role in Mage, so there is nothing to see yet.",
        hint="Ask your administrator to assign you an app role or a group in Microsoft Entra ID, or one of "
        "Mage's owners to give you a role. Then open this page again.",
    )
    correlation_id = secrets.token_hex(8)
    status = status_of(error)
    record(Event.REQUEST_REFUSED, correlation_id=correlation_id, code=error.code, status=status)
    page = routes.pages.failure(
        error,
        login_path=routes.addresses.sign_in,
        retry_path=f"{routes.addresses.start()}?prompt=select_account",
        correlation_id=correlation_id,
        when=routes.walk.parts.clock.now(),
    )
    return page_response(page, status=status)
