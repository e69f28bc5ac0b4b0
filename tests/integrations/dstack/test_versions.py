"""The matrix: in every supported version a person signs in by HTTP, in Chromium and with `dstack login`."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from clients.dstack import NEWEST, VERSIONS, Dstack
from entrada.emulator import RunningEmulator
from integrations.dstack.command_line import command_line, projects_in
from integrations.dstack.conftest import NewPerson, NewVisitor, Servers
from walks.visitor import query_of

if TYPE_CHECKING:
    from playwright.sync_api import Page

# The first test of a version may install it.
pytestmark = [pytest.mark.heavy, pytest.mark.browser, pytest.mark.timeout(300)]

LABEL = "Sign in with Microsoft Entra ID"
"""What dstack's documentation promises; its pages say "EntraID" instead."""


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest, servers: Servers, emulator: RunningEmulator) -> Dstack:
    return servers(request.param)


def test_provider_and_info(version: Dstack) -> None:
    """dstack lists the provider as enabled, and the endpoint that older pages ask says so, too."""
    assert version.api.post("/api/auth/list_providers").json() == [{"name": "entra", "enabled": True}]
    assert version.api.post("/api/auth/entra/info").json() == {"enabled": True}


def test_the_request_at_entra(version: Dstack, new_visitor: NewVisitor) -> None:
    """Redirect URI as dstack documents it, code flow with PKCE and nonce, a state dstack can read."""
    sent = query_of(new_visitor(version).begin())
    assert sent["redirect_uri"] == f"{version.address}/auth/entra/callback"
    assert (sent["response_type"], sent["code_challenge_method"]) == ("code", "S256")
    assert sent["nonce"]
    assert sent["code_challenge"]
    assert "prompt" not in sent
    state = json.loads(base64.b64decode(sent["state"], validate=True))
    assert set(state) == {"value", "local_port"}
    assert state["local_port"] is None


def test_first_and_second_sign_in(version: Dstack, new_visitor: NewVisitor, new_person: NewPerson) -> None:
    """An account is made at the first sign-in, with project and role; the next ends in the same account."""
    pat = new_person("Viewer")
    first, second = new_visitor(version).sign_in_as(pat), new_visitor(version).sign_in_as(pat)
    assert (first["id"], first["creds"]) == (second["id"], second["creds"])
    assert (first["username"], first["email"], first["global_role"], first["active"]) == (
        pat.user_principal_name.partition("@")[0],
        pat.user_principal_name,
        "user",
        True,
    )
    as_pat = {"authorization": f"Bearer {first['creds']['token']}"}
    assert version.api.post("/api/users/get_my_user", headers=as_pat).json()["username"] == first["username"]
    projects = version.api.post("/api/projects/list", headers=as_pat, json={}).json()
    assert [one["project_name"] for one in projects] == ["main"]


def test_in_chromium(
    version: Dstack, emulator: RunningEmulator, tab: Page, shot: Callable[[Page, str], Path]
) -> None:
    """dstack's login page has the button, with the documented words; it leads to Entra and back."""
    tab.goto(version.address)
    button = tab.get_by_role("button", name=LABEL, exact=True)
    button.wait_for()
    shot(tab, f"dstack-{version.version}-login")
    button.click()
    tab.get_by_role("button", name="Vi Hart").click()
    tab.wait_for_url(f"{version.address}/**")
    tab.get_by_role("link", name="Runs").first.wait_for()
    shot(tab, f"dstack-{version.version}-signed-in")
    kept = json.loads(tab.evaluate("localStorage.getItem('authData')"))
    me = version.api.post("/api/users/get_my_user", headers={"authorization": f"Bearer {kept['token']}"})
    assert me.json()["username"] == "vi"


def test_dstack_login(version: Dstack, home: Path, new_visitor: NewVisitor, new_person: NewPerson) -> None:
    """`dstack login` ends with the person's project in the configuration of their home."""
    pat, browser = new_person("Editor"), new_visitor(version)
    with command_line(version, home, "-y") as login:
        browser.at_entra = login.address
        assert query_of(login.address)["prompt"] == "select_account"
        browser.approve_as(pat)
        page = browser.complete()
        status, words = login.end()
    assert page.status_code == 200, page.text
    assert "CLI authenticated" in page.text
    assert status == 0, words
    assert f"Logged in as {pat.user_principal_name.partition('@')[0]}" in words
    (project,) = projects_in(home)
    assert (project["name"], project["url"], project["default"]) == ("main", version.address, "true")
    mine = version.api.post("/api/users/get_my_user", headers={"authorization": f"Bearer {project['token']}"})
    assert mine.json()["email"] == pat.user_principal_name


def test_dstack_login_without_a_project(
    version: Dstack, home: Path, new_visitor: NewVisitor, new_person: NewPerson
) -> None:
    """Whom no role or group puts in a project signs in all the same, and hears what is missing."""
    browser = new_visitor(version)
    with command_line(version, home, "-n") as login:
        browser.at_entra = login.address
        browser.approve_as(new_person())
        assert browser.complete().status_code == 200
        status, words = login.end()
    assert status == 0, words
    assert "No projects configured" in words


def test_the_newest_is_tried() -> None:
    """The version that tests use by default is one of the matrix."""
    assert NEWEST in VERSIONS
