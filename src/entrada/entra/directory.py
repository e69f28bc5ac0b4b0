"""What Microsoft Graph tells an application in its own name: what changed in a tenant, and how people stand.

Owns three questions, always at the configured host. Sends the token to no other, whatever a link says.
Believes only what has the promised shape: anything else is `EntraUnavailable`, never "nobody" or "gone".

    people_changes_url, group_changes_url     where a delta query begins, from now on
    read_changes        one page of what changed since; None: Graph no longer knows since when, begin anew
    read_people         how up to twenty people stand, in one request (`$batch`)

A link is opaque. That of a next page and that of a next round are used alike.

Source: Microsoft Graph v1.0, "user: delta", "group: delta", "Use delta query to track changes in Microsoft
Graph data", "Combine multiple HTTP requests using JSON batching", "Microsoft Graph throttling guidance".
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from entrada.compatibility import UTC
from entrada.entra.authority import ObjectId, parse_guid
from entrada.entra.graph_response import GraphReader, is_of_graph
from entrada.entra.jws import RawAccessToken
from entrada.entra.transport import HttpResponse, HttpTransport, read_retry_after

PEOPLE_PER_BATCH = 20
GROUPS_PER_QUERY = 50
"""As many as Graph takes in the `$filter` of a delta query."""

_PAGE_SIZE = "odata.maxpagesize=500"
_LATEST = "$deltatoken=latest"
_NOT_FOUND = "Request_ResourceNotFound"
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,9})?Z", re.ASCII)
_GRAPH = GraphReader(
    sentence="Microsoft Graph did not say who changed.",
    forbidden="Graph does not let this application read people or groups (HTTP 403)",
    permission=(
        "Administrator: in the app registration, add the Microsoft Graph application permission "
        "User.Read.All, and GroupMember.Read.All where groups give roles, and grant admin consent."
    ),
)


@dataclass(frozen=True, kw_only=True)
class Change:
    """One person or group that changed. None: the page does not say.

    `members` are a group's that came or went, and groups among them.
    """

    object_id: ObjectId
    is_removed: bool = False
    is_enabled: bool | None = None
    members: frozenset[ObjectId] = frozenset()


@dataclass(frozen=True, kw_only=True)
class ChangePage:
    """`link` is where to ask next; `is_last`: there is no more for now."""

    changes: Sequence[Change]
    link: str = field(repr=False)
    is_last: bool


@dataclass(frozen=True, kw_only=True)
class PersonState:
    """`is_enabled` None: there is no such person in this tenant. `valid_from` is by Graph's clock."""

    is_enabled: bool | None
    sessions_valid_from: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class PeopleStates:
    """`unanswered` are those about whom there was no usable answer.

    `ahead` is how far Graph's clock is ahead of the one that was given.
    """

    states: Mapping[ObjectId, PersonState]
    unanswered: frozenset[ObjectId] = frozenset()
    retry_after_seconds: int | None = None
    ahead: timedelta = timedelta(0)

    def by_our_clock(self, moment: datetime) -> datetime:
        """What Graph's clock calls so; a moment at either end of time, which some call never, stays one."""
        try:
            return moment - self.ahead
        except OverflowError:
            return moment


def people_changes_url(graph_url: str) -> str:
    """Where the changes of people from now on are asked for."""
    return f"{graph_url}/v1.0/users/delta?$select=accountEnabled&{_LATEST}"


def group_changes_url(graph_url: str, group_ids: Collection[ObjectId]) -> str:
    """Where the changes of these groups' members from now on are asked for; of every group, if none is named.

    Raises:
        ValueError: more groups than one query takes.
    """
    if len(group_ids) > GROUPS_PER_QUERY:
        raise ValueError(f"a delta query takes {GROUPS_PER_QUERY} groups")
    condition = " or ".join(f"id eq '{group_id}'" for group_id in sorted(group_ids))
    chosen = f"&$filter={quote(condition, safe='')}" if condition else ""
    return f"{graph_url}/v1.0/groups/delta?$select=members{chosen}&{_LATEST}"


def read_changes(
    transport: HttpTransport, *, graph_url: str, access_token: RawAccessToken, link: str
) -> ChangePage | None:
    """One page of what changed; None where it has to begin anew: Graph has forgotten since when (410), or the
    link, which was kept, is of another Graph than that which is asked now.

    Raises:
        EntraUnavailable: any failure, and a page whose link does not lead to Graph.
    """
    if not is_of_graph(link, graph_url):
        return None
    response = transport.send("GET", link, headers={**_GRAPH.headers(access_token), "prefer": _PAGE_SIZE})
    if response.status == 410:
        return None
    document = _GRAPH.read(response)
    values = document.get("value")
    following, last = document.get("@odata.nextLink"), document.get("@odata.deltaLink")
    url = following if last is None else last
    if not isinstance(values, list) or (following is not None and last is not None):
        raise _GRAPH.refused("Graph's response is not a page of a delta query", response=response)
    if not isinstance(url, str) or not is_of_graph(url, graph_url):
        raise _GRAPH.refused("a page of a delta query names no next one at Graph", response=response)
    changes = [_read_change(value, response) for value in values]
    return ChangePage(changes=changes, link=url, is_last=last is not None)


def read_people(
    transport: HttpTransport,
    *,
    graph_url: str,
    access_token: RawAccessToken,
    object_ids: Sequence[ObjectId],
    now: datetime,
) -> PeopleStates:
    """How these people stand now.

    Raises:
        EntraUnavailable: no usable answer about any of them.
        ValueError: more than `PEOPLE_PER_BATCH`.
    """
    if len(object_ids) > PEOPLE_PER_BATCH:
        raise ValueError(f"a batch takes {PEOPLE_PER_BATCH} people")
    select = "$select=id,accountEnabled,signInSessionsValidFromDateTime"
    requests = [
        {"id": str(number), "method": "GET", "url": f"/users/{object_id}?{select}"}
        for number, object_id in enumerate(object_ids)
    ]
    response = transport.send(
        "POST",
        f"{graph_url}/v1.0/$batch",
        headers={**_GRAPH.headers(access_token), "content-type": "application/json"},
        body=json.dumps({"requests": requests}).encode(),
    )
    answers = _GRAPH.read(response).get("responses")
    if not isinstance(answers, list) or not all(isinstance(answer, dict) for answer in answers):
        raise _GRAPH.refused("Graph's response is not that to a batch", response=response)
    by_number = {answer.get("id"): answer for answer in answers}
    states: dict[ObjectId, PersonState] = {}
    waits: list[int] = []
    for number, object_id in enumerate(object_ids):
        answer = by_number.get(str(number), {})
        if answer.get("status") == 403:
            raise _GRAPH.permission_missing(response)
        state = _read_state(answer, object_id)
        if state is not None:
            states[object_id] = state
        elif answer.get("status") in (429, 503):
            waits.append(_wait_of(answer))
    return PeopleStates(
        states=states,
        unanswered=frozenset(object_ids) - states.keys(),
        retry_after_seconds=max(waits, default=None),
        ahead=_ahead(response, now),
    )


def _read_change(value: Any, response: HttpResponse) -> Change:
    object_id = parse_guid(value.get("id")) if isinstance(value, dict) else None
    if object_id is None:
        raise _GRAPH.refused("a page of a delta query holds something else than changes", response=response)
    enabled, members = value.get("accountEnabled"), value.get("members@delta", [])
    if not isinstance(members, list) or not all(isinstance(member, dict) for member in members):
        raise _GRAPH.refused("a page of a delta query holds members in another form", response=response)
    ids = [parse_guid(member.get("id")) for member in members]
    return Change(
        object_id=ObjectId(object_id),
        is_removed=isinstance(value.get("@removed"), dict),
        is_enabled=enabled if isinstance(enabled, bool) else None,
        members=frozenset(ObjectId(member) for member in ids if member),
    )


def _read_state(answer: Mapping[str, Any], object_id: ObjectId) -> PersonState | None:
    """None: this is not a usable answer about that person."""
    status, body = answer.get("status"), answer.get("body")
    if not isinstance(body, dict):
        return None
    if status == 404:
        error = body.get("error")
        is_gone = isinstance(error, dict) and error.get("code") == _NOT_FOUND
        return PersonState(is_enabled=None) if is_gone else None
    enabled = body.get("accountEnabled")
    if status != 200 or parse_guid(body.get("id")) != object_id or not isinstance(enabled, bool):
        return None
    valid_from = body.get("signInSessionsValidFromDateTime")
    return PersonState(is_enabled=enabled, sessions_valid_from=_moment(valid_from))


def _moment(text: object) -> datetime | None:
    match = _MOMENT.fullmatch(text) if isinstance(text, str) else None
    try:
        return None if match is None else datetime.fromisoformat(match[1]).replace(tzinfo=UTC)
    except ValueError:
        return None


def _wait_of(answer: Mapping[str, Any]) -> int:
    headers = answer.get("headers")
    named = headers if isinstance(headers, dict) else {}
    lower = {str(name).lower(): str(value) for name, value in named.items()}
    return read_retry_after(HttpResponse(status=429, headers=lower, body=b"")) or 0


def _ahead(response: HttpResponse, now: datetime) -> timedelta:
    try:
        said = parsedate_to_datetime(response.headers.get("date", ""))
    except (TypeError, ValueError, OverflowError):
        return timedelta(0)
    return said - now if said.tzinfo is not None else timedelta(0)
