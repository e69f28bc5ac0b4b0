"""A run of re-checks: whoever it is about, the others are asked too, and nobody stays in for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from entra.tokens import CLIENT_ID, NOW, TENANT
from entrada.accounts.admission import AdmissionPolicy, Newcomer
from entrada.accounts.identity import EntraIdentity, Profile, RoleGrant, User, UserId
from entrada.accounts.roles import role_mapping
from entrada.entra.authority import ObjectId
from entrada.entra.id_token import RememberedSignIn
from entrada.entra.jws import RawRefreshToken
from entrada.errors import (
    DiscoveryRefused,
    EntraRefused,
    EntraUnavailable,
    Fixer,
    StoreUnavailable,
    TokenRefused,
)
from entrada.flows import refreshable_sign_in as sealing
from entrada.flows.recheck import Recheck
from entrada.flows.recheck_pace import BEHIND, Pace
from entrada.flows.refreshable_sign_in import unseal_sign_in
from entrada.sealing import Sealer
from flows.world import SetClock

SEALER = Sealer([b"a key of thirty-two bytes or so, for tests"], purpose="kept sign-in")
EVERY = timedelta(minutes=15)


def identity(number: int) -> EntraIdentity:
    return EntraIdentity(tenant_id=TENANT, object_id=ObjectId(f"a0000000-0000-4000-8000-{number:012d}"))


@dataclass(frozen=True, kw_only=True)
class Due:
    identity: EntraIdentity
    user_id: UserId
    sealed_sign_in: str | None
    last_sign_in_at: datetime | None
    next_check_at: datetime


@dataclass
class Store:
    """People who are all due, and what was done to them."""

    due: list[Due]
    renewed: list[int] = field(default_factory=list)
    ended: dict[int, str] = field(default_factory=dict)
    next_checks: list[datetime] = field(default_factory=list)
    claimed: list[Due] = field(default_factory=list)
    down: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def claim_due(self, *, now: datetime, next_check_at: datetime) -> Due | None:
        with self.lock:
            if self.down:
                raise StoreUnavailable
            found = next((due for due in self.due if due.next_check_at <= now), None)
            if found is not None:
                self.due.remove(found)
                self.due.append(replace(found, next_check_at=next_check_at))
                self.next_checks.append(next_check_at)
            return found

    def find_by_identity(self, identity: EntraIdentity) -> User | None:
        return User(
            id=UserId(identity.object_id),
            profile=Profile(name="x", email=None, username=None),
            created_at=NOW,
        )

    def renew(
        self,
        link: Due,
        *,
        newcomer: Newcomer,
        entra_grants: Sequence[RoleGrant] | None,
        sealed_sign_in: str,
        next_check_at: datetime,
    ) -> None:
        with self.lock:
            self.renewed.append(int(link.user_id))
            kept = unseal_sign_in(sealed_sign_in, link.identity, SEALER)
            assert kept is not None
            self.due = [due for due in self.due if due.user_id != link.user_id]
            self.due.append(replace(link, sealed_sign_in=sealed_sign_in, next_check_at=next_check_at))

    def end_access(self, link: Due, *, because: str, now: datetime) -> bool:
        with self.lock:
            self.due = [due for due in self.due if due.user_id != link.user_id]
            self.ended[int(link.user_id)] = because
        return True


@dataclass
class Entra:
    """Stands where `Identification` does: what Entra says about each person."""

    says: Callable[[int], Any]
    clock: SetClock = field(default_factory=SetClock)
    asked: list[int] = field(default_factory=list)

    def refresh(self, remembered: RememberedSignIn, refresh_token: RawRefreshToken) -> Any:
        number = int(refresh_token)
        self.asked.append(number)
        verdict = self.says(number)
        if isinstance(verdict, BaseException):
            raise verdict
        who = EntraIdentity(tenant_id=remembered.tenant_id, object_id=remembered.object_id)
        profile = Profile(name="x", email=None, username=None)
        newcomer = Newcomer(identity=who, profile=profile, home_tenant=who.tenant_id, grants=[])
        token = type("Token", (), {"issued_at": self.clock.now()})()
        return type("Identified", (), {"newcomer": newcomer, "id_token": token, "refresh_token": None})()


def due(number: int, *, confirmed_at: datetime = NOW, **changes: Any) -> Due:
    who = identity(number)
    remembered = RememberedSignIn(
        issuer="https://login.microsoftonline.com/x/v2.0",
        tenant_id=who.tenant_id,
        object_id=who.object_id,
        subject="s",
        audience=CLIENT_ID,
        nonce="n",
        auth_time=None,
    )
    sealed = sealing._seal(remembered, RawRefreshToken(str(number)), confirmed_at, SEALER)
    values: dict[str, Any] = {"last_sign_in_at": NOW, "sealed_sign_in": sealed, **changes}
    return Due(identity=who, user_id=UserId(str(number)), next_check_at=NOW, **values)


def recheck(store: Store, entra: Entra, **changes: Any) -> Recheck[Due]:
    values: dict[str, Any] = {"pace": Pace(per_second=1e9), **changes}
    return Recheck(
        identification=entra,  # type: ignore[arg-type]  # all it is asked for is refresh and clock
        admission=AdmissionPolicy(roles=role_mapping({})),
        store=store,
        sealer=SEALER,
        every=EVERY,
        **values,
    )


def about(number: int) -> BaseException | None:
    """What Graph, the token endpoint and our own mistakes can say about one person."""
    return {
        0: EntraUnavailable(reason="Graph answered HTTP 403", answered=True),
        1: EntraUnavailable(reason="Graph answered HTTP 404", answered=True),
        2: TokenRefused("exp", "expired 900 s ago"),
        3: EntraUnavailable(reason="HTTP 500"),
        4: RuntimeError("a mistake"),
        5: EntraRefused("x", hint="x", fixer=Fixer.ADMINISTRATOR, error="invalid_client", aadsts="7000222"),
    }.get(number % 12)


def test_K17_an_answer_about_one_person_never_stops_the_run() -> None:
    """Half of the people are trouble of every kind: each other is asked about and renewed in the same run."""
    store = Store([due(number) for number in range(120)])
    entra = Entra(about)
    assert recheck(store, entra).run() == 120
    assert sorted(entra.asked) == list(range(120))
    assert sorted(store.renewed) == [number for number in range(120) if number % 12 > 5]
    assert store.ended == {}


def test_K17_where_nothing_answers_the_run_stops_and_nobody_loses_access() -> None:
    """A handful of people are asked about, not a thousand, each with a time-out."""
    store = Store([due(number) for number in range(1_000)])
    entra = Entra(lambda _: EntraUnavailable(reason="no response within 10 s"))
    assert recheck(store, entra).run() < 10
    assert store.ended == {}
    entra.says = lambda _: None
    assert recheck(store, entra).run() > 900


def test_K17_metadata_that_is_refused_stops_the_run() -> None:
    """It is the same for everybody."""
    store = Store([due(number) for number in range(100)])
    entra = Entra(lambda _: DiscoveryRefused("another issuer", hint="check"))
    assert recheck(store, entra).run() < 10
    assert store.ended == {}


def test_K17_a_pause_that_entra_asks_for_is_kept() -> None:
    """After 429 with Retry-After nobody is asked about until that time has passed."""
    now = 1_000.0
    pace = Pace(per_second=1e9, monotonic=lambda: now)
    store = Store([due(number) for number in range(100)])
    entra = Entra(lambda _: EntraUnavailable(reason="HTTP 429", retry_after_seconds=30))
    looking = recheck(store, entra, pace=pace)
    assert looking.run() < 10
    asked = len(entra.asked)
    entra.says = lambda _: None
    now += 29
    assert looking.run() == 0
    assert len(entra.asked) == asked
    now += 2
    assert looking.run() == 100 - asked


def test_K17_a_few_at_a_time() -> None:
    """Four people are asked about side by side, never five."""
    inside, most, lock, four = 0, 0, threading.Lock(), threading.Barrier(4)

    def count(number: int) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        if number < 4:
            four.wait(10)
        with lock:
            inside -= 1

    store = Store([due(number) for number in range(50)])
    assert recheck(store, Entra(count)).run() == 50
    assert most == 4


def test_K17_the_rate_is_the_stated_one() -> None:
    """Forty looks at twenty a second take two seconds, however fast each is."""
    now, slept = 0.0, []

    def sleep(seconds: float) -> None:
        slept.append(seconds)

    pace = Pace(per_second=20, monotonic=lambda: now, sleep=sleep)
    for _ in range(40):
        pace.wait()
    assert max(slept) == pytest.approx(39 / 20)
    assert len(slept) == 39


def test_more_people_than_the_interval_has_room_for_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    """A run that takes longer than the interval says so, once an interval, and asks about all of them."""
    now = 0.0

    def look(_: int) -> None:
        nonlocal now
        now += EVERY.total_seconds() / 20

    looking = recheck(
        Store([due(number) for number in range(50)]),
        Entra(look),
        pace=Pace(per_second=1e9, monotonic=lambda: now),
        at_a_time=1,
    )
    with caplog.at_level("WARNING", logger="entrada"):
        assert looking.run() == 50
    told = [record.getMessage() for record in caplog.records]
    assert told == [BEHIND % 22, BEHIND % 21]
    caplog.clear()
    assert recheck(Store([due(1)]), Entra(look), pace=Pace(monotonic=lambda: now)).run() == 1
    assert not caplog.records


def test_K17_people_who_signed_in_together_spread_out() -> None:
    """The next look is between nine tenths of the interval and the whole of it."""
    store = Store([due(number) for number in range(200)])
    recheck(store, Entra(lambda _: None)).run()
    spread = [(due.next_check_at - NOW) / EVERY for due in store.due]
    assert min(spread) >= 0.9
    assert max(spread) <= 1.0
    assert max(spread) - min(spread) > 0.05


def test_a_database_that_does_not_answer_is_said() -> None:
    """To whoever runs it."""
    with pytest.raises(StoreUnavailable):
        recheck(Store([], down=True), Entra(lambda _: None)).run()


@pytest.mark.parametrize("check", ["refresh", "iss", "tid", "aud", "azp", "oid", "sub"])
def test_K18_a_genuine_token_of_another_sign_in_ends_access(
    check: str, caplog: pytest.LogCaptureFixture
) -> None:
    """B31: another issuer, tenant, application or person in the refreshed token; the log names the check."""
    store = Store([due(1)])
    with caplog.at_level("INFO", logger="entrada.events"):
        recheck(store, Entra(lambda _: TokenRefused(check, "another"))).run()
    assert store.ended == {1: "id_token_refused"}
    assert f"check={check}" in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        TokenRefused("exp", "expired 900 s ago"),
        TokenRefused("kid", "no such key"),
        TokenRefused("signature", "not made by Entra's key"),
        EntraUnavailable(reason="Graph answered HTTP 403", answered=True),
        EntraRefused("x", hint="x", fixer=Fixer.ADMINISTRATOR, error="invalid_client", aadsts="7000222"),
    ],
    ids=repr,
)
def test_K18_a_refusal_about_us_keeps_access_for_a_day_and_no_longer(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """Without one good look for longer than the bound, access ends, and the reason says both."""
    store, entra = Store([due(1)]), Entra(lambda _: error)
    looking = recheck(store, entra)
    entra.clock.advance(hours=23)
    with caplog.at_level("INFO", logger="entrada.events"):
        assert looking.run() == 1
        assert store.ended == {}
        entra.clock.advance(hours=2)
        assert looking.run() == 1
    assert store.ended[1].startswith("not confirmed for too long: ")
    if isinstance(error, TokenRefused):
        assert caplog.text.count(f"check={error.check}") == 2


def test_K18_a_good_look_starts_the_bound_again() -> None:
    """What counts is the newest token that passed."""
    verdict: BaseException | None = None
    store, entra = Store([due(1)]), Entra(lambda _: verdict)
    looking = recheck(store, entra)
    entra.clock.advance(hours=23)
    looking.run()
    verdict = TokenRefused("exp", "expired 900 s ago")
    entra.clock.advance(hours=23)
    looking.run()
    assert store.ended == {}
    entra.clock.advance(hours=2)
    looking.run()
    assert list(store.ended) == [1]


def test_K18_the_bound_is_the_callers() -> None:
    """Sessions give their absolute limit."""
    store, entra = Store([due(1)]), Entra(lambda _: TokenRefused("exp", "expired 900 s ago"))
    entra.clock.advance(hours=9)
    recheck(store, entra, longest_unconfirmed=timedelta(hours=8)).run()
    assert list(store.ended) == [1]


def test_K18_silence_ends_nothing_however_long() -> None:
    """Nothing answers for a week: nobody could sign in anew either, and nobody is out."""
    store = Store([due(1)])
    entra = Entra(lambda _: EntraUnavailable(reason="no connection within 5 s"))
    entra.clock.advance(days=7)
    recheck(store, entra).run()
    assert store.ended == {}


def test_a_sign_in_kept_by_an_older_version_counts_from_the_sign_in() -> None:
    """It says nothing of when it was confirmed."""
    old = due(1)
    plain = SEALER.unseal(old.sealed_sign_in or "", context=sealing._context(old.identity))
    assert plain is not None
    head, _, _ = plain.decode().partition(',"confirmed_at"')
    sealed = SEALER.seal((head + "}").encode(), context=sealing._context(old.identity))
    store = Store([replace(old, sealed_sign_in=sealed)])
    entra = Entra(lambda _: TokenRefused("exp", "expired 900 s ago"))
    looking = recheck(store, entra)
    entra.clock.advance(hours=1)
    looking.run()
    assert store.ended == {}
    entra.clock.advance(hours=24)
    looking.run()
    assert list(store.ended) == [1]
