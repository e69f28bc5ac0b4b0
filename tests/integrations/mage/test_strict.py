"""A company's Mage: on PostgreSQL, permissions required, groups mapped, Entra the only way in.

One server for all of it. Entra is asked again every two seconds, where a company would take minutes.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlencode

import pytest

from clients.mage import DATABASE_VARIABLE, running_mage
from clients.postgres import SUPERUSER, running_postgres
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CLIENT_ID, FINANCE, OLGA_GROUPS, PLATFORM
from integrations.mage.conftest import WITH_ENTRADA
from integrations.mage.desk import OWNER, OWNER_PASSWORD, Desk
from integrations.mage.test_sessions import socket_of

pytestmark = [pytest.mark.heavy, pytest.mark.browser, pytest.mark.timeout(300)]

_CHECKED_EVERY_SECONDS = 2
_LOOKED_EVERY_SECONDS = 1
_OLGAS_LAST_GROUP = f"90000000-0000-4000-8000-000000000{OLGA_GROUPS + 100:03d}"
_MAPPING = {
    "Admin": "Admin",
    "Editor": "Editor",
    "Viewer": "Viewer",
    PLATFORM: "Editor",
    _OLGAS_LAST_GROUP: "Viewer",
}
# Bits of Mage's PermissionAccess: all of it; list, detail, all queries and reads; what the shell asks for.
_EVERYTHING, _LOOKING, _EDITOR = 131072, 16 + 32 + 4096 + 16384, 4


@pytest.fixture(scope="module")
def running(entra: RunningEmulator) -> Iterator[Desk]:
    with running_postgres("mage") as server:
        settings = {
            **WITH_ENTRADA,
            DATABASE_VARIABLE: f"postgresql+psycopg2://{SUPERUSER}@{server}/mage",
            "REQUIRE_USER_PERMISSIONS": "1",
            "ACTIVE_DIRECTORY_ROLES_MAPPING": json.dumps(_MAPPING),
            "ENTRADA_SECRET_KEYS": secrets.token_urlsafe(48),
            "ENTRADA_ENTRA_ONLY": "true",
            "ENTRADA_BREAK_GLASS_USERS": OWNER,
            "ENTRADA_RECHECK_EVERY": f"{_CHECKED_EVERY_SECONDS}s",
            "ENTRADA_DELTA_EVERY": f"{_LOOKED_EVERY_SECONDS}s",
        }
        with running_mage(entra, with_entrada=True, settings=settings) as mage:
            desk = Desk(mage=mage, entra=entra)
            for role, access in (
                ("Admin", _EVERYTHING),
                ("Editor", _EVERYTHING + _EDITOR),
                ("Viewer", _LOOKING),
            ):
                desk.permit(role, access)
            yield desk


@pytest.fixture
def strict(running: Desk) -> Desk:
    return running.as_new()


# --- roles and permissions ---


def test_roles_are_what_permissions_follow(strict: Desk) -> None:
    """With REQUIRE_USER_PERMISSIONS an editor may make a pipeline, and a viewer may only look."""
    editor, viewer = strict.sign_in("ed@contoso.test"), strict.sign_in("vi@contoso.test")
    assert strict.opens(viewer)
    assert not makes_a_pipeline(strict, viewer, "viewed")
    assert makes_a_pipeline(strict, editor, "edited")


def test_nobody_without_a_role_sees_anything(strict: Desk) -> None:
    """Nora has no mapped role: she is signed in and may do nothing."""
    session = strict.sign_in("nora@contoso.test")
    assert strict.roles_of(session) == []
    assert not strict.opens(session)


def test_a_group_becomes_a_role(strict: Desk) -> None:
    """A member of a mapped group gets its role; of another, none."""
    strict.entra.add_person("pat@contoso.test", groups=[PLATFORM])
    strict.entra.add_person("fin@contoso.test", groups=[FINANCE])
    assert strict.roles_of(strict.sign_in("pat@contoso.test")) == ["Editor"]
    assert strict.roles_of(strict.sign_in("fin@contoso.test")) == []


def test_too_many_groups_are_looked_up(strict: Desk) -> None:
    """Olga's 250 groups do not fit the token: Graph is asked, and the last of them counts."""
    assert strict.roles_of(strict.sign_in("olga@contoso.test")) == ["Viewer"]


def test_a_look_up_that_fails_refuses(strict: Desk) -> None:
    """When Graph forbids that look-up nobody is let in with roles that might be wrong; the page says so."""
    strict.entra.fail("graph_error", endpoint="graph", times=None, status=403)
    with strict.person() as browser:
        assert not strict.sign_in("olga@contoso.test", browser=browser)
        assert browser.page.status >= 400
        assert "GroupMember.Read.All" in browser.page.text


def makes_a_pipeline(desk: Desk, session: str, name: str) -> bool:
    with desk.api(session) as api:
        asked = {"pipeline": {"name": name, "type": "python"}, "api_key": desk.mage.api_key}
        return "error" not in api.post("/api/pipelines", json=asked).json()


# --- the only way in ---


def test_an_answer_nobody_asked_for_is_a_page(strict: Desk) -> None:
    """A1, A2: without a state, or with an invented one: a page, "start again"; Entra hears nothing."""
    answer = strict.foreign_code("ed@contoso.test")
    before = strict.redemptions()
    for query in ({"code": answer["code"]}, {"code": answer["code"], "state": "made-up"}):
        with strict.person() as browser:
            page = browser.open(f"{strict.mage.site}/oauth?{urlencode(query)}")
        assert page.status == 400
        assert "start again" in page.text.lower()
    assert strict.redemptions() == before


def test_a_password_opens_nothing(strict: Desk) -> None:
    """A user with a password is told to use Microsoft's button."""
    strict.make_user("local@example.org", username="local")
    user = {"email": "local@example.org", "username": "local", "password": "a long password"}
    for name in ("email", "username"):
        asked = {name: user[name], "password": user["password"]}
        with strict.api() as api:
            answer = api.post("/api/sessions", json={"session": asked, "api_key": strict.mage.api_key}).json()
        assert "session" not in answer
        assert "Microsoft" in answer["error"]["message"]


def test_the_break_glass_owner_still_gets_in(strict: Desk) -> None:
    """The named owner's password works, also while Entra is down."""
    strict.entra.fail("server_error", times=None)
    session = strict.password_session(OWNER, OWNER_PASSWORD)
    user = strict.behind(session)
    assert user is not None
    assert user.owner or "Owner" in user.roles
    assert not strict.password_session(OWNER, "not the password")


# --- somebody leaves ---


def test_a_disabled_person_loses_access(strict: Desk) -> None:
    """Soon after the account is disabled, the session that was open opens nothing."""
    strict.entra.add_person("quinn@contoso.test", roles=["Editor"])
    session = strict.sign_in("quinn@contoso.test")
    assert strict.opens(session)
    strict.entra.change_person("quinn@contoso.test", enabled=False)
    wait_until(lambda: not strict.opens(session))


def test_k5_open_sockets_end_when_entra_is_asked_again(strict: Desk) -> None:
    """K5: the re-check alone closes the kernel's socket and the shell's, over PostgreSQL, too."""
    strict.entra.add_person("sol@contoso.test", roles=["Editor"])
    session, stays = strict.sign_in("sol@contoso.test"), strict.sign_in("ed@contoso.test")
    with (
        socket_of(strict, session) as kernel,
        socket_of(strict, session, "/websocket/terminal?term_name=sol") as shell,
        socket_of(strict, stays) as others,
    ):
        assert not kernel.is_closed_within(2 * _CHECKED_EVERY_SECONDS)
        strict.entra.change_person("sol@contoso.test", enabled=False)
        for socket in (kernel, shell):
            assert socket.is_closed_within(30)
            assert socket.closed == 4401
        assert not others.is_closed_within(0.5)


@pytest.mark.parametrize("how", ["disabled", "deleted"])
def test_k12_graph_alone_says_who_left_and_sockets_close_within_a_second(strict: Desk, how: str) -> None:
    """While the token endpoint answers nobody, so that no re-check can find out: session, kernel, shell."""
    strict.entra.change_app(CLIENT_ID, application_permissions=["User.Read.All"])
    strict.entra.add_person("uma@contoso.test", roles=["Editor"])
    session, stays = strict.sign_in("uma@contoso.test"), strict.sign_in("ed@contoso.test")
    wait_until(lambda: looks_at_graph(strict) >= 2)
    strict.entra.fail("server_error", endpoint="token", times=None)
    with (
        socket_of(strict, session) as kernel,
        socket_of(strict, session, "/websocket/terminal?term_name=uma") as shell,
        socket_of(strict, stays) as others,
    ):
        if how == "disabled":
            strict.entra.change_person("uma@contoso.test", enabled=False)
        else:
            strict.entra.remove_person("uma@contoso.test")
        gone_at = time.monotonic()
        wait_until(lambda: not strict.opens(session))
        assert kernel.is_closed_within(1)
        assert shell.is_closed_within(1)
        assert time.monotonic() - gone_at < _LOOKED_EVERY_SECONDS + 3
        assert (kernel.closed, shell.closed) == (4401, 4401)
        assert not others.is_closed_within(0.5)
    assert strict.opens(stays)


def looks_at_graph(desk: Desk) -> int:
    return sum(one.path == "/v1.0/users/delta" and one.status == 200 for one in desk.entra.requests)


def test_a_lost_role_goes_while_the_session_stays(strict: Desk) -> None:
    """Between sign-ins, too, roles follow Entra."""
    strict.entra.add_person("rob@contoso.test", roles=["Editor", "Viewer"])
    session = strict.sign_in("rob@contoso.test")
    strict.entra.change_person("rob@contoso.test", roles=["Viewer"])
    wait_until(lambda: strict.roles_of(session) == ["Viewer"])
    assert strict.opens(session)


def test_an_outage_ends_nobodys_access(strict: Desk) -> None:
    """While Entra answers nothing but errors, who is signed in stays so, and nobody else gets in."""
    session = strict.sign_in("ed@contoso.test")
    strict.entra.fail("server_error", endpoint="token", times=None)
    before = tokens_asked(strict)
    wait_until(lambda: tokens_asked(strict) >= before + 2)
    assert strict.opens(session)


def tokens_asked(desk: Desk) -> int:
    return sum(1 for one in desk.entra.requests if one.endpoint == "token")


def wait_until(condition: Callable[[], bool], *, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.1)
