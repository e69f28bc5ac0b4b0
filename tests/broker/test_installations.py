"""Where answers may go: listed addresses letter for letter, or one star under the operator's own domain."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from broker.world import APP, CONTOSO
from entrada.broker.installations import (
    ClientId,
    Installation,
    Proof,
    installation_at,
    is_listable,
    read_origin_pattern,
    read_public_url,
)
from entrada.broker.listed import read_listed
from entrada.errors import ConfigurationError
from entrada.settings import load_settings

PREVIEWS = Installation(
    client_id=ClientId("previews"), tenant_id=CONTOSO, origin_pattern="https://*.apps.example.test"
)


def test_an_installation_is_known_by_its_public_url() -> None:
    """Its client id is its public URL, and every product's callback below that URL is listed."""
    assert APP.client_id == "https://app.example.test"
    assert APP.takes_answers_at("https://app.example.test/auth/entra/callback")
    assert APP.takes_answers_at("https://app.example.test/oauth")


@pytest.mark.parametrize(
    "address",
    [
        "https://app.example.test/auth/entra/callback/",
        "https://app.example.test/auth/entra/callback?x=1",
        "https://app.example.test/auth/entra/callback#x",
        "https://app.example.test/auth/entra/../entra/callback",
        "https://app.example.test/auth/entra/callbac%6b",
        "https://APP.example.test/auth/entra/callback",
        "https://app.example.test:443/auth/entra/callback",
        "http://app.example.test/auth/entra/callback",
        "https://app.example.test.evil.test/auth/entra/callback",
        "https://app.example.test@evil.test/auth/entra/callback",
        "https://evil.test/https://app.example.test/auth/entra/callback",
        "https://app.example.test/auth/entra/callback\n",
        "//app.example.test/auth/entra/callback",
        "javascript:alert(1)",
        "",
    ],
    ids=lambda address: f"E2-I4-{address!r}",
)
def test_an_address_is_compared_letter_for_letter(address: str) -> None:
    """Whatever a reader of URLs would take for the same place is another address."""
    assert not APP.takes_answers_at(address)


@pytest.mark.parametrize("label", ["pr-1", "a", "x9"])
def test_a_star_stands_for_one_label(label: str) -> None:
    """Any single label under the domain, at the paths that installations answer at."""
    assert PREVIEWS.takes_answers_at(f"https://{label}.apps.example.test/auth/entra/callback")


@pytest.mark.parametrize(
    "address",
    [
        "https://a.b.apps.example.test/auth/entra/callback",
        "https://apps.example.test/auth/entra/callback",
        "https://.apps.example.test/auth/entra/callback",
        "https://evil.test/.apps.example.test/auth/entra/callback",
        "https://evil.test#.apps.example.test/auth/entra/callback",
        "https://evil.test?.apps.example.test/auth/entra/callback",
        "https://evil.test\\.apps.example.test/auth/entra/callback",
        "https://a@evil.apps.example.test.evil.test/auth/entra/callback",
        "https://user:x@pr.apps.example.test/auth/entra/callback",
        "https://pr.apps.example.test:8443/auth/entra/callback",
        "http://pr.apps.example.test/auth/entra/callback",
        "https://PR.apps.example.test/auth/entra/callback",
        "https://-pr.apps.example.test/auth/entra/callback",
        "https://pr.apps.example.test/anything",
        "https://pr.apps.example.test/auth/entra/callback?x=1",
        "https://pr.apps.example.test",
    ],
    ids=lambda address: f"E2-I4-{address!r}",
)
def test_a_star_stands_for_nothing_else(address: str) -> None:
    """No further label, user, port, scheme, path or query fits the pattern."""
    assert not PREVIEWS.takes_answers_at(address)


@pytest.mark.parametrize(
    "pattern",
    [
        "https://*",
        "https://*.test",
        "http://*.apps.example.test",
        "https://*.*.example.test",
        "https://a.*.example.test",
        "https://*apps.example.test",
        "https://*.apps.example.test/path",
        "*.apps.example.test",
        "https://*.apps.EXAMPLE.test",
    ],
)
def test_a_wider_pattern_is_refused(pattern: str) -> None:
    """A star is the first label of an https host under two fixed labels or more."""
    with pytest.raises(ValueError, match="star"):
        read_origin_pattern(pattern)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("https://App.Example.test/", "https://app.example.test"),
        ("https://app.example.test:443", "https://app.example.test"),
        ("https://app.example.test:8443", "https://app.example.test:8443"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("https://App.Example.test/Tools/mage/", "https://app.example.test/Tools/mage"),
        ("https://app.example.test:443/tools/mage", "https://app.example.test/tools/mage"),
    ],
)
def test_a_public_url_is_read_one_way(written: str, read: str) -> None:
    """Case, a usual port and a trailing slash do not make another installation."""
    assert read_public_url(written) == read


@pytest.mark.parametrize(
    "written",
    [
        "app.example.test",
        "http://app.example.test",
        "https://app.example.test//",
        "https://app.example.test//evil.test",
        "https://app.example.test/a//b",
        "https://app.example.test/../a",
        "https://app.example.test/a/./b",
        "https://app.example.test/a/..",
        "https://app.example.test/a%2Fb",
        "https://app.example.test/a;b",
        "https://app.example.test/a\\b",
        "https://app.example.test/a?",
        "https://app.example.test/a#",
        "https://app.example.test/a b",
        "https://app.example.test/ä",
        "https://app.example.test" + "/a" * 9,
        "https://a_b",
        "ftp://x",
        "https://u@h.test",
        "https://h.test?x",
        "https://h.test:99999",
        "https://" + ".".join(["a" * 60] * 5),
    ],
)
def test_what_is_no_public_url_is_refused(written: str) -> None:
    """Plain http elsewhere than on this machine, paths that two could read differently, users and queries."""
    with pytest.raises(ValueError):
        installation_at(written, tenant_id=CONTOSO)


@pytest.mark.parametrize(
    ("address", "is_good"),
    [
        ("https://a.test/cb", True),
        ("https://a.test:8443/cb?x=1", True),
        ("http://localhost:8000/cb", True),
        ("http://127.0.0.1/cb", True),
        ("http://[::1]:9/cb", True),
        ("http://localhost.evil.test/cb", False),
        ("http://127.0.0.1.evil.test/cb", False),
        ("http://localhost@evil.test/cb", False),
        ("http://localhostile/cb", False),
        ("https://u:p@a.test/cb", False),
        ("https://a.test/cb#", False),
        ("https:///cb", False),
        ("https://[a/cb", False),
        ("https://a.test:99999/cb", False),
        ("https://a.test\\@evil.test/cb", False),
        ("javascript:alert(1)", False),
        ("http://a.test/cb", False),
        ("file:///etc/passwd", False),
    ],
)
@pytest.mark.parametrize("key", ["redirect_uris", "post_logout_redirect_uris", "backchannel_logout_uri"])
def test_e1_only_addresses_that_a_code_may_travel_to_can_be_listed(
    address: str, is_good: bool, key: str, tmp_path: Path
) -> None:
    """By what a URL parser says of them, not by how they begin."""
    assert is_listable(address) == is_good
    value = json.dumps(address if key == "backchannel_logout_uri" else [address])
    file = tmp_path / "entrada.toml"
    file.write_text(f'[[installations]]\nurl = "https://app.test"\ntenant = "{CONTOSO}"\n{key} = {value}\n')
    if is_good:
        assert read_listed(file)[0].client_id == "https://app.test"
    else:
        with pytest.raises(ConfigurationError, match=key):
            read_listed(file)


def test_sign_out_leads_back_to_listed_addresses_only() -> None:
    """The same rule holds for the address after signing out."""
    assert APP.takes_people_back_at("https://app.example.test/auth/signed-out")
    assert not APP.takes_people_back_at("https://app.example.test/auth/signed-out?x")
    assert not replace(APP, post_logout_redirect_uris=()).takes_people_back_at("https://app.example.test/")


def listed(folder: Path, *lines: str) -> Installation:
    file = folder / "entrada.toml"
    file.write_text(
        "\n".join(["[[installations]]", 'url = "https://app.test"', f'tenant = "{CONTOSO}"', *lines])
    )
    return read_listed(file)[0]


HASH = "0" * 64


def test_what_a_client_of_others_may_need_is_listed(tmp_path: Path) -> None:
    """A second name for the roles, and no PKCE at the word of a secret; neither unless it is asked for."""
    plain = listed(tmp_path)
    assert (plain.roles_claim, plain.insecure_without_pkce) == (None, False)
    asked = listed(
        tmp_path,
        f'secret_sha256 = ["{HASH}"]',
        'roles_claim = "user_roles"',
        'roles_mapping = { Admin = "Owner", Editor = ["Writer", "Reader"] }',
        "insecure_without_pkce = true",
    )
    assert (asked.roles_claim, asked.may_leave_out_pkce) == ("user_roles", True)
    assert asked.roles_mapping == {"Admin": ("Owner",), "Editor": ("Writer", "Reader")}


EC_KEY = ec.generate_private_key(ec.SECP256R1())


def jwk_of(key: Any, **changes: Any) -> dict[str, Any]:
    kind = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPublicKey) else jwt.algorithms.ECAlgorithm
    return {**kind.to_jwk(key, as_dict=True), "kid": "k1", **changes}


def jwks_line(*keys: dict[str, Any]) -> str:
    return f"jwks = '{json.dumps({'keys': keys})}'"


def test_a_client_may_prove_itself_by_a_key_of_its_own(tmp_path: Path) -> None:
    """`private_key_jwt`, which discovery offers: the operator lists the public half."""
    key = jwk_of(EC_KEY.public_key())
    made = listed(tmp_path, jwks_line(key))
    assert (made.proof, made.jwks) == (Proof.KEY, (key,))


@pytest.mark.parametrize(
    "line",
    [
        "jwks = 'x'",
        "jwks = '{}'",
        jwks_line(),
        jwks_line({"kty": "oct", "k": "c2VjcmV0", "kid": "k1"}),
        jwks_line({"kty": "RSA", "kid": "k1"}),
        jwks_line(jwk_of(EC_KEY.public_key(), kid=None)),
        jwks_line(jwk_of(EC_KEY.public_key()), jwk_of(EC_KEY.public_key())),
        jwks_line(jwk_of(EC_KEY.public_key(), d="AA")),
        jwks_line(jwk_of(ec.generate_private_key(ec.SECP384R1()).public_key())),
        jwks_line(jwk_of(rsa.generate_private_key(65_537, 1_024).public_key())),
        jwks_line(jwk_of(EC_KEY.public_key())) + f'\nsecret_sha256 = ["{HASH}"]',
    ],
)
def test_a_key_that_proves_nothing_stops_the_start(line: str, tmp_path: Path) -> None:
    """No secret or private key in the list, none too weak, and none that two could be meant by."""
    with pytest.raises(ConfigurationError, match="line 4"):
        listed(tmp_path, line)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("insecure_without_pkce = true", "line 4: insecure_without_pkce, and no secret"),
        ('insecure_without_pkce = "true"', "line 4: insecure_without_pkce is neither true nor false"),
        ('roles_claim = "sub"', "line 4: roles_claim"),
        ('roles_claim = "email"', "line 4: roles_claim"),
        ('roles_claim = "groups"', "line 4: roles_claim"),
        ('roles_claim = "at_hash"', "line 4: roles_claim"),
        ('roles_claim = "_claim_names"', "line 4: roles_claim"),
        ('roles_claim = "https://x"', "line 4: roles_claim"),
        ('roles_claim = ""', "line 4: roles_claim"),
        ("roles_mapping = {}", "line 4: roles_mapping is no table of texts"),
        ('roles_mapping = "Admin"', "line 4: roles_mapping is no table of texts"),
        ("roles_mapping = { Admin = 5 }", "line 4: roles_mapping is no table of texts"),
        ('roles_mapping = { Admin = ["Owner", 5] }', "line 4: roles_mapping is no table of texts"),
        ('roles_mapping = { "group:Finance" = "Owner" }', "line 4: roles_mapping names 'group:Finance'"),
        ('roles_mapping = { "All staff" = "Owner" }', "line 4: roles_mapping names 'All staff'"),
    ],
)
def test_a_wrong_line_stops_the_start(line: str, sentence: str, tmp_path: Path) -> None:
    """With its line; a claim that says something else cannot be overwritten."""
    with pytest.raises(ConfigurationError, match=sentence):
        listed(tmp_path, line)


def test_an_installation_may_be_called_otherwise_than_its_address() -> None:
    """`ENTRADA_CLIENT_ID` as the broker lists it; without a broker it is the registration's GUID alone."""
    environment = {
        "ENTRADA_TENANT_ID": CONTOSO,
        "ENTRADA_CLIENT_ID": "previews",
        "ENTRADA_PUBLIC_URL": "https://x.apps.example.test",
    }
    settings, _ = load_settings({**environment, "ENTRADA_BROKER_URL": "https://login.example.test"})
    assert settings.registration.client_id == "previews"
    with pytest.raises(ConfigurationError, match="not a GUID"):
        load_settings(environment)
