"""A leaver is out at every installation although none of them refreshes: the broker asks Entra itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from broker.conftest import broker_before
from broker.world import APP, OTHER, World
from clients.plain_browser import PlainBrowser
from entrada.broker.installations import ClientId
from entrada.broker.recheck import GrantRecheck
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CLIENT_ID
from entrada.errors import (
    AdmissionRefused,
    ConfigurationError,
    EntraRefused,
    EntraUnavailable,
    Fixer,
    TenantRefused,
)
from entrada.flows.recheck_pace import Pace
from walks.nursery import until

EVERY = timedelta(minutes=15)
GONE = EntraRefused(
    "The account is disabled.",
    hint="Ask for it.",
    fixer=Fixer.ADMINISTRATOR,
    error="invalid_grant",
    aadsts="50057",
)
OUR_OWN_FAULT = EntraRefused(
    "The client secret has expired.",
    hint="Make a new one.",
    fixer=Fixer.ADMINISTRATOR,
    error="invalid_client",
    aadsts="7000222",
)


def look(world: World) -> int:
    pace = Pace(per_second=1e6, monotonic=world.clock.monotonic)
    return GrantRecheck(world.provider, seen_within=timedelta(days=1), pace=pace).look()


def told(world: World) -> list[str]:
    now = world.clock.now()
    return sorted(one.client_id for one in world.store.due_deliveries(now=now, claim_until=now, limit=99))


def test_a_leaver_is_out_at_every_installation() -> None:
    """Nobody refreshes; when the person is due, all that they have ends, and everyone is told."""
    world = World()
    world.code(), world.code(installation=OTHER, entra_session_id="entra-2")
    world.entra = GONE
    assert look(world) == 0  # nobody is due yet
    world.clock.move(EVERY)
    assert look(world) == 1  # the first answer is enough
    assert told(world) == sorted([APP.client_id, OTHER.client_id])
    assert look(world) == 0


@pytest.mark.parametrize("error", [AdmissionRefused(), TenantRefused(), GONE], ids=lambda error: error.code)
def test_what_is_about_the_person_ends_their_access(error: Exception) -> None:
    """A refusal here, another tenant's answer, Entra's own no."""
    world = World()
    world.code()
    world.entra = error
    world.clock.move(EVERY)
    look(world)
    assert told(world) == [APP.client_id]


@pytest.mark.parametrize(
    "error",
    [
        OUR_OWN_FAULT,
        EntraUnavailable(reason="timeout"),
        EntraUnavailable(reason="HTTP 500", answered=True),
        EntraUnavailable(reason="HTTP 429", retry_after_seconds=60),
        ConfigurationError("The metadata is another's.", hint="Look."),
        ValueError("a mistake of ours"),
    ],
    ids=["own fault", "silence", "answered", "throttled", "metadata", "mistake"],
)
def test_k18_nobody_s_access_ends_for_anything_else(error: Exception) -> None:
    """K18: an expired client secret, an outage, a mistake of ours; and the next look is at its time."""
    world = World()
    world.code()
    world.entra = error
    world.clock.move(EVERY)
    assert look(world) == 1
    assert told(world) == []
    assert look(world) == 0
    world.entra = None
    world.clock.move(EVERY)
    assert look(world) == 1


def test_a_refresh_moves_the_next_look_on() -> None:
    """An installation that asks often enough has nobody asked twice."""
    world = World()
    refresh_token = world.redeem(world.code()).json["refresh_token"]
    for _ in range(3):
        world.clock.move(EVERY * 0.95)
        answer = world.refresh(refresh_token)
        assert answer.status == 200
        refresh_token = answer.json["refresh_token"]
        assert look(world) == 0
    world.clock.move(EVERY)
    assert look(world) == 1


def test_sessions_that_are_over_are_not_asked_about() -> None:
    """A day after the last sign of life; what stands then ends by itself, or when it refreshes."""
    world = World()
    world.code()
    for _ in range(200):
        world.clock.move(EVERY)
        look(world)
    world.entra = GONE
    world.clock.move(EVERY)
    assert look(world) == 0


def test_an_installation_that_is_shut_out_is_nobody_s_end() -> None:
    """It may be that another broker knows it already; nobody is asked, nobody is out."""
    world = World()
    world.code(installation=replace(APP, client_id=ClientId("https://new.example.test")))
    world.entra = GONE
    world.clock.move(EVERY)
    assert look(world) == 1
    assert told(world) == []


@pytest.mark.parametrize("by", ["re-check", "delta"])
def test_a_person_disabled_in_entra_is_out_without_any_refresh(
    by: str, running_entra: RunningEmulator, tmp_path: Path, new_browser: Callable[[], PlainBrowser]
) -> None:
    """The real walk: two installations that ask every fifteen minutes, a broker that asks every second.

    Or one that asks every fifteen minutes, too, and has Graph say who was disabled.
    """
    running_entra.reset()
    running_entra.change_app(CLIENT_ID, application_permissions=["User.Read.All"])
    asked = {"ENTRADA_RECHECK_EVERY": "1s"} if by == "re-check" else {"ENTRADA_DELTA_EVERY": "1s"}
    leaver = running_entra.add_person("lea@contoso.test", display_name="Lea Ver", roles=["Viewer"])
    with broker_before(running_entra, tmp_path, **asked) as world:
        one, two, browser, colleague = (
            world.installation(),
            world.installation(),
            new_browser(),
            new_browser(),
        )
        world.sign_in(browser, one, leaver.user_principal_name)
        browser.open(f"{two.url}/auth/entra/start")
        if browser.open(f"{two.url}/auth/me").status != 200:
            browser.open(f"{two.url}/auth/entra/start")
            browser.press("Next", name=leaver.user_principal_name)
        world.sign_in(colleague, one, "vi@contoso.test")
        assert browser.open(f"{two.url}/auth/me").status == 200
        if by == "delta":
            until(lambda: sum(at.path == "/v1.0/users/delta" for at in running_entra.requests) >= 2)
        running_entra.change_person("lea@contoso.test", enabled=False)
        for installation in (one, two):
            until(lambda at=installation.url: browser.open(f"{at}/auth/me").status == 401, seconds=30)
        assert colleague.open(f"{one.url}/auth/me").status == 200
