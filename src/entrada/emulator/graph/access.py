"""Who may ask Graph what: the bearer token, the permission, and Graph's own words for a refusal.

Source: Microsoft Graph, "Microsoft Graph error responses and resource types", "permissions reference";
Microsoft, "Claims challenges, claims requests and client capabilities".
"""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass
from typing import Any

from ..directory.directory import Directory
from ..directory.records import Person, new_id
from ..protocol.http import Request, Response, json_response
from ..state.world import World
from ..tokens.access_token import read_graph_token
from ..tokens.opaque import read_note

_SKEW_SECONDS = 300
_DIRECTORY_READ = ("Directory.Read.All", "Directory.ReadWrite.All")


class GraphError(Exception):
    """A refusal in Graph's words: HTTP status, `code` and `message`."""

    def __init__(
        self, status: int, code: str, message: str, *, challenge: str = "", location: str = ""
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.challenge = challenge
        self.location = location


def graph_error_response(error: GraphError, world: World, request: Request) -> Response:
    """The error object of Graph."""
    asked = request.headers.get("client-request-id", "") or new_id()
    body = {
        "error": {
            "code": error.code,
            "message": error.message,
            "innerError": {
                "date": world.clock.stamp().replace(" ", "T").removesuffix("Z"),
                "request-id": new_id(),
                "client-request-id": asked,
            },
        }
    }
    response = json_response(body, status=error.status)
    if error.status == 401:
        challenge = (
            f'Bearer realm="", authorization_uri="{world.https_url}/common/oauth2/authorize"{error.challenge}'
        )
        response.with_header("www-authenticate", challenge)
    if error.location:
        response.with_header("location", error.location)
    if error.status == 429:
        response.with_header("retry-after", "2")
    return response


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Whoever holds the token: a person through an application, or an application by itself."""

    tenant_id: str
    client_id: str
    permissions: frozenset[str]
    person: Person | None

    def need(self, *permissions: str) -> None:
        """One of these permissions, or reading the whole directory, must have been granted.

        Raises:
            GraphError: 403.
        """
        enough = permissions if any("Write" in p for p in permissions) else (*permissions, *_DIRECTORY_READ)
        if self.permissions.isdisjoint(enough):
            raise GraphError(
                403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation."
            )


def caller(world: World, request: Request) -> Caller:
    """The token's holder.

    Raises:
        GraphError: 401 without a good token, or with a claims challenge once the session was revoked.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise GraphError(401, "InvalidAuthenticationToken", "Access token is empty.")
    claims = read_graph_token(world, token.strip())
    if claims is None:
        raise GraphError(
            401, "InvalidAuthenticationToken", "The access token is not one for this service, or was changed."
        )
    if claims["exp"] + _SKEW_SECONDS < world.clock.now():
        raise GraphError(
            401, "InvalidAuthenticationToken", "Lifetime validation failed, the token is expired."
        )
    if claims.get("idtyp") == "app":
        return Caller(
            tenant_id=claims["tid"],
            client_id=claims["appid"],
            permissions=frozenset(claims.get("roles", ())),
            person=None,
        )
    person = world.directory.people.get(claims["oid"])
    if person is None:
        raise GraphError(401, "InvalidAuthenticationToken", "The account of the token is gone.")
    _check_continuous_access(world, claims, person)
    return Caller(
        tenant_id=claims["tid"],
        client_id=claims["appid"],
        permissions=frozenset(claims.get("scp", "").split()),
        person=person,
    )


def _check_continuous_access(world: World, claims: dict[str, Any], person: Person) -> None:
    """A client that understands claims challenges hears of a revocation at once; others at expiry."""
    if "CP1" not in claims.get("xms_cc", ()):
        return
    made, _ = read_note(claims)
    revoked = person.sessions_valid_from
    if made < revoked or not person.enabled:
        newest = str(int(max(revoked, world.clock.now())))
        wanted = {"access_token": {"nbf": {"essential": True, "value": newest}}}
        encoded = b64encode(json.dumps(wanted).encode()).decode()
        raise GraphError(
            401,
            "InvalidAuthenticationToken",
            "Continuous access evaluation resulted in challenge with result: InteractionRequired.",
            challenge=f', error="insufficient_claims", claims="{encoded}"',
        )


def person_in(directory: Directory, who: Caller, name: str) -> Person:
    """A person of the caller's tenant by id or name.

    Raises:
        GraphError: 404.
    """
    person = directory.people.get(name.lower()) or directory.person(name, tenant_id=who.tenant_id)
    if person is None or person.tenant_id != who.tenant_id:
        raise GraphError(
            404,
            "Request_ResourceNotFound",
            f"Resource '{name[:100]}' does not exist, or an object it refers to does not.",
        )
    return person
