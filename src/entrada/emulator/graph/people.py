"""People at Graph: `/me`, `/users`, their groups, roles and photo.

Source: Microsoft Graph v1.0, "Get a user", "checkMemberGroups", "getMemberObjects", "List memberOf".
"""

from __future__ import annotations

from typing import Any

from ..directory.records import Person
from ..faults.tampering import tamper_document
from ..protocol.http import Request, Response, json_response
from ..state.world import World
from . import query, shapes
from .access import Caller, GraphError, person_in

_CHECK_LIMIT = 20


def _grey_jpeg() -> bytes:
    """The smallest baseline JPEG: eight by eight pixels of one grey.  Source: ITU-T T.81, annex B."""
    quantisation = b"\xff\xdb\x00\x43\x00" + b"\x01" * 64
    frame = b"\xff\xc0\x00\x0b\x08\x00\x08\x00\x08\x01\x01\x11\x00"
    one_code = b"\x01" + b"\x00" * 15 + b"\x00"
    tables = b"".join(b"\xff\xc4\x00\x14" + kind + one_code for kind in (b"\x00", b"\x10"))
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + b"\x3f"
    return b"\xff\xd8" + quantisation + frame + tables + scan + b"\xff\xd9"


_PHOTO = _grey_jpeg()


def me(_world: World, request: Request, who: Caller) -> Response:
    """The person of the token."""
    who.need("User.Read", "User.ReadWrite", "User.Read.All", "User.ReadBasic.All")
    return _one(request, _self(who))


def user(world: World, request: Request, who: Caller, name: str) -> Response:
    """Somebody of the tenant."""
    who.need("User.Read.All", "User.ReadBasic.All", "User.ReadWrite.All")
    return _one(request, person_in(world.directory, who, name))


def _one(request: Request, person: Person) -> Response:
    selected = "$select" in request.query
    record = query.shaped(shapes.whole_user(person), request) if selected else shapes.user(person)
    entity = "users/$entity"
    return json_response({"@odata.context": f"{request.base_url}/v1.0/$metadata#{entity}", **record})


def users(world: World, request: Request, who: Caller) -> Response:
    """Everybody of the tenant."""
    who.need("User.Read.All", "User.ReadBasic.All", "User.ReadWrite.All")
    records = [shapes.whole_user(person) for person in world.directory.people_of(who.tenant_id)]
    return _page(request, records, "users")


def _page(request: Request, records: list[dict[str, Any]], context: str) -> Response:
    return json_response(
        query.collection(records, request, path=request.path, base_url=request.base_url, context=context)
    )


def _self(who: Caller) -> Person:
    if who.person is None:
        raise GraphError(400, "BadRequest", "/me request is only valid with delegated authentication flow.")
    return who.person


def _subject(world: World, who: Caller, name: str) -> Person:
    """The person whose groups are asked; one's own need only User.Read."""
    if not name:
        who.need("User.Read", "User.ReadWrite", "User.Read.All", "GroupMember.Read.All", "Group.Read.All")
        return _self(who)
    who.need("GroupMember.Read.All", "Group.Read.All", "User.Read.All")
    return person_in(world.directory, who, name)


def member_of(
    world: World, request: Request, who: Caller, name: str = "", *, transitive: bool = False
) -> Response:
    """The groups somebody is in, as objects: direct, or nested ones too."""
    person = _subject(world, who, name)
    ids = world.directory.group_ids_of(person) if transitive else list(person.groups)
    records = [shapes.group(world.directory.groups[i]) for i in ids if i in world.directory.groups]
    return _page(request, records, "directoryObjects")


def check_member_groups(world: World, request: Request, who: Caller, name: str = "") -> Response:
    """Which of up to twenty groups somebody is in, nested membership counted."""
    person = _subject(world, who, name)
    body = request.json()
    asked = body.get("groupIds") if isinstance(body, dict) else None
    if not isinstance(asked, list) or not asked or not all(isinstance(one, str) for one in asked):
        raise GraphError(400, "Request_BadRequest", "A list of group ids is expected in 'groupIds'.")
    if len(asked) > _CHECK_LIMIT:
        raise GraphError(
            400,
            "Directory_ResultSizeLimitExceeded",
            f"The number of group ids must be less than or equal to {_CHECK_LIMIT}.",
        )
    held = set(world.directory.group_ids_of(person))
    return _ids(request, [one for one in dict.fromkeys(map(str.lower, asked)) if one in held])


def get_member_objects(world: World, request: Request, who: Caller, name: str = "") -> Response:
    """All groups somebody is in, as ids."""
    person = _subject(world, who, name)
    body = request.json()
    only_security = bool(body.get("securityEnabledOnly")) if isinstance(body, dict) else False
    ids = [
        group_id
        for group_id in world.directory.group_ids_of(person)
        if not only_security or world.directory.groups[group_id].security_enabled
    ]
    return _ids(request, ids)


def _ids(request: Request, ids: list[str]) -> Response:
    return json_response(
        {"@odata.context": f"{request.base_url}/v1.0/$metadata#Collection(Edm.String)", "value": ids}
    )


def role_assignments(world: World, request: Request, who: Caller, name: str = "") -> Response:
    """The app roles somebody was assigned."""
    person = _self(who) if not name else person_in(world.directory, who, name)
    who.need("AppRoleAssignment.ReadWrite.All", "Application.Read.All", "Directory.Read.All")
    records = [
        shapes.role_assignment(record, world.directory)
        for record in list(world.directory.assignments.values())
        if record.principal_id == person.object_id
    ]
    return _page(request, records, "appRoleAssignments")


def photo(world: World, _request: Request, who: Caller, name: str = "") -> Response:
    """The photo's bytes, or the 404 that most people have."""
    who.need("User.Read", "User.ReadBasic.All", "User.Read.All", "ProfilePhoto.Read.All")
    person = person_in(world.directory, who, name) if name else _self(who)
    if not person.photo:
        raise GraphError(404, "ImageNotFound", "Exception of type 'ImageNotFoundException' was thrown.")
    return Response(body=_PHOTO, content_type="image/jpeg")


def revoke_sign_in_sessions(world: World, request: Request, who: Caller, name: str = "") -> Response:
    """End somebody's sessions and refresh tokens."""
    who.need("User.ReadWrite.All", "User.RevokeSessions.All", "Directory.ReadWrite.All")
    person = person_in(world.directory, who, name) if name else _self(who)
    world.revoke_sessions(person)
    return json_response({"@odata.context": f"{request.base_url}/v1.0/$metadata#Edm.Boolean", "value": True})


def userinfo(world: World, request: Request, who: Caller) -> Response:
    """The OpenID userinfo endpoint, which Graph serves."""
    from ..tokens.identity_claims import pairwise_subject

    person = _self(who)
    claims: dict[str, Any] = {"sub": pairwise_subject(person, who.client_id)}
    if "profile" in who.permissions:
        claims.update(name=person.display_name, family_name=person.surname, given_name=person.given_name)
        claims["picture"] = f"{request.base_url}/v1.0/me/photo/$value"
    if "email" in who.permissions and person.mail:
        claims["email"] = person.mail
    return json_response(tamper_document(world, "userinfo", claims))
