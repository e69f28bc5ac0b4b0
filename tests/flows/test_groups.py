"""Groups that matter: from the token, or whole from Graph, or the sign-in is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from entra.tokens import OTHER_TENANT
from entrada.entra.transport import HttpResponse
from entrada.errors import EntraUnavailable
from entrada.flows.authorization_response import AuthorizationResponse
from flows.world import GRAPH, Browser, FakeEntra, Sent, answer, new_browser

EDITORS = "11111111-2222-3333-4444-555555555555"
ADMINS = "66666666-7777-8888-9999-000000000000"
MAPPING = {EDITORS: "Editor", ADMINS: "Admin"}
OVERAGE = {
    "_claim_names": {"groups": "src1"},
    "_claim_sources": {"src1": {"endpoint": "https://graph.windows.net/evil/getMemberObjects"}},
}


def graph(member_of: set[str], named: dict[str, list[str]] | None = None) -> Callable[[Sent], HttpResponse]:
    """A Graph that knows the person's groups, and the groups of a name."""

    def answered(request: Sent) -> HttpResponse:
        if request.url.endswith("/checkMemberGroups"):
            return answer(
                {"value": [group for group in json.loads(request.body)["groupIds"] if group in member_of]}
            )
        return answer(
            {
                "value": [
                    {"id": group, "displayName": name}
                    for name, ids in (named or {}).items()
                    for group in ids
                    if name.replace(" ", "%20") in request.url
                ]
            }
        )

    return answered


def roles_of(browser: Browser) -> list[str]:
    roles: list[str] = json.loads(browser.me().body)["roles"]
    return roles


def asked(entra: FakeEntra) -> list[Sent]:
    return [request for request in entra.sent if request.url.startswith(GRAPH)]


def signed_in(entra: FakeEntra, mapping: dict[str, str] = MAPPING, **claims: Any) -> Browser:
    browser = new_browser(entra, mapping=mapping)
    browser.sign_in(**claims)
    return browser


def test_groups_of_the_token_are_enough() -> None:
    """Where the token lists the groups, Graph is not asked."""
    entra = FakeEntra()
    assert roles_of(signed_in(entra, groups=[EDITORS.upper(), "ffffffff-0000-0000-0000-000000000000"])) == [
        "Editor"
    ]
    assert asked(entra) == []


def test_no_groups_claim_is_no_group() -> None:
    """A token without groups, and without overage, means that the person is in none."""
    entra = FakeEntra()
    assert roles_of(signed_in(entra)) == []
    assert asked(entra) == []


@pytest.mark.parametrize("overage", [OVERAGE, {"hasgroups": True}], ids=["_claim_names", "hasgroups"])
def test_C19_overage_is_resolved_at_the_configured_host(overage: dict[str, Any]) -> None:
    """Only the mapped groups are asked about, at the configured Graph host, never at the token's address."""
    entra = FakeEntra(graph=graph({ADMINS}))
    assert roles_of(signed_in(entra, **overage)) == ["Admin"]
    (request,) = asked(entra)
    assert request.url == f"{GRAPH}/v1.0/me/checkMemberGroups"
    assert set(json.loads(request.body)["groupIds"]) == {EDITORS, ADMINS}
    assert not any("graph.windows.net" in request.url for request in entra.sent)


def test_C19_overage_costs_nothing_where_no_group_is_mapped() -> None:
    """A person in 250 groups signs in without Graph where roles come from app roles only."""
    entra = FakeEntra()
    assert roles_of(signed_in(entra, {"Admin": "Admin"}, roles=["Admin"], **OVERAGE)) == ["Admin"]
    assert asked(entra) == []


@pytest.mark.parametrize(
    "failure",
    [
        answer({}, status=403),
        answer({}, status=429, **{"retry-after": "30"}),
        answer({}, status=500),
        answer({"value": "x"}),
        answer(b"<html>"),
    ],
    ids=["403", "429", "500", "no list", "html"],
)
def test_C20_a_graph_that_fails_refuses_the_sign_in(failure: HttpResponse) -> None:
    """Rather than going on with fewer groups, the sign-in ends with a page, without account or session."""
    entra = FakeEntra(graph=lambda _: failure)
    browser = new_browser(entra, mapping=MAPPING)
    got = browser.sign_in(**OVERAGE)
    assert got.status == (503 if failure.status in (429, 500) else 502)
    assert b"groups" in got.body
    assert browser.session_cookie is None
    assert browser.auth.relying_party.accounts.list_users() == []


def test_C20_overage_without_an_access_token_refuses_the_sign_in() -> None:
    """If Entra gave no token for Graph, the groups cannot be known."""
    entra = FakeEntra()
    redeem = entra.redeem

    def without_access_token(form: Any) -> HttpResponse:
        document = json.loads(redeem(form).body)
        del document["access_token"]
        return answer(document)

    entra.token_response = without_access_token
    browser = new_browser(entra, mapping=MAPPING)
    assert browser.sign_in(**OVERAGE).status == 502
    assert browser.session_cookie is None


def test_a_group_by_name_is_its_object_id() -> None:
    """A name is looked up in the directory, and the person's membership of that very group decides."""
    entra = FakeEntra(graph=graph({EDITORS}, {"All Editors": [EDITORS]}))
    assert roles_of(signed_in(entra, {"group:All Editors": "Editor"}, groups=[EDITORS])) == ["Editor"]


def test_a_groups_claim_with_the_name_is_no_proof() -> None:
    """A token that lists the name instead of the id gives no role: anyone may call a group so."""
    entra = FakeEntra(graph=graph(set(), {"All Editors": [EDITORS]}))
    assert roles_of(signed_in(entra, {"group:All Editors": "Editor"}, groups=["All Editors"])) == []


def test_two_groups_of_one_name_refuse_the_sign_in() -> None:
    """A name that stands for two groups is ambiguous, and the administrator is told what to do."""
    entra = FakeEntra(graph=graph(set(), {"Editors": [EDITORS, ADMINS]}))
    got = new_browser(entra, mapping={"group:Editors": "Editor"}).sign_in()
    assert got.status == 502
    assert b"ENTRADA_ROLES_MAPPING" in got.body


def test_a_name_is_looked_up_once_in_ten_minutes() -> None:
    """Many sign-ins share one look-up; after ten minutes it is made anew."""
    entra = FakeEntra(graph=graph({EDITORS}, {"Editors": [EDITORS]}))
    browser = new_browser(entra, mapping={"group:Editors": "Editor"})
    for _ in range(5):
        browser.sign_in(groups=[EDITORS])
    assert len(asked(entra)) == 1
    entra.clock.advance(minutes=10)
    browser.sign_in(groups=[EDITORS])
    assert len(asked(entra)) == 2


def test_C21_a_group_of_another_tenant_is_not_asked_about() -> None:
    """A group that is mapped for another tenant plays no part for a person of this one."""
    entra = FakeEntra()
    assert roles_of(signed_in(entra, {f"{OTHER_TENANT}/{ADMINS}": "Admin"}, groups=[ADMINS], **OVERAGE)) == []
    assert asked(entra) == []


def test_C21_directory_roles_are_not_mapped() -> None:
    """`wids` is somebody else's list: it gives no role."""
    entra = FakeEntra()
    assert roles_of(signed_in(entra, wids=[ADMINS])) == []


def test_graph_failing_is_an_unavailability() -> None:
    """The walk itself raises EntraUnavailable, so that a program can tell."""
    entra = FakeEntra(graph=lambda _: answer({}, status=500))
    browser = new_browser(entra, mapping=MAPPING)
    party = browser.auth.relying_party
    pending, url = party.begin_sign_in(redirect_uri="https://app.contoso.test/cb", next_path="/")
    brought = entra.approve(url, **OVERAGE)
    with pytest.raises(EntraUnavailable):
        party.complete_sign_in(AuthorizationResponse(state=brought["state"], code=brought["code"]), pending)


SID = "S-1-5-21-1004336348-1177238915-682003330-512"
OTHER_FORMS = {
    "names": {"groups": ["Editors", "Everybody"]},
    "domain": {"groups": ["CONTOSO\\Editors"]},
    "dns domain": {"groups": ["contoso.test\\Editors"]},
    "sids": {"groups": [SID]},
    "cloud-only mix": {"groups": [EDITORS, "CONTOSO\\Everybody"]},
    "one name among ids": {"groups": [EDITORS, "Everybody"]},
    "ids as roles": {"roles": [EDITORS, "ffffffff-0000-0000-0000-000000000000"]},
    "names as roles": {"roles": ["All Editors"]},
    "domain as roles": {"roles": ["CONTOSO\\Editors"]},
    "sids as roles": {"roles": [SID]},
}


@pytest.mark.parametrize("claims", OTHER_FORMS.values(), ids=OTHER_FORMS)
def test_K11_groups_that_are_no_ids_are_asked_about_at_graph(claims: dict[str, Any]) -> None:
    """Names, DOMAIN\\name, SIDs, a mix, or groups as role claims: no group role goes in silence."""
    entra = FakeEntra(graph=graph({EDITORS, ADMINS}))
    assert sorted(roles_of(signed_in(entra, **claims))) == ["Admin", "Editor"]
    assert len(asked(entra)) == 1


@pytest.mark.parametrize("claims", OTHER_FORMS.values(), ids=OTHER_FORMS)
def test_K11_where_graph_may_not_be_asked_the_sign_in_is_refused(claims: dict[str, Any]) -> None:
    """The page says what to choose, and who can; nobody signs in with fewer roles."""
    entra = FakeEntra(graph=lambda _: answer({}, status=403))
    browser = new_browser(entra, mapping=MAPPING)
    got = browser.sign_in(**claims)
    assert got.status == 502
    assert b"choose Group ID under Token configuration" in got.body
    assert browser.session_cookie is None


def test_K11_a_graph_that_is_down_is_told_as_that() -> None:
    """Waiting helps; the registration is not blamed."""
    browser = new_browser(FakeEntra(graph=lambda _: answer({}, status=500)), mapping=MAPPING)
    got = browser.sign_in(groups=["Editors"])
    assert got.status == 503
    assert b"Token configuration" not in got.body


def test_K11_app_roles_are_no_groups() -> None:
    """Ordinary app role values beside an absent groups claim cost no question."""
    entra = FakeEntra()
    mapping = {**MAPPING, "Task.Approver": "Approver"}
    assert roles_of(signed_in(entra, mapping, roles=["Task.Approver", "S-1", "x-1"])) == ["Approver"]
    assert asked(entra) == []


def test_K11_a_mapped_name_that_no_group_has_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """The role is nobody's, and the log says why, however many people sign in."""
    entra = FakeEntra(graph=graph({EDITORS}, {"The Editors": [EDITORS]}))
    mapping = {"group:The Editors": "Editor", "group:The Editosr": "Admin"}
    browser = new_browser(entra, mapping=mapping)
    with caplog.at_level("WARNING", logger="entrada"):
        for _ in range(3):
            browser.sign_in(groups=[EDITORS])
            entra.clock.advance(minutes=11)
    assert roles_of(browser) == ["Editor"]
    assert caplog.text.count("'The Editosr'") == 1
    assert "'The Editors'" not in caplog.text
