"""`entrada users`, `sessions` and `explain`, as an operator uses them: each test reads as a session."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from conformance.samples import NOW, from_entra, identity, session, user_id
from entrada.accounts.groups import Membership
from entrada.accounts.identity import Profile, UserId
from entrada.accounts.mapping_trial import PAGE, looked_at
from entrada.accounts.people import PeopleQuery
from entrada.accounts.roles import RoleMapping
from entrada.build import Stores, open_stores
from entrada.cli import main, progress
from entrada.clock import SystemClock
from entrada.sessions.session import Device
from entrada.settings import Settings, aliases_of, native_name
from entrada.storage.sql import SqlAccountStore, broker_tables
from storage.many_people import add_many
from storage.prepared import prepared_copy

NORA, NORMAN, GUEST = user_id(1), user_id(2), user_id(3)


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Nora and Norman, each signed in, and a guest, in the database where the commands run."""
    monkeypatch.chdir(tmp_path)
    for name, info in Settings.model_fields.items():
        for variable in (native_name(name), *aliases_of(info)):
            monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("ENTRADA_ROLES_MAPPING", '{"Editors": "Editor", "group:Readers": "Reader"}')
    prepared_copy(tmp_path / "entrada.db")
    made = open_stores("sqlite:///entrada.db")
    now = SystemClock().now()
    for number, name, roles in ((1, "Nora North", ["Editor"]), (2, "Norman Ng", []), (3, "Gus\x1b[2J", [])):
        profile = Profile(name=name, email=f"n{number}@contoso.test", username=None, is_guest=number == 3)
        grants = [from_entra(role, granted_by="app role Editors") for role in roles]
        made.accounts.create(
            user_id=user_id(number), identity=identity(number), profile=profile, entra_grants=grants, now=NOW
        )
        if number < 3:
            opened = session(user_id(number), identity=identity(number))
            lasting = replace(
                opened, idle_expires_at=now.replace(year=2100), absolute_expires_at=now.replace(year=2100)
            )
            made.sessions.open(lasting)
    yield made
    made.close()


@pytest.fixture
def entrada(stores: Stores, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`entrada("users", "list")`: status, stdout, stderr."""

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = main(words)
        except SystemExit as ended:
            status = int(str(ended.code))
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return status, said.out, said.err

    return run


Entrada = Callable[..., tuple[int, str, str]]


def test_everybody_is_listed(entrada: Entrada) -> None:
    """One line a person; a name that would clear the screen does not."""
    status, shown, _ = entrada("users", "list")
    assert status == 0
    assert [line.split("  ")[0] for line in shown.splitlines()] == [GUEST, NORA, NORMAN]
    assert "Nora North  n1@contoso.test  Editor" in shown
    assert "\x1b" not in shown
    assert [one["name"] for one in json.loads(entrada("users", "list", "--json")[1])][1:] == [
        "Nora North",
        "Norman Ng",
    ]
    assert entrada("users", "list", "--role", "Editor")[1].count("\n") == 1
    assert json.loads(entrada("users", "list", "--disabled", "--json")[1]) == []


A_GROUP = "11111111-1111-1111-1111-111111111111"
RULES = f"""
[[rules]]
path = "/edit"
roles = ["Editor"]
[[rules]]
path = "/both"
roles = ["Editor"]
groups = ["{A_GROUP}"]
[[rules]]
path = "/closed"
access = "deny"
"""


def test_a_path_is_explained_for_one_person(entrada: Entrada, stores: Stores, tmp_path: Path) -> None:
    """Which rule decides, with its line, and what roles and groups mean there: yes, no, or not known."""
    (tmp_path / "entrada.toml").write_text(RULES)

    def told(who: str, path: str) -> str:
        return entrada("explain", who, "--path", path)[1]

    assert "GET http://localhost/edit: the rule for /edit on line 2" in told("nora", "/edit")
    assert "allowed as 00000000-0000-4000-8000-000000000001" in told("nora", "POST https://t.test/edit")
    assert "forbidden" in told("norman", "/edit")
    assert "none of the roles" in told("norman", "/both")
    assert f"groups_unknown as 00000000-0000-4000-8000-000000000001: not known whether in {A_GROUP}" in told(
        "nora", "/both"
    )
    for held, words in ((frozenset({A_GROUP}), "allowed"), (frozenset[str](), "in none of the groups")):
        known = Membership(held=held, asked=frozenset({A_GROUP}))
        stores.accounts.record_groups(user_id=NORA, identity=identity(1), membership=known)
        assert words in told("nora", "/both")
    assert "nobody may" in told("nora", "/closed")
    assert "allowed" in told("norman", "/elsewhere")
    assert "refused before any rule" in told("nora", "/a/%2e%2e/b")
    assert json.loads(entrada("explain", "nora", "--path", "/edit", "--json")[1])["path"]["as"] == [
        {
            "object_id": "00000000-0000-4000-8000-000000000001",
            "decision": "allowed",
            "reason": "by roles and groups as they are known here",
        }
    ]
    assert entrada("explain", "nora", "--path", "nonsense")[0] == 1


def test_disabled_here_is_out_until_enabled(entrada: Entrada, stores: Stores) -> None:
    """Disabling ends the sessions; enabling brings none back."""
    assert entrada("users", "disable", "nora")[:2] == (
        0,
        f"Nora North ({NORA}) is disabled, and signed out everywhere.\n",
    )
    assert list(stores.sessions.list_sessions(user_id=NORA)) == []
    assert "DISABLED" in entrada("users", "list", "--disabled")[1]
    assert "Cannot sign in: disabled here" in entrada("explain", "nora")[1]
    assert entrada("users", "enable", "nora")[0] == 0
    user = stores.accounts.get(NORA)
    assert user is not None
    assert user.is_enabled
    assert list(stores.sessions.list_sessions(user_id=NORA)) == []


def test_a_role_by_hand_is_given_explained_and_taken_back(entrada: Entrada, stores: Stores) -> None:
    """It says who gave it; a role that no mapping gives is asked about; what Entra gives is Entra's."""
    status, _, noted = entrada("users", "grant", "norman", "Reader")
    assert (status, noted) == (0, "")
    assert "spelt" in entrada("users", "grant", "norman", "Raeder")[2]
    assert "Reader: given by hand (command line" in entrada("explain", "norman", "--role", "Reader")[1]
    assert entrada("users", "revoke", "norman", "Raeder")[0] == 0
    status, _, said = entrada("users", "revoke", "nora", "Editor")
    assert status == 1
    assert "Entra gives it: app role Editors." in said
    assert "ENTRADA_ROLES_MAPPING" in said
    user = stores.accounts.get(NORMAN)
    assert user is not None
    assert user.roles == {"Reader"}


def test_why_somebody_has_a_role_and_why_not(entrada: Entrada, monkeypatch: pytest.MonkeyPatch) -> None:
    """The claim, the line of the mapping, and what would give a role that is missing."""
    shown = entrada("explain", "n1@contoso.test")[1]
    assert "Editor: Entra gives it (app role Editors), by that line of ENTRADA_ROLES_MAPPING" in shown
    told = json.loads(entrada("explain", "nora", "--role", "Reader", "--json")[1])
    assert (told["has_role"], told["can_sign_in"]) == (False, True)
    assert told["ways_to_role"] == ["group Readers", "by hand: entrada users grant PERSON Reader"]
    monkeypatch.setenv("ENTRADA_ROLES_MAPPING", "{}")
    assert "no line of ENTRADA_ROLES_MAPPING does so today" in entrada("explain", "nora")[1]


def test_why_somebody_cannot_come_in(
    entrada: Entrada, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended by Entra, a guest, or without the role that is required: each is said."""
    now = SystemClock().now()
    stores.sealed_sign_ins.remember(identity(1), user_id=NORA, sealed_sign_in="s", now=NOW, next_check_at=NOW)
    claimed = stores.sealed_sign_ins.claim_due(now=now, next_check_at=now)
    assert claimed is not None
    stores.sealed_sign_ins.end_access(claimed, because="AADSTS50057", now=now)
    assert "Entra said of 00000000-0000-4000-8000-000000000001: AADSTS50057" in entrada("explain", "nora")[1]
    assert "AADSTS50057" in entrada("users", "show", "nora")[1]
    assert "a guest, and ENTRADA_GUESTS lets none in" in entrada("explain", GUEST)[1]
    monkeypatch.setenv("ENTRADA_ROLES_REQUIRED", "true")
    assert "Cannot sign in without a role (ENTRADA_ROLES_REQUIRED)" in entrada("explain", "norman")[1]


def test_sessions_are_listed_and_ended(entrada: Entrada, stores: Stores) -> None:
    """One, a person's, or all; nothing secret is shown."""
    listed = json.loads(entrada("sessions", "list", "--json")[1])
    assert {one["name"] for one in listed} == {"Nora North", "Norman Ng"}
    assert "  1 session (`entrada sessions list" in entrada("users", "show", "nora")[1]
    assert not any("secret" in key or "hash" in key for one in listed for key in one)
    norman = next(one["id"] for one in listed if one["name"] == "Norman Ng")
    assert entrada("sessions", "end", "--", norman)[:2] == (0, "1 session ended.\n")
    assert entrada("sessions", "end", "--", norman)[0] == 1
    assert json.loads(entrada("sessions", "end", "--of", "nora", "--json")[1]) == {"ended": 1}
    assert entrada("sessions", "list")[1:] == ("", "Nobody is signed in.\n")
    stores.sessions.open(session(NORA))
    assert entrada("sessions", "end", "--all")[1] == "1 session ended.\n"


def test_a_role_until_a_moment(entrada: Entrada, stores: Stores) -> None:
    """A day, a time or a duration; what has passed, or is none, is refused in a sentence."""
    status, said, _ = entrada("users", "grant", "norman", "Reader", "--until", "2999-01-31")
    assert (status, "has the role Reader, until 2999-02-01T00:00:00Z" in said) == (0, True)
    assert "Reader: by hand" in (shown := entrada("users", "show", "norman")[1])
    assert ", until 2999-02-01T00:00:00Z" in shown
    listed = json.loads(entrada("users", "list", "norman", "--json")[1])
    assert [role["until"] for role in listed[0]["roles"]] == ["2999-02-01T00:00:00Z"]
    assert "It ends 2999-02-01" in entrada("explain", "norman")[1]
    for end in ("2020-01-31", "2020-01-31T10:00Z", "tomorrow", "0h", "-1d", "9999-12-31", "9999999d"):
        status, _, refused = entrada("users", "grant", "norman", "Editor", f"--until={end}")
        assert (status, "Traceback" in refused) == (1, False), end
        assert ("has passed" in refused) == end.startswith("2020"), end
    before = SystemClock().now()
    assert entrada("users", "grant", "norman", "Reader", "--until", "8h")[0] == 0
    user = stores.accounts.get(NORMAN)
    assert user is not None
    assert [grant.role for grant in user.grants] == ["Reader"]
    assert user.roles_until is not None
    assert timedelta(0) <= user.roles_until - before - timedelta(hours=8) < timedelta(minutes=1)


def test_deleting_asks_first(entrada: Entrada, stores: Stores) -> None:
    """Without --yes nothing is deleted; with it, nothing of the person is left."""
    status, _, said = entrada("users", "delete", "nora")
    assert status == 1
    assert "Nothing was deleted" in said
    assert stores.accounts.get(NORA) is not None
    assert entrada("users", "delete", "nora", "--yes")[0] == 0
    assert stores.accounts.get(NORA) is None
    assert list(stores.sessions.list_sessions(user_id=NORA)) == []


def test_another_mapping_is_tried_without_being_switched_on(
    entrada: Entrada, stores: Stores, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Who would lose and gain, from JSON or a file; a role by hand stays; nothing is changed."""
    stores.accounts.grant_role(NORMAN, role="Editor", granted_by="root", now=NOW)
    told = json.loads(entrada("mapping", "test", '{"Editors": "Author", "A b": "Reader"}', "--json")[1])
    assert told["people"] == [
        {"id": NORA, "name": "Nora North", "loses": ["Editor"], "gains": ["Author"], "is_kept_out": False}
    ]
    assert told["lines_gone"] == [
        {"reason": "app role Editors", "role": "Editor"},
        {"reason": "group Readers", "role": "Reader"},
    ]
    (tmp_path / "new.json").write_text('{"Others": "Editor"}')
    monkeypatch.setenv("ENTRADA_ROLES_REQUIRED", "true")
    shown = entrada("mapping", "test", "new.json", "--person", "nora")[1]
    assert f"Nora North ({NORA}): loses Editor; cannot sign in any more without a role" in shown
    assert "+ app role Others → Editor" in shown
    assert "- app role Editors → Editor" in shown
    user = stores.accounts.get(NORA)
    assert user is not None
    assert user.roles == {"Editor"}


def test_the_same_mapping_changes_nobody(entrada: Entrada) -> None:
    """Tried as it is today, it moves nobody."""
    same = '{"Editors": "Editor", "group:Readers": "Reader"}'
    assert json.loads(entrada("mapping", "test", same, "--json")[1])["people"] == []


def test_a_mapping_that_concerns_everybody_is_told_page_by_page(
    entrada: Entrada, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is told before the next page is read, so memory holds one; a terminal hears every second how far
    it is, and nobody else does."""
    assert stores.database is not None
    for user in stores.accounts.list_users():
        stores.accounts.delete(user.id)
    add_many(stores.database, 2 * PAGE, now=NOW)
    pages = []

    class Counting(SqlAccountStore):
        def find_people(self, query: PeopleQuery, *, limit: int = 50, after: UserId | None = None) -> Any:
            pages.append(after)
            return super().find_people(query, limit=limit, after=after)

    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.0)
    others = '{"Editors": "Editor", "group:Readers": "Reader", "Readers": "Other"}'
    wanted = RoleMapping(app_roles={"Readers": ("Other",)})
    looked = looked_at(Counting(stores.database), today=RoleMapping(), wanted=wanted)
    assert len([next(looked) for _ in range(PAGE)]) == PAGE
    assert len(pages) == 1
    assert len(list(looked)) == PAGE

    status, shown, said = entrada("mapping", "test", others, "--json")
    assert (status, said) == (0, "")
    assert len(json.loads(shown)["people"]) == 2 * PAGE
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    status, shown, said = entrada("mapping", "test", others)
    assert f"{2 * PAGE} of those who have an account would lose or gain a role." in shown
    assert f"People looked at: {2 * PAGE} so far" in said


@pytest.mark.parametrize(
    "mapping",
    [
        "{",
        "nowhere.json",
        '{"Editors": 1}',
        "[]",
        "",
        '{"a": ' * 5_000 + "1" + "}" * 5_000,
        '{"Editors": "Editor", "Editors": "Reader"}',
        '{"Editors": "\\ud800"}',
        '{"Editors": "Edi\\u0000tor"}',
        '{"Editors": "%s"}' % ("x" * 256),
    ],
)
def test_a_mapping_with_an_error(entrada: Entrada, mapping: str) -> None:
    """Status 1, one sentence about the mapping that was given, not the setting, and what to write instead.

    Also for what is nested without end, names a key twice, or names a role that no database keeps.
    """
    status, shown, said = entrada("mapping", "test", mapping)
    assert (status, shown) == (1, "")
    assert said.startswith("entrada: The mapping ")


def keys_in(document: object) -> set[str]:
    if isinstance(document, dict):
        return set(document).union(*(keys_in(each) for each in document.values()))
    return set().union(*(keys_in(each) for each in document)) if isinstance(document, list) else set()


def test_all_that_is_stored_of_somebody_is_exported_without_a_secret(
    entrada: Entrada, stores: Stores
) -> None:
    """Nobody else's; account, sessions and the broker's grants; no hash, and nothing sealed."""
    database = stores.database
    assert database is not None
    person = {"name": "Nora North"}
    with database.writing() as connection:
        connection.execute(
            insert(broker_tables.grants),
            {
                "id": "grant",
                "client_id": "the-shop",
                "tenant_id": identity(1).tenant_id,
                "object_id": identity(1).object_id,
                "person": json.dumps(person),
                "scopes": "openid profile",
                "begun_at": NOW,
                "expires_at": NOW,
                "sealed_sign_in": "SEALED-AT-THE-BROKER",
                "refresh_hash": b"HASHED",
                "logout_hint": "HINTED",
            },
        )
    stores.sealed_sign_ins.remember(
        identity(1), user_id=NORA, sealed_sign_in="SEALED-HERE", now=NOW, next_check_at=NOW
    )
    status, shown, said = entrada("users", "export", "nora")
    assert (status, said) == (0, "")
    told = json.loads(shown)
    assert (told["id"], told["email"]) == (NORA, "n1@contoso.test")
    assert [grant["role"] for grant in told["roles"]] == ["Editor"]
    assert len(told["sessions"]) == 1
    assert [each["person"] for each in told["identities"][0]["at_the_broker"]] == [person]
    assert told["identities"][0]["asked_again_at"] is not None
    assert [each["action"] for each in told["audit"]] == [
        "sign_in_completed",
        "role_granted",
        "account_created",
    ]
    assert not any(word in shown for word in ("SEALED", "HASHED", "HINTED", "Norman"))
    assert not any("hash" in key or "sealed" in key or "secret" in key for key in keys_in(told))


def test_everybody_is_exported_as_a_list(entrada: Entrada, stores: Stores) -> None:
    told = json.loads(entrada("users", "export", "--all")[1])
    assert [one["id"] for one in told] == [NORA, NORMAN, GUEST]
    assert entrada("users", "export")[0] == 2
    assert entrada("users", "export", "nora", "--all")[0] == 2
    for user in (NORA, NORMAN, GUEST):
        stores.accounts.delete(user)
    assert json.loads(entrada("users", "export", "--all")[1]) == []


COMMANDS = [
    ("users", "show", "PERSON"),
    ("users", "export", "PERSON"),
    ("users", "disable", "PERSON"),
    ("users", "enable", "PERSON"),
    ("users", "grant", "PERSON", "Reader"),
    ("users", "revoke", "PERSON", "Editor"),
    ("users", "delete", "PERSON", "--yes"),
    ("sessions", "list", "PERSON"),
    ("sessions", "end", "--of", "PERSON"),
    ("explain", "PERSON"),
    ("mapping", "test", "{}", "--person", "PERSON"),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("person", "said"),
    [
        ("nobody", "Nobody here is called"),
        ("no", "may be 2 people"),
        ("", "Nobody here is called"),
        ("%", "Nobody here is called"),
        ("$[client_secret]", "Nobody here is called"),
        ("\udcff", "Nobody here is called"),
    ],
    ids=["unknown", "ambiguous", "empty", "wildcard", "a-setting", "no-unicode"],
)
def test_unknown_and_ambiguous_people(
    entrada: Entrada, stores: Stores, words: tuple[str, ...], person: str, said: str
) -> None:
    """Status 1, one sentence and what to do; whom it may be is listed; nothing is done."""
    before = [*stores.accounts.list_users()], [*stores.sessions.list_sessions()]
    status, shown, error = entrada(*(person if word == "PERSON" else word for word in words))
    assert (status, shown) == (1, "")
    assert error.startswith("entrada: ")
    assert said in error
    assert (NORA in error and NORMAN in error) is (person == "no")
    assert ([*stores.accounts.list_users()], [*stores.sessions.list_sessions()]) == before


def test_whose_id_it_is_is_meant_whoever_else_is_called_so(entrada: Entrada, stores: Stores) -> None:
    """Two who are each called by the other's id, in either case: a command finds, by id, whom it names."""
    ids = [
        (user.id, user.identities[0].identity) for user in map(stores.accounts.get, (NORA, NORMAN)) if user
    ]
    for (one, own), (other, theirs) in (ids, ids[::-1]):
        for name in (other.upper(), theirs.object_id):
            profile = Profile(name=name, email=None, username=None, is_guest=False)
            stores.accounts.record_sign_in(
                user_id=one, identity=own, profile=profile, entra_grants=None, now=NOW
            )
            for text in (one, one.upper(), own.object_id, own.object_id.upper()):
                assert entrada("users", "disable", text)[0] == 0
                found = stores.accounts.get(one)
                assert found is not None
                assert not found.is_enabled
                assert entrada("users", "enable", text)[0] == 0
    assert entrada("users", "show", NORA, "--json")[0] == 0


@pytest.mark.parametrize(
    "words", [["users"], ["users", "grant", "nora"], ["sessions", "end"], ["explain"]], ids=" ".join
)
def test_wrong_use_is_status_2(entrada: Entrada, words: list[str]) -> None:
    """With how to use it."""
    status, _, said = entrada(*words)
    assert status == 2
    assert "usage: entrada" in said


@pytest.mark.parametrize("role", [" ", "x" * 256, "a\nb", "a\udc80"])
def test_a_role_without_a_name_is_none(role: str, entrada: Entrada, stores: Stores) -> None:
    """Status 1; nobody has it. What the page refuses the command refuses, too."""
    assert entrada("users", "grant", "nora", role)[0] == 1
    user = stores.accounts.get(NORA)
    assert user is not None
    assert user.roles == {"Editor"}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite:///elsewhere.db", "There is no database at elsewhere.db"),
        ("memory:", "in the server's memory"),
    ],
)
def test_k58_no_database_is_made(
    entrada: Entrada, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str, said: str
) -> None:
    """Run in the wrong place, a command says so, names the setting, and leaves nothing behind."""
    monkeypatch.setenv("ENTRADA_DATABASE_URL", url)
    before = sorted(tmp_path.iterdir())
    status, _, error = entrada("users", "list")
    assert status == 1
    assert said in error
    assert "ENTRADA_DATABASE_URL" in error
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "words", [("disable", "norman"), ("revoke", "norman", "Root"), ("delete", "norman", "--yes")]
)
def test_c22_the_last_administrator_stays_by_command_too(
    words: tuple[str, ...], entrada: Entrada, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C22: one sentence with the next step, and nothing is done; with a second administrator it is."""
    monkeypatch.setenv("ENTRADA_ADMIN_ROLES", "Root")
    entrada("users", "grant", "norman", "Root")
    before = stores.accounts.get(NORMAN)
    status, shown, said = entrada("users", *words)
    assert (status, shown) == (1, "")
    assert "Nobody would be left who administers" in said
    assert "ENTRADA_ADMIN_ROLES" in said
    assert stores.accounts.get(NORMAN) == before
    entrada("users", "grant", "nora", "Root")
    assert entrada("users", *words)[0] == 0


def test_the_list_is_filtered_and_cut(entrada: Entrada, stores: Stores) -> None:
    """By text, role, tenant, state and session; cut, it says how to go on; from there it goes on."""

    def listed(*words: str) -> list[str]:
        status, shown, _ = entrada("users", "list", *words)
        assert status == 0
        return [line.split("  ")[0] for line in shown.splitlines()]

    assert listed("NOR") == [NORA, NORMAN]
    assert listed("n2@contoso", "--enabled") == [NORMAN]
    assert listed("--signed-in") == [NORA, NORMAN]
    assert listed("--tenant", identity(1).tenant_id.upper()) == [GUEST, NORA, NORMAN]
    assert listed("--tenant", "contoso.test") == []
    status, shown, said = entrada("users", "list", "--limit", "2", "--json")
    assert (status, [one["id"] for one in json.loads(shown)]) == (0, [GUEST, NORA])
    assert said == f"There are more: --after {NORA}, or --all.\n"
    assert listed("--limit", "2", "--after", NORA) == [NORMAN]
    assert listed("--all") == [GUEST, NORA, NORMAN]
    status, shown, said = entrada("users", "list", "--after", "nobody")
    assert (status, shown) == (1, "")
    assert "There is no account 'nobody' to begin behind." in said
    assert entrada("users", "list", "--all", "--limit", "1")[0] == 2


def test_sessions_are_told_apart_by_device(entrada: Entrada, stores: Stores) -> None:
    """Browser and address stand in list and export; a hostile User-Agent moves no cursor."""
    agent = "Mozilla/5.0 (Windows NT 10.0; rv:120.0) Firefox/120.0\x1b[2J"
    now = SystemClock().now().replace(year=2100)
    made = session(GUEST, identity=identity(3), idle_expires_at=now, absolute_expires_at=now)
    stores.sessions.open(replace(made, opened_by=Device(user_agent=agent, address="192.0.2.7")))
    shown = entrada("sessions", "list", GUEST)[1]
    assert "Firefox on Windows, 192.0.2.7" in shown
    assert "\x1b" not in shown
    (told,) = json.loads(entrada("users", "export", GUEST)[1])["sessions"]
    assert (told["user_agent"], told["address"]) == (agent, "192.0.2.7")


def test_the_list_of_sessions_is_cut(entrada: Entrada, stores: Stores) -> None:
    """A hundred at once; that there are more is said; `--all` shows them."""
    now = SystemClock().now().replace(year=2100)
    for _ in range(110):
        stores.sessions.open(session(NORA, idle_expires_at=now, absolute_expires_at=now))
    status, shown, said = entrada("sessions", "list")
    assert (status, shown.count("\n"), said) == (0, 100, "There are more: --all, or a larger --limit.\n")
    assert entrada("sessions", "list", "--all")[1].count("\n") == 112
    assert len(json.loads(entrada("sessions", "list", "nora", "--limit", "3", "--json")[1])) == 3


@pytest.mark.parametrize("words", [["audit"], ["sessions", "list"], ["users", "list"]])
def test_more_than_can_be_counted_is_all(entrada: Entrada, words: list[str]) -> None:
    """A number beyond any that a database or Python counts to is as good as the greatest."""
    huge = "9" * 40
    status, shown, _ = entrada(*words, "--limit", huge)
    assert (status, shown) == entrada(*words, "--limit", "1000")[:2]
    if words == ["audit"]:
        assert entrada("audit", "--before", huge)[:2] == entrada("audit")[:2]
