"""Environment variables that point a product at a running emulator."""

from __future__ import annotations

import json
from typing import Any

from .seed import CLIENT_ID, CLIENT_SECRET, CONTOSO_ID

PRODUCTS = ("entrada", "mage", "dstack", "azure")
_ROLES = {"Admin": "Admin", "Editor": "Editor", "Viewer": "Viewer"}


def environment(product: str, state: dict[str, Any]) -> dict[str, str]:
    """Names and values for `entrada`, `mage`, `dstack` or `azure`; `state` is what `/_emulator/state` tells.

    Raises:
        ValueError: there is no such product.
    """
    https, http, ca_file = str(state["https_url"]), str(state["http_url"]), str(state["ca_file"])
    trust = {
        "ENTRADA_AUTHORITY_HOST": https,
        "ENTRADA_GRAPH_HOST": https,
        "ENTRADA_CA_BUNDLE": ca_file,
        "ENTRADA_INSECURE_ALLOW_EMULATOR": "true",
    }
    if product == "entrada":
        return {
            "ENTRADA_TENANT_ID": CONTOSO_ID,
            "ENTRADA_CLIENT_ID": CLIENT_ID,
            "ENTRADA_CLIENT_SECRET": CLIENT_SECRET,
            **trust,
        }
    if product == "dstack":
        return {
            "DSTACK_ENTRA_TENANT_ID": CONTOSO_ID,
            "DSTACK_ENTRA_CLIENT_ID": CLIENT_ID,
            "DSTACK_ENTRA_CLIENT_SECRET": CLIENT_SECRET,
            **trust,
        }
    if product == "mage":
        return {
            "REQUIRE_USER_AUTHENTICATION": "1",
            "ACTIVE_DIRECTORY_DIRECTORY_ID": CONTOSO_ID,
            "ACTIVE_DIRECTORY_CLIENT_ID": CLIENT_ID,
            "ACTIVE_DIRECTORY_CLIENT_SECRET": CLIENT_SECRET,
            "ACTIVE_DIRECTORY_ROLES_MAPPING": json.dumps(_ROLES),
            # Mage as it comes knows no further authorities, so it gets the plain listener; entrada inside
            # Mage reads its own names first, and those say https.
            "AZURE_HOST": http,
            "MICROSOFT_GRAPH_API_HOST": http,
            **trust,
        }
    if product == "azure":
        return {
            "AZURE_TENANT_ID": CONTOSO_ID,
            "AZURE_CLIENT_ID": CLIENT_ID,
            "AZURE_CLIENT_SECRET": CLIENT_SECRET,
            "AZURE_AUTHORITY_HOST": https,
            "REQUESTS_CA_BUNDLE": ca_file,
            "SSL_CERT_FILE": ca_file,
        }
    raise ValueError(f"no product is called {product!r}; there are {', '.join(PRODUCTS)}")
