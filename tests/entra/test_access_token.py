"""Access tokens: each claim spoiled in turn, and who acts (G1 to G8, G11)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrada.entra.access_token import (
    V1,
    V2,
    AccessToken,
    AccessTokenExpectations,
    v1_issuer_template,
    verify_access_token,
)
from entrada.entra.callers import CallerKind, caller_kind
from entrada.entra.jws import RawAccessToken
from entrada.errors import BearerTokenRefused

from .tokens import (
    ABSENT,
    CLIENT_ID,
    ISSUER,
    KID,
    NOW,
    OBJECT_ID,
    OTHER_TENANT,
    TEMPLATE,
    TENANT,
    claims,
    header,
    jwk,
    key_set,
    sign,
    token,
    without_absent,
)

API = "api://contoso/tool"
CLIENT = "22223333-bbbb-3333-cccc-4444dddd5555"
SERVICE_PRINCIPAL = "33334444-cccc-4444-dddd-5555eeee6666"
EXPECTED = AccessTokenExpectations(
    issuer_template=TEMPLATE,
    audiences=frozenset({API, CLIENT_ID}),
    versions=frozenset({V1, V2}),
    allowed_tenants=frozenset({TENANT}),
)
OTHER_ISSUER = TEMPLATE.replace("{tenantid}", OTHER_TENANT)
ISSUED = int(NOW.timestamp()) - 10
PERSON: dict[str, Any] = {
    "aud": CLIENT_ID,
    "azp": CLIENT,
    "azpacr": "1",
    "exp": ISSUED + 3600,
    "iat": ISSUED,
    "nbf": ISSUED,
    "iss": ISSUER,
    "name": "Ada Lovelace",
    "oid": OBJECT_ID,
    "preferred_username": "ada@contoso.test",
    "scp": "Files.Read Files.Write",
    "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ",
    "tid": TENANT,
    "uti": "uMn9vJkCEEaqYlbJ2QlyAA",
    "ver": "2.0",
}
APPLICATION = {
    "oid": SERVICE_PRINCIPAL,
    "sub": SERVICE_PRINCIPAL,
    "roles": ["Files.Read.All"],
    "scp": ABSENT,
    "name": ABSENT,
    "preferred_username": ABSENT,
}
OF_V1 = {
    "ver": "1.0",
    "iss": f"https://sts.windows.net/{TENANT}/",
    "aud": API,
    "azp": ABSENT,
    "azpacr": ABSENT,
    "appid": CLIENT,
    "appidacr": "1",
    "preferred_username": ABSENT,
    "upn": "ada@contoso.test",
}


def access_token(head: Mapping[str, Any] | None = None, **changes: Any) -> RawAccessToken:
    made = without_absent({**PERSON, **changes})
    return RawAccessToken(sign(json.dumps(header(**(head or {}))).encode(), json.dumps(made).encode()))


def verify(raw: str, **expected: Any) -> AccessToken:
    return verify_access_token(
        RawAccessToken(raw), keys=key_set(), expected=replace(EXPECTED, **expected), now=NOW
    )


def test_a_person_through_an_application() -> None:
    """Version 2: the person, their names, the client and the scopes."""
    found = verify(access_token())
    assert (found.caller, found.tenant_id, found.object_id) == (CallerKind.PERSON, TENANT, OBJECT_ID)
    assert (found.client_id, found.scopes) == (CLIENT, {"Files.Read", "Files.Write"})
    assert (found.name, found.username) == ("Ada Lovelace", "ada@contoso.test")


def test_g2_version_1_has_its_own_issuer_audience_and_client() -> None:
    """sts.windows.net, api://, appid and upn, where version 1 is taken."""
    found = verify(access_token(**OF_V1))
    assert (found.version, found.audience, found.client_id, found.username) == (
        V1,
        API,
        CLIENT,
        "ada@contoso.test",
    )


@pytest.mark.parametrize(
    ("login", "issuer"),
    [
        ("https://login.microsoftonline.com", "https://sts.windows.net/{tenantid}/"),
        ("https://login.microsoftonline.us", "https://sts.windows.net/{tenantid}/"),
        ("https://login.partner.microsoftonline.cn", "https://sts.chinacloudapi.cn/{tenantid}/"),
        ("https://localhost:8443", "https://localhost:8443/{tenantid}/"),
    ],
)
def test_the_issuer_of_version_1_follows_from_that_of_version_2(login: str, issuer: str) -> None:
    """Microsoft's clouds have hosts of their own for it."""
    assert v1_issuer_template(f"{login}/{{tenantid}}/v2.0") == issuer


@pytest.mark.parametrize("ours", [{"aud": CLIENT_ID}, {"aud": API}])
def test_g3_both_names_of_this_api_are_taken(ours: dict[str, str]) -> None:
    """GUID and App ID URI, to the letter."""
    assert verify(access_token(**ours)).audience == ours["aud"]


REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "G1 Graph's audience": ("aud", {"aud": "00000003-0000-0000-c000-000000000000"}),
    "G1 another API": ("aud", {"aud": "api://contoso/other"}),
    "G1 nonce of an ID token": ("token_use", {"nonce": "n"}),
    "G1 logout token": ("token_use", {"events": {}}),
    "G1 no client": ("azp", {"azp": ABSENT}),
    "G2 v1's issuer in v2": ("iss", {"iss": OF_V1["iss"]}),
    "G2 v2's issuer in v1": ("iss", {**OF_V1, "iss": ISSUER}),
    "G2 v1's client in v2": ("azp", {"azp": ABSENT, "appid": CLIENT}),
    "G2 v2's client in v1": ("appid", {**OF_V1, "appid": ABSENT, "azp": CLIENT}),
    "G2 version 3": ("ver", {"ver": "3.0"}),
    "G2 version a number": ("ver", {"ver": 2}),
    "G2 no version": ("ver", {"ver": ABSENT}),
    "G2 version a list": ("ver", {"ver": ["2.0"]}),
    "G3 a slash at the end": ("aud", {"aud": API + "/"}),
    "G3 capitals": ("aud", {"aud": API.upper()}),
    "G3 a list": ("aud", {"aud": [CLIENT_ID]}),
    "G3 none": ("aud", {"aud": ABSENT}),
    "G3 empty": ("aud", {"aud": ""}),
    "G5 client no GUID": ("azp", {"azp": "tool"}),
    "G6 scopes with a comma and a tab": ("scp", {"scp": "Files.Read\tFiles.Write"}),
    "G6 two blanks": ("scp", {"scp": "Files.Read  Files.Write"}),
    "G6 a list": ("scp", {"scp": ["Files.Read"]}),
    "G6 roles one text": ("roles", {"roles": "Admin"}),
    "G7 another tenant": ("tenant", {"tid": OTHER_TENANT, "iss": OTHER_ISSUER}),
    "G7 tid and iss differ": ("iss", {"tid": OTHER_TENANT}),
    "G7 no tid": ("tid", {"tid": ABSENT}),
    "expired": ("exp", {"exp": ISSUED - 3600}),
    "no exp": ("exp", {"exp": ABSENT}),
    "exp a text": ("exp", {"exp": str(ISSUED + 60)}),
    "not yet": ("nbf", {"nbf": ISSUED + 600}),
    "issued tomorrow": ("iat", {"iat": ISSUED + 86_400}),
    "no oid": ("oid", {"oid": ABSENT}),
    "no sub": ("sub", {"sub": ABSENT}),
    "G4 neither scopes nor roles": ("caller", {"scp": ABSENT}),
    "G4 roles, but of a person": ("caller", {"scp": ABSENT, "roles": ["Admin"]}),
    "G4 app with scopes": ("caller", {"idtyp": "app"}),
    "G4 user without scopes": ("caller", {"idtyp": "user", "scp": "/"}),
    "G4 idtyp unknown": ("caller", {"idtyp": "device"}),
    "G4 idtyp null": ("caller", {"idtyp": None}),
    "agent facts a list": ("caller", {"xms_act_fct": [11]}),
    "agent facts a number": ("caller", {"xms_act_fct": 11}),
    "agent facts with a comma": ("caller", {"xms_act_fct": "11,13"}),
    "an agent as the person": ("caller", {"xms_sub_fct": "11"}),
    "an agent's account without a user": ("caller", {**APPLICATION, "xms_sub_fct": "13"}),
}  # fmt: skip


@pytest.mark.parametrize(("check", "changes"), REFUSED.values(), ids=REFUSED.keys())
def test_a_token_with_one_thing_wrong_is_refused_for_it(check: str, changes: dict[str, Any]) -> None:
    """Each check refuses what it is there for, and says so without quoting the token."""
    with pytest.raises(BearerTokenRefused) as refused:
        verify(access_token(**changes))
    assert refused.value.check == check
    assert not any(str(value) in refused.value.sentence for value in (TENANT, OBJECT_ID, CLIENT, API))


@pytest.mark.parametrize(
    ("check", "head"),
    [
        ("header", {"nonce": "n"}),
        ("alg", {"alg": "none"}),
        ("alg", {"alg": "HS256"}),
        ("typ", {"typ": "at+jwt"}),
        ("crit", {"crit": []}),
        ("kid", {"kid": "other"}),
    ],
    ids=["G11 nonce", "B1", "B2", "B28", "B10", "B6"],
)
def test_the_gate_is_that_of_id_tokens(check: str, head: dict[str, Any]) -> None:
    """What the header may not say of an ID token it may not say of an access token either."""
    with pytest.raises(BearerTokenRefused) as refused:
        verify(access_token(head=head))
    assert refused.value.check == check


def test_g1_an_id_token_is_no_access_token() -> None:
    """Genuine, and for this very application: refused all the same, with its nonce and without."""
    for raw in (token(), token(nonce=ABSENT), token(nonce=ABSENT, azp=CLIENT_ID)):
        with pytest.raises(BearerTokenRefused):
            verify(raw)
    assert "nonce" in claims()


def test_g2_a_version_that_is_not_configured_is_refused() -> None:
    """Version 1 needs to be asked for."""
    for versions, changes in ((frozenset({V2}), OF_V1), (frozenset({V1}), {})):
        with pytest.raises(BearerTokenRefused) as refused:
            verify(access_token(**changes), versions=versions)
        assert refused.value.check == "ver"
    assert verify(access_token(**OF_V1), versions=frozenset({V1})).version == V1


def test_g2_a_key_that_speaks_for_another_tenant_speaks_for_neither_version() -> None:
    """B18 holds for access tokens, of both versions."""
    foreign = key_set(jwk(KID, issuer=TEMPLATE.replace("{tenantid}", OTHER_TENANT)))
    own = key_set(jwk(KID, issuer=ISSUER))
    for changes in ({}, OF_V1):
        raw = access_token(**changes)
        assert verify_access_token(raw, keys=own, expected=EXPECTED, now=NOW)
        with pytest.raises(BearerTokenRefused) as refused:
            verify_access_token(raw, keys=foreign, expected=EXPECTED, now=NOW)
        assert refused.value.check == "key_issuer"


def test_g5_a_client_that_is_not_listed_is_refused() -> None:
    """Where clients are listed, others' tokens are not taken."""
    assert verify(access_token(azp=CLIENT.upper()), clients=frozenset({CLIENT})).client_id == CLIENT
    with pytest.raises(BearerTokenRefused) as refused:
        verify(access_token(), clients=frozenset({CLIENT_ID}))
    assert refused.value.check == "azp"


@pytest.mark.parametrize(("late", "taken"), [(120, True), (121, False)])
def test_the_skew_has_an_edge(late: int, taken: bool) -> None:
    """Two minutes past exp and no second more."""
    moment = NOW + timedelta(seconds=3590 + late)
    raw = access_token()
    if taken:
        assert verify_access_token(raw, keys=key_set(), expected=EXPECTED, now=moment)
    else:
        with pytest.raises(BearerTokenRefused):
            verify_access_token(raw, keys=key_set(), expected=EXPECTED, now=moment)


def test_only_verification_makes_an_access_token() -> None:
    """The type is proof; nothing else can make one."""
    found = verify(access_token())
    with pytest.raises(TypeError, match="verify_access_token"):
        replace(found, verified=object())


EMPTY: list[dict[str, Any]] = [
    {"audiences": frozenset()},
    {"audiences": frozenset({""})},
    {"versions": frozenset()},
    {"versions": frozenset({"3.0"})},
    {"allowed_tenants": frozenset()},
    {"clients": frozenset()},
    {"issuer_template": "https://x"},
    {"skew": timedelta(hours=1)},
]


@pytest.mark.parametrize("empty", EMPTY)
def test_an_expectation_that_expects_nothing_is_none(empty: dict[str, Any]) -> None:
    """Missing never equals missing."""
    with pytest.raises(ValueError):
        replace(EXPECTED, **empty)


@pytest.mark.parametrize(
    ("caller", "changes"),
    [
        (CallerKind.PERSON, {}),
        (CallerKind.PERSON, {"idtyp": "user", "xms_idrel": "1"}),
        (CallerKind.PERSON, {"xms_act_fct": "1 3 9999", "xms_sub_fct": "2"}),
        (CallerKind.APPLICATION, APPLICATION),
        (CallerKind.APPLICATION, {**APPLICATION, "idtyp": "app", "roles": ABSENT}),
        (CallerKind.APPLICATION, {**APPLICATION, "scp": "/", "idtyp": "app"}),
        (
            CallerKind.AGENT,
            {**APPLICATION, "scp": "", "idtyp": "app", "xms_act_fct": "11", "xms_sub_fct": "11"},
        ),
        (CallerKind.AGENT, {**APPLICATION, "xms_act_fct": "3 11"}),
        (CallerKind.AGENT, {**APPLICATION, "xms_sub_fct": "11 3"}),
        (CallerKind.AGENT_FOR_PERSON, {"idtyp": "user", "xms_act_fct": "11"}),
        (CallerKind.AGENT_USER, {"idtyp": "user", "xms_act_fct": "11 3", "xms_sub_fct": "3 13"}),
        (CallerKind.AGENT_USER, {"xms_sub_fct": "13"}),
    ],
)
def test_people_applications_and_agents_are_told_apart(caller: CallerKind, changes: dict[str, Any]) -> None:
    """Each row of Microsoft's table, in any order, with unknown numbers beside."""
    found = verify(access_token(**changes))
    assert found.caller is caller
    assert found.caller.has_account is (caller not in (CallerKind.APPLICATION, CallerKind.AGENT))


def test_the_parent_of_an_agent_decides_nothing() -> None:
    """It is kept for the audit, and an odd one is not kept."""
    assert verify(access_token(xms_par_app_azp=CLIENT)).parent_client_id == CLIENT
    assert verify(access_token(xms_par_app_azp="x")).parent_client_id is None


@pytest.mark.parametrize(
    ("value", "understood"),
    [
        (["CP1"], True),
        (["cp1"], True),
        ("cp1", True),
        (["x", "Cp1"], True),
        ([], False),
        (["cp2"], False),
        (5, False),
    ],
)
def test_g8_who_understands_a_claims_challenge(value: object, understood: bool) -> None:
    """`cp1` in any case, in a list or alone."""
    assert verify(access_token(xms_cc=value)).understands_challenges is understood


JSON = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=2)
)


@given(idtyp=JSON, act=JSON, sub=JSON, scopes=st.booleans(), roles=st.booleans())
def test_any_claims_at_all_are_one_caller_or_a_refusal(
    idtyp: object, act: object, sub: object, scopes: bool, roles: bool
) -> None:
    """Nothing but a refusal comes of claims of any shape, and no scopes never make a person."""
    try:
        found = caller_kind(
            {"idtyp": idtyp, "xms_act_fct": act, "xms_sub_fct": sub},
            scopes=frozenset({"a"} if scopes else ()),
            roles=frozenset({"r"} if roles else ()),
        )
    except BearerTokenRefused:
        return
    assert found.has_account is scopes
