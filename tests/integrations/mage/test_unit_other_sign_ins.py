"""Who may still come into Mage without Entra."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from entrada.emulator import RunningEmulator
from entrada.integrations.mage.changes import has_other_provider
from entrada.integrations.mage.other_sign_ins import (
    ENDED,
    FROM_THE_BUTTON,
    SWITCHED_OFF,
    UNKNOWN_PROVIDER,
    OtherSignIns,
)
from integrations.mage.unit_world import opened_world, tables


class Names(str, Enum):
    """Mage's names of providers, as its own image with Python 3.10 has them: `str` gives `Names.GOOGLE`."""

    ACTIVE_DIRECTORY = "active_directory"
    AZURE_DEVOPS = "azure_devops"
    GOOGLE = "google"


PROVIDERS = list(Names)


def others(*, entra_only: bool = False, over: bool = False) -> OtherSignIns:
    return OtherSignIns(
        entra_only=entra_only,
        break_glass=frozenset({"owner@contoso.test", "rescue"}),
        access_is_over=lambda _: over,
    )


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"email": "a@b.c", "password": "x"}, None),
        ({"username": "a", "password": "x"}, None),
        ({"token": "x", "provider": "active_directory"}, FROM_THE_BUTTON),
        ({"token": "x", "provider": "azure_devops"}, FROM_THE_BUTTON),
        ({"provider": "active_directory"}, FROM_THE_BUTTON),
        ({"token": "x", "provider": "google"}, None),
        ({"token": "x", "provider": "nonsense", "email": "a@b.c"}, UNKNOWN_PROVIDER),
        ({"token": "x", "provider": ["google"], "email": "a@b.c"}, UNKNOWN_PROVIDER),
        ({"token": "x", "email": "a@b.c"}, UNKNOWN_PROVIDER),
    ],
)
def test_what_opens_nothing_is_refused_before_it_is_looked_at(
    payload: dict[str, object], reason: str | None
) -> None:
    """Fault 1: no token that somebody brings is a sign-in; a password and other providers are Mage's own."""
    assert others().refuse_before(payload, providers=PROVIDERS, mode="LOCAL") == reason


def test_entra_only_refuses_other_providers_and_directories_at_once() -> None:
    closed = others(entra_only=True)
    google = {"token": "x", "provider": "google"}
    password = {"email": "a@b.c", "password": "x"}
    assert closed.refuse_before(google, providers=PROVIDERS, mode="LOCAL") == SWITCHED_OFF
    assert closed.refuse_before(password, providers=PROVIDERS, mode="LDAP") == SWITCHED_OFF
    assert closed.refuse_before(password, providers=PROVIDERS, mode="LOCAL") is None


@pytest.mark.parametrize(
    ("email", "username", "is_owner", "entra_only", "over", "reason"),
    [
        ("a@b.c", "a", False, False, False, None),
        ("a@b.c", "a", True, True, False, SWITCHED_OFF),
        ("Owner@Contoso.test", "x", True, True, False, None),
        (None, "Rescue", True, True, True, None),
        ("owner@contoso.test", "x", False, True, False, SWITCHED_OFF),
        ("a@b.c", "a", True, False, True, ENDED),
        (None, None, True, True, False, SWITCHED_OFF),
    ],
)
def test_a_right_password_opens_only_what_it_may(
    email: str | None, username: str | None, is_owner: bool, entra_only: bool, over: bool, reason: str | None
) -> None:
    """With Entra only, the owners named for an emergency; else everybody whose access Entra has not ended."""
    found = others(entra_only=entra_only, over=over).refuse_after(
        user_number=1, email=email, username=username, is_owner=is_owner
    )
    assert found == reason


def test_switching_to_entra_only_ends_the_sessions_of_before(entra: RunningEmulator, tmp_path: Path) -> None:
    """What a password opened for thirty days ends, unless it is the emergency's; Entra's sessions stay."""
    entra.reset()
    world = opened_world(entra, tmp_path, ENTRADA_BREAK_GLASS_USERS="rescue")
    world.sign_in("ada@contoso.test")
    (entras,) = world.tokens()
    somebody, rescue = world.add_user(email="a@b.c"), world.add_user(username="Rescue")
    with world.store.engine.begin() as connection:
        for token, user in (("old", somebody), ("emergency", rescue), ("nobodys", None)):
            connection.execute(
                tables.access_tokens.insert().values(
                    token=token, user_id=user, oauth2_application_id=1, expires=datetime(2099, 1, 1)
                )
            )
    assert world.store.end_foreign_sessions() == 2
    assert set(world.tokens()) == {entras, "emergency"}
    world.close()


def not_configured() -> None:
    raise ValueError("GOOGLE_CLIENT_ID is empty")


@pytest.mark.parametrize(("google", "expected"), [(not_configured, False), (object, True)])
def test_our_own_provider_is_not_another(google: Any, expected: bool) -> None:
    """Whether somebody else's response may arrive at our redirect URI: only one that is configured counts."""
    mage: Any = SimpleNamespace(
        NAME_TO_PROVIDER={
            Names.ACTIVE_DIRECTORY: object,
            Names.AZURE_DEVOPS: not_configured,
            Names.GOOGLE: google,
        }
    )
    assert has_other_provider(mage, ours="active_directory") is expected
