"""What the background check does at the real dstack: somebody leaves, changes team, or only seems to."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from clients.dstack import Dstack, running_dstack
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CLIENT_ID
from integrations.dstack.administrator import Administrator, ask_as, may_use
from integrations.dstack.conftest import SHARED_SETTINGS, NewPerson, NewVisitor
from integrations.dstack.leaving import refreshed, soon

pytestmark = [pytest.mark.heavy, pytest.mark.browser, pytest.mark.timeout(300)]

EVERY_SECONDS = 1


@pytest.fixture(scope="module")
def started_watchful(started_emulator: RunningEmulator) -> Iterator[Dstack]:
    every = f"{EVERY_SECONDS}s"
    settings = SHARED_SETTINGS | {"ENTRADA_RECHECK_EVERY": every, "ENTRADA_DELTA_EVERY": every}
    settings["ENTRADA_DSTACK_END_WITH_ACCESS"] = "keys, runs"
    with running_dstack(started_emulator, **settings) as running:
        yield running


@pytest.fixture
def watchful(started_watchful: Dstack, emulator: RunningEmulator) -> Dstack:
    """A server that asks Entra again every second."""
    return started_watchful


@pytest.fixture
def admin(watchful: Dstack) -> Administrator:
    return Administrator(watchful)


@pytest.mark.parametrize("how", ["disabled", "removed", "revoked"])
def test_access_ends(
    how: str,
    watchful: Dstack,
    admin: Administrator,
    emulator: RunningEmulator,
    new_visitor: NewVisitor,
    new_person: NewPerson,
) -> None:
    """Who is disabled, removed or signed out everywhere in Entra is deactivated here; the token is void."""
    pat = new_person("Viewer")
    told = new_visitor(watchful).sign_in_as(pat)
    token, name = told["creds"]["token"], told["username"]
    assert may_use(watchful, token)
    if how == "disabled":
        emulator.change_person(pat.user_principal_name, enabled=False)
    elif how == "removed":
        emulator.remove_person(pat.user_principal_name)
    else:
        emulator.revoke_sessions(pat.user_principal_name)
    soon(lambda: not may_use(watchful, token), "the token is void", watchful)
    left = admin.user(name)
    assert not left["active"]
    assert left["creds"]["token"] != token
    admin.change_user(left, active=True)
    assert not may_use(watchful, token), "the token was not replaced"


@pytest.mark.parametrize("how", ["disabled", "deleted"])
def test_k12_graph_alone_says_who_left(
    how: str,
    watchful: Dstack,
    admin: Administrator,
    emulator: RunningEmulator,
    new_visitor: NewVisitor,
    new_person: NewPerson,
) -> None:
    """While the token endpoint answers nobody, so that no re-check can find out; others keep their token."""
    emulator.change_app(CLIENT_ID, application_permissions=["User.Read.All"])
    pat, other = new_person("Viewer"), new_person("Viewer")
    told = new_visitor(watchful).sign_in_as(pat)
    token, name = told["creds"]["token"], told["username"]
    others = new_visitor(watchful).sign_in_as(other)["creds"]["token"]
    soon(lambda: looks_at_graph(emulator) >= 2, "Graph is asked", watchful)
    emulator.fail("server_error", endpoint="token", times=None)
    if how == "disabled":
        emulator.change_person(pat.user_principal_name, enabled=False)
    else:
        emulator.remove_person(pat.user_principal_name)
    gone_at = time.monotonic()
    soon(lambda: not may_use(watchful, token), "the token is void", watchful)
    assert time.monotonic() - gone_at < EVERY_SECONDS + 2
    assert not admin.user(name)["active"]
    assert may_use(watchful, others)


def test_keys_and_runs_end_with_the_access_where_settings_say_so(
    watchful: Dstack,
    admin: Administrator,
    emulator: RunningEmulator,
    new_visitor: NewVisitor,
    new_person: NewPerson,
) -> None:
    """Uploaded SSH keys are gone, the pair of the user is another, and what ran is being stopped.

    Other people's keys and runs stay.
    """
    leaver = new_person("Viewer")
    pat, kim = (new_visitor(watchful).sign_in_as(person) for person in (leaver, new_person("Viewer")))
    for told in (pat, kim):
        token = told["creds"]["token"]
        public = Ed25519PrivateKey.generate().public_key()
        key = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        added = ask_as(watchful, token, "users/public_keys/add", {"key": key, "name": "laptop"})
        assert added.status_code == 200, added.text
        spec = {"configuration": {"type": "task", "commands": ["true"]}}
        begun = ask_as(
            watchful, token, "project/main/runs/apply", {"plan": {"run_spec": spec}, "force": True}
        )
        assert begun.status_code == 200, begun.text
    emulator.change_person(leaver.user_principal_name, enabled=False)
    soon(lambda: not admin.user(pat["username"])["active"], "deactivated", watchful)
    soon(lambda: admin.runs()[pat["username"]] == "terminating", "stopped", watchful)
    left, stays = admin.user(pat["username"]), admin.user(kim["username"])
    assert left["ssh_public_key"] not in (None, pat["ssh_public_key"])
    assert stays["ssh_public_key"] == kim["ssh_public_key"]
    assert admin.runs()[kim["username"]] == "submitted"
    with closing(sqlite3.connect(watchful.home / "server/data/sqlite.db")) as database:
        owners = [row[0] for row in database.execute("SELECT user_id FROM user_public_keys")]
    assert [UUID(owner) for owner in owners] == [UUID(kim["id"])]


def looks_at_graph(emulator: RunningEmulator) -> int:
    return sum(one.path == "/v1.0/users/delta" and one.status == 200 for one in emulator.requests)


def test_a_new_sign_in_opens_again(
    watchful: Dstack,
    admin: Administrator,
    emulator: RunningEmulator,
    new_visitor: NewVisitor,
    new_person: NewPerson,
) -> None:
    """Who was disabled and is welcome again comes back into the same user, with a new token."""
    pat, visitor = new_person("Viewer"), new_visitor(watchful)
    told = visitor.sign_in_as(pat)
    emulator.change_person(pat.user_principal_name, enabled=False)
    soon(lambda: not admin.user(told["username"])["active"], "deactivated", watchful)
    emulator.change_person(pat.user_principal_name, enabled=True)
    again = visitor.sign_in_as(pat)
    assert (again["id"], again["active"]) == (told["id"], True)
    assert again["creds"]["token"] != told["creds"]["token"]
    assert may_use(watchful, again["creds"]["token"])
    assert not may_use(watchful, told["creds"]["token"])


def test_the_administrators_word_stands(
    watchful: Dstack,
    admin: Administrator,
    emulator: RunningEmulator,
    new_visitor: NewVisitor,
    new_person: NewPerson,
) -> None:
    """Whom dstack's administrator deactivated stays so, whatever Entra says in the background."""
    told = new_visitor(watchful).sign_in_as(new_person("Viewer"))
    admin.change_user(told, active=False)
    other = new_visitor(watchful).sign_in_as(new_person("Viewer"))
    seen = refreshed(emulator)
    soon(lambda: refreshed(emulator) >= seen + 3, "Entra is asked about the other", watchful)
    assert may_use(watchful, other["creds"]["token"])
    assert not admin.user(told["username"])["active"]


def test_C16_roles_follow_without_a_sign_in(
    watchful: Dstack,
    admin: Administrator,
    emulator: RunningEmulator,
    new_visitor: NewVisitor,
    new_person: NewPerson,
) -> None:
    """Global role and project change while the person does nothing; what was given by hand stays."""
    pat = new_person("Viewer")
    told = new_visitor(watchful).sign_in_as(pat)
    name = told["username"]
    admin.make_project(f"of-{name}")
    admin.add_member(f"of-{name}", name, "user")
    emulator.change_person(pat.user_principal_name, roles=["Admin", "Editor"])
    soon(lambda: admin.user(name)["global_role"] == "admin", "administrator", watchful)
    soon(lambda: admin.memberships(name, "main") == {"main": "manager"}, "manager", watchful)
    emulator.change_person(pat.user_principal_name, roles=[])
    soon(lambda: admin.user(name)["global_role"] == "user", "no administrator", watchful)
    soon(lambda: admin.memberships(name, "main") == {}, "no member", watchful)
    assert admin.memberships(name, f"of-{name}") == {f"of-{name}": "user"}
    assert may_use(watchful, told["creds"]["token"])


@pytest.mark.parametrize("fault", ["server_error", "drop", "too_many_requests"])
def test_nobody_is_put_out_because_entra_is_down(
    fault: str, watchful: Dstack, emulator: RunningEmulator, new_visitor: NewVisitor, new_person: NewPerson
) -> None:
    """While Entra does not answer everybody keeps working, and is checked again afterwards."""
    pat = new_person("Viewer")
    token = new_visitor(watchful).sign_in_as(pat)["creds"]["token"]
    emulator.fail(fault, endpoint="token", times=None)
    seen = refreshed(emulator)
    soon(lambda: refreshed(emulator) > seen, "Entra was asked in vain", watchful)
    assert may_use(watchful, token)
    emulator.clear_faults()
    emulator.change_person(pat.user_principal_name, enabled=False)
    soon(lambda: not may_use(watchful, token), "the next check finds it out", watchful)
