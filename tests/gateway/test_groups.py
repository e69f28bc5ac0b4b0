"""Groups, from Entra's token or Graph to a rule of a real `entrada serve` and the application behind it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CLIENT_ID, CONTOSO_ID, FABRIKAM_ID
from walks.nursery import Nursery, ServerProcess, nursery, until
from walks.site import ROLES
from walks.test_leaving import is_closed, upgraded
from walks.visitor import Visitor

from .upstream import Upstream

ADA, VI, OLGA = "ada@contoso.test", "vi@contoso.test", "olga@contoso.test"  # Olga is in 250 groups
CHECK = "graph:/v1.0/me/checkMemberGroups"

Started = Callable[..., ServerProcess]


@pytest.fixture(autouse=True)
def _as_at_the_start(emulator: RunningEmulator) -> None:
    emulator.reset()


@pytest.fixture
def servers(emulator: RunningEmulator, tmp_path: Path) -> Iterator[Nursery]:
    told = {**emulator.env("entrada"), "ENTRADA_ROLES_MAPPING": ROLES, "ENTRADA_TRUSTED_PROXIES": "127.0.0.1"}
    with nursery(told, tmp_path) as made:
        yield made


@pytest.fixture
def start(servers: Nursery, upstream: Upstream, tmp_path: Path) -> Started:
    """A server with one rule for /page, which asks for these groups, and an application behind it."""

    def start_one(*groups: str, **settings: str) -> ServerProcess:
        rule = f'[[rules]]\npath = "/page"\ngroups = {json.dumps(groups)}\n' if groups else ""
        route = f'[[routes]]\nupstream = "http://127.0.0.1:{upstream.port}"\n'
        (tmp_path / "entrada.toml").write_text(rule + route)
        return servers.server(**settings)

    return start_one


def group_id(emulator: RunningEmulator, name: str) -> str:
    return next(g.object_id for g in emulator.directory.groups.values() if g.display_name == name)


def signed_in(place: Any, http: httpx.Client, person: Any) -> Visitor:
    visitor = Visitor(place, http)
    visitor.sign_in_as(person)
    assert visitor.whoami() is not None
    return visitor


def told(response: httpx.Response, name: str = "x-forwarded-groups") -> str:
    """What the application was told."""
    assert response.status_code == 200
    return {key.lower(): value for key, value in response.json()["fields"]}.get(name, "")


def graph_requests(emulator: RunningEmulator) -> list[str]:
    return [request.path for request in emulator.requests if request.endpoint == "graph"]


def asked(visitor: Visitor, **query: str) -> httpx.Response:
    """As a proxy asks about /other in this visitor's name."""
    host = visitor.site.public_url.removeprefix("http://")
    fields = {"x_forwarded_method": "GET", "x_forwarded_host": host, "x_forwarded_uri": "/other"}
    address = "/auth/verify" + str(httpx.URL("", params=query) if query else "")
    return visitor.fetch(address, **fields)


def test_a_rule_lets_in_the_people_of_a_group(
    start: Started, http: httpx.Client, emulator: RunningEmulator
) -> None:
    """From the token's claim, nested groups too; others are told to nobody, and who is in none is 403."""
    engineers = group_id(emulator, "Engineers")
    place = start(engineers)
    ada, vi = signed_in(place, http, ADA), signed_in(place, http, VI)
    assert told(ada.open("/page")) == f"{engineers},Admin"
    refused = vi.open("/page")
    assert (refused.status_code, "group_required" in refused.text) == (403, True)
    assert told(vi.open("/other")) == "Viewer"
    assert Visitor(place, http).open("/page").status_code == 303  # type: ignore[arg-type]  # a place to visit
    assert graph_requests(emulator) == []


def test_who_leaves_a_group_is_out_at_the_next_look(
    start: Started, http: httpx.Client, emulator: RunningEmulator
) -> None:
    """The page and the open connection, within the interval; the session goes on, and so do others'."""
    engineers = group_id(emulator, "Engineers")
    place = start(engineers, ENTRADA_RECHECK_EVERY="3s")
    ada, ed = signed_in(place, http, ADA), signed_in(place, http, "ed@contoso.test")
    with upgraded(ada, int(place.address.rpartition(":")[2])) as socket:
        emulator.change_person(ADA, groups=["App Admins"])
        since = time.monotonic()
        until(lambda: ada.open("/page").status_code == 403 and is_closed(socket))
        assert time.monotonic() - since <= 4.0
    assert "group_required" in ada.open("/page").text
    assert told(ada.open("/other")) == "Admin"
    assert told(ed.open("/page")) == f"{engineers},Editor"


def test_who_comes_into_a_group_is_in_at_the_next_look(
    start: Started, http: httpx.Client, emulator: RunningEmulator
) -> None:
    """Without signing in again."""
    place = start(group_id(emulator, "Engineers"), ENTRADA_RECHECK_EVERY="1s")
    vi = signed_in(place, http, VI)
    assert vi.open("/page").status_code == 403
    emulator.change_person(VI, groups=["Engineers"])
    until(lambda: vi.open("/page").status_code == 200)


def test_C19_of_250_groups_those_that_rules_name_are_asked_about(
    start: Started, http: httpx.Client, emulator: RunningEmulator
) -> None:
    """At Graph, because the token could not hold them; the application is told of no other."""
    project = group_id(emulator, "Project 017")
    place = start(project, group_id(emulator, "Finance"))
    olga = signed_in(place, http, OLGA)
    assert told(olga.open("/page")) == f"{project},Viewer"
    assert graph_requests(emulator) == ["/v1.0/me/checkMemberGroups"]


def test_C20_where_graph_fails_nobody_signs_in_with_fewer_groups(
    start: Started, http: httpx.Client, emulator: RunningEmulator
) -> None:
    """The sign-in is refused, and says so; a look that fails later changes nothing that is known."""
    place = start(group_id(emulator, "Project 017"), ENTRADA_RECHECK_EVERY="1s")
    olga = Visitor(place, http)  # type: ignore[arg-type]  # a place to visit
    emulator.fail("graph_error", endpoint=CHECK, status=403, code="Authorization_RequestDenied")
    refused = olga.sign_in_as(OLGA)
    assert "which groups you are in" in refused.text
    assert olga.whoami() is None
    olga.sign_in_as(OLGA)
    emulator.clear_requests()
    emulator.fail("server_error", endpoint=CHECK, status=503, times=None)
    until(lambda: len(graph_requests(emulator)) > 1)
    assert olga.open("/page").status_code == 200


def test_a_group_by_name_is_the_one_group_of_that_name_in_the_directory(
    start: Started, http: httpx.Client, emulator: RunningEmulator
) -> None:
    """Told by id and by name; a second group of that name, and nobody signs in as long as there is one."""
    place = start("group:Engineers")
    ada, vi = signed_in(place, http, ADA), signed_in(place, http, VI)
    assert told(ada.open("/page")) == f"{group_id(emulator, 'Engineers')},Admin,group:Engineers"
    assert vi.open("/page").status_code == 403


def test_what_nobody_asked_about_at_the_sign_in_is_not_known(
    start: Started, http: httpx.Client, emulator: RunningEmulator
) -> None:
    """A session from before the rule: refused with a sentence that says what to do, and doing it helps."""
    before = start()
    ada = signed_in(before, http, ADA)
    after = start(group_id(emulator, "Engineers"), public_url=before.public_url)
    ada = Visitor(after, http, ada.jar)  # type: ignore[arg-type]  # a place to visit
    refused = ada.open("/page")
    assert (refused.status_code, "groups_unknown" in refused.text) == (403, True)
    assert "sign in again" in refused.text
    ada.sign_in_as(ADA)
    assert ada.open("/page").status_code == 200


def test_a_session_from_before_a_rule_learns_of_its_group_by_a_look(
    start: Started, http: httpx.Client, emulator: RunningEmulator
) -> None:
    """Nobody has to sign in again for it."""
    before = start(ENTRADA_RECHECK_EVERY="2s")
    ada = signed_in(before, http, ADA)
    before.kill()
    engineers = group_id(emulator, "Engineers")
    after = start(engineers, public_url=before.public_url, ENTRADA_RECHECK_EVERY="2s")
    ada = Visitor(after, http, ada.jar)  # type: ignore[arg-type]  # a place to visit
    until(lambda: ada.open("/page").status_code == 200)


def test_a_proxy_asks_for_groups_in_the_address_of_the_check(
    start: Started, http: httpx.Client, emulator: RunningEmulator
) -> None:
    """Those that the settings name; another one is refused with the setting that would help."""
    engineers, finance = group_id(emulator, "Engineers"), group_id(emulator, "Finance")
    place = start(ENTRADA_GROUPS=f"{engineers},{finance}")
    ada = signed_in(place, http, ADA)
    for _ in range(2):  # the second time by the fast path
        passed = asked(ada, allowed_groups=engineers.upper())
        assert passed.status_code == 200
        for name in ("x-forwarded-groups", "x-auth-request-groups", "remote-groups"):
            assert passed.headers[name] == f"{engineers},Admin"
        assert asked(ada, allowed_groups=finance).status_code == 403
        assert asked(ada, allowed_groups=f"{finance},{engineers}").status_code == 200
    unknown = asked(ada, allowed_groups=group_id(emulator, "App Admins"))
    assert (unknown.status_code, "ENTRADA_GROUPS" in unknown.json()["hint"]) == (403, True)
    bare = asked(ada, allowed_groups="Engineers")
    assert (bare.status_code, "object id" in bare.json()["hint"]) == (403, True)


def test_every_group_is_told_as_far_as_a_field_holds_them(
    start: Started, http: httpx.Client, emulator: RunningEmulator
) -> None:
    """With `all`; what does not fit is a refusal that says so, never a shorter list."""
    place = start(ENTRADA_GROUPS="all")
    ada, olga = signed_in(place, http, ADA), signed_in(place, http, OLGA)
    names = ("App Admins", "Contoso Staff", "Engineers", "Platform Team")
    held = sorted(group_id(emulator, name) for name in names)
    assert told(ada.open("/other")) == ",".join(sorted([*held, "Admin"]))
    assert asked(ada, allowed_groups=held[0]).status_code == 200
    refused = olga.open("/other")
    assert refused.status_code == 403
    assert "does not fit" in refused.text


def test_more_groups_than_anybody_can_be_asked_about_end_the_sign_in(
    start: Started, http: httpx.Client, emulator: RunningEmulator
) -> None:
    """2,000 groups: with `all` a refusal that names the way out; named ones are found among them."""
    for number in range(2_000):
        emulator.add_group(f"Crowd {number}")
    crowd = [group.object_id for group in emulator.directory.groups.values() if "Crowd" in group.display_name]
    emulator.change_person(VI, groups=crowd)
    refused = Visitor(start(ENTRADA_GROUPS="all"), http).sign_in_as(VI)  # type: ignore[arg-type]
    assert "more than 1000 groups" in refused.text
    known = told(signed_in(start(crowd[1_999]), http, VI).open("/page"))
    assert set(known.split(",")) == {crowd[1_999], "Viewer"}


def test_several_tenants_name_the_tenant_of_a_group(
    start: Started, servers: Nursery, http: httpx.Client, emulator: RunningEmulator
) -> None:
    """A bare id stops the start; with its tenant it is good for that tenant's people alone."""
    engineers = group_id(emulator, "Engineers")
    emulator.change_app(CLIENT_ID, audience="AzureADMultipleOrgs")
    tenants = {
        "ENTRADA_TENANT_ID": "organizations",
        "ENTRADA_ALLOWED_TENANTS": f"{CONTOSO_ID},{FABRIKAM_ID}",
    }
    place = start(f"{CONTOSO_ID}/{engineers}", **tenants)
    assert told(signed_in(place, http, ADA).open("/page")) == f"{engineers},Admin"
    mallory = signed_in(place, http, "mallory@fabrikam.test")
    emulator.fail("tamper", set={"groups": [engineers]})
    mallory.sign_in_as("mallory@fabrikam.test")
    assert mallory.open("/page").status_code == 403
