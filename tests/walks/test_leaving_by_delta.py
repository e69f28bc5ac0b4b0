"""Leaving, learnt from Graph's delta queries: real servers, the emulator, and people who go while signed in.

The re-check is an hour away in these tests, so whoever is out is out by the watch of the directory. Where the
watch is an hour away too, a test looks when it wants to.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from conformance.samples import session
from emulator.relying_party import Entra
from entrada.accounts.delta_position import DeltaPosition
from entrada.accounts.identity import EntraIdentity, Profile
from entrada.accounts.sealed_sign_ins import SealedSignIn
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CLIENT_ID, CONTOSO_ID, FABRIKAM_ID, FINANCE
from entrada.entra.authority import ObjectId, TenantId
from entrada.errors import BearerTokenRefused
from entrada.flows.background_watch import BackgroundWatch
from gateway.upstream import running_upstream
from walks.conftest import NewVisitor, Serve
from walks.nursery import nursery, until
from walks.site import ROLES, Site, served
from walks.test_leaving import is_closed, upgraded
from walks.visitor import SCRIPT, Visitor

FAR_AWAY = {"ENTRADA_RECHECK_EVERY": "1h", "ENTRADA_DELTA_EVERY": "1h"}
LONGEST_SECONDS = 1.0 + 1.0
"""The pause between two looks, and a second."""


def allow(emulator: RunningEmulator, *permissions: str) -> None:
    """What an administrator has granted the seeded application in its own name."""
    emulator.change_app(CLIENT_ID, application_permissions=list(permissions))


@pytest.fixture(autouse=True)
def _allowed(emulator: RunningEmulator, _as_at_the_start: None) -> None:
    allow(emulator, "User.Read.All", "GroupMember.Read.All")


@pytest.fixture(scope="module")
def watched(
    emulator: RunningEmulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Site, Any]]:
    """A site for tests that leave it as it was, and numbers for people whom nobody has seen before."""
    folder = tmp_path_factory.mktemp("watched")
    with served(emulator, database=folder / "entrada.db", **FAR_AWAY) as site:
        yield site, count(1)


def watch_of(site: Site) -> BackgroundWatch[SealedSignIn]:
    watch = site.auth.relying_party.watch
    assert watch is not None
    return watch


def look(site: Site) -> None:
    """One look at every tenant, and the re-check of whom it hastened."""
    watch = watch_of(site)
    watch.look()
    if watch._rechecking is not None:
        watch._rechecking.join(timeout=20)


def signed_in(visitor: Visitor, person: Any) -> Visitor:
    visitor.sign_in_as(person)
    assert visitor.whoami() is not None
    return visitor


def token_of(emulator: RunningEmulator, person: Any) -> str:
    """An access token for this registration's API that the person has fetched by another application."""
    trust = ssl.create_default_context(cafile=emulator.ca_file)
    with httpx.Client(verify=trust, trust_env=False, timeout=20) as http:
        scope = f"openid api://{CLIENT_ID}/access_as_user"
        answer = Entra(emulator, http).tokens(person.user_principal_name, scope=scope, prompt="login")
    return str(answer["access_token"])


def asked_for_ever(visitor: Visitor, port: int) -> socket.socket:
    """A connection on which an answer has begun that has no end."""
    cookie = visitor.session_cookie
    assert cookie is not None
    client = socket.create_connection(("127.0.0.1", port), timeout=20)
    name = visitor.cookie_name("entrada_session")
    client.sendall(
        f"GET /endless HTTP/1.1\r\nHost: localhost:{port}\r\nCookie: {name}={cookie.value}\r\n\r\n".encode()
    )
    received = b""
    while b"data: 0" not in received:
        received += client.recv(65_536)
    return client


def asked_graph(emulator: RunningEmulator, path: str) -> int:
    return sum(one.path == path for one in emulator.requests)


def test_k12_disabled_people_are_out_of_serve_within_seconds(
    http: httpx.Client, emulator: RunningEmulator, tmp_path: Path, pat: Any, kim: Any
) -> None:
    """At every server of two: cookie, open WebSocket, answer under way and remembered token; nobody else is.

    The log says who, why and what found it, once; one of the two servers asks Graph, not both.
    """
    settings = {"ENTRADA_RECHECK_EVERY": "1h", "ENTRADA_DELTA_EVERY": "1s"}
    told = {**emulator.env("entrada"), "ENTRADA_ROLES_MAPPING": ROLES, **settings}
    with running_upstream() as upstream, nursery(told, tmp_path) as servers:
        routes = (
            f'bearer_scopes = "access_as_user"\n[[routes]]\nupstream = "http://127.0.0.1:{upstream.port}"\n'
        )
        (tmp_path / "entrada.toml").write_text(routes)
        one = servers.server()
        two = servers.server(public_url=one.public_url)
        leaver, other = signed_in(Visitor(one, http), pat), signed_in(Visitor(one, http), kim)
        elsewhere = Visitor(two, http, leaver.jar)  # type: ignore[arg-type]  # a place to visit
        port = int(one.address.rpartition(":")[2])
        assert elsewhere.whoami() is not None
        tokens = {"authorization": f"Bearer {token_of(emulator, pat)}", "host": f"localhost:{port}"}

        def calls() -> int:
            return http.get(f"{one.address}/x", headers={**SCRIPT, **tokens}).status_code

        assert calls() == 200
        with (
            upgraded(leaver, port) as theirs,
            upgraded(other, port) as others,
            asked_for_ever(leaver, port) as stream,
        ):
            emulator.clear_requests()
            until(lambda: asked_graph(emulator, "/v1.0/users/delta") >= 2)
            emulator.change_person(pat.user_principal_name, enabled=False)
            disabled_at = time.monotonic()
            until(lambda: leaver.whoami() is None and elsewhere.whoami() is None and is_closed(theirs))
            until(lambda: is_closed(stream) and calls() == 401)
            assert time.monotonic() - disabled_at <= LONGEST_SECONDS
            assert other.whoami() is not None
            assert not is_closed(others)
        looks = [each.at for each in emulator.requests if each.path == "/v1.0/users/delta"]
        pauses = [after - before for before, after in pairwise(looks)]
        assert min(pauses) > 0.5
        ended = re.findall(
            r"access_ended reason=\'disabled in the directory\' user_id=\w+ tenant_id=\S+ object_id=(\S+) "
            r"found_by=delta seconds=[0-9.]+",
            servers.logs(),
        )
        assert ended == [pat.object_id]
        assert "Traceback" not in servers.logs()


@pytest.mark.parametrize("how", ["disabled", "deleted", "revoked"])
@pytest.mark.parametrize("store", ["sqlite", "memory"])
def test_k12_within_the_library_whoever_leaves_is_out_at_the_next_look(
    how: str, store: str, serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any, kim: Any
) -> None:
    """Disabled and deleted by a change; revoked sessions by the slower questions about everybody."""
    site = serve(**FAR_AWAY, **({"database": None} if store == "memory" else {}))
    leaver, other = signed_in(new_visitor(site), pat), signed_in(new_visitor(site), kim)
    look(site)
    site.clock.pass_by(minutes=2)
    if how == "disabled":
        emulator.change_person(pat.user_principal_name, enabled=False)
    elif how == "deleted":
        emulator.remove_person(pat.user_principal_name)
    else:
        emulator.clock(120)
        emulator.revoke_sessions(pat.user_principal_name)
    look(site)
    assert leaver.whoami() is None
    assert other.whoami() is not None


def test_k12_back_in_with_the_next_sign_in(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """Disabled by mistake: enabled again, the person signs in as before, stays, and is watched again."""
    site = serve(**FAR_AWAY)
    visitor = signed_in(new_visitor(site), pat)
    look(site)
    emulator.change_person(pat.user_principal_name, enabled=False)
    look(site)
    assert visitor.whoami() is None
    emulator.change_person(pat.user_principal_name, enabled=True)
    signed_in(visitor, pat)
    look(site)
    assert visitor.whoami() is not None
    emulator.change_person(pat.user_principal_name, enabled=False)
    look(site)
    assert visitor.whoami() is None


@pytest.mark.parametrize("how", ["disabled", "deleted"])
def test_k12_an_answer_that_is_late_delays_an_end_and_prevents_none(
    how: str, serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any, kim: Any
) -> None:
    """A change says gone, the first answers say not yet: the next one ends them, whatever Entra says."""
    site = serve(**FAR_AWAY)
    leaver, other = signed_in(new_visitor(site), pat), signed_in(new_visitor(site), kim)
    look(site)
    site.clock.pass_by(minutes=2)
    if how == "disabled":
        emulator.change_person(pat.user_principal_name, enabled=False)
    else:
        emulator.remove_person(pat.user_principal_name)
    late = {"id": pat.object_id, "accountEnabled": True, "signInSessionsValidFromDateTime": None}
    answer = {"responses": [{"id": "0", "status": 200, "body": late}]}
    emulator.fail("body", endpoint="graph:/v1.0/$batch", times=2, text=json.dumps(answer))
    emulator.fail("body", endpoint="token", times=None, text="{}")
    look(site)
    assert leaver.whoami() is not None
    look(site)
    assert leaver.whoami() is None
    assert other.whoami() is not None


def test_k12_who_was_disabled_before_the_first_look_is_found(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """A delta query begins from now on; whoever is signed in is asked about once, at the beginning."""
    visitor = signed_in(new_visitor(serve(ENTRADA_RECHECK_EVERY="1h")), pat)
    emulator.change_person(pat.user_principal_name, enabled=False)
    assert visitor.whoami() is not None
    site = serve(**FAR_AWAY, public_url=visitor.site.public_url)
    visitor.site = site
    look(site)
    assert visitor.whoami() is None


def test_sessions_that_began_before_a_revocation_end_and_a_newer_one_stays(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """Two browsers: one signed in before Entra revoked the sessions, one after."""
    site = serve(**FAR_AWAY)
    before, after = signed_in(new_visitor(site), pat), new_visitor(site)
    look(site)
    emulator.clock(60)
    site.clock.pass_by(seconds=60)
    emulator.revoke_sessions(pat.user_principal_name)
    emulator.clock(120)
    site.clock.pass_by(seconds=60)
    signed_in(after, pat)
    look(site)
    assert (before.whoami(), (after.whoami() or {}).get("name")) == (None, "Pat Page")


def test_a_member_of_a_group_has_the_roles_of_it_at_once(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any, kim: Any
) -> None:
    """Who comes into a mapped group, or leaves it, is re-checked then, and nobody else is."""
    mapping = f'{{"Editor": "Editor", "Viewer": "Viewer", "{FINANCE}": "Treasurer"}}'
    site = serve(**FAR_AWAY, ENTRADA_ROLES_MAPPING=mapping)
    visitor, _ = signed_in(new_visitor(site), pat), signed_in(new_visitor(site), kim)
    look(site)
    for groups, roles in ((["Finance"], ["Editor", "Treasurer"]), ([], ["Editor"])):
        emulator.clear_requests()
        emulator.change_person(pat.user_principal_name, groups=groups)
        look(site)
        assert sorted((visitor.whoami() or {})["roles"]) == roles
        assert sum(one.form.get("grant_type") == "refresh_token" for one in emulator.requests) == 1


def test_a_group_that_is_named_and_one_that_is_deleted(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """A name is looked up; once the group is gone everybody of the tenant is re-checked."""
    site = serve(**FAR_AWAY, ENTRADA_ROLES_MAPPING='{"Editor": "Editor", "group:Crew": "Sailor"}')
    group = emulator.add_group("Crew")
    visitor = signed_in(new_visitor(site), pat)
    look(site)
    emulator.change_person(pat.user_principal_name, groups=["Crew"])
    look(site)
    assert sorted((visitor.whoami() or {})["roles"]) == ["Editor", "Sailor"]
    emulator.change_person(pat.user_principal_name, groups=[])
    del emulator.directory.groups[group.object_id]
    look(site)
    assert (visitor.whoami() or {})["roles"] == ["Editor"]


def test_without_the_permission_the_log_says_so_once_and_the_re_check_goes_on(
    serve: Serve,
    new_visitor: NewVisitor,
    emulator: RunningEmulator,
    caplog: pytest.LogCaptureFixture,
    pat: Any,
) -> None:
    """Which permission, whose administrator, and what it means; once it is granted, nobody restarts."""
    allow(emulator)
    site = serve(**FAR_AWAY)
    visitor = signed_in(new_visitor(site), pat)
    for _ in range(3):
        look(site)
        site.clock.pass_by(hours=1)
    said = [one.getMessage() for one in caplog.records if "who changed" in one.getMessage()]
    assert len(said) == 1
    assert "User.Read.All" in said[0]
    assert "re-check alone" in said[0]
    (position,) = watch_of(site).watch.store.positions()
    assert "HTTP 403" in (position.problem or "")
    assert visitor.whoami() is not None
    allow(emulator, "User.Read.All")
    look(site)
    (position,) = watch_of(site).watch.store.positions()
    assert (position.problem, position.looked_at is not None) == (None, True)
    emulator.change_person(pat.user_principal_name, enabled=False)
    look(site)
    assert visitor.whoami() is None


def without_the_permission_for_groups(serve: Serve, emulator: RunningEmulator) -> Site:
    """A group gives a role, and Graph tells about people alone."""
    allow(emulator, "User.Read.All")
    return serve(**FAR_AWAY, ENTRADA_ROLES_MAPPING=f'{{"{FINANCE}": "Treasurer", "Editor": "Editor"}}')


def test_groups_without_their_permission_keep_people_watched(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """User.Read.All alone: leavers are found, and what is missing is said of groups alone."""
    site = without_the_permission_for_groups(serve, emulator)
    visitor = signed_in(new_visitor(site), pat)
    look(site)
    (position,) = watch_of(site).watch.store.positions()
    assert (position.problem or "").startswith("whose groups changed: ")
    emulator.change_person(pat.user_principal_name, enabled=False)
    look(site)
    assert visitor.whoami() is None


def test_k12_groups_without_their_permission_take_the_token_from_no_other_part(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """While Entra gives no new one, Graph is asked about people with the one there is."""
    site = without_the_permission_for_groups(serve, emulator)
    visitor = signed_in(new_visitor(site), pat)
    look(site)
    emulator.fail("server_error", endpoint="token", times=None)
    site.clock.pass_by(minutes=6)  # groups are asked about again, in vain
    look(site)
    emulator.change_person(pat.user_principal_name, enabled=False)
    look(site)
    assert visitor.whoami() is None


def test_fault_22_a_delta_cut_off_repeated_and_again_later_leads_to_the_same_end(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any, kim: Any
) -> None:
    """Cut off between pages, read again from an older link 40 minutes later, forgotten by Graph (410)."""
    site = serve(**FAR_AWAY)
    watch, tenant = watch_of(site), TenantId(CONTOSO_ID)
    lee = emulator.add_person("lee@contoso.test", roles=["Editor"])
    leaver, returned, other = (signed_in(new_visitor(site), one) for one in (pat, kim, lee))
    look(site)
    (old,) = watch.watch.store.positions()
    for person in (pat, kim):
        emulator.change_person(person.user_principal_name, enabled=False)
    emulator.fail("graph_error", endpoint="graph:/v1.0/$batch", status=503, code="serviceNotAvailable")
    look(site)
    assert leaver.whoami() is not None  # cut off: nobody could say how they stand
    site.clock.pass_by(minutes=1)
    look(site)
    assert (leaver.whoami(), returned.whoami()) == (None, None)
    emulator.change_person(kim.user_principal_name, enabled=True)
    signed_in(returned, kim)
    first = (other.whoami(), returned.whoami(), leaver.whoami())
    for _ in range(2):  # the old link once more, 40 minutes later, twice
        site.clock.pass_by(minutes=40)
        emulator.clock(40 * 60)
        watch.watch._watched.clear()
        watch.watch.store.hold_position(
            tenant, holder=watch.watch.holder, now=site.clock.now(), until=site.clock.now()
        )
        assert watch.watch.store.keep_position(old, holder=watch.watch.holder)
        look(site)
        assert [bool(one.whoami()) for one in (other, returned, leaver)] == [bool(one) for one in first]
    emulator.fail("graph_error", endpoint="graph:/v1.0/users/delta", status=410, code="syncStateNotFound")
    site.clock.pass_by(minutes=2)
    look(site)
    assert [bool(one.whoami()) for one in (other, returned, leaver)] == [True, True, False]
    emulator.change_person(lee.user_principal_name, enabled=False)
    look(site)
    assert other.whoami() is None


@pytest.mark.parametrize("words", [(False,), (False, True), (True, False), (False, None), (False, False)])
def test_whoever_a_page_calls_gone_anywhere_is_asked_about(
    words: tuple[bool | None, ...],
    watched: tuple[Site, Any],
    new_visitor: NewVisitor,
    emulator: RunningEmulator,
) -> None:
    """Told twice and out of order, a person who left is out at this look, and one who is there stays."""
    site, number = watched
    emulator.clock(site.clock.ahead.total_seconds())
    there, gone = (emulator.add_person(f"order{next(number)}@contoso.test") for _ in range(2))
    stays, leaves = signed_in(new_visitor(site), there), signed_in(new_visitor(site), gone)
    look(site)
    (position,) = watch_of(site).watch.store.positions()
    emulator.change_person(gone.user_principal_name, enabled=False)
    page = {
        "value": [
            {"id": person.object_id, **({} if word is None else {"accountEnabled": word})}
            for word in words
            for person in (there, gone)
        ],
        "@odata.deltaLink": position.links["people"],
    }
    emulator.fail("body", endpoint="graph:/v1.0/users/delta", text=json.dumps(page))
    look(site)
    assert (stays.whoami() is not None, leaves.whoami()) == (True, None)


@pytest.mark.parametrize("path", ["users/delta", "$batch"])
@pytest.mark.parametrize(
    ("fault", "parameters"),
    [
        ("html", {}),
        ("null", {}),
        ("array", {}),
        ("half_json", {}),
        ("empty", {}),
        ("oversized", {}),
        ("redirect", {}),
        ("drop", {}),
        ("body", {"text": '{"value": [], "@odata.deltaLink": "https://evil.example/v1.0/users/delta"}'}),
        ("body", {"text": '{"value": [{"id": "PAT", "accountEnabled": false}]}'}),
        ("body", {"text": '{"responses": [{"id": "0", "status": 404, "body": {"error": {"code": "x"}}}]}'}),
        ("body", {"text": '{"responses": []}'}),
    ],
)
def test_wrong_data_ends_nobody_and_hides_nobody(
    path: str,
    fault: str,
    parameters: dict[str, str],
    watched: tuple[Site, Any],
    new_visitor: NewVisitor,
    emulator: RunningEmulator,
) -> None:
    """A proxy's page, half an answer, none, one of another host: all stay, and are found out afterwards."""
    site, number = watched
    emulator.clock(site.clock.ahead.total_seconds())
    person = emulator.add_person(f"wrong{next(number)}@contoso.test", roles=["Editor"])
    visitor = signed_in(new_visitor(site), person)
    given = {name: text.replace("PAT", person.object_id) for name, text in parameters.items()}
    emulator.fail(fault, endpoint=f"graph:/v1.0/{path}", times=None, **given)
    for _ in range(2):
        look(site)
        site.clock.pass_by(minutes=2)
    assert visitor.whoami() is not None
    emulator.clear_faults()
    emulator.change_person(person.user_principal_name, enabled=False)
    site.clock.pass_by(minutes=2)
    look(site)
    assert visitor.whoami() is None


def test_throttled_by_graph_nobody_is_asked_about_until_then(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """Retry-After is obeyed by all of a tenant's questions; then the changes of that time are read."""
    site = serve(**FAR_AWAY)
    visitor = signed_in(new_visitor(site), pat)
    look(site)
    emulator.change_person(pat.user_principal_name, enabled=False)
    emulator.fail("too_many_requests", endpoint="graph:/v1.0/users/delta", retry_after=30)
    look(site)
    emulator.clear_requests()
    site.clock.pass_by(seconds=20)
    look(site)
    assert not [one for one in emulator.requests if one.path.startswith("/v1.0")]
    assert visitor.whoami() is not None
    site.clock.pass_by(seconds=11)
    look(site)
    assert visitor.whoami() is None


def test_a_server_that_stops_lets_go_of_nobody_elses_reading(
    serve: Serve, new_visitor: NewVisitor, pat: Any
) -> None:
    """What another has taken over stays that one's; what is its own goes to the next at once."""
    site = serve(**FAR_AWAY)
    signed_in(new_visitor(site), pat)
    watch, tenant = watch_of(site).watch, TenantId(CONTOSO_ID)

    def hold(holder: str) -> DeltaPosition | None:
        now = site.clock.now()
        return watch.store.hold_position(tenant, holder=holder, now=now, until=now + timedelta(minutes=1))

    look(site)
    assert hold("another") is None
    site.clock.pass_by(minutes=2)
    assert hold("another") is not None
    watch.release()
    assert hold("a third") is None
    site.clock.pass_by(minutes=2)
    look(site)
    assert hold("another") is None
    watch.release()
    assert hold("another") is not None


def test_after_a_restart_reading_goes_on_where_it_stood(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """Who was disabled while no server ran is found by the stored link, page by page."""
    site = serve(**FAR_AWAY)
    visitor = signed_in(new_visitor(site), pat)
    look(site)
    site.auth.relying_party.close()
    for number in range(130):  # more than a page of the emulator's holds
        emulator.add_person(f"p{number}@contoso.test")
    emulator.change_person(pat.user_principal_name, enabled=False)
    again = serve(**FAR_AWAY, public_url=site.public_url)
    visitor.site = again
    emulator.clear_requests()
    look(again)
    assert visitor.whoami() is None
    asked = [one for one in emulator.requests if one.path == "/v1.0/users/delta"]
    assert "$deltatoken" in asked[0].query or "$deltatoken" in str(asked[0].query)
    assert "latest" not in str(asked[0].query)
    assert asked_graph(emulator, "/v1.0/$batch") == 1


def test_a_link_of_another_graph_is_not_followed_and_reading_begins_anew(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """A database that has moved, to another cloud or emulator: who left in between is out, and who leaves."""
    site = serve(**FAR_AWAY)
    visitor = signed_in(new_visitor(site), pat)
    look(site)
    watch = watch_of(site).watch
    (position,) = watch.store.positions()
    elsewhere = {
        key: re.sub(r"^https://[^/]+", "https://graph.example", link) for key, link in position.links.items()
    }
    assert elsewhere
    assert watch.store.keep_position(replace(position, links=elsewhere), holder=watch.holder)
    for person in (pat, emulator.add_person("lee@contoso.test", roles=["Editor"])):
        if visitor.whoami() is None:
            signed_in(visitor, person)
        emulator.change_person(person.user_principal_name, enabled=False)
        look(site)
        assert visitor.whoami() is None
        (position,) = watch.store.positions()
        assert position.problem is None
        assert not any("graph.example" in link for link in position.links.values())


def test_where_a_server_dies_another_reads_on_when_its_lease_is_over(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """One that did not say goodbye keeps a tenant for a minute at most; whoever has it, reads alone."""
    site = serve(**FAR_AWAY)
    visitor = signed_in(new_visitor(site), pat)
    look(site)
    other = serve(**FAR_AWAY, public_url=site.public_url)
    emulator.change_person(pat.user_principal_name, enabled=False)
    emulator.clear_requests()
    look(other)
    assert asked_graph(emulator, "/v1.0/users/delta") == 0
    assert visitor.whoami() is not None
    other.clock.pass_by(seconds=61)
    look(other)
    assert asked_graph(emulator, "/v1.0/users/delta") == 1
    until(lambda: visitor.whoami() is None, seconds=2)  # the first server hears of it by the log


def test_people_of_several_tenants_are_watched_in_their_own(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """One query for each allowed tenant, with a token of that tenant; the other tenant's stay in."""
    emulator.change_app(CLIENT_ID, audience="AzureADMultipleOrgs")
    site = serve(
        **FAR_AWAY,
        ENTRADA_TENANT_ID="organizations",
        ENTRADA_ALLOWED_TENANTS=f"{CONTOSO_ID},{FABRIKAM_ID}",
    )
    mal = emulator.add_person("mal@fabrikam.test")
    visitor, foreigner = signed_in(new_visitor(site), pat), signed_in(new_visitor(site), mal)
    look(site)
    emulator.change_person(mal.user_principal_name, enabled=False)
    look(site)
    assert (visitor.whoami() is not None, foreigner.whoami()) == (True, None)
    emulator.change_person(pat.user_principal_name, enabled=False)
    look(site)
    assert visitor.whoami() is None


def test_an_access_token_of_before_opens_nothing_any_more(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """Remembered or not, though Entra takes no token back; one that is issued afterwards does.

    Entra writes a moment up to five minutes before into `iat`, so for so long a new one may be refused, too.
    """
    site = serve(**FAR_AWAY, ENTRADA_BEARER_SCOPES="access_as_user")
    signed_in(new_visitor(site), pat)
    look(site)
    tokens = site.auth.token_callers
    assert tokens is not None
    early = token_of(emulator, pat)
    assert tokens.check.check(early).principal.object_id == pat.object_id
    emulator.change_person(pat.user_principal_name, enabled=False)
    site.clock.pass_by(seconds=2)
    look(site)
    for _ in range(2):
        with pytest.raises(Exception, match="before this person's access ended"):
            tokens.check.check(early)
    emulator.change_person(pat.user_principal_name, enabled=True)
    emulator.clock(400)
    site.clock.pass_by(seconds=398)
    signed_in(new_visitor(site), pat)  # lets nothing of before in again
    with pytest.raises(Exception, match="before this person's access ended"):
        tokens.check.check(early)
    assert tokens.check.check(token_of(emulator, pat)).principal.object_id == pat.object_id
    accounts, user = site.auth.relying_party.accounts, site.account_of(pat)
    assert user is not None
    late = token_of(emulator, pat)
    emulator.clock(900)
    site.clock.pass_by(seconds=500)
    for disabled in (True, False):
        accounts.set_disabled(user.id, disabled=disabled, now=site.clock.now())
    signed_in(new_visitor(site), pat)
    with pytest.raises(Exception, match="before this person's access ended"):
        tokens.check.check(late)


def test_a_process_to_which_only_tokens_come_watches_too(
    serve: Serve,
    new_visitor: NewVisitor,
    emulator: RunningEmulator,
    pat: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Started again, with no session that anybody asks with: who leaves is out, and a role ends on time."""
    monkeypatch.setattr("entrada.flows.role_endings.EVERY", timedelta(milliseconds=50))
    site = serve(**FAR_AWAY, ENTRADA_BEARER_SCOPES="access_as_user")
    signed_in(new_visitor(site), pat)
    look(site)
    site.auth.relying_party.close()
    settings = {**FAR_AWAY, "ENTRADA_DELTA_EVERY": "1s", "ENTRADA_BEARER_SCOPES": "access_as_user"}
    again = serve(**settings, public_url=site.public_url)
    tokens, token, accounts = (
        again.auth.token_callers,
        token_of(emulator, pat),
        again.auth.relying_party.accounts,
    )
    user = again.account_of(pat)
    assert tokens is not None
    assert user is not None
    check = tokens.check.check
    now = again.clock.now()
    accounts.grant_role(user.id, role="Guest", granted_by="root", now=now, until=now + timedelta(minutes=1))
    assert check(token).principal.roles == {"Editor", "Guest"}
    again.clock.pass_by(minutes=2)
    until(lambda: all("Guest" not in row for row in again.rows()["entrada_role_grant"]), seconds=5)
    emulator.change_person(pat.user_principal_name, enabled=False)

    def is_out() -> bool:
        try:
            return check(token) is None
        except BearerTokenRefused:
            return True

    until(is_out, seconds=5)


def test_fifty_of_many_leave_at_once_and_nobody_else_is_touched(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """Every one of the fifty at the next look; the two hundred others keep their sessions."""
    site = serve(**FAR_AWAY)
    party = site.auth.relying_party
    signed_in(new_visitor(site), pat)
    look(site)
    people = [emulator.add_person(f"many{number}@contoso.test") for number in range(250)]
    assert party.recheck is not None
    now = site.clock.now()
    for number, person in enumerate(people):
        identity = EntraIdentity(tenant_id=TenantId(CONTOSO_ID), object_id=ObjectId(person.object_id))
        user = party.accounts.create(
            user_id=f"u{number}",  # type: ignore[arg-type]
            identity=identity,
            profile=Profile(name=person.display_name, email=None, username=None),
            entra_grants=[],
            now=now,
        )
        party.recheck.sealed_sign_ins.remember(
            identity, user_id=user.id, sealed_sign_in="x", now=now, next_check_at=now.replace(year=2100)
        )
        party.sessions.open(session(user.id, identity=identity))
    leaving = people[::5]
    for person in leaving:
        emulator.change_person(person.user_principal_name, enabled=False)
    look(site)
    left = {each.identity.object_id for each in party.sessions.list_sessions(limit=1000)}
    assert left == {person.object_id for person in (*people, pat)} - {one.object_id for one in leaving}


def test_directory_changes_of_others_cost_a_page_each_and_no_question(
    serve: Serve, new_visitor: NewVisitor, emulator: RunningEmulator, pat: Any
) -> None:
    """People who never signed in here may come, go and be disabled: nothing is asked about them."""
    site = serve(**FAR_AWAY)
    signed_in(new_visitor(site), pat)
    look(site)
    for number in range(500):
        emulator.add_person(f"other{number}@contoso.test", enabled=number % 2 == 0)
    emulator.clear_requests()
    look(site)
    assert asked_graph(emulator, "/v1.0/$batch") == 0
    assert asked_graph(emulator, "/v1.0/users/delta") == 1
