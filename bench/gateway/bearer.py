"""gateway-bearer: an access token checked in the library, beside the signature alone and PyJWT.

Tokens of Entra's form for one person, none seen twice; then one that is remembered. CPU of this process.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

from bench.figures import Report, alternate, median, median_ratio
from bench.processes import SERVER_CORE, on_core
from entrada.accounts.identity import EntraIdentity, GrantSource, Profile, RoleGrant, UserId
from entrada.clock import SystemClock
from entrada.compatibility import UTC
from entrada.entra.access_token import AccessTokenExpectations, verify_access_token
from entrada.entra.authority import ObjectId, TenantId
from entrada.entra.jws import RawAccessToken
from entrada.entra.keys import read_keys
from entrada.flows.bearer import BearerCheck
from entrada.storage.memory_accounts import MemoryAccountStore

ROUNDS, EACH = 30, 500
OF_SIGNATURE = 0.70
TENANT = TenantId("c0000000-0000-4000-8000-000000000001")
PERSON = ObjectId("c0000000-0000-4000-8000-000000000002")
API, CLIENT = "c0000000-0000-4000-8000-000000000003", "c0000000-0000-4000-8000-000000000004"
TEMPLATE = "https://login.microsoftonline.com/{tenantid}/v2.0"
KID = "a-key-of-this-benchmark"
SIGNATURE, UNSEEN, PYJWT, REMEMBERED = (
    "cryptography, the signature alone",
    "Entrada, a token not seen before",
    "PyJWT, the same token",
    "Entrada, a remembered token",
)


def bearer(folder: Path, *, smoke: bool) -> Report:
    """How many tokens are checked for a second of CPU; `folder` is not needed."""
    del folder
    key, now = generate_private_key(public_exponent=65537, key_size=2048), datetime.now(UTC)
    tokens = [token(key, now) for _ in range(10 if smoke else EACH)]
    public = key.public_key()
    keys = read_keys(json.dumps({"keys": [jwk(key)]}).encode())
    expected = AccessTokenExpectations(
        issuer_template=TEMPLATE, audiences=frozenset({API}), allowed_tenants=frozenset({TENANT})
    )
    check = BearerCheck(
        expected=lambda: expected, keys_for=lambda _: keys, accounts=accounts(now), clock=SystemClock()
    )
    parts = [(raw.rpartition(".")[0].encode(), decoded(raw.rpartition(".")[2])) for raw in tokens]

    def signature(part: tuple[bytes, bytes]) -> None:
        public.verify(part[1], part[0], PKCS1v15(), SHA256())

    def unseen(raw: RawAccessToken) -> None:
        verify_access_token(raw, keys=keys, expected=expected, now=now)

    def with_pyjwt(raw: RawAccessToken) -> None:
        jwt.decode(raw, public, algorithms=["RS256"], audience=API, issuer=TEMPLATE.format(tenantid=TENANT))

    check.check(tokens[0])
    remembered = [tokens[0]] * len(tokens)
    with on_core(SERVER_CORE):
        rates = alternate(
            {
                SIGNATURE: partial(rate, signature, parts),
                UNSEEN: partial(rate, unseen, tokens),
                PYJWT: partial(rate, with_pyjwt, tokens),
                REMEMBERED: partial(rate, check.check, remembered),
            },
            rounds=1 if smoke else ROUNDS,
            most_seconds=60,
        )
    to = {name: median_ratio(values, rates[SIGNATURE]) for name, values in rates.items()}
    return Report(
        name="gateway-bearer",
        title=f"an access token checked in the library, medians of {len(rates[UNSEEN])} alternating rounds",
        columns=("", "CPU µs", "to the signature alone"),
        rows=[(name, f"{1e6 / median(values):.1f}", f"{to[name]:.2f}") for name, values in rates.items()],
        figures={"rates": rates},
        goals={} if smoke else {f"{OF_SIGNATURE} of the signature alone": to[UNSEEN] >= OF_SIGNATURE},
    )


def rate(check: Callable[[Any], object], values: Sequence[Any]) -> float:
    """For a second of CPU."""
    began = time.process_time()
    for value in islice(cycle(values), len(values)):
        check(value)
    return len(values) / (time.process_time() - began)


def token(key: RSAPrivateKey, now: datetime) -> RawAccessToken:
    issued_at = int(now.timestamp()) - 10
    claims = {
        "aud": API,
        "iss": TEMPLATE.format(tenantid=TENANT),
        "iat": issued_at,
        "nbf": issued_at,
        "exp": issued_at + 3600,
        "aio": secrets.token_urlsafe(90),
        "azp": CLIENT,
        "azpacr": "1",
        "name": "Ada Lovelace",
        "oid": PERSON,
        "preferred_username": "ada@contoso.example",
        "rh": secrets.token_urlsafe(60),
        "roles": ["Editor"],
        "scp": "Reports.Read Reports.Write",
        "sid": secrets.token_hex(16),
        "sub": secrets.token_urlsafe(32),
        "tid": TENANT,
        "uti": secrets.token_urlsafe(16),
        "ver": "2.0",
    }
    head = json.dumps({"typ": "JWT", "alg": "RS256", "kid": KID}).encode()
    signing_input = f"{encoded(head)}.{encoded(json.dumps(claims).encode())}"
    signature = key.sign(signing_input.encode(), PKCS1v15(), SHA256())
    return RawAccessToken(f"{signing_input}.{encoded(signature)}")


def jwk(key: RSAPrivateKey) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    return {
        "kty": "RSA",
        "use": "sig",
        "kid": KID,
        "n": encoded(numbers.n.to_bytes(256, "big")),
        "e": encoded(numbers.e.to_bytes(3, "big")),
    }


def accounts(now: datetime) -> MemoryAccountStore:
    store = MemoryAccountStore()
    store.create(
        user_id=UserId("a" * 32),
        identity=EntraIdentity(tenant_id=TENANT, object_id=PERSON),
        profile=Profile(name="Ada Lovelace", email="ada@contoso.example", username="ada@contoso.example"),
        entra_grants=[
            RoleGrant(role="Editor", source=GrantSource.ENTRA, granted_by="Editor", granted_at=now)
        ],
        now=now,
    )
    return store


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
