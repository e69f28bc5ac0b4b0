"""The list of accounts, one account, one's own account: what they show, to whom, and what ends a session."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from administration.conftest import AccountOf, SignIn, forms_of, press, text_of
from entrada.accounts.identity import EntraIdentity
from entrada.emulator import RunningEmulator
from entrada.entra.authority import ObjectId, TenantId
from entrada.sessions.session import SessionId
from entrada.web.admin.people import MOST_SESSIONS
from entrada.web.admin.routes import PAGES
from entrada.web.site import ADMIN_PAGES
from walks.site import Site
from walks.visitor import Visitor

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:120.0) Gecko/20100101 Firefox/120.0"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Version/17.0 Mobile/15E148 Safari/604.1"
ADMIN_ADDRESSES = [f"/{page}?id=nobody" if page else "" for page in PAGES]


def person(account_of: AccountOf, who: str) -> str:
    return f"/auth/admin/person?id={account_of(who).id}"


def test_the_list_finds_and_filters(ada: Visitor, sign_in: SignIn) -> None:
    """By name, state, role and session; what was asked stays in the form, and the count is said."""
    sign_in("ed")
    sign_in("vi")

    def found(query: str) -> list[str]:
        page = ada.open(f"/auth/admin?{query}")
        assert page.status_code == 200
        return re.findall(r'<th role="rowheader".*?<bdi>(.*?)</bdi>', page.text)

    assert found("") == ["Ada Lovelace", "Ed Codd", "Vi Hart"]
    assert found("q=ED%40con") == ["Ed Codd"]
    assert found("role=Viewer") == ["Vi Hart"]
    assert found("state=disabled") == []
    assert found("state=enabled&role=Editor&signed_in=now&q=co") == ["Ed Codd"]
    assert found("q=%25") == []
    page = ada.open("/auth/admin?q=%22%3Cb%3E&role=%3Ci%3E")
    assert 'value="&#34;&lt;b&gt;"' in page.text
    assert "Nobody found." in text_of(page)
    assert "sign_in_refused" in text_of(page)


def test_an_account_shows_what_is_known(ada: Visitor, sign_in: SignIn, account_of: AccountOf) -> None:
    """Identities, roles and who gave them, sessions with device, address and last use."""
    sign_in("ed", user_agent=FIREFOX)
    text = text_of(ada.open(person(account_of, "ed")))
    for words in (
        "Ed Codd",
        "Editor Entra: app role Editor",
        "Firefox on Windows 127.0.0.1",
        account_of("ed").id,
    ):
        assert words in text
    assert account_of("ed").identities[0].identity.object_id in text


def test_ending_one_session_and_all(ada: Visitor, sign_in: SignIn, account_of: AccountOf) -> None:
    """The one that was named ends, the other goes on; then all do."""
    first, second = sign_in("ed", user_agent=FIREFOX), sign_in("ed", user_agent=IPHONE)
    page = ada.open(person(account_of, "ed"))
    page = press(ada, page, "End the session on Firefox on Windows")
    assert "Ended." in text_of(page)
    assert first.whoami() is None
    assert second.whoami() is not None
    press(ada, page, "End all sessions")
    assert second.whoami() is None
    assert ada.whoami() is not None


def test_no_get_changes_anything(ada: Visitor, sign_in: SignIn, account_of: AccountOf, site: Site) -> None:
    """F10: what a form posts, asked for by its address, leaves everything as it was."""
    ed = sign_in("ed")
    page = ada.open(person(account_of, "ed"))
    before = site.rows()
    for form in forms_of(page).values():
        query = "&".join(f"{name}={value}" for name, value in form.fields.items())
        ada.open(f"{form.path}?{query}")
    after = site.rows()
    assert [table for table in before if before[table] != after[table]] == []
    assert ed.whoami() is not None


# --- who may ---


@pytest.mark.parametrize("address", ADMIN_ADDRESSES)
def test_f11_others_are_refused_alike(address: str, sign_in: SignIn, account_of: AccountOf) -> None:
    """F11: whoever does not administer gets the same 403 for what is there and for what is not."""
    ed = sign_in("ed")
    refused = ed.open(f"/auth/admin{address}")
    known = ed.open(person(account_of, "ed"))
    assert (refused.status_code, known.status_code) == (403, 403)

    def bare(text: str) -> str:
        return re.sub(r"[0-9a-f]{16}|\d\d:\d\d:\d\d|next=[^\"&]*", "", text)

    assert bare(refused.text) == bare(known.text)
    assert "ENTRADA_ADMIN_ROLES" in refused.text


def test_somebody_without_a_session_signs_in_first(site: Site, http: Any) -> None:
    """The page that they wanted is where they land; a script gets 401."""
    nobody = Visitor(site, http)
    answer = nobody.open("/auth/admin?q=ed")
    assert answer.headers["location"] == "/auth/login?next=/auth/admin%3Fq%3Ded"
    assert nobody.fetch("/auth/admin").status_code == 401
    assert (
        nobody.sign_in_as("ada@contoso.test", next="/auth/admin?q=ed").headers["location"]
        == "/auth/admin?q=ed"
    )
    assert nobody.open("/auth/admin?q=ed").status_code == 200


def test_an_administrator_demoted_a_second_ago_is_out(
    ada: Visitor, site: Site, account_of: AccountOf, sign_in: SignIn
) -> None:
    """What is stored decides at each request, not what memory still holds; a form of before does nothing."""
    ed = sign_in("ed")
    page = ada.open(person(account_of, "ed"))
    accounts = site.auth.relying_party.accounts
    ada_now = account_of("ada")
    accounts.record_sign_in(
        user_id=ada_now.id,
        identity=ada_now.identities[0].identity,
        profile=ada_now.profile,
        entra_grants=[],
        now=site.clock.now(),
    )
    assert press(ada, page, "End all sessions").status_code == 403
    assert ada.open("/auth/admin").status_code == 403
    assert ed.whoami() is not None


def test_a_token_does_not_administer(site: Site, http: Any, emulator: RunningEmulator) -> None:
    """Whatever a bearer token may open, it is no session of a browser."""
    visitor = Visitor(site, http)
    assert visitor.fetch("/auth/admin", authorization="Bearer x.y.z").status_code == 401
    assert visitor.fetch("/auth/account", authorization="Bearer x.y.z").status_code == 401


def test_identity_headers_of_a_visitor_administer_nothing(sign_in: SignIn) -> None:
    """D: what a proxy would say of somebody is not believed from a visitor."""
    ed = sign_in("ed")
    for name in ("x_auth_request_user", "x_entrada_roles", "x_forwarded_user", "remote_user"):
        assert ed.open("/auth/admin", **{name: "Admin"}).status_code == 403


def test_c21_people_of_another_tenant_are_not_there(
    ada: Visitor, sign_in: SignIn, account_of: AccountOf, site: Site
) -> None:
    """C21: neither shown nor changed; and who has an identity of another tenant too administers nobody."""
    ed = sign_in("ed")
    theirs = EntraIdentity(
        tenant_id=TenantId("99999999-9999-4999-8999-999999999999"),
        object_id=ObjectId("99999999-0000-4000-8000-000000000001"),
    )
    accounts = site.auth.relying_party.accounts
    page = ada.open(person(account_of, "ed"))
    accounts.link(user_id=account_of("ed").id, identity=theirs, now=site.clock.now())
    assert "Ed Codd" not in ada.open("/auth/admin").text
    assert ada.open(person(account_of, "ed")).status_code == 404
    assert press(ada, page, "End all sessions").status_code == 404
    assert ed.whoami() is not None
    another = EntraIdentity(
        tenant_id=theirs.tenant_id, object_id=ObjectId("99999999-0000-4000-8000-000000000002")
    )
    accounts.link(user_id=account_of("ada").id, identity=another, now=site.clock.now())
    assert ada.open("/auth/admin").status_code == 403


# --- forms ---


def test_f10_a_form_counts_only_from_our_own_page(
    ada: Visitor, sign_in: SignIn, account_of: AccountOf
) -> None:
    """F10: another site's form, one without its token, and one with somebody else's do nothing."""
    ed = sign_in("ed")
    form = forms_of(ada.open(person(account_of, "ed")))["End all sessions"]
    theirs = forms_of(ed.open("/auth/logout"))["Sign out"].fields["csrf_token"]
    for fields, headers in (
        (form.fields, {"sec_fetch_site": "cross-site", "origin": "https://evil.test"}),
        (form.fields, {"sec_fetch_site": "same-site", "origin": "https://evil.test"}),
        ({**form.fields, "csrf_token": ""}, {}),
        ({**form.fields, "csrf_token": theirs}, {}),
        ({**form.fields, "csrf_token": "\ud83d".encode("utf-8", "replace").decode()}, {}),
        ({name: value for name, value in form.fields.items() if name != "csrf_token"}, {}),
    ):
        assert ada.post(form.path, fields, **headers).status_code == 403
    assert ed.whoami() is not None
    assert ada.fetch(form.path, "POST", body=form.fields).status_code == 403
    assert ed.whoami() is not None


def test_a_session_of_somebody_else_in_the_form_ends_nothing(
    ada: Visitor, sign_in: SignIn, account_of: AccountOf, site: Site
) -> None:
    """An id of a session counts only beside the account that it belongs to, also on one's own page."""
    ed, vi = sign_in("ed"), sign_in("vi")
    sessions = site.auth.relying_party.sessions
    (of_vi,) = sessions.list_sessions(user_id=account_of("vi").id)
    form = next(
        form
        for said, form in forms_of(ada.open(person(account_of, "ed"))).items()
        if said.startswith("End the")
    )
    assert ada.post(form.path, {**form.fields, "session": of_vi.id}).status_code == 404
    own = forms_of(ed.open("/auth/logout"))["Sign out"].fields["csrf_token"]
    assert ed.post("/auth/account", {"csrf_token": own, "end": of_vi.id}).status_code == 404
    assert vi.whoami() is not None


# --- one's own account ---


def test_ones_own_page_shows_and_ends_other_sessions(sign_in: SignIn) -> None:
    """This one is marked and has no button; another ends by its own, and all others at once."""
    here, there, phone = sign_in("vi"), sign_in("vi", user_agent=FIREFOX), sign_in("vi", user_agent=IPHONE)
    page = here.open("/auth/account")
    text = text_of(page)
    assert "Vi Hart" in text
    assert text.count("This one") == 1
    assert "Safari on iPhone" in text
    assert "/auth/admin" not in page.text
    page = press(here, page, "End the session on Firefox on Windows")
    assert there.whoami() is None
    assert phone.whoami() is not None
    press(here, page, "End all others")
    assert phone.whoami() is None
    assert here.whoami() is not None
    assert forms_of(here.open("/auth/account")).keys() == {"Sign out"}


def test_all_others_are_all(sign_in: SignIn, account_of: AccountOf, site: Site) -> None:
    """However many there are: a page shows two hundred, and its button ends every one."""
    here, sessions = sign_in("vi"), site.auth.relying_party.sessions
    (own,) = sessions.list_sessions(user_id=account_of("vi").id)
    for number in range(MOST_SESSIONS + 20):
        sessions.open(replace(own, id=SessionId(f"-{number:021}")))
    press(here, here.open("/auth/account"), "End all others")
    assert sessions.list_sessions(user_id=own.user_id) == [own]
    assert here.whoami() is not None


def test_ones_own_page_leads_administrators_on(ada: Visitor) -> None:
    """Whoever administers finds the way from their own page."""
    assert 'href="/auth/admin"' in ada.open("/auth/account").text


def test_ones_own_form_counts_only_from_our_own_page(sign_in: SignIn) -> None:
    """F10: as for administrators."""
    here, there = sign_in("vi"), sign_in("vi", user_agent=FIREFOX)
    form = forms_of(here.open("/auth/account"))["End all others"]
    foreign = {"sec_fetch_site": "cross-site", "origin": "https://evil.test"}
    assert here.post(form.path, form.fields, **foreign).status_code == 403
    assert here.post(form.path, {**form.fields, "csrf_token": "x"}).status_code == 403
    assert there.whoami() is not None


NewPage = Callable[[str], str]


def test_a_sign_in_may_lead_to_every_page_of_administrators() -> None:
    """`Site` knows all of them, so that whoever signs in for one comes back to it."""
    assert set(ADMIN_PAGES) == PAGES.keys()


@pytest.mark.parametrize("address", ["/auth/admin", "/auth/account", "/auth/admin/person?id=x"])
def test_every_page_bears_the_headers(address: str, ada: Visitor) -> None:
    """Nobody frames it, stores it or learns its address; scripts and anything from elsewhere are shut out."""
    headers = ada.open(address).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src" not in policy
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
