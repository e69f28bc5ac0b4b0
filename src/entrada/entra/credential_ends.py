"""Until when the secrets and certificates of a registration work, as Microsoft Graph says it.

Takes the application permission `Application.Read.All` (or `Application.ReadWrite.OwnedBy`), which nothing
else of Entrada's needs: without it Graph answers 403, and nobody knows.

Source: Microsoft Graph v1.0, "List applications", resource types passwordCredential and keyCredential.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from entrada.entra.graph_response import GraphReader
from entrada.entra.jws import RawAccessToken
from entrada.entra.transport import HttpTransport

_LONGEST_NAME = 100
_FRACTION = re.compile(r"\.\d+")
_GRAPH = GraphReader(
    sentence="Microsoft Graph did not say until when the credentials of this application work.",
    forbidden="the application may not read its registration: it lacks Application.Read.All",
    permission=(
        "Administrator: in the app registration, add the Microsoft Graph application permission "
        "Application.Read.All and grant admin consent."
    ),
)


@dataclass(frozen=True, kw_only=True)
class CredentialEnd:
    """`kind` is `secret` or `certificate`; `name` what the registration calls it, which may be nothing."""

    kind: str
    name: str
    ends_at: datetime


def read_credential_ends(
    transport: HttpTransport, *, graph_url: str, access_token: RawAccessToken, client_id: str
) -> Sequence[CredentialEnd]:
    """Those of the registration with this client id, the first to end first.

    Raises:
        EntraUnavailable: Graph did not say; `reason` has why.
    """
    response = transport.send(
        "GET",
        f"{graph_url}/v1.0/applications?$filter=appId%20eq%20'{client_id}'"
        "&$select=id,appId,passwordCredentials,keyCredentials",
        headers=_GRAPH.headers(access_token),
    )
    found = _GRAPH.read(response).get("value")
    applications = found if isinstance(found, list) else []
    own = [one for one in applications if isinstance(one, dict) and one.get("appId") == client_id]
    if not own:
        raise _GRAPH.refused("Graph knows no such application in this tenant", response=response)
    ends = [
        *_ends(own[0].get("passwordCredentials"), kind="secret"),
        *_ends(own[0].get("keyCredentials"), kind="certificate"),
    ]
    return sorted(ends, key=lambda end: end.ends_at)


def _ends(credentials: Any, *, kind: str) -> list[CredentialEnd]:
    found = []
    for one in credentials if isinstance(credentials, list) else []:
        if not isinstance(one, dict):
            continue
        try:
            # Graph may write seven digits of a second, which Python 3.10 does not read.
            text = _FRACTION.sub("", str(one.get("endDateTime")))
            ends_at = datetime.fromisoformat(text.replace("Z", "+00:00"))
        except ValueError:
            continue
        if ends_at.tzinfo is not None:
            name = str(one.get("displayName") or "")[:_LONGEST_NAME]
            found.append(CredentialEnd(kind=kind, name=name, ends_at=ends_at))
    return found
