"""What administrators change: the acts, the recent sign-in before them, and what nobody may do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from administration.conftest import AccountOf, SignIn, follow, forms_of, press, text_of
from entrada.accounts.identity import GrantSource, User
from walks.site import Site
from walks.visitor import Visitor, query_of


def person(account_of: AccountOf, who: str, **query: str) -> str:
    return f"/auth/admin/person?id={account_of(who).id}" + "".join(f"&{n}={v}" for n, v in query.items())


def by_hand(user: User) -> list[str]:
    return [grant.role for grant in user.grants if grant.source is GrantSource.MANUAL]


def test_a_role_is_given_and_taken_back(
    ada: Visitor, sign_in: SignIn, account_of: AccountOf, site: Site
) -> None:
    """It is known at once who gave it, also on the page, and the sessions of who has it learn of it."""
    ed = sign_in("ed")
    page = press(ada, ada.open(person(account_of, "ed")), "Give this role", role=" Viewer ")
    assert "The role is given." in text_of(page)
    assert "Viewer By hand: Ada Lovelace (ada@contoso.test)" in text_of(page)
    me = ed.whoami()
    assert me is not None
    assert me["roles"] == ["Editor", "Viewer"]
    (grant,) = [one for one in account_of("ed").grants if one.role == "Viewer"]
    assert grant.granted_by == f"administrator {account_of('ada').id}"
    page = press(ada, page, "Take back Viewer")
    assert "The role is taken back." in text_of(page)
    assert by_hand(account_of("ed")) == []


def test_a_role_is_given_until_a_day(ada: Visitor, sign_in: SignIn, account_of: AccountOf) -> None:
    """The form takes a day, both pages say until when; a day that has passed is refused, one's own is not."""
    ed = sign_in("ed")
    at_first = ada.open(person(account_of, "ed"))
    refused = press(ada, at_first, "Give this role", role="Viewer", until="2020-01-31")
    assert refused.status_code == 409
    assert "2020-02-01 00:00 UTC has passed" in text_of(refused)
    assert by_hand(account_of("ed")) == []
    page = press(ada, at_first, "Give this role", role="Viewer", until="2999-01-31")
    assert "2999-02-01 00:00 UTC" in text_of(page)
    assert "Viewer (until 2999-02-01 00:00 UTC)" in text_of(ed.open("/auth/account"))
    page = press(ada, page, "Give this role", role="Viewer", until="")
    assert "No end" in text_of(page)
    assert "until" not in text_of(ed.open("/auth/account"))


@pytest.mark.parametrize("role", ["", "  ", "x" * 256, "a\nb", "a\x00"])
def test_no_role_without_a_name(role: str, ada: Visitor, sign_in: SignIn, account_of: AccountOf) -> None:
    """Nothing, control characters and a page full of letters are refused in a sentence."""
    sign_in("ed")
    page = press(ada, ada.open(person(account_of, "ed")), "Give this role", role=role)
    assert page.status_code == 409
    assert "That is no name of a role." in text_of(page)
    assert by_hand(account_of("ed")) == []


def test_disabling_and_enabling(ada: Visitor, sign_in: SignIn, account_of: AccountOf) -> None:
    """Asked first; out at once and kept out; then in again, with no session of before."""
    ed = sign_in("ed")
    question = ada.open(person(account_of, "ed", sure="disable"))
    assert "Disable Ed Codd?" in text_of(question)
    assert ed.whoami() is not None
    page = press(ada, question, "Disable")
    assert "Disabled, and signed out everywhere." in text_of(page)
    assert ed.whoami() is None
    page = press(ada, page, "Enable")
    assert "Enabled" in text_of(page)
    assert ed.whoami() is None


def test_deleting_forgets_and_leads_to_the_list(ada: Visitor, sign_in: SignIn, account_of: AccountOf) -> None:
    """Asked first; sent twice, the second finds nobody; a session of the deleted opens nothing."""
    ed = sign_in("ed")
    question = ada.open(person(account_of, "ed", sure="delete"))
    page = press(ada, question, "Delete for good")
    assert "Ed Codd" not in page.text
    assert ed.whoami() is None
    again = press(ada, question, "Delete for good")
    assert again.status_code == 404
    assert "There is no such account." in text_of(again)


def test_sent_twice_is_done_once(ada: Visitor, sign_in: SignIn, account_of: AccountOf, site: Site) -> None:
    """A double click, the back button and a second tab repeat nothing and break nothing."""
    sign_in("ed")
    page = ada.open(person(account_of, "ed"))
    assert press(ada, page, "Give this role", role="Viewer").status_code == 200
    once = site.rows()["entrada_role_grant"]
    assert press(ada, page, "Give this role", role="Viewer").status_code == 200
    assert site.rows()["entrada_role_grant"] == once
    taken = ada.open(person(account_of, "ed"))
    assert press(ada, taken, "Take back Viewer").status_code == 200
    assert press(ada, taken, "Take back Viewer").status_code == 200
    assert by_hand(account_of("ed")) == []


# --- a recent sign-in ---


@pytest.mark.parametrize("act", ["Give this role", "Disable", "Delete for good"])
def test_an_old_sign_in_is_made_anew_and_nothing_typed_is_lost(
    act: str, ada: Visitor, sign_in: SignIn, account_of: AccountOf, site: Site
) -> None:
    """After a quarter of an hour: nothing is done, Entra asks again, and the same form waits, filled in."""
    sign_in("ed")
    ed = account_of("ed")
    site.clock.pass_by(minutes=16)
    sure = {"Disable": "disable", "Delete for good": "delete"}.get(act)
    page = ada.open(person(account_of, "ed", **({"sure": sure} if sure else {})))
    page = press(ada, page, act, **({} if sure else {"role": "Rolle & <b>"}))
    assert page.status_code == 403
    assert "Nothing was changed." in text_of(page)
    assert account_of("ed").grants == ed.grants
    assert account_of("ed").is_enabled
    start = page.text.partition('href="/auth/entra/start?')[2].partition('"')[0].replace("&amp;", "&")
    answer = ada.open(f"/auth/entra/start?{start}")
    assert query_of(answer.headers["location"])["prompt"] == "login"
    ada.approve_as("ada@contoso.test", answer.headers["location"])
    waiting = follow(ada, ada.complete())
    assert waiting.status_code == 200
    assert account_of("ed").grants == ed.grants
    if not sure:
        assert "Rolle &amp; &lt;b&gt;" in waiting.text
    done = press(ada, waiting, act)
    assert done.status_code == 200
    if sure == "delete":
        assert "Ed Codd" not in done.text
    else:
        assert by_hand(account_of("ed")) == (["Rolle & <b>"] if not sure else [])
        assert account_of("ed").is_enabled == (sure != "disable")


def test_entras_word_about_the_sign_in_counts_more_than_the_sessions_age(
    ada: Visitor, sign_in: SignIn, account_of: AccountOf, site: Site
) -> None:
    """A session opened a moment ago by single sign-on is no recent sign-in, where Entra says so."""
    sign_in("ed")
    sessions = site.auth.relying_party.sessions
    (own,) = sessions.list_sessions(user_id=account_of("ada").id)
    sessions.end(own.id)
    long_ago = own.created_at.replace(year=2020)
    sessions.open(replace(own, authenticated_at=long_ago))
    page = ada.open(person(account_of, "ed"))
    assert press(ada, page, "Give this role", role="Viewer").status_code == 403
    assert by_hand(account_of("ed")) == []
    assert press(ada, page, "End all sessions").status_code == 200


# --- what nobody may do ---


@pytest.mark.parametrize("act", ["Disable", "Delete for good"])
def test_c22_nobody_removes_the_last_administrator_or_themselves(
    act: str, ada: Visitor, sign_in: SignIn, account_of: AccountOf
) -> None:
    """C22: alone she would be the last; with another, it is still her own way in."""
    sure = {"Disable": "disable", "Delete for good": "delete"}[act]
    question = ada.open(person(account_of, "ada", sure=sure))
    refused = press(ada, question, act)
    assert refused.status_code == 409
    assert "Nobody would be left who administers" in text_of(refused)
    sign_in("ed")
    press(ada, ada.open(person(account_of, "ed")), "Give this role", role="Admin")
    refused = press(ada, question, act)
    assert refused.status_code == 409
    assert "your own way in" in text_of(refused)
    assert ada.open("/auth/admin").status_code == 200


def test_two_administrators_who_remove_each_other(
    ada: Visitor, sign_in: SignIn, account_of: AccountOf
) -> None:
    """Whoever comes second finds that they administer no more."""
    ed = sign_in("ed")
    press(ada, ada.open(person(account_of, "ed")), "Give this role", role="Admin")
    of_ada, of_ed = ed.open(person(account_of, "ada", sure="disable")), ada.open(person(account_of, "ed"))
    assert press(ada, of_ed, "Take back Admin").status_code == 200
    assert press(ed, of_ada, "Disable").status_code == 403
    assert account_of("ada").is_enabled


def test_who_did_it_stands_in_the_audit_trail(
    ada: Visitor, sign_in: SignIn, account_of: AccountOf, site: Site
) -> None:
    """Each act of an administrator has an entry with their account as the actor."""
    sign_in("ed")
    page = press(ada, ada.open(person(account_of, "ed")), "Give this role", role="Viewer")
    page = press(ada, page, "End all sessions")
    press(ada, ada.open(person(account_of, "ed", sure="disable")), "Disable")
    auditing = site.auth.relying_party.auditing
    assert auditing is not None
    by_ada = [one for one in auditing.trail.newest() if one.actor_id == account_of("ada").id]
    about_ed = {one.action for one in by_ada if one.user_id == account_of("ed").id}
    assert {"role_granted", "sessions_ended", "account_disabled"} <= about_ed


# --- a neighbouring host ---


@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
def test_a_neighbours_cookie_brings_no_form_token_along(
    first: bool, ada: Visitor, sign_in: SignIn, account_of: AccountOf
) -> None:
    """A session's form token is good for that session alone, also where its cookie stands beside another.

    Who has a session here, and may set cookies for a neighbouring host, knows the token of their own session
    and adds its cookie, which opens nothing any more, to the administrator's. Her own page goes on working.
    """
    ed = sign_in("ed")
    token = forms_of(ed.open("/auth/account"))["Sign out"].fields["csrf_token"]
    cookies = [who.jar.header("localhost", secure=False, from_another_site=False) for who in (ed, ada)]
    both = "; ".join(cookies if first else reversed(cookies))
    ed.post("/auth/logout")
    hidden = {"cookie": both, "origin": "null", "sec_fetch_site": "same-site"}
    role = {"id": account_of("ed").id, "do": "grant", "role": "Admin"}
    refused = ada.post("/auth/admin/person", {**role, "csrf_token": token}, **hidden)
    assert refused.status_code == 403
    assert by_hand(account_of("ed")) == []
    form = forms_of(ada.open(person(account_of, "ed"), cookie=both))["Give this role"]
    done = ada.post(form.path, {**form.fields, "role": "Viewer"}, **hidden)
    assert done.status_code == 303
    assert by_hand(account_of("ed")) == ["Viewer"]
