"""Identity fields: what the upstream is told, and that a client's own never gets there (D1, D2, D3, D15)."""

from __future__ import annotations

import base64
import json
import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrada.errors import RequestRefused
from entrada.gateway.fields import folded_name, is_identity, strip
from entrada.gateway.identity import STYLES, encoded, encoded_list, identity_fields

from .callers import EDITORS, ada, in_groups

OURS = sorted({name for style in STYLES.values() for name in style} | {"X-Entrada-Assertion"})


def test_every_style_says_who_it_is() -> None:
    """Each style's own names, the object id as the user, groups and roles in one list."""
    told = dict(identity_fields(STYLES, ada()))
    assert told["X-Forwarded-User"] == told["Remote-User"] == told["X-Auth-Request-User"] == ada().object_id
    assert told["X-Forwarded-Email"] == "ada@contoso.test"
    assert told["X-Auth-Request-Preferred-Username"] == "ada@contoso.test"
    assert told["Remote-Name"] == "Ada Lovelace"
    assert told["Remote-Groups"] == f"{EDITORS},Admin"
    assert told["X-Entrada-Roles"] == "Admin"
    assert told["X-Entrada-User"] == ada().user_id


def test_easy_auth_is_base64_of_json() -> None:
    """X-MS-CLIENT-PRINCIPAL is read as App Service's own is, non-ASCII names included."""
    told = dict(identity_fields(["easy-auth"], ada(name="Zoë, „Z“")))
    document = json.loads(base64.b64decode(told["X-MS-CLIENT-PRINCIPAL"] or "", validate=True))
    claims = {(claim["typ"], claim["val"]) for claim in document["claims"]}
    assert document["auth_typ"] == "aad"
    assert ("name", "Zoë, „Z“") in claims
    assert (document["role_typ"], "Admin") in claims
    assert ("groups", EDITORS) in claims
    assert told["X-MS-CLIENT-PRINCIPAL-ID"] == ada().object_id


def test_d1c_what_a_caller_lacks_is_cleared() -> None:
    """Every name of a style is there, without a value where this caller has none, and for nobody at all."""
    lacking = dict(
        identity_fields(["x-forwarded"], ada(email=None, roles=frozenset(), membership=in_groups()))
    )
    assert lacking["X-Forwarded-Email"] is None
    assert lacking["X-Forwarded-Groups"] is None
    assert lacking["X-Forwarded-User"]
    assert set(identity_fields(STYLES, None)) == {(name, None) for style in STYLES.values() for name in style}


@given(st.text(max_size=40))
def test_d15_any_value_is_one_field_and_comes_back(value: str) -> None:
    """CR, LF, NUL and non-ASCII never make a second field; decoding gives the value back."""
    written = encoded(value)
    assert re.fullmatch(r"[!-~](?:[ -~]*[!-~])?|", written)
    assert unquote(written, errors="surrogatepass") == value.encode("utf-8", "replace").decode()


@given(st.sets(st.text(min_size=1, max_size=12), max_size=6))
def test_d15_a_list_comes_back_as_the_same_list(values: set[str]) -> None:
    """Commas inside a value do not split it."""
    written = encoded_list(values)
    found = {unquote(value) for value in written.split(",")} if written else set()
    assert found == {value.encode("utf-8", "replace").decode() for value in values}


def test_d15_a_list_that_is_too_long_is_refused() -> None:
    """300 groups do not become 200 in silence."""
    groups = frozenset(f"{number:08d}-2222-3333-4444-555555555555" for number in range(300))
    with pytest.raises(RequestRefused, match="X-Forwarded-Groups"):
        identity_fields(["x-forwarded"], ada(membership=in_groups(*groups)))


def spelled(name: str) -> list[bytes]:
    spellings = [name, name.lower(), name.upper(), name.swapcase()]
    spellings += [name.replace("-", sign) for sign in "_.!#$%&'*+^`|~"]
    spellings += [name.replace("-", "_", 1), name.lower().replace("-", ".", 1)]
    return [spelling.encode() for spelling in spellings]


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("trusted_hop", [False, True])
def test_d1_no_spelling_of_ours_goes_on(name: str, trusted_hop: bool) -> None:
    """Any case, any sign in place of the hyphen, twice or named in Connection: gone."""
    for spelling in spelled(name):
        sent = [(b"accept", b"*/*"), (spelling, b"admin"), (spelling, b"admin")]
        sent.append((b"Connection", b"close, " + spelling))
        assert strip(sent, trusted_hop=trusted_hop) == [(b"accept", b"*/*")]


@pytest.mark.parametrize("trusted_hop", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        "CF_Access_Authenticated_User_Email", "Tailscale-User-Login", "X-Goog-Authenticated-User-Email",
        "X-Goog-IAP-JWT-Assertion", "x-amzn-oidc-identity", "X-Pomerium-Claim-Email", "X-Authentik-Username",
        "X-WebAuth-User",
    ],
)  # fmt: skip
def test_d1_what_other_sign_in_proxies_say_is_of_no_hop_here(name: str, trusted_hop: bool) -> None:
    """An application made for one of them would believe it of anybody."""
    sent = [(name.encode(), b"admin"), (b"accept", b"*/*")]
    assert strip(sent, trusted_hop=trusted_hop) == [(b"accept", b"*/*")]


@given(st.sampled_from(OURS), st.data())
def test_d1b_what_an_upstream_folds_to_ours_is_gone(name: str, data: st.DataObject) -> None:
    """WSGI, PHP and ASGI folding alike: whatever becomes one of our names never goes on."""
    drawn = "".join(
        data.draw(st.sampled_from("-_.~!"))
        if char == "-"
        else data.draw(st.sampled_from([char.lower(), char.upper()]))
        for char in name
    )
    assert re.sub(r"[^A-Z0-9]", "_", drawn.upper()) == re.sub(r"[^A-Z0-9]", "_", name.upper())
    assert is_identity(drawn.encode())
    assert folded_name(drawn.encode()) == name.lower().encode()


@pytest.mark.parametrize(
    "name",
    [
        "X-Entrada-Anything",
        "x_auth_request_redirect",
        "Remote.Addr",
        "X-MS-TOKEN-AAD-ID-TOKEN",
        "X-Forwarded-Access-Token",
    ],
)
def test_families_of_names_are_ours_too(name: str) -> None:
    """What stands beside our names would be believed by the same applications."""
    assert strip([(name.encode(), b"x")], trusted_hop=True) == []


@pytest.mark.parametrize(
    "name",
    ["X-Forwarded-Uri", "x-forwarded-method", "X_Forwarded_Host", "X-Forwarded-Proto", "X-Forwarded-Prefix",
    "X-Forwarded-Port",
     "X-Forwarded-For", "Forwarded", "X-Original-URL", "X-Rewrite-URL", "X-Real-IP", "X-Scheme",
     "Front-End-Https", "SCRIPT_NAME", "Script-Name", "X-Script-Name", "PATH_INFO"],
)  # fmt: skip
def test_d3_what_a_stranger_forwards_is_gone(name: str) -> None:
    """Forwarded fields come through from a listed hop alone, and as such a hop spells them.

    Those that some frameworks take for the path come through from nobody: hops pass on a client's.
    """
    field = (name.encode(), b"/public")
    assert strip([field], trusted_hop=False) == []
    paths = ("X-Original-URL", "X-Rewrite-URL", "Script-Name", "X-Script-Name")
    is_nobody_s = "_" in name or name in paths
    assert strip([field], trusted_hop=True) == ([] if is_nobody_s else [field])


def test_d2_connection_takes_away_what_it_may_and_nothing_else() -> None:
    """Fields that Connection names are gone; those that say where a request ends or who asks stay."""
    sent = [
        (b"Host", b"tool"),
        (b"Content-Length", b"3"),
        (b"Cookie", b"a=b"),
        (b"X-Custom", b"1"),
        (b"TE", b"trailers"),
        (b"Connection", b"X-Custom, content-length,Host , cookie"),
        (b"Keep-Alive", b"timeout=5"),
    ]
    assert strip(sent, trusted_hop=False) == sent[:3]
