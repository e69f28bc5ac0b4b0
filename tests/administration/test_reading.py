"""What administrators read: explanations, the audit trail, a mapping's trial, health."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from administration.conftest import AccountOf, SignIn, press, text_of
from entrada.audit.acts import Act, Action, Subject
from entrada.cli import main
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CLIENT_ID, CONTOSO_ID, FABRIKAM_ID
from entrada.flows.health import HealthFact
from walks.site import ROLES, Site, served
from walks.visitor import Visitor

PAGES = ("explain", "mapping", "audit", "health")


@pytest.mark.parametrize("page", ["", *PAGES])
def test_the_menu_leads_to_every_page_and_marks_the_one_that_is_open(page: str, ada: Visitor) -> None:
    """Explain among them: whoever was refused has no account to begin from."""
    menu = ada.open(f"/auth/admin/{page}".rstrip("/")).text.partition("<nav")[2].partition("</nav>")[0]
    for each in ("", *PAGES):
        assert f'href="/auth/admin/{each}'.rstrip("/") + '"' in menu
    assert f'href="/auth/admin/{page}'.rstrip("/") + '" aria-current="page"' in menu


def explain(account_of: AccountOf, who: str, **query: str) -> str:
    asked = "".join(f"&{name}={value}" for name, value in query.items())
    return f"/auth/admin/explain?id={account_of(who).id}{asked}"


def commanded(site: Site, monkeypatch: pytest.MonkeyPatch, capsys: Any, *words: str) -> str:
    """What a command says of the site's database."""
    monkeypatch.setenv("ENTRADA_DATABASE_URL", f"sqlite:///{site.database}")
    monkeypatch.setenv("ENTRADA_ROLES_MAPPING", ROLES)
    monkeypatch.setenv("ENTRADA_ADMIN_ROLES", "Admin")
    capsys.readouterr()
    assert main(words) == 0
    said: str = capsys.readouterr().out
    return said


def test_page_and_command_explain_in_the_same_words(
    ada: Visitor, sign_in: SignIn, account_of: AccountOf, site: Site, monkeypatch: Any, capsys: Any
) -> None:
    """Of each role the same sentence; of a missing one, what would give it; of a disabled one, since when."""
    sign_in("ed")
    press(ada, ada.open(f"/auth/admin/person?id={account_of('ed').id}"), "Give this role", role="Viewer")
    press(ada, ada.open(f"/auth/admin/person?id={account_of('ed').id}&sure=disable"), "Disable")
    page = text_of(ada.open(explain(account_of, "ed")))
    said = commanded(site, monkeypatch, capsys, "explain", account_of("ed").id)
    for line in said.splitlines()[1:]:
        words = line.strip().partition(": ")[2] or line.strip()
        assert words in page or words.startswith("`entrada users enable"), words
    assert "given by hand (Ada Lovelace (ada@contoso.test))" in said
    missing = text_of(ada.open(explain(account_of, "ed", role="Admin")))
    assert "They have no role 'Admin'. It is given for: app role Admin" in missing


@pytest.fixture
def strict(emulator: RunningEmulator, tmp_path: Path) -> Any:
    """A site that refuses who has no role."""
    with served(
        emulator,
        database=tmp_path / "entrada.db",
        ENTRADA_ADMIN_ROLES="Admin",
        ENTRADA_ROLES_REQUIRED="true",
    ) as site:
        yield site


def test_k29_why_nora_cannot_get_in(
    strict: Site,
    http: httpx.Client,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    """K29: her own page, the administrators' page, the log and the command: each alone holds the answer."""
    caplog.set_level("INFO")
    nora = Visitor(strict, http)
    refused = nora.sign_in_as("nora@contoso.test")
    assert refused.status_code == 403
    incident = re.search(r"Incident</dt><dd class=\"exact\"><bdi>([0-9a-f]+)", refused.text)
    assert incident is not None
    for words in ("nora@contoso.test", "Roles None", "role"):
        assert words in text_of(refused)

    (line,) = [one for one in caplog.messages if one.startswith("sign_in_refused")]
    assert f"incident={incident[1]}" in line
    assert "code=role_required" in line

    auditing = strict.auth.relying_party.auditing
    assert auditing is not None
    auditing.refusals.settle()
    ada = Visitor(strict, http)
    ada.sign_in_as("ada@contoso.test")
    listed = ada.open("/auth/admin?q=nora")
    assert "Nobody found." in text_of(listed)
    assert 'href="/auth/admin/explain?q=nora"' in listed.text
    explained = text_of(ada.open("/auth/admin/explain?q=nora"))
    for words in ("nora@contoso.test", "no role that is asked for", "ENTRADA_ROLES_MAPPING", incident[1]):
        assert words in explained
    assert "Sign-in refused" in text_of(ada.open("/auth/admin/audit?q=nora"))

    monkeypatch.setenv("ENTRADA_ROLES_REQUIRED", "true")
    said = commanded(strict, monkeypatch, capsys, "explain", "nora@contoso.test")
    for words in ("nora@contoso.test", "no role that is asked for", "app role Admin", incident[1]):
        assert words in said
    told = json.loads(commanded(strict, monkeypatch, capsys, "explain", "nora", "--json"))
    assert told["can_sign_in"] is False
    assert told["refused"][0]["details"]["incident"] == incident[1]


def test_c21_refusals_of_another_tenant_are_not_shown_and_hide_none(
    emulator: RunningEmulator, http: httpx.Client, tmp_path: Path
) -> None:
    """C21: twelve newer ones of a namesake elsewhere, and still why one's own person was refused."""
    emulator.change_app(CLIENT_ID, audience="AzureADMultipleOrgs")
    with served(
        emulator,
        database=tmp_path / "entrada.db",
        ENTRADA_ADMIN_ROLES="Admin",
        ENTRADA_TENANT_ID="organizations",
        ENTRADA_ALLOWED_TENANTS=f"{CONTOSO_ID},{FABRIKAM_ID}",
    ) as site:
        auditing = site.auth.relying_party.auditing
        assert auditing is not None
        for tenant_id, account in [(CONTOSO_ID, "zoe@ours.test"), *[(FABRIKAM_ID, "zoe@theirs.test")] * 12]:
            who = Subject(tenant_id=tenant_id, object_id=f"oid of {account}", name="Zoe", account=account)
            auditing.trail.record(Act(action=Action.SIGN_IN_REFUSED, subject=who))
        ada = Visitor(site, http)
        ada.sign_in_as("ada@contoso.test")
        explained = text_of(ada.open("/auth/admin/explain?q=zoe"))
        assert "zoe@ours.test" in explained
        assert "zoe@theirs.test" not in explained
    emulator.reset()


def test_the_audit_trail_is_filtered_and_paged(ada: Visitor, sign_in: SignIn, account_of: AccountOf) -> None:
    """By person, by what happened and by day; a wrong filter finds nothing, and never fails."""
    sign_in("ed")
    page = press(
        ada, ada.open(f"/auth/admin/person?id={account_of('ed').id}"), "Give this role", role="Viewer"
    )
    assert page.status_code == 200
    shown = text_of(ada.open("/auth/admin/audit?q=ed%40contoso&action=role_granted"))
    assert "Role granted Ed Codd ed@contoso.test Ada Lovelace" in shown
    assert "vi@contoso" not in shown
    assert "Nothing found." in text_of(ada.open("/auth/admin/audit?until=2020-01-01"))
    for query in (
        "before=x",
        "before=-1",
        "since=0000-99-99",
        "until=9999-12-31",
        "action=%00",
        "q=%00%25",
        "before=1",
    ):
        assert ada.open(f"/auth/admin/audit?{query}").status_code == 200, query


def test_another_mapping_is_tried_and_nothing_is_changed(
    ada: Visitor, sign_in: SignIn, account_of: AccountOf, site: Site
) -> None:
    """Who loses and gains what, which lines are new and gone, and that nobody would administer any more."""
    sign_in("ed")
    page = ada.open("/auth/admin/mapping")
    before = site.rows()
    tried = press(ada, page, "Try it", mapping='{"Editor": "Writer", "Admin": "Boss"}')
    text = text_of(tried)
    assert tried.status_code == 200
    assert "2 people would lose or gain a role." in text
    assert "Ed Codd ed@contoso.test Editor Writer" in text
    assert "nobody would administer any more, you included" in text
    assert "app role Viewer Viewer Gone" in text
    assert site.rows() == before
    same = text_of(press(ada, page, "Try it", mapping=ROLES))
    assert "No people would lose or gain a role." in same
    assert "administer any more" not in same


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "[]",
        "{",
        '{"a": 1}',
        '{"a": ""}',
        "[" * 19_000,
        "[" + " " * 20_000,
        "\x00",
        "<script>",
        '{"a": "A", "a": "B"}',
    ],
)
def test_a_mapping_with_a_mistake_is_one_sentence(text: str, ada: Visitor) -> None:
    """What was typed stays in the form; nothing fails, however deep it is nested."""
    answer = press(ada, ada.open("/auth/admin/mapping"), "Try it", mapping=text)
    assert answer.status_code == 400
    assert "That mapping cannot be read" in text_of(answer)
    assert "<script>" not in answer.text


def test_a_mapping_of_more_than_is_read_of_a_form_is_one_sentence(ada: Visitor) -> None:
    """It may be shorter than the page allows in letters; the page says so, and what takes it."""
    text = '{"' + "\u7d44\u7e54" * 4_000 + '": "A"}'
    answer = press(ada, ada.open("/auth/admin/mapping"), "Try it", mapping=text)
    assert answer.status_code == 403
    assert "This form is too large" in text_of(answer)
    assert "entrada mapping test" in text_of(answer)
    assert "Entra." not in text_of(answer)


def test_health_says_what_is_known_and_what_is_not(
    ada: Visitor, emulator: RunningEmulator, site: Site
) -> None:
    """Without the permission for it, Graph says nothing about the secret, and the page says that."""
    text = text_of(ada.open("/auth/admin/health"))
    assert "Not known until when it works" in text
    assert "Application.Read.All" in text
    assert "Database Answers, and can be written" in text
    assert "Re-check Everybody who is signed in, every 15 minutes" in text
    assert "Graph delta Not switched on" in text


def test_health_knows_until_when_the_secret_works(
    emulator: RunningEmulator, tmp_path: Path, http: httpx.Client
) -> None:
    """With Graph's permission for it: each secret with its day."""
    emulator.change_app(CLIENT_ID, application_permissions=["Application.Read.All"])
    with served(emulator, database=tmp_path / "entrada.db", ENTRADA_ADMIN_ROLES="Admin") as site:
        ada = Visitor(site, http)
        ada.sign_in_as("ada@contoso.test")
        text = text_of(ada.open("/auth/admin/health"))
    assert re.search(r"Secret .*Works until \d{4}-\d\d-\d\d, \d+ days from now", text), text


def test_health_of_a_process_that_has_just_begun(emulator: RunningEmulator, tmp_path: Path) -> None:
    """Nobody has signed in yet, so Entra's metadata is asked for: it is there, or why not; no false alarm."""

    def metadata(site: Site) -> HealthFact:
        assert site.auth.health is not None
        facts = [
            fact
            for group in site.auth.health.groups(site.auth.relying_party.clock.now())
            for fact in group.facts
        ]
        (found,) = [fact for fact in facts if fact.label == "Metadata"]
        return found

    with served(emulator, database=tmp_path / "entrada.db") as site:
        assert metadata(site) == HealthFact(label="Metadata", text="Read")
    emulator.fail("server_error", endpoint="discovery")
    with served(emulator, database=tmp_path / "entrada.db") as site:
        out = metadata(site)
    assert out.needs_care
    assert out.text.startswith("Cannot be read, so nobody can sign in through this process: ")


@pytest.mark.parametrize("page", PAGES)
def test_f14_odd_questions_get_a_page(page: str, ada: Visitor) -> None:
    """F14: whatever stands in the address: a page, or a refusal in a sentence; never a failure of ours."""
    for odd in (
        "%00",
        "%ff%fe",
        "x" * 3_000,
        "%F0%9F%98%80",
        "<svg/onload=1>",
        "a&" * 60,
        "'; DROP TABLE entrada_user; --",
    ):
        for name in ("id", "q", "role", "path", "after", "sure"):
            answer = ada.open(f"/auth/admin/{page}?{name}={odd}")
            assert answer.status_code in (200, 403, 404), (name, odd)
            assert "<svg/onload" not in answer.text
