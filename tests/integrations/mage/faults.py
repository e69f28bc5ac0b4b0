"""The ten faults of Mage's own sign-in, one function each: what happened when somebody tried.

None of them knows which Mage it is shown; test_faults.py says what each of the two must answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from entrada.emulator.seed import FABRIKAM_ID
from integrations.mage import pages
from integrations.mage.desk import OWNER, OWNER_PASSWORD, Desk, MageUser

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Request, Route

EVIL = "https://evil.example/landing"
SCRIPT = "javascript:void(window.scriptRan=true)//"
_A_TOKEN = re.compile(r"access_token=|eyJ[\w-]{8,}\.eyJ")


def graph_token_substitution(desk: Desk, provider: str) -> str:
    """1: a Graph token of another tenant's application, of somebody named like Mage's owner.

    Answers the name of the user it opened a session of, or nothing.
    """
    desk.entra.add_person(OWNER, tenant_id=FABRIKAM_ID)
    user = desk.behind(desk.session_for(desk.foreign_graph_token(OWNER), provider=provider))
    return user.username if user else ""


def login_csrf(desk: Desk, context: BrowserContext) -> str:
    """2: the victim follows an attacker's link to Mage's sign-in page, and does nothing more.

    Answers whose session the victim's browser then holds, or nothing.
    """
    token = desk.foreign_graph_token("mallory@fabrikam.test")
    tab = context.new_page()
    tab.goto(f"{desk.mage.site}/sign-in?provider=active_directory&access_token={quote(token)}")
    user = desk.behind(pages.session_after_arrival(context, tab, desk))
    return user.username if user else ""


def open_redirect(desk: Desk, context: BrowserContext, target: str) -> str:
    """3: somebody signs in at a sign-in page whose address names where to go afterwards.

    Answers `left` for a visit to the attacker's site, `script` for a script of the attacker's that ran in
    Mage's page, `dashboard` for what a person expects.
    """
    visits: list[str] = []

    def attacker(route: Route) -> None:
        visits.append(route.request.url)
        route.fulfill(body="Enter your password again")

    context.route("https://evil.example/**", attacker)
    tab = context.new_page()
    tab.goto(f"{desk.mage.site}/sign-in?redirect_url={quote(target, safe='')}")
    pages.give_password(tab, OWNER, OWNER_PASSWORD)
    tab.wait_for_function(
        "() => window.scriptRan || !location.pathname.startsWith('/sign-in')", timeout=30_000
    )
    if visits:
        return "left"
    return "script" if tab.evaluate("() => window.scriptRan === true") else pages.where(tab)


@dataclass(frozen=True, kw_only=True)
class Traces:
    """Where tokens were seen during a sign-in."""

    in_addresses: bool
    in_referers: bool
    in_the_log: bool


def tokens_in_addresses(desk: Desk, context: BrowserContext) -> Traces:
    """4: an ordinary sign-in, watched: every address asked, every Referer sent, Mage's own log."""
    requests: list[Request] = []
    referers: list[str] = []

    def asked(request: Request) -> None:
        requests.append(request)
        referers.append(request.headers.get("referer", ""))

    context.on("request", asked)
    before = len(desk.mage.log)
    pages.sign_in(context.new_page(), desk, "ed@contoso.test")
    written = desk.mage.log[before:]
    mine = [one for one in requests if one.url.startswith(desk.mage.site)]
    return Traces(
        in_addresses=any(_shows_a_token(one.url) for one in mine),
        in_referers=any(_shows_a_token(one) for one in referers),
        in_the_log=_shows_a_token(written),
    )


def _shows_a_token(text: str) -> bool:
    return _A_TOKEN.search(unquote(text)) is not None


@dataclass(frozen=True, kw_only=True)
class SignedOut:
    """What is left after a person chose to sign out."""

    session_still_opens: bool
    entra_was_told: bool


def sign_out(desk: Desk, context: BrowserContext) -> SignedOut:
    """5: a person signs in and chooses Mage's own "Sign out"; somebody kept a copy of the session."""
    tab = context.new_page()
    pages.sign_in(tab, desk, "ed@contoso.test")
    copy = pages.session_of(context, desk)
    assert desk.opens(copy)
    pages.sign_out(tab)
    return SignedOut(
        session_still_opens=desk.opens(copy),
        entra_was_told=any(one.endpoint == "logout" for one in desk.entra.requests),
    )


def state_never_issued(desk: Desk) -> int:
    """6: an answer with a state that Mage never issued; answers how many codes Mage redeemed for it."""
    answer = desk.foreign_code("ed@contoso.test")
    assert answer["state"] == "made-up"
    before = desk.redemptions()
    desk.redeemed(answer)
    with desk.person() as browser:
        browser.open(f"{desk.mage.site}/oauth?code={quote(answer['code'])}&state=made-up")
        assert not browser.cookie("oauth_token", desk.mage.site)
    return desk.redemptions() - before


def declined_consent(desk: Desk, context: BrowserContext) -> str:
    """7: a person cancels at Entra, which tells Mage; answers the words that Mage's page then shows."""
    tab = context.new_page()
    pages.press_the_button(tab, desk)
    tab.get_by_role("button", name="Cancel").click()
    tab.wait_for_url(f"{desk.mage.site}/**")
    tab.wait_for_load_state("networkidle")
    return " ".join(tab.inner_text("body").split())


def lost_role(desk: Desk, *, who: str) -> list[str]:
    """8: an editor loses the app role at Entra and signs in again; answers the roles held then."""
    desk.entra.add_person(who, roles=["Editor"])
    assert desk.roles_of(desk.sign_in(who)) == ["Editor"]
    desk.entra.change_person(who, roles=[])
    return desk.roles_of(desk.sign_in(who))


def graph_forbids(desk: Desk, *, who: str) -> list[str]:
    """9: an editor's first sign-in while Graph answers 403; answers the roles the new user has."""
    desk.entra.add_person(who, roles=["Editor"])
    desk.entra.fail("graph_error", endpoint="graph:/v1.0/servicePrincipals", times=None, status=403)
    return desk.roles_of(desk.sign_in(who))


def same_person_in_capitals(desk: Desk, *, who: str) -> int:
    """10: the same account, its name written in capitals at Entra; answers how many users it has been."""
    person = desk.entra.add_person(who, roles=["Viewer"])
    first = desk.behind(desk.sign_in(who))
    desk.entra.change_person(person.object_id, user_principal_name=who.upper())
    return _different(first, desk.behind(desk.sign_in(person.object_id)))


def renamed_person(desk: Desk, *, who: str, then: str) -> int:
    """10: the same account under a new name after a marriage; answers how many users it has been."""
    person = desk.entra.add_person(who, roles=["Viewer"])
    first = desk.behind(desk.sign_in(who))
    desk.entra.change_person(person.object_id, user_principal_name=then, mail=then)
    return _different(first, desk.behind(desk.sign_in(then)))


def reused_name(desk: Desk, *, who: str) -> bool:
    """10: somebody leaves, a newcomer gets the same name; answers whether they became the old user."""
    old = desk.entra.add_person(who, roles=["Admin"])
    first = desk.behind(desk.sign_in(who))
    desk.entra.remove_person(old.object_id)
    desk.entra.add_person(who, roles=["Viewer"])
    second = desk.behind(desk.sign_in(who))
    return second is not None and first is not None and second.user_id == first.user_id


def guest(desk: Desk) -> str:
    """10: a guest of another tenant; answers the e-mail address of the user it became, or nothing."""
    user = desk.behind(desk.sign_in("gus@fabrikam.test"))
    return user.email if user else ""


def _different(first: MageUser | None, second: MageUser | None) -> int:
    assert first is not None, "the first sign-in did not end in a session"
    assert second is not None, "the second sign-in did not end in a session"
    return len({first.user_id, second.user_id})
