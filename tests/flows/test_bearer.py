"""The walk of a call with an access token (G4 to G10, G13)."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra.test_access_token import APPLICATION, CLIENT, EXPECTED, SERVICE_PRINCIPAL, access_token
from entra.tokens import KID, NOW, OBJECT_ID, TENANT, jwk, key_set
from entrada.accounts.identity import EntraIdentity, GrantSource, Profile, RoleGrant, UserId
from entrada.accounts.principal import AppPrincipal, UserPrincipal
from entrada.entra.authority import ObjectId
from entrada.entra.callers import CallerKind
from entrada.entra.jws import RawAccessToken
from entrada.entra.key_ring import KeyRing
from entrada.entra.keys import KeySet
from entrada.entra.transport import HttpResponse
from entrada.errors import (
    AccountDisabled,
    AdmissionRefused,
    BearerRequestRefused,
    BearerTokenRefused,
    InsufficientClaims,
    InsufficientScope,
    StoreUnavailable,
)
from entrada.flows.bearer import ACCOUNT_CHECK_SECONDS, BearerCheck, read_bearer
from entrada.flows.session_check import REVOCATION_CHECK_SECONDS, SessionCheck
from entrada.sessions.revocation import LogPosition, Revocation, RevocationKind, Revocations
from entrada.sessions.session import SessionPolicy
from entrada.storage.memory_accounts import MemoryAccountStore
from entrada.storage.memory_sessions import MemorySessionStore
from entrada.web.bearer_challenges import bearer_challenge

ADA = EntraIdentity(tenant_id=TENANT, object_id=ObjectId(OBJECT_ID))
USER = UserId("a" * 32)


class World:
    """A check over real tokens and the memory store, with a clock to move."""

    def __init__(self) -> None:
        self.moment, self.seconds = NOW, 0.0
        self.keys: KeySet = key_set()
        self.fetches = 0
        self.accounts = MemoryAccountStore(clock=self)
        self.accounts.create(
            user_id=USER,
            identity=ADA,
            profile=Profile(name="Ada", email="ada@contoso.test", username="ada@contoso.test"),
            entra_grants=[
                RoleGrant(role="Admin", source=GrantSource.ENTRA, granted_by="Admin", granted_at=NOW)
            ],
            now=NOW,
        )
        self.bearer = BearerCheck(
            expected=lambda: EXPECTED, keys_for=self._keys_for, accounts=self.accounts, clock=self
        )

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.seconds

    def pass_by(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)
        self.seconds += seconds

    def _keys_for(self, kid: str | None) -> KeySet:
        self.fetches += 1
        return self.keys


@pytest.fixture
def world() -> World:
    return World()


PEOPLE, APPLICATIONS = {CallerKind.PERSON}, {CallerKind.APPLICATION, CallerKind.AGENT}
FILES: dict[str, Any] = {"callers": PEOPLE, "scopes": ["Files.Read", "Files.Read.All"]}
AGENT_USER = {"xms_act_fct": "11", "xms_sub_fct": "13"}
DAEMONS: dict[str, Any] = {"callers": APPLICATIONS, "scopes": [], "roles": ["Files.Read.All"]}


def test_a_person_calls_through_an_application(world: World) -> None:
    """The account's own id, names and roles; the client beside."""
    principal = world.bearer.check(access_token()).meet(**FILES)
    assert isinstance(principal, UserPrincipal)
    assert (principal.user_id, principal.caller, principal.client_id) == (USER, CallerKind.PERSON, CLIENT)
    assert principal.roles == {"Admin"}


def test_an_application_calls_for_itself(world: World) -> None:
    """No account; its service principal and the app roles of its token."""
    principal = world.bearer.check(access_token(**APPLICATION)).meet(**DAEMONS)
    assert isinstance(principal, AppPrincipal)
    assert (principal.identity.object_id, principal.client_id) == (SERVICE_PRINCIPAL, CLIENT)
    assert (principal.user_id, principal.email, principal.caller) == (None, None, CallerKind.APPLICATION)
    assert principal.has_any_role("Files.Read.All")
    assert not principal.has_any_role()


@pytest.mark.parametrize(
    ("needs", "changes"),
    [
        (FILES, APPLICATION),
        (DAEMONS, {}),
        (FILES, {"scp": "Files.Read.Extra files.read Files"}),
        (FILES, {"xms_act_fct": "11"}),
        (FILES, {"xms_sub_fct": "13"}),
        (DAEMONS, {**APPLICATION, "roles": ["Files.Read"]}),
        ({**FILES, "roles": ["Owner"]}, {}),
        ({**FILES, "roles": ["Owner"]}, {"roles": ["Owner"]}),
    ],
    ids=[
        "G4 application at people's",
        "G4 person at applications'",
        "G6 exact words",
        "agent for a person",
        "agent's account",
        "G4 another app role",
        "role the account lacks",
        "role in the token alone",
    ],
)
def test_a_genuine_token_for_something_else_is_403(
    world: World, needs: dict[str, Any], changes: dict[str, Any]
) -> None:
    """Kind of caller, scope and role each to the letter; a person's roles are those of their account."""
    with pytest.raises(InsufficientScope) as refused:
        world.bearer.check(access_token(**changes)).meet(**needs)
    assert 'error="insufficient_scope"' in bearer_challenge(refused.value)


def test_agents_are_let_in_only_by_name(world: World) -> None:
    """Each of the three kinds where it is listed."""
    for kind, changes in (
        (CallerKind.AGENT_FOR_PERSON, {"xms_act_fct": "11"}),
        (CallerKind.AGENT_USER, AGENT_USER),
        (CallerKind.AGENT, {**APPLICATION, "xms_act_fct": "11", "xms_sub_fct": "11"}),
    ):
        needs = {**FILES, "callers": {kind}, "roles": ["Admin", "Files.Read.All"]}
        assert world.bearer.check(access_token(**changes)).meet(**needs).caller is kind


@pytest.mark.parametrize(
    ("asked", "changes"),
    [
        ({"callers": PEOPLE, "scopes": []}, {}),
        ({"callers": (), "scopes": ["Files.Read"]}, {}),
        ({"callers": APPLICATIONS, "scopes": ["Files.Read"]}, APPLICATION),
        ({"callers": {CallerKind.AGENT_USER}, "scopes": [], "roles": ["Admin"]}, AGENT_USER),
    ],
)
def test_asking_a_caller_for_nothing_lets_nobody_in(
    world: World, asked: dict[str, Any], changes: dict[str, Any]
) -> None:
    """An empty list of checks is a failure."""
    with pytest.raises(InsufficientScope):
        world.bearer.check(access_token(**changes)).meet(**asked)


def test_a_person_without_an_account_signs_in_first(world: World) -> None:
    """A stranger of the tenant with a genuine token has no account, and none is made."""
    with pytest.raises(AdmissionRefused, match="no account"):
        world.bearer.check(access_token(oid=SERVICE_PRINCIPAL))
    assert len(world.accounts.list_users()) == 1


def test_a_token_is_verified_once_and_remembered_until_it_expires(world: World) -> None:
    """Within its life its signature is not computed again; past it, it is refused."""
    raw = access_token()
    first = world.bearer.check(raw).token
    world.pass_by(3000)
    assert world.bearer.check(raw).token is first
    world.pass_by(590 + 120)
    assert world.bearer.check(raw).token is first
    world.pass_by(1)
    with pytest.raises(BearerTokenRefused) as refused:
        world.bearer.check(raw)
    assert refused.value.check == "exp"


def test_a_remembered_token_ends_with_the_account(world: World) -> None:
    """Disabled, or a role lost: seen within the stated time, and enabled again it is let in again."""
    raw = access_token()
    world.bearer.check(raw)
    world.accounts.set_disabled(USER, disabled=True, now=NOW)
    world.pass_by(ACCOUNT_CHECK_SECONDS)
    for _ in range(2):
        with pytest.raises(AccountDisabled):
            world.bearer.check(raw)
    world.accounts.set_disabled(USER, disabled=False, now=NOW)
    world.accounts.grant_role(USER, role="Owner", granted_by="x", now=NOW)
    assert world.bearer.check(raw).principal.roles == {"Admin", "Owner"}
    world.accounts.revoke_role(USER, role="Owner")
    world.pass_by(ACCOUNT_CHECK_SECONDS)
    assert world.bearer.check(raw).principal.roles == {"Admin"}


def test_a_remembered_token_ends_by_the_log_and_costs_no_reading(world: World) -> None:
    """The account is read once, however long the token is used; what the log names is read anew."""
    sessions = MemorySessionStore()
    world.accounts._sessions = sessions
    reads: list[EntraIdentity] = []
    find = world.accounts.find_by_identity

    def counted(identity: EntraIdentity) -> Any:
        reads.append(identity)
        return find(identity)

    world.accounts.find_by_identity = counted  # type: ignore[method-assign]
    log = SessionCheck(accounts=world.accounts, sessions=sessions, policy=SessionPolicy(), clock=world)
    world.bearer = replace(world.bearer, sessions=log)
    raw = access_token()
    for _ in range(20):
        assert world.bearer.check(raw).principal.roles == {"Admin"}
        world.pass_by(0.4)
    assert len(reads) == 1
    world.accounts.grant_role(USER, role="Owner", granted_by="x", now=NOW)
    world.pass_by(REVOCATION_CHECK_SECONDS)
    assert world.bearer.check(raw).principal.roles == {"Admin", "Owner"}
    assert len(reads) == 2
    world.accounts.set_disabled(USER, disabled=True, now=NOW)
    world.pass_by(REVOCATION_CHECK_SECONDS)
    with pytest.raises(AccountDisabled):
        world.bearer.check(raw)
    world.accounts.set_disabled(USER, disabled=False, now=NOW)
    assert world.bearer.check(raw)
    world.accounts.delete(USER)
    world.pass_by(REVOCATION_CHECK_SECONDS)
    with pytest.raises(AdmissionRefused):
        world.bearer.check(raw)
    assert not world.bearer._remembered
    assert not world.bearer._of_user


@pytest.mark.parametrize(
    ("kind", "is_remembered"), [(RevocationKind.SESSION, True), (RevocationKind.USER, False)]
)
def test_a_session_that_ends_meanwhile_keeps_no_token_from_being_remembered(
    kind: RevocationKind, is_remembered: bool, world: World
) -> None:
    """Somebody's access that ends does: was the account read before or after?"""
    sessions = MemorySessionStore()
    log = SessionCheck(accounts=world.accounts, sessions=sessions, policy=SessionPolicy(), clock=world)
    world.bearer = replace(world.bearer, sessions=log)
    entry = Revocation(sequence=1, nonce=1, kind=kind, subject="somebody")
    find = world.accounts.find_by_identity

    def find_while_news_arrive(identity: EntraIdentity) -> Any:
        log._apply(Revocations(position=entry.position, entries=(entry,)))
        return find(identity)

    world.accounts.find_by_identity = find_while_news_arrive  # type: ignore[method-assign]
    world.bearer.check(access_token())
    assert bool(world.bearer._remembered) is is_remembered


def test_a_remembered_token_is_known_without_waiting_while_everything_is_fresh(world: World) -> None:
    """Not before it was checked, nor once log, keys, token or person are no longer certain."""
    sessions = MemorySessionStore()
    world.accounts._sessions = sessions
    log = SessionCheck(accounts=world.accounts, sessions=sessions, policy=SessionPolicy(), clock=world)
    fresh: list[KeySet | None] = [world.keys]
    world.bearer = replace(world.bearer, sessions=log, fresh_keys=lambda: fresh[0])
    raw = access_token()
    assert world.bearer.in_memory(raw) is None
    checked = world.bearer.check(raw)
    assert world.bearer.in_memory(raw) == checked
    fetches = world.fetches

    for keys in (None, key_set(jwk("another"))):
        fresh[0] = keys
        assert world.bearer.in_memory(raw) is None
    fresh[0] = world.keys
    world.pass_by(REVOCATION_CHECK_SECONDS)
    assert world.bearer.in_memory(raw) is None, "the log has not been looked at since"
    assert world.bearer.check(raw) == checked
    assert world.bearer.in_memory(raw) == checked
    assert world.fetches == fetches + 1, "in_memory asks nobody"

    world.accounts.set_disabled(USER, disabled=True, now=NOW)
    world.pass_by(REVOCATION_CHECK_SECONDS)
    log.look()
    assert world.bearer.in_memory(raw) is None
    world.accounts.set_disabled(USER, disabled=False, now=NOW)
    world.bearer.check(raw)
    world.pass_by(3700)
    log.look()
    assert world.bearer.in_memory(raw) is None, "it has expired"


def test_without_a_reader_of_the_log_no_persons_token_is_known_without_waiting(world: World) -> None:
    """An application's is: there is no account that could have ended."""
    world.bearer = replace(world.bearer, fresh_keys=lambda: world.keys)
    world.bearer.check(access_token())
    assert world.bearer.in_memory(access_token()) is None
    application = world.bearer.check(access_token(**APPLICATION))
    assert world.bearer.in_memory(access_token(**APPLICATION)) == application


def test_d24_what_ended_before_the_first_look_at_the_log_is_seen(world: World) -> None:
    """In a process that nobody but this caller has come to yet: the log is read before the account is."""
    sessions = MemorySessionStore()
    world.accounts._sessions = sessions
    log = SessionCheck(accounts=world.accounts, sessions=sessions, policy=SessionPolicy(), clock=world)
    world.bearer = replace(world.bearer, sessions=log)
    world.bearer.check(access_token())
    world.accounts.set_disabled(USER, disabled=True, now=NOW)
    world.pass_by(REVOCATION_CHECK_SECONDS)
    with pytest.raises(AccountDisabled):
        world.bearer.check(access_token())


def test_where_the_log_cannot_be_read_no_remembered_token_is_believed(world: World) -> None:
    """As sessions: it cannot be known whether its person's access ended. An application has no account."""

    class Gone(MemorySessionStore):
        def revocations(self, since: LogPosition | None) -> Revocations:
            raise StoreUnavailable

    log = SessionCheck(accounts=world.accounts, sessions=Gone(), policy=SessionPolicy(), clock=world)
    world.bearer = replace(world.bearer, sessions=log)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            world.bearer.check(access_token())
    for _ in range(2):
        assert world.bearer.check(access_token(**APPLICATION)).principal.user_id is None


def test_g13_a_hundred_thousand_made_up_keys_fetch_the_keys_once(world: World) -> None:
    """Through the walk and the real key ring: one fetch in five minutes, and good tokens pass meanwhile."""
    fetches = []

    class Published:
        def send(self, *_: Any, **__: Any) -> HttpResponse:
            fetches.append(world.moment)
            document = json.dumps({"keys": [jwk()]}).encode()
            return HttpResponse(status=200, headers={}, body=document)

    ring = KeyRing(Published(), "https://login/keys", clock=world.now, in_background=lambda work: work())
    world.bearer = replace(world.bearer, keys_for=ring.keys_for)
    head, payload, signature = access_token().split(".")
    assert world.bearer.check(access_token())
    del fetches[:]
    for number in range(100_000):
        header = json.dumps({"alg": "RS256", "typ": "JWT", "kid": f"made-up-{number}"}).encode()
        forged = base64.urlsafe_b64encode(header).rstrip(b"=").decode()
        with pytest.raises(BearerTokenRefused):
            world.bearer.check(RawAccessToken(f"{forged}.{payload}.{signature}"))
        if number % 1_000 == 0:
            world.pass_by(2.9)  # 290 seconds in all
            assert world.bearer.check(access_token())
    assert head
    assert len(fetches) <= 1


def test_a_remembered_token_ends_with_its_key(world: World) -> None:
    """A key that Entra takes back takes its tokens along; the same key fetched anew does not."""
    raw = access_token()
    first = world.bearer.check(raw).token
    world.keys = key_set(jwk())
    assert world.bearer.check(raw).token is first
    world.keys = key_set(jwk("another"))
    with pytest.raises(BearerTokenRefused) as refused:
        world.bearer.check(raw)
    assert refused.value.check == "kid"
    world.keys = key_set(jwk("another", kid=KID))
    with pytest.raises(BearerTokenRefused) as refused:
        world.bearer.check(raw)
    assert refused.value.check == "signature"


def test_what_is_remembered_is_bounded(world: World) -> None:
    """The one remembered longest goes first, and is simply verified again."""
    world.bearer.most_remembered = 2
    tokens = [access_token(uti=f"u{number}") for number in range(3)]
    found = [world.bearer.check(raw).token for raw in tokens]
    assert world.bearer.check(tokens[2]).token is found[2]
    assert world.bearer.check(tokens[0]).token is not found[0]
    assert len(world.bearer._remembered) == 2


def test_a_spoiled_copy_of_a_remembered_token_is_refused(world: World) -> None:
    """The whole token is its key: one character more or other is another token."""
    raw = access_token()
    world.bearer.check(raw)
    for spoiled in (raw[:-1] + ("A" if raw[-1] != "A" else "Q"), raw + "A", raw.replace(".", ".A", 1)):
        with pytest.raises(BearerTokenRefused):
            world.bearer.check(RawAccessToken(spoiled))


MALFORMED = [
    ["Bearer"],
    ["Bearer "],
    ["Bearer a b"],
    ["Bearer\ta"],
    ["Bearer  a"],
    ["Bearer a,Bearer b"],
    ["Bearer a, Bearer b"],
    ["Bearer a", "Bearer a"],
    ["Bearer a", "Basic b"],
    ["Bearer é"],
    ['Bearer "a"'],
    [" Bearer a"],
    ["Bearer a "],
    ["Bearer,a"],
    ["Bearer=a"],
]


@pytest.mark.parametrize("fields", MALFORMED)
def test_g10_a_token_in_any_other_form_is_400(fields: list[str]) -> None:
    """One clear answer, and no guess which of two tokens was meant."""
    with pytest.raises(BearerRequestRefused) as refused:
        read_bearer(fields)
    assert 'error="invalid_request"' in bearer_challenge(refused.value)


@pytest.mark.parametrize("fields", [[], [""], ["Basic YTpi"], ["Bearers a"], ["Negotiate x"]])
def test_g10_another_scheme_is_no_token(fields: list[str]) -> None:
    """Nor an error: somebody else's credentials."""
    assert read_bearer(fields) is None


def test_g10_the_scheme_has_no_case() -> None:
    """bearer, BEARER and Bearer are one scheme."""
    assert read_bearer(["bearer a.b.c"]) == read_bearer(["BEARER a.b.c"]) == "a.b.c"


@pytest.mark.parametrize("query", ["access_token=x", "a=b&access_token=x", "ACCESS_TOKEN=x", "access_token"])
def test_g9_a_token_in_the_query_is_refused(query: str) -> None:
    """Beside a header too: logs would keep it."""
    with pytest.raises(BearerRequestRefused):
        read_bearer(["Bearer a"], query=query)
    assert read_bearer(["Bearer a"], query="x_access_token=1&q=access_token") == "a"


@given(st.lists(st.text(max_size=20), max_size=3))
def test_g10_any_fields_are_a_token_none_or_a_refusal(fields: list[str]) -> None:
    """Nothing else comes of any text."""
    try:
        found = read_bearer(fields)
    except BearerRequestRefused:
        return
    assert found is None or found.isascii()


def test_g8_a_challenge_for_claims_goes_to_those_who_can_answer_it(world: World) -> None:
    """With the claims in base64 for cp1; the others are told which context is wanted (RFC 9470)."""
    needs = {**FILES, "auth_context": "c1"}
    assert world.bearer.check(access_token(acrs=["c1"])).meet(**needs)
    with pytest.raises(InsufficientClaims) as refused:
        world.bearer.check(access_token(xms_cc=["CP1"])).meet(**needs)
    value = bearer_challenge(refused.value)
    assert 'error="insufficient_claims"' in value
    claims = json.loads(base64.b64decode(value.partition('claims="')[2].partition('"')[0]))
    assert claims == {"access_token": {"acrs": {"essential": True, "value": "c1"}}}
    with pytest.raises(InsufficientClaims) as refused:
        world.bearer.check(access_token()).meet(**needs)
    value = bearer_challenge(refused.value)
    assert "claims=" not in value
    assert 'error="insufficient_user_authentication", acr_values="c1"' in value


def test_g8_a_call_without_a_token_is_told_the_scheme_alone() -> None:
    """No error code where no token was sent; no quotes from a sentence get into the field."""
    assert bearer_challenge(None) == 'Bearer realm="entrada"'
    scoped = bearer_challenge(InsufficientScope('a "b" \\ é', scopes=frozenset({"Files.Read", "A"})))
    assert scoped.endswith('error="insufficient_scope", scope="A Files.Read", error_description="a b  "')


def test_a_role_that_ends_is_over_in_remembered_tokens(world: World) -> None:
    """At its end, with nobody to say so; the token stays remembered."""
    until = world.moment + timedelta(seconds=2)
    world.accounts.grant_role(USER, role="Editor", granted_by="root", now=NOW, until=until)
    token = access_token()
    assert world.bearer.check(token).principal.roles == {"Admin", "Editor"}
    fetches = world.fetches
    world.pass_by(1.9)
    assert world.bearer.check(token).principal.roles == {"Admin", "Editor"}
    world.pass_by(0.1)
    assert world.bearer.check(token).principal.roles == {"Admin"}
    assert world.fetches >= fetches


def test_a_role_that_ends_is_over_in_tokens_known_without_waiting(world: World) -> None:
    """At its end, between two looks at the log: then the account is asked, which knows who has what now."""
    sessions = MemorySessionStore()
    world.accounts._sessions = sessions
    log = SessionCheck(accounts=world.accounts, sessions=sessions, policy=SessionPolicy(), clock=world)
    world.bearer = replace(world.bearer, sessions=log, fresh_keys=lambda: world.keys)
    until = world.moment + timedelta(seconds=2)
    world.accounts.grant_role(USER, role="Editor", granted_by="root", now=NOW, until=until)
    raw = access_token()
    world.bearer.check(raw)
    for seconds, roles in ((1.9, {"Admin", "Editor"}), (0.1, None)):
        world.pass_by(seconds)
        log.look()
        known = world.bearer.in_memory(raw)
        assert (None if known is None else known.principal.roles) == roles
    assert world.bearer.check(raw).principal.roles == {"Admin"}
    known = world.bearer.in_memory(raw)
    assert known is not None
    assert known.principal.roles == {"Admin"}
