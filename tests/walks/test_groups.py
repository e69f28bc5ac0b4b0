"""Roles by groups: from the token, by name, and at Graph when the token could not hold them (C19 to C21)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from entrada.emulator import RunningEmulator
from walks.conftest import NewVisitor, NewWatch, Serve
from walks.visitor import Visitor

OLGA = "olga@contoso.test"  # in 250 groups
NORA = "nora@contoso.test"  # in none
CHECK = "graph:/v1.0/me/checkMemberGroups"


def group_id(emulator: RunningEmulator, name: str) -> str:
    return next(g.object_id for g in emulator.directory.groups.values() if g.display_name == name)


def asked_of_graph(emulator: RunningEmulator) -> list[str]:
    return [request.path for request in emulator.requests if request.endpoint == "graph"]


@pytest.fixture
def by_group(serve: Serve, emulator: RunningEmulator, new_visitor: NewVisitor) -> Visitor:
    """A visitor of a site where Project 017 gives Editor, and Finance, which Olga is not in, Admin."""
    mapping = {
        group_id(emulator, "Project 017"): "Editor",
        group_id(emulator, "Finance"): "Admin",
        "Viewer": "Viewer",
    }
    return new_visitor(serve(ENTRADA_ROLES_MAPPING=json.dumps(mapping)))


def test_groups_in_the_token(by_group: Visitor, emulator: RunningEmulator) -> None:
    """Groups that stand in the token give their roles, and Graph is not asked."""
    emulator.change_person(NORA, groups=["Project 017"])
    by_group.sign_in_as(NORA)
    assert by_group.whoami()["roles"] == ["Editor"]
    assert asked_of_graph(emulator) == []


def test_C19_overage(by_group: Visitor, emulator: RunningEmulator) -> None:
    """A person in 250 groups gets the roles of the mapped ones, asked for at Graph and nothing else there."""
    by_group.sign_in_as(OLGA)
    assert by_group.whoami()["roles"] == ["Editor", "Viewer"]
    assert asked_of_graph(emulator) == ["/v1.0/me/checkMemberGroups"]
    (asked,) = [request for request in emulator.requests if request.endpoint == "graph"]
    assert asked.headers["host"] == emulator.https_url.removeprefix("https://")


@pytest.mark.parametrize(
    "claims",
    [
        {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "EMULATOR/stolen"}}},
        {"_claim_names": {"groups": "src1"}},
        {"_claim_names": {"groups": "src1"}, "_claim_sources": "x"},
        {"hasgroups": True},
        {"hasgroups": "true"},
    ],
)
def test_C19_never_the_address_in_the_token(
    claims: dict[str, Any], by_group: Visitor, emulator: RunningEmulator
) -> None:
    """Whatever address the token names, only the configured Graph host is asked."""
    text = json.dumps(claims).replace("EMULATOR", emulator.https_url)
    emulator.fail("tamper", remove=["groups"], set=json.loads(text))
    by_group.sign_in_as(OLGA)
    assert by_group.whoami()["roles"] == ["Editor", "Viewer"]
    assert asked_of_graph(emulator) == ["/v1.0/me/checkMemberGroups"]
    assert not any("stolen" in request.path for request in emulator.requests)


def test_C19_no_groups_mapped(visitor: Visitor, emulator: RunningEmulator) -> None:
    """Where no group is mapped, Graph is not asked and not even a token for it."""
    visitor.sign_in_as(OLGA)
    assert visitor.whoami()["roles"] == ["Viewer"]
    assert asked_of_graph(emulator) == []
    assert "User.Read" not in visitor.at_entra


@pytest.mark.parametrize(
    ("fault", "parameters", "said"),
    [
        ("graph_error", {"status": 403, "code": "Authorization_RequestDenied"}, "GroupMember.Read.All"),
        ("graph_error", {"status": 401, "code": "InvalidAuthenticationToken"}, "HTTP 401"),
        ("too_many_requests", {"retry_after": 17}, "17 seconds"),
        ("server_error", {"status": 500}, "HTTP 500"),
        ("server_error", {"status": 503}, "HTTP 503"),
        ("drop", {}, "connection was lost"),
        ("html", {}, "Graph's response is"),
        ("null", {}, "Graph's response is"),
        ("array", {}, "Graph's response is"),
        ("half_json", {}, "Graph's response is"),
        ("empty", {}, "Graph's response is"),
        ("oversized", {}, "larger than"),
        ("redirect", {}, "HTTP 307"),
        ("body", {"text": '{"value": "all of them"}'}, "holds no list"),
        ("body", {"text": '{"value": [1]}'}, "something else than object ids"),
    ],
)
def test_C20_graph_fails(
    fault: str,
    parameters: dict[str, Any],
    said: str,
    by_group: Visitor,
    emulator: RunningEmulator,
    watch: NewWatch,
) -> None:
    """If Graph fails, the sign-in is refused with a page that says so; nobody goes on with fewer groups."""
    by_group.begin()
    by_group.approve_as(OLGA)
    emulator.fail(fault, endpoint=CHECK, **parameters)
    watching = watch(by_group)
    answer = by_group.complete()
    page = watching.refused(answer, answer.status_code, "entra_unavailable", token_requests=1)
    assert answer.status_code in (502, 503)
    assert (
        "Microsoft Graph did not say which groups you are in" in page or "Microsoft Entra ID did not" in page
    )
    assert said in page
    if fault == "too_many_requests":
        assert answer.headers["retry-after"] == "17"
    assert by_group.whoami() is None
    by_group.sign_in_as(OLGA)
    assert by_group.whoami()["roles"] == ["Editor", "Viewer"]


def test_C20_graph_hangs(
    impatient: None, by_group: Visitor, emulator: RunningEmulator, watch: NewWatch
) -> None:
    """If Graph never answers, the sign-in ends in bounded time with a page that says so."""
    by_group.begin()
    by_group.approve_as(OLGA)
    emulator.fail("hang", endpoint=CHECK)
    watching = watch(by_group)
    page = watching.refused(by_group.complete(), 503, "entra_unavailable")
    assert "no response within" in page


def test_C21_groups_of_nobody(by_group: Visitor, emulator: RunningEmulator) -> None:
    """Groups that the mapping does not name, and directory roles, give nothing."""
    emulator.fail(
        "tamper",
        set={
            "groups": ["99999999-7777-4666-8555-444433332222", "Admin", "Finance"],
            "wids": [group_id(emulator, "Finance"), "62e90394-69f5-4237-9190-012177145e10"],
        },
    )
    by_group.sign_in_as(NORA)
    assert by_group.whoami()["roles"] == []


@pytest.mark.parametrize("groups", ["Finance", None, [1], [["a"]], {"a": 1}, ["x"] * 5_000])
def test_C21_groups_of_another_shape(
    groups: Any, by_group: Visitor, emulator: RunningEmulator, watch: NewWatch
) -> None:
    """A groups claim that is no list of texts is refused, not read as no groups."""
    by_group.begin()
    by_group.approve_as(NORA)
    emulator.fail("tamper", set={"groups": groups})
    watching = watch(by_group)
    watching.refused(by_group.complete(), 400, "id_token_refused")


@pytest.fixture
def by_name(serve: Serve, new_visitor: NewVisitor) -> Visitor:
    """A visitor of a site whose mapping names groups by name."""
    return new_visitor(
        serve(
            ENTRADA_ROLES_MAPPING='{"group:Night shift": "Editor", "App Admins": "Admin", "Plain": "Admin"}'
        )
    )


def test_group_by_name(by_name: Visitor, emulator: RunningEmulator) -> None:
    """`group:NAME` stands for the one group of that name, looked up at Graph once in ten minutes."""
    emulator.add_group("Night shift")
    emulator.add_group("Plain")
    emulator.change_person(NORA, groups=["Night shift", "Plain"])
    by_name.sign_in_as(NORA)
    assert by_name.whoami()["roles"] == ["Editor"]
    looked_up = len(asked_of_graph(emulator))
    by_name.sign_in_as(NORA)
    assert len(asked_of_graph(emulator)) == looked_up
    by_name.site.clock.pass_by(minutes=11)
    by_name.sign_in_as(NORA)
    assert len(asked_of_graph(emulator)) == 2 * looked_up


def test_group_by_name_with_overage(by_name: Visitor, emulator: RunningEmulator) -> None:
    """Names and overage together: the names become ids, and membership is asked at Graph."""
    group = emulator.add_group("Night shift")
    olga = emulator.person(OLGA)
    emulator.change_person(OLGA, groups=[*olga.groups, group.object_id])
    by_name.sign_in_as(OLGA)
    assert by_name.whoami()["roles"] == ["Editor"]


def test_two_groups_of_one_name(by_name: Visitor, emulator: RunningEmulator, watch: NewWatch) -> None:
    """Two groups of one name: nobody can say which was meant, so the sign-in is refused and says why."""
    emulator.add_group("Night shift")
    emulator.add_group("Night shift")
    by_name.begin()
    by_name.approve_as(NORA)
    watching = watch(by_name)
    page = watching.refused(by_name.complete(), 502, "entra_unavailable")
    assert "2 groups are called 'Night shift'" in page
    assert "Your administrator can fix this" in page


def test_group_by_name_without_permission(
    by_name: Visitor, emulator: RunningEmulator, watch: NewWatch
) -> None:
    """Without the permission to read groups, the page names the permission."""
    by_name.begin()
    by_name.approve_as(NORA)
    emulator.fail(
        "graph_error", endpoint="graph:/v1.0/groups", status=403, code="Authorization_RequestDenied"
    )
    watching = watch(by_name)
    page = watching.refused(by_name.complete(), 502, "entra_unavailable")
    assert "GroupMember.Read.All" in page
    assert "Your administrator can fix this" in page
