"""Looking again at people who signed in: real refreshes against the emulator, over a product's own users."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from entrada.accounts.identity import EntraIdentity
from entrada.build import build_parts
from entrada.emulator import RunningEmulator, start
from entrada.entra.authority import ObjectId
from entrada.errors import AccountDisabled, ConfigurationError, TokenRefused
from entrada.flows.identification import ends_access
from entrada.flows.refreshable_sign_in import unseal_sign_in
from entrada.integrations.kit import links
from entrada.integrations.recheck import recheck_of
from entrada.sealing import Sealer
from entrada.settings import load_settings
from integrations.shop import ADDRESS, Shop, opened_shop

OpenShop = Callable[..., Shop]


@pytest.fixture(scope="module")
def started_emulator() -> Iterator[RunningEmulator]:
    with start() as running:
        yield running


@pytest.fixture
def emulator(started_emulator: RunningEmulator) -> RunningEmulator:
    started_emulator.reset()
    return started_emulator


@pytest.fixture
def open_shop(emulator: RunningEmulator, tmp_path: Path) -> Iterator[OpenShop]:
    opened: list[Shop] = []

    def open_one(**settings: str) -> Shop:
        opened.append(opened_shop(emulator, tmp_path, **settings))
        return opened[-1]

    yield open_one
    for shop in opened:
        shop.parts.close()
        shop.store.engine.dispose()


@pytest.fixture
def shop(open_shop: OpenShop) -> Shop:
    return open_shop()


def test_nobody_is_looked_at_before_the_interval_is_over(shop: Shop) -> None:
    """A fresh sign-in is not asked about again."""
    shop.sign_in("ada@contoso.test")
    assert recheck_of(shop.parts, shop.store).run() == 0


def test_somebody_still_there_stays_and_is_due_again_later(shop: Shop) -> None:
    """A person Entra still answers for keeps everything; the newer refresh token is kept."""
    ada = shop.sign_in("ada@contoso.test")
    kept_before = shop.store.link_of(ada.newcomer.identity).sealed_sign_in
    assert shop.recheck_when_due() == 1
    link = shop.store.link_of(ada.newcomer.identity)
    assert link.ended_at is None
    assert link.sealed_sign_in != kept_before
    assert shop.user_of(ada).roles == {"manager"}
    assert shop.recheck_when_due() == 1


def test_roles_follow_entra_without_a_sign_in(shop: Shop, emulator: RunningEmulator) -> None:
    """A role gained in Entra is given and a lost one taken; one given by hand stays."""
    ada = shop.sign_in("ada@contoso.test")
    shop.store.give_by_hand(shop.user_of(ada).id, "auditor")
    emulator.change_person("ada@contoso.test", roles=["Editor"])
    shop.recheck_when_due()
    assert shop.store.roles(shop.user_of(ada).id) == {"clerk", "auditor"}


def test_roles_of_the_first_sign_in_stay_where_the_setting_says_so(
    open_shop: OpenShop, emulator: RunningEmulator
) -> None:
    """ENTRADA_ROLES_SYNC=first_sign_in: a re-check changes no roles either."""
    shop = open_shop(ENTRADA_ROLES_SYNC="first_sign_in")
    ada = shop.sign_in("ada@contoso.test")
    emulator.change_person("ada@contoso.test", roles=["Editor"])
    shop.recheck_when_due()
    assert shop.user_of(ada).roles == {"manager"}


@pytest.mark.parametrize(
    ("gone", "because"),
    [
        (lambda entra: entra.change_person("ada@contoso.test", enabled=False), "AADSTS50057"),
        (lambda entra: entra.revoke_sessions("ada@contoso.test"), "AADSTS50173"),
        (lambda entra: entra.remove_person("ada@contoso.test"), "AADSTS"),
    ],
    ids=["disabled", "sessions revoked", "deleted"],
)
def test_access_ends_when_entra_no_longer_answers_for_the_person(
    shop: Shop, emulator: RunningEmulator, gone: Callable[[RunningEmulator], object], because: str
) -> None:
    """Disabled, revoked or deleted in Entra: access ends within the interval, and the reason is kept."""
    ada = shop.sign_in("ada@contoso.test")
    gone(emulator)
    assert shop.recheck_when_due() == 1
    assert len(shop.store.ended) == 1
    assert shop.store.ended[0].startswith(because)
    link = shop.store.link_of(ada.newcomer.identity)
    assert link.ended_at is not None
    assert link.sealed_sign_in is None
    assert shop.recheck_when_due() == 0


def test_access_ends_when_a_needed_role_is_gone(open_shop: OpenShop, emulator: RunningEmulator) -> None:
    """With ENTRADA_ROLES_REQUIRED a person without a mapped role is out, not only at the next sign-in."""
    shop = open_shop(ENTRADA_ROLES_REQUIRED="true")
    shop.sign_in("ada@contoso.test")
    emulator.change_person("ada@contoso.test", roles=[])
    shop.recheck_when_due()
    assert shop.store.ended == ["role_required"]


def test_a_new_sign_in_opens_access_again(shop: Shop, emulator: RunningEmulator) -> None:
    """Somebody who was only signed out everywhere comes back to the same user."""
    ada = shop.sign_in("ada@contoso.test")
    before = shop.user_of(ada).id
    emulator.revoke_sessions("ada@contoso.test")
    shop.recheck_when_due()
    again = shop.sign_in("ada@contoso.test")
    assert shop.user_of(again).id == before
    assert shop.store.link_of(again.newcomer.identity).ended_at is None
    assert shop.recheck_when_due() == 1
    assert len(shop.store.ended) == 1


@pytest.mark.parametrize("fault", ["server_error", "drop"])
def test_while_entra_is_down_nobody_loses_access(shop: Shop, emulator: RunningEmulator, fault: str) -> None:
    """No answer is no verdict: the person stays, and is looked at again after the next interval."""
    ada = shop.sign_in("ada@contoso.test")
    emulator.fail(fault, endpoint="token", times=None)
    assert shop.recheck_when_due() == 1
    assert shop.store.ended == []
    emulator.reset()
    ada_again = shop.store.link_of(ada.newcomer.identity)
    assert ada_again.ended_at is None
    assert shop.recheck_when_due() == 1


def test_a_client_secret_that_expired_ends_nobodys_access(
    shop: Shop, emulator: RunningEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    """That is the application's trouble; the log names the code, so that somebody mends it."""
    shop.sign_in("ada@contoso.test")
    emulator.fail("aadsts", endpoint="token", code=7000222, times=None)
    with caplog.at_level("WARNING", logger="entrada.events"):
        shop.recheck_when_due()
    assert shop.store.ended == []
    assert re.search(r"recheck_failed reason=AADSTS7000222", caplog.text)


def test_K18_an_expired_client_secret_nobody_mends_ends_access_after_a_day(
    shop: Shop, emulator: RunningEmulator
) -> None:
    """Until then nobody loses access over it; then nobody has been confirmed for too long."""
    shop.sign_in("ada@contoso.test")
    emulator.fail("aadsts", endpoint="token", code=7000222, times=None)
    shop.clock.ahead += timedelta(hours=23)
    shop.recheck_when_due()
    assert shop.store.ended == []
    shop.clock.ahead += timedelta(hours=1)
    shop.recheck_when_due()
    assert shop.store.ended == ["not confirmed for too long: AADSTS7000222"]


OTHER = "ffffffff-ffff-4fff-8fff-ffffffffffff"


@pytest.mark.parametrize(
    "other",
    [
        {"iss": "https://issuer.test/v2.0"},
        {"aud": OTHER},
        {"tid": OTHER},
        {"oid": OTHER},
        {"sub": "somebody-else"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_K18_a_refreshed_token_about_something_else_ends_access(
    shop: Shop, emulator: RunningEmulator, other: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """B31, with a token that the emulator signed: access ends at this very look, and the log says why."""
    shop.sign_in("ada@contoso.test")
    emulator.fail("tamper", set=other)
    with caplog.at_level("INFO", logger="entrada.events"):
        shop.recheck_when_due()
    assert len(shop.store.ended) == 1
    assert "access_ended" in caplog.text
    assert "check=" in caplog.text


def test_somebody_blocked_in_the_product_stays_blocked(shop: Shop) -> None:
    """The product's own administrator has the last word: a re-check does not open what they closed."""
    ada = shop.sign_in("ada@contoso.test")
    shop.store.block(shop.user_of(ada).id)
    shop.recheck_when_due()
    assert not shop.user_of(ada).is_enabled
    with pytest.raises(AccountDisabled):
        shop.sign_in("ada@contoso.test")


def test_what_is_kept_opens_for_one_identity_only(shop: Shop) -> None:
    """A sealed sign-in copied to another person's row opens nothing."""
    ada = shop.sign_in("ada@contoso.test")
    identity = ada.newcomer.identity
    sealed = shop.store.link_of(identity).sealed_sign_in or ""
    other = EntraIdentity(
        tenant_id=identity.tenant_id, object_id=ObjectId("a0000000-0000-4000-8000-0000000000ff")
    )
    kept = unseal_sign_in(sealed, identity, shop.parts.sign_in_sealer)
    assert kept is not None
    assert kept.remembered == ada.id_token.remembered
    assert unseal_sign_in(sealed, other, shop.parts.sign_in_sealer) is None


def test_a_lost_key_ends_access_rather_than_trusting_for_ever(shop: Shop) -> None:
    """Nobody can ask Entra any more, so the person must sign in anew."""
    shop.sign_in("ada@contoso.test")
    shop.parts = replace(
        shop.parts, sign_in_sealer=Sealer([b"another key, long enough to be one"], purpose="x")
    )
    shop.recheck_when_due()
    assert shop.store.ended == ["what was stored of the sign-in cannot be opened"]


def test_neither_database_nor_key_shows_a_refresh_token(shop: Shop, emulator: RunningEmulator) -> None:
    """The refresh token stands nowhere in the product's database as it is."""
    ada = shop.sign_in("ada@contoso.test")
    assert ada.refresh_token
    assert ada.refresh_token not in repr(ada)
    database = Path(str(shop.store.engine.url.database))
    shop.store.engine.dispose()
    assert ada.refresh_token.encode() not in database.read_bytes()


def test_a_verdict_older_than_the_newest_sign_in_takes_nothing(shop: Shop, emulator: RunningEmulator) -> None:
    """Somebody whose sessions were revoked signs in while their old sign-in is being looked at: they stay."""
    ada = shop.sign_in("ada@contoso.test")
    now = shop.clock.now() + shop.parts.recheck_every
    claimed = shop.store.claim_due(now=now, next_check_at=now + shop.parts.recheck_every)
    assert claimed is not None
    shop.sign_in("ada@contoso.test")
    assert shop.store.end_access(claimed, because="AADSTS50173", now=now) is False
    assert shop.store.link_of(ada.newcomer.identity).ended_at is None


def test_a_link_is_claimed_by_one_server_only(shop: Shop) -> None:
    """Two servers on one database do not look at the same person twice."""
    shop.sign_in("ada@contoso.test")
    now = shop.clock.now() + shop.parts.recheck_every
    later = now + shop.parts.recheck_every
    assert shop.store.claim_due(now=now, next_check_at=later) is not None
    assert shop.store.claim_due(now=now, next_check_at=later) is None


def test_a_refresh_that_answers_for_somebody_else_ends_access() -> None:
    """B31: another person, application or sign-in in the answer is the end of this one."""
    assert ends_access(TokenRefused("refresh", "another object_id than at sign-in"))
    assert not ends_access(TokenRefused("exp", "expired 900 s ago"))


def test_an_answer_counts_once(shop: Shop) -> None:
    """Spent sign-ins are remembered in the product's own database."""
    expires_at = shop.clock.now() + shop.parts.recheck_every
    assert shop.store.spend_sign_in("one", expires_at=expires_at)
    assert not shop.store.spend_sign_in("one", expires_at=expires_at)


def test_an_identity_is_linked_to_one_user(shop: Shop) -> None:
    """Linking it to a second user is refused; both links stay as they are."""
    ada = shop.sign_in("ada@contoso.test")
    with shop.store.engine.begin() as connection, pytest.raises(links.IdentityAlreadyLinked):
        links.put_link(
            connection,
            ada.newcomer.identity,
            user_id=links.UserId("another"),
            linked_by="test",
            now=shop.clock.now(),
        )
    assert shop.store.link_of(ada.newcomer.identity).user_id == shop.user_of(ada).id


def test_several_servers_must_be_given_one_key(emulator: RunningEmulator, shop: Shop) -> None:
    """Without a key file and without ENTRADA_SECRET_KEYS nothing starts."""
    values, found = load_settings(emulator.env("entrada"))
    with pytest.raises(ConfigurationError) as refused:
        build_parts(
            values,
            found,
            application_name="Shop",
            urls=[ADDRESS],
            callback_paths=["/auth/entra/callback"],
            spent=shop.store,
            key_file=None,
        )
    assert refused.value.setting == "ENTRADA_SECRET_KEYS"
