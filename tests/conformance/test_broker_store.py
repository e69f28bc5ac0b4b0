"""What every BrokerStore promises, in memory, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from broker.world import ADA, APP, CHALLENGE, OTHER, START, person
from conformance.samples import FABRIKAM
from conformance.stores import ALL, MAKERS, Server
from entrada.accounts.identity import EntraIdentity
from entrada.broker.grants import AuthorizationCode, Grant, new_grant_id, new_token
from entrada.broker.installations import ClientId, Proof, Standing
from entrada.broker.memory_store import MemoryBrokerStore
from entrada.broker.signing_keys import make_signing_key
from entrada.broker.sql_rows import grant_row
from entrada.broker.sql_store import SEALED_KEYS, SqlBrokerStore
from entrada.broker.store import BrokerStore
from entrada.entra.authority import ObjectId
from entrada.errors import ConfigurationError
from entrada.sealing import Sealer
from entrada.storage.sql import connect
from entrada.storage.sql.broker_tables import grants, spent

SEALER = Sealer([b"k" * 32], purpose=SEALED_KEYS)
GRACE = EntraIdentity(tenant_id=ADA.tenant_id, object_id=ObjectId("aaaaaaaa-0000-4000-8000-000000000002"))

Reopen = Callable[[], BrokerStore]


@pytest.fixture(params=ALL)
def reopen(request: pytest.FixtureRequest, tmp_path: Path, postgresql: Server) -> Iterator[Reopen]:
    """How this broker, and another one on the same data, open the store."""
    with MAKERS[request.param](tmp_path, postgresql) as made:
        if made.database_url is None:
            only = MemoryBrokerStore()
            yield lambda: only
            return
        opened = []

        def another() -> BrokerStore:
            opened.append(connect(made.database_url or ""))
            return SqlBrokerStore(opened[-1], sealer=SEALER)

        yield another
        for database in opened:
            database.close()


@pytest.fixture
def store(reopen: Reopen) -> BrokerStore:
    return reopen()


def a_grant(**changes: object) -> Grant:
    grant = Grant(
        id=new_grant_id(),
        client_id=APP.client_id,
        person=person(),
        scopes=frozenset({"openid", "offline_access"}),
        begun_at=START,
        expires_at=START + timedelta(days=30),
        entra_session_id="entra-1",
        logout_hint="hint",
        sealed_sign_in="sealed",
    )
    return replace(grant, **changes)  # type: ignore[arg-type]


def code_for(grant: Grant) -> AuthorizationCode:
    return AuthorizationCode(
        hash=new_token(grant.id).hash,
        grant_id=grant.id,
        client_id=grant.client_id,
        redirect_uri=APP.redirect_uris[0],
        code_challenge=CHALLENGE,
        nonce="n",
        expires_at=START + timedelta(minutes=1),
    )


def opened(store: BrokerStore, **changes: object) -> Grant:
    grant = a_grant(**changes)
    store.open_grant(grant, code_for(grant))
    return grant


def due(store: BrokerStore, *, minutes: int = 0) -> list[str]:
    now = START + timedelta(minutes=minutes)
    found = store.due_deliveries(now=now, claim_until=now + timedelta(seconds=30), limit=20)
    return sorted(one.client_id for one in found)


def test_an_installation_is_kept_whole(store: BrokerStore, reopen: Reopen) -> None:
    """Every field comes back as it was written, also to another broker."""
    kept = replace(
        APP,
        proof=Proof.SECRET,
        secret_hashes=(b"\x00" * 32, b"\xff" * 32),
        jwks=({"kty": "EC", "kid": "ü"},),
        claims=frozenset({"name"}),
        groups=frozenset({"g1"}),
        roles_claim="user_roles",
        roles_mapping={"Admin": ("Owner", "Editor")},
        insecure_without_pkce=True,
        standing=Standing.WAITING,
        asked_at=START,
        asked_from="192.0.2.1",
    )
    store.save_installation(kept)
    store.save_installation(OTHER)
    assert reopen().find_installation(APP.client_id) == kept
    assert reopen().installations() == [kept, OTHER]


def test_an_installation_that_is_there_is_not_added_again(store: BrokerStore) -> None:
    """Who asks under a known name changes nothing, whatever was read a moment before."""
    assert store.add_installation(APP)
    assert not store.add_installation(replace(APP, standing=Standing.WAITING))
    assert store.installations() == [APP]


def test_several_save_one_installation_at_once(reopen: Reopen) -> None:
    """Brokers that share a database: none of them fails, and one of the writings stands."""
    stores = [reopen() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for number in range(10):
            made = replace(APP, client_id=ClientId(f"{APP.client_id}/{number}"))
            list(pool.map(lambda one, made=made: one.save_installation(made), stores))
            added = list(pool.map(lambda one, made=made: one.add_installation(made), stores))
            assert not any(added)
            assert stores[0].find_installation(made.client_id) == made


def test_an_installation_is_replaced(store: BrokerStore) -> None:
    """Saving again changes it; there is one of each client id."""
    store.save_installation(APP)
    store.save_installation(replace(APP, groups=frozenset()))
    assert [one.groups for one in store.installations()] == [frozenset()]


def test_removing_an_installation_ends_its_grants(store: BrokerStore) -> None:
    """And only its own; a second removal finds nothing."""
    store.save_installation(APP)
    mine, others = opened(store), opened(store, client_id=OTHER.client_id)
    assert store.remove_installation(APP.client_id, now=START)
    assert store.find_grant(mine.id) is None
    assert store.find_grant(others.id) == others
    assert not store.remove_installation(APP.client_id, now=START)
    assert store.find_installation(APP.client_id) is None


def test_a_code_says_whether_there_was_a_challenge(store: BrokerStore, reopen: Reopen) -> None:
    """Without PKCE is None for every store, never an empty challenge."""
    grant = a_grant()
    for challenge in (CHALLENGE, None):
        code = replace(code_for(grant), code_challenge=challenge)
        store.open_grant(replace(grant, id=new_grant_id()), code)
        found = reopen().spend_code(code.hash, now=START)
        assert found is not None
        assert found[0].code_challenge == challenge


def test_two_brokers_make_one_first_key(store: BrokerStore, reopen: Reopen) -> None:
    """Whoever is slower uses the key of the faster."""
    keys = [make_signing_key(START) for _ in range(4)]
    brokers = [store, *(reopen() for _ in range(3))]
    with ThreadPoolExecutor(4) as pool:
        won = list(
            pool.map(
                lambda pair: pair[0].add_signing_key(pair[1]),
                zip(brokers, keys, strict=True),
            )
        )
    assert won.count(True) == 1
    assert [key.kid for key in store.signing_keys()] == [keys[won.index(True)].kid]


def test_a_rolled_key_stays_and_signs_no_more(store: BrokerStore, reopen: Reopen) -> None:
    """The old private key is there to be published; the new one signs, at every broker."""
    first = make_signing_key(START)
    second = make_signing_key(START + timedelta(hours=1))
    assert store.add_signing_key(first)
    assert store.add_signing_key(second, others_retire_at=second.made_at)
    found = {key.kid: key for key in reopen().signing_keys()}
    assert found[first.kid].retired_at == second.made_at
    assert found[second.kid].retired_at is None
    assert found[second.kid].to_der() == second.to_der()


def test_a_withdrawn_key_is_gone(store: BrokerStore, reopen: Reopen) -> None:
    """At every broker, at once."""
    first = make_signing_key(START)
    second = make_signing_key(START + timedelta(hours=1))
    other = reopen()
    store.add_signing_key(first)
    assert [key.kid for key in other.signing_keys()] == [first.kid]
    store.replace_signing_keys(second)
    assert [key.kid for key in other.signing_keys()] == [second.kid]


def test_a_key_opens_only_with_its_own_seal(store: BrokerStore, tmp_path: Path) -> None:
    """A read of the database signs nothing: without the secret keys the private key stays shut."""
    if isinstance(store, MemoryBrokerStore):
        return
    store.add_signing_key(make_signing_key(START))
    store._sealer = Sealer([b"x" * 32], purpose=SEALED_KEYS)  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match="sealed"):
        store.signing_keys()


def test_a_code_is_spent_once(store: BrokerStore, reopen: Reopen) -> None:
    """By the first of many at once, at any broker; later ones are told."""
    grant = a_grant()
    code = code_for(grant)
    store.open_grant(grant, code)
    brokers = [store, *(reopen() for _ in range(5))]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda broker: broker.spend_code(code.hash, now=START), brokers))
    assert [first for one in found if one for first in [one[1]]].count(True) == 1
    assert all(one and one[0].grant_id == grant.id for one in found)
    assert store.spend_code(b"\x00" * 32, now=START) is None


def test_a_grant_is_kept_whole(store: BrokerStore, reopen: Reopen) -> None:
    """The person included, with every claim."""
    grant = opened(
        store,
        person=person(amr=("pwd", "mfa"), acrs=("c1",), email=None, home_tenant="t"),
        logout_address="https://app.example.test/hear",
        next_check_at=START + timedelta(minutes=15),
    )
    assert reopen().find_grant(grant.id) == grant


def test_a_grant_is_looked_at_by_one_broker(store: BrokerStore, reopen: Reopen) -> None:
    """When it is due, the first due first; then it is due again in its time."""
    late = opened(store, next_check_at=START + timedelta(minutes=2))
    early = opened(store, next_check_at=START + timedelta(minutes=1))
    opened(store, next_check_at=None)
    assert checked(store, minutes=0) is None
    assert checked(store, minutes=3) == early.id
    assert checked(reopen(), minutes=3) == late.id
    assert checked(store, minutes=3) is None
    assert {checked(store, minutes=20), checked(store, minutes=20)} == {early.id, late.id}


def test_a_grant_whose_sessions_are_over_is_looked_at_no_more(store: BrokerStore) -> None:
    """Nobody opened or refreshed it for a day; refreshed, it is looked at again."""
    grant = opened(store, next_check_at=START + timedelta(days=2))
    assert checked(store, minutes=2 * 24 * 60) is None
    fresh = new_token(grant.id)
    now = START + timedelta(days=2)
    store.rotate_refresh_token(
        grant.id, expected=None, new=fresh.hash, now=now, expires_at=now + timedelta(days=30)
    )
    assert checked(store, minutes=2 * 24 * 60) is None
    found = store.find_grant(grant.id)
    assert found is not None
    store.renew_grant(replace(found, next_check_at=now + timedelta(minutes=15)))
    assert checked(store, minutes=2 * 24 * 60 + 15) == grant.id


def checked(store: BrokerStore, *, minutes: int) -> str | None:
    now = START + timedelta(minutes=minutes)
    found = store.claim_grant_to_check(
        now=now, seen_since=now - timedelta(days=1), next_check_at=now + timedelta(minutes=15)
    )
    return None if found is None else found.id


def test_a_refresh_token_rotates_once(store: BrokerStore) -> None:
    """Only from the one that is newest; the limit moves with it."""
    grant = opened(store)
    later = START + timedelta(days=31)
    rotate = store.rotate_refresh_token
    assert rotate(grant.id, expected=None, new=b"1" * 32, now=START, expires_at=later)
    assert not rotate(grant.id, expected=None, new=b"2" * 32, now=START, expires_at=later)
    assert rotate(grant.id, expected=b"1" * 32, new=b"2" * 32, now=START, expires_at=later)
    found = store.find_grant(grant.id)
    assert found is not None
    assert (found.refresh_hash, found.previous_refresh_hash) == (b"2" * 32, b"1" * 32)
    assert found.expires_at == later


def test_an_ended_grant_is_not_renewed(store: BrokerStore) -> None:
    """What Entra said meanwhile brings nobody back."""
    grant = opened(store)
    changed = replace(grant, person=person(roles=("Viewer",)), sealed_sign_in="newer")
    assert store.renew_grant(changed)
    assert store.find_grant(grant.id) == changed
    store.end_grants(now=START, grant_id=grant.id)
    assert not store.renew_grant(changed)
    assert store.find_grant(grant.id) is None


def test_who_of_many_people_has_grants(store: BrokerStore) -> None:
    """When the newest of theirs began; nobody of another tenant, and nobody who has none."""
    opened(store, begun_at=START)
    opened(store, begun_at=START + timedelta(minutes=1))
    opened(store, person=person(identity=GRACE), begun_at=START)
    others = [ObjectId(f"bbbbbbbb-0000-4000-8000-{number:012}") for number in range(1_200)]
    found = store.newest_grants(ADA.tenant_id, [*others, ADA.object_id])
    assert found == {ADA.object_id: START + timedelta(minutes=1)}
    assert store.newest_grants(FABRIKAM, [ADA.object_id]) == {}
    assert store.newest_grants(ADA.tenant_id, []) == {}


def test_grants_end_by_session_by_person_and_alone(store: BrokerStore) -> None:
    """Exactly those that are named; each installation but the one that asked is to be told."""
    one = opened(store)
    two = opened(store, client_id=OTHER.client_id)
    grace = opened(store, person=person(identity=GRACE), entra_session_id="entra-2")
    ended = store.end_grants(now=START, entra_session_id="entra-1", tell_all_but=APP.client_id)
    assert {grant.id for grant in ended} == {one.id, two.id}
    assert due(store) == [OTHER.client_id]
    assert store.grants_of_person(GRACE) == [grace]
    assert [grant.id for grant in store.end_grants(now=START, identity=GRACE)] == [grace.id]
    assert store.end_grants(now=START, identity=GRACE) == []


def test_what_is_ended_is_named_one_way(store: BrokerStore) -> None:
    """Naming nothing must never mean everything."""
    opened(store, entra_session_id=None)
    with pytest.raises(ValueError):
        store.end_grants(now=START)
    with pytest.raises(ValueError):
        store.end_grants(now=START, grant_id=new_grant_id(), identity=ADA)
    assert store.end_grants(now=START, entra_session_id="") == []


def test_a_delivery_is_claimed_by_one(store: BrokerStore, reopen: Reopen) -> None:
    """Two brokers do not tell one installation twice at once; a broker that died gives it back."""
    grant = opened(store)
    store.end_grants(now=START, grant_id=grant.id)
    assert due(store) == [APP.client_id]
    assert due(reopen()) == []
    assert due(reopen(), minutes=1) == [APP.client_id]


def test_a_delivery_knows_where_the_installation_was(store: BrokerStore) -> None:
    """Removing it ends what it had, and it can be told although nothing else is known of it any more."""
    store.save_installation(APP)
    opened(store, logout_address="https://app.example.test/hear")
    store.remove_installation(APP.client_id, now=START)
    (delivery,) = store.due_deliveries(now=START, claim_until=START, limit=20)
    assert (delivery.client_id, delivery.address) == (APP.client_id, "https://app.example.test/hear")


def test_what_was_told_in_vain_is_shown(store: BrokerStore, reopen: Reopen) -> None:
    """Once a try has failed, the oldest first; not what is on its way, and not what was taken."""
    for minute in (2, 1):
        store.end_grants(now=START + timedelta(minutes=minute), grant_id=opened(store).id)
    assert store.undelivered(limit=10) == []
    found = store.due_deliveries(now=START + timedelta(minutes=3), claim_until=START, limit=20)
    for one in found:
        store.postpone_delivery(one.id, due_at=START + timedelta(minutes=9))
    shown = reopen().undelivered(limit=10)
    assert [(one.ended_at, one.tries) for one in shown] == [
        (START + timedelta(minutes=1), 1),
        (START + timedelta(minutes=2), 1),
    ]
    assert len(store.undelivered(limit=1)) == 1
    for one in shown:
        store.delivered(one.id)
    assert store.undelivered(limit=10) == []


def test_a_delivery_waits_and_goes(store: BrokerStore) -> None:
    """Postponed it counts its tries; delivered it is gone."""
    grant = opened(store)
    store.end_grants(now=START, grant_id=grant.id)
    (delivery,) = store.due_deliveries(now=START, claim_until=START, limit=20)
    assert (delivery.grant_id, delivery.tries) == (grant.id, 0)
    store.postpone_delivery(delivery.id, due_at=START + timedelta(minutes=5))
    assert due(store, minutes=4) == []
    (delivery,) = store.due_deliveries(
        now=START + timedelta(minutes=5), claim_until=START + timedelta(minutes=5), limit=20
    )
    assert delivery.tries == 1
    store.delivered(delivery.id)
    assert due(store, minutes=60) == []


def test_an_identifier_counts_once(store: BrokerStore, reopen: Reopen) -> None:
    """At every broker."""
    assert store.spend("a 1", expires_at=START + timedelta(minutes=1))
    assert not reopen().spend("a 1", expires_at=START + timedelta(minutes=1))
    assert store.spend("a 2", expires_at=START + timedelta(minutes=1))


def test_pruning_forgets_what_is_over(store: BrokerStore) -> None:
    """A spent code stays as long as its grant lives, so that its second use is noticed."""
    old, living = a_grant(expires_at=START), a_grant()
    old_code, living_code = code_for(old), code_for(living)
    store.open_grant(old, old_code)
    store.open_grant(living, living_code)
    assert store.spend_code(living_code.hash, now=START) is not None
    store.spend("a 1", expires_at=START)
    assert store.prune(now=START + timedelta(hours=1)) == 3
    assert store.find_grant(old.id) is None
    assert store.spend_code(old_code.hash, now=START) is None
    assert store.spend_code(living_code.hash, now=START) is not None
    assert store.spend("a 1", expires_at=START + timedelta(days=1))


def test_a_grant_that_nobody_fetched_is_forgotten(store: BrokerStore) -> None:
    """A sign-in that broke off before the installation redeemed its code leaves nothing behind."""
    grant = opened(store)
    assert store.prune(now=START) == 0
    assert store.find_grant(grant.id) is not None
    assert store.prune(now=START + timedelta(hours=1)) == 2
    assert store.find_grant(grant.id) is None


def test_many_that_are_over_are_forgotten_a_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others who write wait for a few rows, never for all that are over; what is left goes in later calls."""
    monkeypatch.setattr("entrada.broker.sql_store.PRUNED_AT_MOST", 4)
    database = connect(f"sqlite:///{tmp_path / 'entrada.db'}")
    database.migrate()
    store = SqlBrokerStore(database, sealer=SEALER)
    with database.writing() as connection:
        over = [{"id": f"a {number}", "expires_at": START} for number in range(1_200)]
        connection.execute(insert(spent), over)
        rows = [grant_row(a_grant(expires_at=START)) for _ in range(600)]
        connection.execute(insert(grants), rows)
    living = opened(store)
    assert [store.prune(now=START) for _ in range(4)] == [1_000, 600, 200, 0]
    assert store.find_grant(living.id) is not None
    database.close()


def test_a_made_up_code_or_session_waits_for_nobody(tmp_path: Path) -> None:
    """A stranger's guess is read and no more: it takes no lock, and so keeps nobody from writing."""
    url = f"sqlite:///{tmp_path / 'entrada.db'}"
    here, elsewhere = connect(url), connect(url)
    here.migrate()
    store = SqlBrokerStore(here, sealer=SEALER)
    with elsewhere.writing():
        assert store.spend_code(b"made up", now=START) is None
        assert not store.end_grants(now=START, entra_session_id="made up")
    for database in (here, elsewhere):
        database.close()
