"""What a registration may say of itself.

Source: Microsoft, "Secure a Model Context Protocol (MCP) server with Microsoft Entra ID"; "Restrictions on
identifier URIs of Microsoft Entra applications".
"""

from __future__ import annotations

from .mappings import RecordError
from .records import App


def check_registration(app: App, *, where: str) -> App:
    """The same registration, when Entra would take it.

    Raises:
        RecordError: an App ID URI is a web address, and access tokens are not of version 2.
    """
    web = next((uri for uri in app.identifier_uris if uri.lower().startswith(("https://", "http://"))), None)
    if web is not None and app.access_token_version != 2:
        raise RecordError(
            f"{where} has the App ID URI '{web[:200]}', which only a registration with access tokens of "
            "version 2 may have"
        )
    return app
