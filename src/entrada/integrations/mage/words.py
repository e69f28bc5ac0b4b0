"""Our sentences in the words of Mage's own page, for whoever has followed that page.

A sentence that says ENTRADA_CLIENT_SECRET helps nobody who has set ACTIVE_DIRECTORY_CLIENT_SECRET.
"""

from __future__ import annotations

from collections.abc import Callable

from entrada.settings import FoundValues, native_name

ON_MAGES_PAGE = {
    "tenant_id": "ACTIVE_DIRECTORY_DIRECTORY_ID",
    "client_id": "ACTIVE_DIRECTORY_CLIENT_ID",
    "client_secret": "ACTIVE_DIRECTORY_CLIENT_SECRET",
    "roles_mapping": "ACTIVE_DIRECTORY_ROLES_MAPPING",
    "authority_host": "AZURE_HOST",
    "graph_host": "MICROSOFT_GRAPH_API_HOST",
}


def words_of(found: FoundValues) -> Callable[[str], str]:
    """Replaces our names of settings by Mage's, where the value came by Mage's name or is missing."""
    replaced = {
        native_name(field): mages
        for field, mages in ON_MAGES_PAGE.items()
        if found.origins.get(field, mages) == mages
    }

    def restate(text: str) -> str:
        for native, mages in replaced.items():
            text = text.replace(native, mages)
        return text

    return restate
