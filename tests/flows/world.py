"""A small world for the walks: a clock that is set by hand, an Entra behind the transport, a browser.

    entra = FakeEntra()                 answers what `HttpTransport` is asked, and remembers the questions
    party = relying_party(entra)        real walks over the memory stores
    browser = Browser(auth_routes(party))
    browser.sign_in(roles=["Admin"])    clicks the button, signs in at Entra, comes back

Only Entra, the network to it and the time are made up; everything else is the real code.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from entra.tokens import CLIENT_ID, NOW, TENANT, document, jwk, token
from entrada.accounts.admission import AdmissionPolicy, GuestRule
from entrada.accounts.roles import role_mapping
from entrada.accounts.store import AccountStore
from entrada.entra.application import EntraApplication
from entrada.entra.authority import Authority
from entrada.entra.credential import ClientSecret
from entrada.entra.transport import HttpResponse
from entrada.errors import EntraUnavailable
from entrada.flows.groups import GroupFinder
from entrada.flows.identification import Identification
from entrada.flows.relying_party import RelyingParty
from entrada.flows.session_check import SessionCheck
from entrada.flows.sign_in import SignIn
from entrada.flows.sign_out import SignOut
from entrada.sealing import Sealer
from entrada.sessions.session import SessionPolicy
from entrada.sessions.store import SessionStore
from entrada.storage.memory_accounts import MemoryAccountStore
from entrada.storage.memory_sessions import MemorySessionStore
from entrada.web.auth_routes import AuthRoutes
from entrada.web.messages import WebRequest, WebResponse
from entrada.web.pages import Pages
from entrada.web.peers import UNKNOWN_PEER
from entrada.web.pending_cookies import PendingCookies
from entrada.web.site import Site

LOGIN = "https://login.microsoftonline.com"
GRAPH = "https://graph.microsoft.com"
SECRET = "s3cret~of.the_application-value"
PUBLIC_URL = "https://app.contoso.test"
KEY = b"a key of thirty-two bytes or so, for tests"
PAGE_VISIT = {"accept": "text/html", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
SCRIPT = {
    "accept": "*/*",
    "sec-fetch-mode": "cors",
    "sec-fetch-dest": "empty",
    "sec-fetch-site": "same-origin",
}


@dataclass(kw_only=True)
class SetClock:
    """Time moves only when `advance` is called. `wall` and `ticks` may be set apart, as clocks do."""

    wall: datetime = NOW
    ticks: float = 1_000.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.ticks

    def advance(self, **duration: float) -> None:
        delta = timedelta(**duration)
        self.wall += delta
        self.ticks += delta.total_seconds()


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A request that left for Entra or Graph."""

    method: str
    url: str
    headers: Mapping[str, str]
    form: Mapping[str, str]
    body: bytes = b""


def answer(document: object, *, status: int = 200, **headers: str) -> HttpResponse:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return HttpResponse(status=status, headers={"content-type": "application/json", **headers}, body=body)


def metadata(tenant: str = TENANT, **changes: Any) -> dict[str, Any]:
    """What discovery answers for a tenant."""
    base = f"{LOGIN}/{tenant}"
    return {
        "issuer": f"{base}/v2.0",
        "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
        "token_endpoint": f"{base}/oauth2/v2.0/token",
        "jwks_uri": f"{base}/discovery/v2.0/keys",
        "end_session_endpoint": f"{base}/oauth2/v2.0/logout",
        **changes,
    }


@dataclass(kw_only=True)
class FakeEntra:
    """Entra and Graph as `HttpTransport` sees them. What it answers is data, to be changed by a test."""

    clock: SetClock = field(default_factory=SetClock)
    metadata: Any = field(default_factory=metadata)
    keys: bytes = field(default_factory=lambda: document(jwk()))
    token_response: Callable[[Mapping[str, str]], HttpResponse] | None = None
    graph: Callable[[Sent], HttpResponse] | None = None
    down: bool = False
    sent: list[Sent] = field(default_factory=list)
    _codes: dict[str, dict[str, Any]] = field(default_factory=dict)

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> HttpResponse:
        text = (body or b"").decode()
        request = Sent(
            method=method,
            url=url,
            headers=dict(headers or {}),
            form=dict(parse_qsl(text)) if text[:1] != "{" else {},
            body=body or b"",
        )
        self.sent.append(request)
        if self.down:
            raise EntraUnavailable(reason="the connection was refused")
        path = urlsplit(url).path
        if url.startswith(GRAPH):
            assert self.graph is not None, "nobody expected a question to Graph"
            return self.graph(request)
        if path.endswith("/openid-configuration"):
            return self.metadata if isinstance(self.metadata, HttpResponse) else answer(self.metadata)
        if path.endswith("/keys"):
            return answer(self.keys)
        assert path.endswith("/token"), url
        return (self.token_response or self.redeem)(request.form)

    def close(self) -> None:
        pass

    def approve(self, authorize_url: str, **claims: Any) -> dict[str, str]:
        """The person signs in and agrees: what their browser brings back to the redirect URI."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(authorize_url).query).items()}
        code = f"0.code.{secrets.token_urlsafe(12)}"
        self._codes[code] = {"nonce": asked["nonce"], **claims}
        return {"code": code, "state": asked["state"], "session_state": "c9d1"}

    def redeem(self, form: Mapping[str, str]) -> HttpResponse:
        claims = self._codes.pop(form.get("code", ""), None)
        if claims is None or form.get("client_secret") != SECRET:
            refused = "invalid_grant" if claims is None else "invalid_client"
            return answer({"error": refused, "error_description": "AADSTS70008: x"}, status=400)
        issued_at = int(self.clock.now().timestamp()) - 10
        times = {"iat": issued_at, "nbf": issued_at, "exp": issued_at + 3600}
        return self.tokens({**times, **claims})

    @staticmethod
    def tokens(claims: Mapping[str, Any], **others: Any) -> HttpResponse:
        return answer(
            {
                "token_type": "Bearer",
                "expires_in": 3599,
                "access_token": "an-opaque-access-token-for-graph",
                "refresh_token": "a-refresh-token-that-nobody-keeps",
                "id_token": token(**claims),
                **others,
            }
        )

    def token_requests(self) -> list[Sent]:
        return [request for request in self.sent if request.url.endswith("/token")]


def application(entra: FakeEntra, *, tenant: str = TENANT, **changes: Any) -> EntraApplication:
    values: dict[str, Any] = {
        "authority": Authority(login_url=LOGIN, graph_url=GRAPH, tenant=tenant),
        "client_id": CLIENT_ID,
        "credentials": [ClientSecret(value=SECRET)],
        "transport": entra,
        "clock": entra.clock.now,
    }
    return EntraApplication(**(values | changes))


def relying_party(
    entra: FakeEntra,
    *,
    mapping: Mapping[str, str] | None = None,
    guests: GuestRule | None = None,
    policy: SessionPolicy | None = None,
    accounts: AccountStore | None = None,
    sessions: SessionStore | None = None,
    tenant: str = TENANT,
    response_mode: str = "query",
    admission: AdmissionPolicy | None = None,
    **identification: Any,
) -> RelyingParty:
    """Real walks over memory stores, with Entra made up."""
    sessions = sessions or MemorySessionStore()
    accounts = accounts or MemoryAccountStore(sessions=sessions)
    policy = policy or SessionPolicy()
    app = application(entra, tenant=tenant)
    check = SessionCheck(accounts=accounts, sessions=sessions, policy=policy, clock=entra.clock)
    roles = role_mapping({"Admin": "Admin", "Editor": "Editor"} if mapping is None else mapping)
    admission = admission or AdmissionPolicy(roles=roles, guests=guests or GuestRule())
    return RelyingParty(
        sign_in=SignIn(
            identification=Identification(
                application=app,
                groups=GroupFinder(transport=entra, graph_url=GRAPH),
                roles=admission.roles,
                spent=sessions,
                clock=entra.clock,
                response_mode=response_mode,
                **identification,
            ),
            accounts=accounts,
            sessions=sessions,
            admission=admission,
            session_policy=policy,
        ),
        session_check=check,
        sign_out=SignOut(application=app, sessions=sessions, session_check=check),
        accounts=accounts,
        sessions=sessions,
        clock=entra.clock,
    )


def auth_routes(
    party: RelyingParty, *, urls: list[str] | None = None, keys: list[bytes] | None = None
) -> AuthRoutes:
    by_post = party.sign_in.identification.response_mode == "form_post"
    return AuthRoutes(
        relying_party=party,
        site=Site(urls=urls or [PUBLIC_URL], callback_paths=["/auth/entra/callback"]),
        pages=Pages(application_name="Contoso Wiki"),
        pending=PendingCookies(sealer=Sealer(keys or [KEY], purpose="pending sign-in"), cross_site=by_post),
        form_key=b"form key",
        sign_in_label="Sign in with Microsoft Entra ID",
    )


@dataclass(kw_only=True)
class Browser:
    """Keeps cookies and follows nothing. `url` is the address it uses the application by."""

    auth: AuthRoutes
    entra: FakeEntra
    url: str = PUBLIC_URL
    cookies: dict[str, str] = field(default_factory=dict)
    peer: str = UNKNOWN_PEER

    def request(
        self, method: str, target: str, *, form: Mapping[str, str] | None = None, **headers: str
    ) -> WebResponse:
        path, _, query = target.partition("?")
        sent = {
            "host": urlsplit(self.url).netloc,
            **({"cookie": self.cookie_header} if self.cookies else {}),
            **({"content-type": "application/x-www-form-urlencoded"} if form is not None else {}),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        got = self.auth.handle(
            WebRequest(
                method=method,
                path=path,
                query=query,
                headers=sent,
                body=urlencode(form or {}).encode(),
                peer=self.peer,
            )
        )
        self.take_cookies(got)
        return got

    @property
    def cookie_header(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def take_cookies(self, got: WebResponse) -> None:
        for line in headers_of(got, "set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            if value and "Max-Age=0" not in line:
                self.cookies[name] = value
            else:
                self.cookies.pop(name, None)

    def forget(self, kind: str) -> None:
        """Deletes the cookies whose names hold this."""
        self.cookies = {name: value for name, value in self.cookies.items() if kind not in name}

    def visit(self, target: str, **headers: str) -> WebResponse:
        return self.request("GET", target, **(PAGE_VISIT | headers))

    def start(self, next_path: str = "/") -> str:
        """Clicks the button; where Entra's sign-in page is."""
        return location_of(self.visit("/auth/entra/start?" + urlencode({"next": next_path})))

    def come_back(self, brought: Mapping[str, str]) -> WebResponse:
        return self.visit("/auth/entra/callback?" + urlencode(brought))

    def sign_in(self, next_path: str = "/", **claims: Any) -> WebResponse:
        return self.come_back(self.entra.approve(self.start(next_path), **claims))

    def me(self) -> WebResponse:
        return self.request("GET", "/auth/me", **SCRIPT)

    @property
    def session_cookie(self) -> str | None:
        return self.cookies.get("__Host-entrada_session", self.cookies.get("entrada_session"))


def new_browser(entra: FakeEntra | None = None, **party: Any) -> Browser:
    entra = entra or FakeEntra()
    return Browser(auth=auth_routes(relying_party(entra, **party)), entra=entra)


def headers_of(got: WebResponse, name: str) -> list[str]:
    return [value for found, value in got.headers if found == name]


def location_of(got: WebResponse) -> str:
    assert got.status == 303, (got.status, got.body[:2000])
    (location,) = headers_of(got, "location")
    return location
