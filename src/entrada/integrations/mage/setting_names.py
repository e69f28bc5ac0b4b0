"""What Mage's own page calls our settings, for whoever has followed that page."""

from __future__ import annotations

ON_MAGES_PAGE = {
    "tenant_id": "ACTIVE_DIRECTORY_DIRECTORY_ID",
    "client_id": "ACTIVE_DIRECTORY_CLIENT_ID",
    "client_secret": "ACTIVE_DIRECTORY_CLIENT_SECRET",
    "roles_mapping": "ACTIVE_DIRECTORY_ROLES_MAPPING",
    "authority_host": "AZURE_HOST",
    "graph_host": "MICROSOFT_GRAPH_API_HOST",
}
