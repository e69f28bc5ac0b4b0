"""What a token leaves out and Microsoft Graph knows: a person's groups, and what a group name stands for.

Owns three questions, always at the configured host: a link of the response's choosing is followed to Graph
alone, and none that stands in a token, so nothing there can send the bearer token elsewhere.
Never answers with fewer groups than there are because something failed: every failure is an error.

    resolve_groups          which of these groups is the person in? twenty ids a call, nested groups count
    resolve_all_groups      every group that the person is in, where any of them may matter
    resolve_group_names     which object id has this display name? exactly one, or it is refused

A display name is not unique, and in most tenants anyone may make a group of any name. So a name stands for an
object id looked up in the whole directory, never for "a group of that name which the person is in".

Source: Microsoft Graph v1.0, "directoryObject: checkMemberGroups", "List groups".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from entrada.entra.authority import ObjectId, parse_guid
from entrada.entra.graph_response import GraphReader, is_of_graph
from entrada.entra.jws import RawAccessToken
from entrada.entra.transport import HttpResponse, HttpTransport

IDS_PER_CALL = 20
PAGE_SIZE = 999
NAME_LIMIT_CHARS = 256

_GRAPH = GraphReader(
    sentence="Microsoft Graph did not say which groups you are in, so you were not signed in.",
    forbidden="Graph does not let this application read groups (HTTP 403, or responses without names)",
    permission=(
        "Administrator: in the app registration, add the delegated Microsoft Graph permission "
        "GroupMember.Read.All and grant admin consent."
    ),
    hint_of_4xx=(
        "Administrator: waiting does not help. Check the Graph host of $[cloud], what a proxy on the way "
        "allows, and that the person still exists in the directory."
    ),
)


def resolve_groups(
    transport: HttpTransport,
    *,
    graph_url: str,
    access_token: RawAccessToken,
    group_ids: frozenset[ObjectId],
    whose: str = "me",
) -> frozenset[ObjectId]:
    """Those of `group_ids` that the person whose `access_token` it is belongs to, directly or through others.

    `whose`: with an application's own token, `users/` or `servicePrincipals/` and an object id.

    `graph_url` is an origin such as `https://graph.microsoft.com`, from the settings.
    Not seen: a group with hidden membership, if the application lacks `Member.Read.Hidden`; Graph leaves it
    out without a word.

    Raises:
        EntraUnavailable: any failure. `retry_after_seconds` when Graph throttles; `fixer` is the
            administrator when a permission is missing.
    Source: Microsoft Graph v1.0, "directoryObject: checkMemberGroups".
    """
    asked = sorted(group_ids)
    found: set[ObjectId] = set()
    for start in range(0, len(asked), IDS_PER_CALL):
        batch = asked[start : start + IDS_PER_CALL]
        response = transport.send(
            "POST",
            f"{graph_url}/v1.0/{whose}/checkMemberGroups",
            headers={**_GRAPH.headers(access_token), "content-type": "application/json"},
            body=json.dumps({"groupIds": batch}).encode(),
        )
        # Only what was asked for counts, whatever else a response may hold.
        found |= _read_ids(_read_values(response)) & set(batch)
    return frozenset(found)


def resolve_all_groups(
    transport: HttpTransport,
    *,
    graph_url: str,
    access_token: RawAccessToken,
    at_most: int,
    whose: str = "me",
) -> frozenset[ObjectId]:
    """Every group that the person whose `access_token` it is belongs to, directly or through others.

    Raises:
        EntraUnavailable: any failure, and more groups than `at_most`: some of them would be a lie.
    Source: Microsoft Graph v1.0, "List a user's memberships (direct and transitive)".
    """
    found: set[ObjectId] = set()
    url: object = (
        f"{graph_url}/v1.0/{whose}/transitiveMemberOf/microsoft.graph.group?$select=id&$top={PAGE_SIZE}"
    )
    while url is not None:
        # The next page stands at an address of the response's choosing: the token goes to Graph alone.
        if not isinstance(url, str) or not is_of_graph(url, graph_url):
            raise _GRAPH.refused("the next page of groups is not at Graph")
        document = _GRAPH.read(transport.send("GET", url, headers=_GRAPH.headers(access_token)))
        groups = _values_of(document)
        if not all(isinstance(group, dict) for group in groups):
            raise _GRAPH.refused("the response is not a list of groups")
        found |= _read_ids([group.get("id") for group in groups])
        if len(found) > at_most:
            raise _GRAPH.refused(
                f"more than {at_most} groups",
                hint="Administrator: name the groups that matter, so that only those are asked about.",
            )
        url = document.get("@odata.nextLink") if groups else None
    return frozenset(found)


def resolve_group_names(
    transport: HttpTransport,
    *,
    graph_url: str,
    access_token: RawAccessToken,
    names: Iterable[str],
) -> Mapping[str, ObjectId]:
    """The object id of the one group in the directory of each name; a name that no group has is left out.

    Names are compared to the letter, though Graph's own filter ignores case.

    Raises:
        EntraUnavailable: any failure; also when two groups have one name, because anyone may have made one.
    Source: Microsoft Graph v1.0, "List groups"; "Use the $filter query parameter".
    """
    found: dict[str, ObjectId] = {}
    for name in sorted(set(names)):
        named = _find_named(transport, graph_url, access_token, name)
        if len(named) > 1:
            raise _GRAPH.refused(
                f"{len(named)} groups are called {name!r}",
                hint=f"Administrator: name the group {name!r} by its object id in $[roles_mapping].",
            )
        if named:
            (found[name],) = named
    return found


def _find_named(
    transport: HttpTransport, graph_url: str, access_token: RawAccessToken, name: str
) -> frozenset[ObjectId]:
    if not 0 < len(name) <= NAME_LIMIT_CHARS:
        raise _GRAPH.refused("a group name in the settings is empty or too long")
    condition = quote("displayName eq '" + name.replace("'", "''") + "'", safe="")
    response = transport.send(
        "GET",
        f"{graph_url}/v1.0/groups?$filter={condition}&$select=id,displayName&$top=100",
        headers=_GRAPH.headers(access_token),
    )
    document = _GRAPH.read(response)
    if "@odata.nextLink" in document:
        # The next page stands at an address of the response's choosing; a hundred of one name are too many.
        raise _GRAPH.refused(f"more than a hundred groups are called {name!r}")
    groups = _values_of(document)
    if not all(isinstance(group, dict) and isinstance(group.get("displayName"), str) for group in groups):
        raise _GRAPH.permission_missing(response)
    return _read_ids([group.get("id") for group in groups if group["displayName"] == name])


def _read_values(response: HttpResponse) -> list[Any]:
    return _values_of(_GRAPH.read(response))


def _values_of(document: Mapping[str, Any]) -> list[Any]:
    values = document.get("value")
    if not isinstance(values, list):
        raise _GRAPH.refused("Graph's response holds no list")
    return values


def _read_ids(values: list[Any]) -> frozenset[ObjectId]:
    ids = [parse_guid(value) for value in values]
    if None in ids:
        raise _GRAPH.refused("Graph's response holds something else than object ids")
    return frozenset(ObjectId(found) for found in ids if found)
