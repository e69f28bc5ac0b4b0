"""The administrators' page: what it shows, what its forms do, and who may send them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import pytest

from broker.conftest import BehindBroker, broker_before
from broker.world import open_grant
from clients.plain_browser import Page, PlainBrowser
from entrada.broker.grants import hash_of
from entrada.broker.installations import ClientId, Installation, Proof, Standing, installation_at
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CONTOSO_ID, FABRIKAM_ID
from entrada.entra.authority import TenantId
from walks.nursery import until
from walks.site import ShiftedClock

NewBrowser = Callable[[], PlainBrowser]
APP, THEIRS = "https://app.example.test", "https://theirs.example.test"


def saved(world: BehindBroker, url: str = APP, tenant: str = CONTOSO_ID, **changes: object) -> Installation:
    made = installation_at(url, tenant_id=TenantId(tenant), standing=Standing.APPROVED)
    made = replace(made, **changes)  # type: ignore[arg-type]
    world.broker.broker.provider.store.save_installation(made)
    return made


def stored(world: BehindBroker, client_id: str) -> Installation | None:
    return world.broker.broker.provider.store.find_installation(client_id)


def overview(world: BehindBroker) -> str:
    return f"{world.url}/auth/broker/installations"


def signed_in(world: BehindBroker, browser: PlainBrowser, who: str = "ada@contoso.test") -> PlainBrowser:
    browser.sign_in(f"{world.url}/auth/entra/start", who)
    if "Permissions requested" in browser.page.text:
        browser.press("Accept")
    return browser


def token_on(page: Page) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
    assert found is not None
    return found[1]


def test_the_list_shows_ones_own_tenant(behind_broker: BehindBroker, new_browser: NewBrowser) -> None:
    """Who is in, how, and what has not been taken; nothing of another tenant's (C21)."""
    saved(behind_broker, proof=Proof.SECRET, secret_hashes=(hash_of("x"),))
    saved(behind_broker, THEIRS, FABRIKAM_ID)
    page = signed_in(behind_broker, new_browser()).open(overview(behind_broker))
    assert page.status == 200
    assert APP in page.text
    assert "a client secret" in page.text
    assert THEIRS not in page.text
    about = page.links[f"Look at {APP}"]
    assert about.endswith("?about=https%3A%2F%2Fapp.example.test")


def test_adding_letting_in_with_a_secret_and_taking_it_back(
    behind_broker: BehindBroker, new_browser: NewBrowser
) -> None:
    """The whole life of an installation on the page; a secret is shown once and stored as a hash."""
    ada = signed_in(behind_broker, new_browser())
    ada.open(overview(behind_broker))
    page = ada.press("Let in", public_url="HTTPS://App.Example.test/", secret="1")
    assert page.status == 200
    secret = re.search(r"Secret</dt><dd class=\"exact\"><bdi>([^<]+)", page.text)
    assert secret is not None
    made = stored(behind_broker, APP)
    assert made is not None
    assert (made.tenant_id, made.proof) == (CONTOSO_ID, Proof.SECRET)
    assert made.secret_hashes == (hash_of(secret[1]),)
    assert secret[1] not in ada.open(overview(behind_broker)).text

    ada.open(ada.page.links[f"Look at {APP}"])
    page = ada.press("Give out a new secret")
    newer = re.search(r"Secret</dt><dd class=\"exact\"><bdi>([^<]+)", page.text)
    assert newer is not None
    made = stored(behind_broker, APP)
    assert made is not None
    assert made.secret_hashes == (hash_of(newer[1]), hash_of(secret[1]))

    ada.open(f"{overview(behind_broker)}?{urlencode({'about': APP})}")
    ada.press("Remove")
    assert stored(behind_broker, APP) is None
    assert "nobody is in yet" in ada.page.text


def test_removing_on_the_page_signs_people_out_there(
    behind_broker: BehindBroker, new_browser: NewBrowser
) -> None:
    """Within a second or two, at the installation itself, which cannot sign anybody in any more."""
    app, vi, ada = behind_broker.installation(), new_browser(), new_browser()
    behind_broker.sign_in(vi, app, "vi@contoso.test", "/private")
    signed_in(behind_broker, ada).open(f"{overview(behind_broker)}?{urlencode({'about': app.url})}")
    ada.press("Remove")
    until(lambda: vi.open(f"{app.url}/auth/me").status == 401, seconds=20)
    assert vi.open(f"{app.url}/auth/entra/start").status == 403


@pytest.mark.parametrize("verb", ["approve", "remove", "rotate"])
def test_c21_no_verb_reaches_another_tenant(
    verb: str, behind_broker: BehindBroker, new_browser: NewBrowser
) -> None:
    """C21: with a good token and a fresh sign-in, an administrator changes nothing of another tenant's."""
    saved(behind_broker, THEIRS, FABRIKAM_ID, standing=Standing.WAITING)
    before = stored(behind_broker, THEIRS)
    ada = signed_in(behind_broker, new_browser())
    token = token_on(ada.open(overview(behind_broker)))
    for tenant in (FABRIKAM_ID, CONTOSO_ID):
        answer = ada.send(
            "POST",
            f"{overview(behind_broker)}?{urlencode({verb: THEIRS, 'tenant': tenant})}",
            data={"csrf_token": token},
        )
        assert answer.status_code == 403
    assert stored(behind_broker, THEIRS) == before
    assert ada.open(f"{overview(behind_broker)}?{urlencode({'about': THEIRS})}").status == 403


def test_c21_an_administrator_lets_in_for_their_own_tenant_alone(
    behind_broker: BehindBroker, new_browser: NewBrowser
) -> None:
    """C21: a tenant that the form names is not read."""
    ada = signed_in(behind_broker, new_browser())
    token = token_on(ada.open(overview(behind_broker)))
    ada.send(
        "POST",
        f"{overview(behind_broker)}?add=1&tenant={FABRIKAM_ID}",
        data={"csrf_token": token, "public_url": APP, "tenant": FABRIKAM_ID, "tenant_id": FABRIKAM_ID},
    )
    made = stored(behind_broker, APP)
    assert made is not None
    assert made.tenant_id == CONTOSO_ID


@pytest.mark.parametrize("token", ["", "0" * 64, None])
def test_a_form_without_the_session_s_token_changes_nothing(
    token: str | None, behind_broker: BehindBroker, new_browser: NewBrowser
) -> None:
    """Not even one that says it comes from this origin."""
    saved(behind_broker)
    ada = signed_in(behind_broker, new_browser())
    for query in (f"remove={APP}&tenant={CONTOSO_ID}", f"rotate={APP}&tenant={CONTOSO_ID}", "add=1"):
        answer = ada.send(
            "POST",
            f"{overview(behind_broker)}?{query}",
            data={} if token is None else {"csrf_token": token},
            headers={"sec-fetch-site": "same-origin"},
        )
        assert answer.status_code == 403
    assert stored(behind_broker, APP) == saved(behind_broker)


def test_people_without_the_role_and_strangers_change_nothing(
    behind_broker: BehindBroker, new_browser: NewBrowser
) -> None:
    """With a token of their own session, and without any session."""
    saved(behind_broker)
    vi, stranger = signed_in(behind_broker, new_browser(), "vi@contoso.test"), new_browser()
    account = vi.open(f"{behind_broker.url}/auth/logout")
    for browser, token in ((vi, token_on(account)), (stranger, "")):
        for query in (f"remove={APP}&tenant={CONTOSO_ID}", f"rotate={APP}&tenant={CONTOSO_ID}", "add=1"):
            answer = browser.send(
                "POST",
                f"{overview(behind_broker)}?{query}",
                data={"csrf_token": token, "public_url": "https://new.example.test"},
            )
            assert answer.status_code == 403
    assert stored(behind_broker, APP) == saved(behind_broker)
    assert stored(behind_broker, "https://new.example.test") is None


def test_an_old_sign_in_looks_but_changes_nothing(
    running_entra: RunningEmulator, tmp_path: Path, new_browser: NewBrowser
) -> None:
    """After a quarter of an hour the person signs in once more, at Entra, and comes back to the list."""
    running_entra.reset()
    clock = ShiftedClock()
    with broker_before(running_entra, tmp_path, clock=clock) as world:
        saved(world)
        ada = signed_in(world, new_browser())
        clock.pass_by(minutes=16)
        assert APP in ada.open(overview(world)).text
        ada.open(f"{overview(world)}?{urlencode({'about': APP})}")
        page = ada.press("Remove")
        assert page.status == 403
        assert "Sign in once more" in page.text
        assert stored(world, APP) is not None
        running_entra.clock(16 * 60)
        page = ada.sign_in(page.links["Sign in again"], "ada@contoso.test")
        assert page.url == overview(world)
        ada.open(f"{overview(world)}?{urlencode({'about': APP})}")
        ada.press("Remove")
        assert stored(world, APP) is None


@pytest.mark.parametrize(
    "url",
    ["", "app.example.test", "http://app.example.test", "https://a.test/?x", "javascript:alert(1)", "\0"],
)
def test_what_is_no_public_url_is_a_page(
    url: str, behind_broker: BehindBroker, new_browser: NewBrowser
) -> None:
    """With the reason, and how to write it."""
    ada = signed_in(behind_broker, new_browser())
    ada.open(overview(behind_broker))
    page = ada.press("Let in", public_url=url)
    assert page.status == 403
    assert "no public URL" in page.text


def test_what_stands_in_the_settings_file_is_changed_there(
    behind_broker: BehindBroker, new_browser: NewBrowser
) -> None:
    """It is shown, and has no buttons; a made-up form changes nothing."""
    listed = Installation(client_id=ClientId("listed"), tenant_id=TenantId(CONTOSO_ID))
    provider = behind_broker.broker.broker.provider
    object.__setattr__(provider, "listed", [listed])
    ada = signed_in(behind_broker, new_browser())
    page = ada.open(f"{overview(behind_broker)}?about=listed")
    assert "settings file" in page.text
    assert page.forms == []
    token = token_on(ada.open(overview(behind_broker)))
    answer = ada.send(
        "POST",
        f"{overview(behind_broker)}?rotate=listed&tenant={CONTOSO_ID}",
        data={"csrf_token": token},
    )
    assert answer.status_code == 403


def test_sign_outs_that_were_not_taken_are_shown(
    behind_broker: BehindBroker, new_browser: NewBrowser
) -> None:
    """How many, since when, and what that means."""
    url = "http://localhost:9"
    saved(behind_broker, url)
    provider = behind_broker.broker.broker.provider
    grant, _ = open_grant(provider, client_id=url)
    provider.store.end_grants(now=provider.now(), grant_id=grant.id)
    until(lambda: bool(provider.store.undelivered(limit=9)), seconds=20)
    page = signed_in(behind_broker, new_browser()).open(overview(behind_broker))
    assert "1 sign-outs it has not taken, since" in page.text
    assert "may still be signed in there" in page.text
