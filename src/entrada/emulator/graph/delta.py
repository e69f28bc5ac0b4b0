"""Delta queries: what changed among people and groups since the client last asked.

The first round tells everything, page by page; the last page has a `@odata.deltaLink`, and asking that tells
what changed since.  `$select` limits what counts as a change.  A token that is not known any more is 410 with
the address at which to begin anew.
`signInSessionsValidFromDateTime` is told when it was selected, but its change alone is none: whether it is
one at Graph is not documented.
Source: Microsoft Graph, "user: delta", "group: delta", "Use delta query to track changes in Microsoft Graph
data".
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, urlencode

from ..directory.directory import Directory
from ..protocol.http import Request, Response, json_response
from ..state.delta_tokens import Records, Tracking
from ..state.world import World
from . import query, shapes
from .access import Caller, GraphError

_PAGE = 100
_LATEST = "latest"
_SILENT = ("signInSessionsValidFromDateTime",)
_OPTIONS = ("$select", "$filter")
_PAGE_SIZE = re.compile(r"odata\.maxpagesize=(\d{1,3})", re.IGNORECASE)


def users(world: World, request: Request, who: Caller) -> Response:
    """People who came, changed or went."""
    who.need("User.Read.All", "User.ReadWrite.All")
    return _delta(world, request, who, "users")


def groups(world: World, request: Request, who: Caller) -> Response:
    """Groups that came, changed or went, and whose members did."""
    who.need("GroupMember.Read.All", "Group.Read.All", "Group.ReadWrite.All")
    return _delta(world, request, who, "groups")


def _delta(world: World, request: Request, who: Caller, collection: str) -> Response:
    tracking = _next(world, request, who, collection)
    size = _page_size(request)
    page, rest = tracking.waiting[:size], tracking.waiting[size:]
    answer: dict[str, Any] = {"@odata.context": f"{request.base_url}/v1.0/$metadata#{collection}"}
    held = world.delta_tokens.hold(
        Tracking(
            collection=collection,
            tenant_id=who.tenant_id,
            options=tracking.options,
            known=tracking.known,
            waiting=rest,
        )
    )
    link, name = ("nextLink", "$skiptoken") if rest else ("deltaLink", "$deltatoken")
    answer[f"@odata.{link}"] = _address(request, {name: held})
    answer["value"] = list(page)
    return json_response(answer)


def _next(world: World, request: Request, who: Caller, collection: str) -> Tracking:
    """Where the client stands: at the beginning, within a round, or at the beginning of the next one.

    Raises:
        GraphError: 410 for a token that is not known any more.
    """
    within, since = request.query.get("$skiptoken"), request.query.get("$deltatoken")
    if within or (since and since != _LATEST):
        found = world.delta_tokens.find(within or since, collection=collection, tenant_id=who.tenant_id)
        if found is None:
            raise GraphError(
                410,
                "syncStateNotFound",
                "The sync state generation is not found; a full synchronization is required.",
                location=_address(request, {"$deltatoken": ""}),
            )
        if within:
            return found
        options, known = found.options, found.known
    else:
        options = tuple((name, request.query.get(name)) for name in _OPTIONS if request.query.get(name))
        known = {}
    now = _records(world.directory, who.tenant_id, collection, dict(options))
    changes = () if since == _LATEST else tuple(_changes(known, now, collection))
    return Tracking(
        collection=collection, tenant_id=who.tenant_id, options=options, known=now, waiting=changes
    )


def _records(directory: Directory, tenant_id: str, collection: str, options: dict[str, str]) -> Records:
    """The collection as the options show it, by id."""
    if collection == "users":
        people = directory.people_of(tenant_id)
        every = [
            shapes.whole_user(person) if "$select" in options else shapes.user(person) for person in people
        ]
    else:
        every = [
            {**shapes.group(group), "members": _members(directory, group.object_id)}
            for group in list(directory.groups.values())
            if group.tenant_id == tenant_id
        ]
        for record in every:
            del record["@odata.type"]
    text = options.get("$filter", "")
    wanted = [name.strip() for name in options.get("$select", "").split(",") if name.strip()]
    return {
        record["id"]: {n: v for n, v in record.items() if not wanted or n == "id" or n in wanted}
        for record in every
        if not text or query.matches(record, text)
    }


def _members(directory: Directory, group_id: str) -> dict[str, str]:
    """The direct members of a group: their types, by id."""
    people = {
        person.object_id: "#microsoft.graph.user"
        for person in list(directory.people.values())
        if group_id in person.groups
    }
    nested = {
        group.object_id: "#microsoft.graph.group"
        for group in list(directory.groups.values())
        if group_id in group.member_of
    }
    return people | nested


def _changes(known: Records, now: Records, collection: str) -> list[dict[str, Any]]:
    changed: list[dict[str, Any]] = []
    for object_id, record in now.items():
        before = known.get(object_id)
        if before is not None and _counted(before) == _counted(record):
            continue
        told = {name: value for name, value in record.items() if name != "members"}
        if "members" in record:
            members = _member_changes((before or {}).get("members", {}), record["members"])
            if members:
                told["members@delta"] = members
        changed.append(told)
    # Deleted people and groups can be restored for a while, which Graph calls changed.
    reason = "changed" if collection == "users" else "deleted"
    gone = [{"id": one, "@removed": {"reason": reason}} for one in known if one not in now]
    return changed + gone


def _counted(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in _SILENT}


def _member_changes(before: dict[str, str], after: dict[str, str]) -> list[dict[str, Any]]:
    came = [{"@odata.type": kind, "id": one} for one, kind in after.items() if one not in before]
    went = [
        {"@odata.type": kind, "id": one, "@removed": {"reason": "deleted"}}
        for one, kind in before.items()
        if one not in after
    ]
    return [*came, *went]


def _page_size(request: Request) -> int:
    asked = _PAGE_SIZE.search(request.headers.get("prefer", ""))
    return max(1, int(asked.group(1))) if asked else _PAGE


def _address(request: Request, options: dict[str, str]) -> str:
    return f"{request.base_url}{request.path}?{urlencode(options, quote_via=quote, safe='$')}"
