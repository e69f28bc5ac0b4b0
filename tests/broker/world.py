"""A broker in memory, two installations of different tenants, and a person whom Entra has just verified."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import jwt

from entrada.accounts.identity import EntraIdentity
from entrada.broker.grants import (
    CODE_LIFE,
    GRANT_IDLE_LIFE,
    AuthorizationCode,
    Grant,
    Person,
    new_grant_id,
    new_token,
)
from entrada.broker.installations import Installation, installation_at
from entrada.broker.memory_store import MemoryBrokerStore
from entrada.broker.provider import Addresses, Provider
from entrada.broker.token import token
from entrada.compatibility import UTC
from entrada.entra.authority import ObjectId, TenantId
from entrada.sealing import Sealer
from entrada.web.messages import WebRequest, WebResponse

ISSUER = "https://login.example.test"
CONTOSO = TenantId("11111111-1111-4111-8111-111111111111")
FABRIKAM = TenantId("22222222-2222-4222-8222-222222222222")
ADA = EntraIdentity(tenant_id=CONTOSO, object_id=ObjectId("aaaaaaaa-0000-4000-8000-000000000001"))
START = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
CALLBACK = "https://app.example.test/auth/entra/callback"


@dataclass
class MovableClock:
    at: datetime = START

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    def move(self, span: timedelta) -> None:
        self.at += span


APP = installation_at("https://app.example.test", tenant_id=CONTOSO)
OTHER = installation_at("https://other.example.test", tenant_id=FABRIKAM)


def person(**changes: Any) -> Person:
    ada = Person(
        identity=ADA,
        name="Ada Lovelace",
        username="ada@contoso.test",
        email="ada@contoso.test",
        email_is_verified=True,
        is_guest=False,
        home_tenant=None,
        roles=("Admin",),
        groups=("dddddddd-0000-4000-8000-000000000001",),
        auth_time=START - timedelta(minutes=1),
    )
    return replace(ada, **changes)


@dataclass
class World:
    """`entra` is what Entra says when it is asked again: the grant as it is now, or an error to raise."""

    listed: list[Installation] = field(default_factory=lambda: [APP, OTHER])
    clock: MovableClock = field(default_factory=MovableClock)
    store: MemoryBrokerStore = field(default_factory=MemoryBrokerStore)
    entra: Exception | None = None

    def __post_init__(self) -> None:
        self.provider = Provider(
            addresses=Addresses(issuer=ISSUER),
            store=self.store,
            clock=self.clock,
            listed=self.listed,
            refresh_person=self._ask_entra,
            hint_sealer=Sealer([b"k" * 32], purpose="broker logout hint"),
        )

    def _ask_entra(self, grant: Grant) -> Grant:
        if self.entra is not None:
            raise self.entra
        return grant

    def code(
        self,
        *,
        installation: Installation = APP,
        scopes: frozenset[str] = frozenset({"openid", "email", "offline_access"}),
        nonce: str | None = "n-1",
        entra_session_id: str | None = "entra-1",
        who: Person | None = None,
        code_challenge: str | None = CHALLENGE,
    ) -> str:
        """The code that a finished sign-in would have handed to this installation."""
        grant = Grant(
            id=new_grant_id(),
            client_id=installation.client_id,
            person=who or person(),
            scopes=scopes,
            begun_at=self.clock.now(),
            expires_at=self.clock.now() + GRANT_IDLE_LIFE,
            entra_session_id=entra_session_id,
            logout_address=installation.backchannel_logout_uri,
            next_check_at=self.provider.next_check(),
        )
        written = new_token(grant.id)
        self.store.open_grant(
            grant,
            AuthorizationCode(
                hash=written.hash,
                grant_id=grant.id,
                client_id=installation.client_id,
                redirect_uri=installation.redirect_uris[0],
                code_challenge=code_challenge,
                nonce=nonce,
                expires_at=self.clock.now() + CODE_LIFE,
            ),
        )
        return written.text

    def redeem(self, code: str | None, *, header: str | None = None, **changes: str | None) -> Answer:
        form: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "client_id": APP.client_id,
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
            **changes,
        }
        return self.ask(form, header=header)

    def refresh(self, refresh_token: str, **changes: str | None) -> Answer:
        return self.ask(
            {
                "grant_type": "refresh_token",
                "client_id": APP.client_id,
                "refresh_token": refresh_token,
                **changes,
            }
        )

    def ask(self, form: dict[str, str | None], *, header: str | None = None) -> Answer:
        body = urlencode({name: value for name, value in form.items() if value is not None})
        return Answer(token(self.provider, form_request(body, header=header)))

    def claims_of(self, id_token: str) -> dict[str, Any]:
        """The claims, verified against what the broker publishes."""
        kid = jwt.get_unverified_header(id_token)["kid"]
        key = next(one for one in self.provider.signing_keys() if one.kid == kid)
        return jwt.decode(
            id_token,
            key.private_key.public_key(),
            algorithms=["RS256"],
            options={"verify_aud": False, "verify_exp": False, "verify_iat": False, "verify_nbf": False},
        )


@dataclass
class Answer:
    response: WebResponse

    @property
    def status(self) -> int:
        return self.response.status

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.response.body)

    @property
    def error(self) -> str:
        return str(self.json.get("error", ""))


def form_request(body: str, *, header: str | None = None) -> WebRequest:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    if header is not None:
        headers["authorization"] = header
    return WebRequest(method="POST", path="/auth/broker/token", headers=headers, body=body.encode())


def open_grant(
    provider: Provider, *, client_id: str, redirect_uri: str = CALLBACK, who: Person | None = None
) -> tuple[Grant, str]:
    """What a finished sign-in leaves in the broker's store, and the code that it gave."""
    now = provider.now()
    grant = Grant(
        id=new_grant_id(),
        client_id=client_id,
        person=who or person(),
        scopes=frozenset({"openid"}),
        begun_at=now,
        expires_at=now + GRANT_IDLE_LIFE,
    )
    written = new_token(grant.id)
    code = AuthorizationCode(
        hash=written.hash,
        grant_id=grant.id,
        client_id=client_id,
        redirect_uri=redirect_uri,
        code_challenge=CHALLENGE,
        expires_at=now + CODE_LIFE,
    )
    provider.store.open_grant(grant, code)
    return grant, written.text
