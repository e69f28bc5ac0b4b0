"""The signed assertion of a real `entrada serve`: to upstreams, and in the answers to proxies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from conformance.conftest import postgresql  # noqa: F401  # a fixture
from conformance.stores import MAKERS, Server
from entrada.adapters.assertion import AssertionVerifier
from entrada.emulator import RunningEmulator
from entrada.errors import TokenRefused
from house import tools
from walks.nursery import Nursery, ServerProcess, nursery, until
from walks.site import ROLES
from walks.visitor import Visitor

from .proxies import running_nginx
from .upstream import Upstream

ADA = "ada@contoso.test"


@pytest.fixture
def servers(emulator: RunningEmulator, upstream: Upstream, tmp_path: Path) -> Iterator[Nursery]:
    emulator.reset()
    told = {
        **emulator.env("entrada"),
        "ENTRADA_ROLES_MAPPING": ROLES,
        "ENTRADA_TRUSTED_PROXIES": "127.0.0.1",
        "ENTRADA_ASSERTION_AUDIENCES": "grafana,wiki",
    }
    (tmp_path / "entrada.toml").write_text(
        '[[rules]]\npath = "/open"\naccess = "public"\n'
        f'[[routes]]\nupstream = "http://127.0.0.1:{upstream.port}"\naudience = "tool"\n'
    )
    with nursery(told, tmp_path) as made:
        yield made


def verified(place: Any, raw: str, audience: str) -> dict[str, Any]:
    return dict(AssertionVerifier(issuer=place.public_url, audience=audience).verify(raw))


def signed_in(place: Any, http: httpx.Client) -> Visitor:
    visitor = Visitor(place, http)
    visitor.sign_in_as(ADA)
    return visitor


def asked(visitor: Visitor, path: str = "/page", query: str = "") -> httpx.Response:
    """As a proxy asks about a path in this visitor's name."""
    host = visitor.site.public_url.removeprefix("http://")
    fields = {"x_forwarded_method": "GET", "x_forwarded_host": host, "x_forwarded_uri": path}
    return visitor.fetch("/auth/verify" + query, **fields)


def told(response: httpx.Response) -> str:
    """The assertion that reached the application."""
    return {name.lower(): value for name, value in response.json()["fields"]}["x-entrada-assertion"]


def test_a_proxy_gets_the_assertion_for_the_audience_that_its_address_names(
    servers: Nursery, http: httpx.Client
) -> None:
    """Or the route's; the keys are published; nobody's is empty, and an unlisted audience refused."""
    place = servers.server()
    ada = signed_in(place, http)
    for query, audience in (("?audience=grafana", "grafana"), ("", "tool"), ("?audience=wiki", "wiki")):
        for _ in range(2):
            answer = asked(ada, query=query)
            assert answer.status_code == 200
            claims = verified(place, answer.headers["x-entrada-assertion"], audience)
            assert (claims["email"], claims["roles"]) == (ADA, ["Admin"])
    with pytest.raises(TokenRefused):
        verified(place, asked(ada).headers["x-entrada-assertion"], "wiki")
    stranger = asked(Visitor(place, http), "/open")  # type: ignore[arg-type]  # a place to visit
    assert (stranger.status_code, stranger.headers["x-entrada-assertion"]) == (200, "")
    assert "x-entrada-assertion" not in asked(Visitor(place, http)).headers  # type: ignore[arg-type]
    refused = asked(ada, query="?audience=others")
    assert (refused.status_code, "ENTRADA_ASSERTION_AUDIENCES" in refused.json()["hint"]) == (403, True)
    for query in ("?audience=", "?audience=wiki&audience=grafana"):
        assert asked(ada, query=query).status_code == 403


@pytest.mark.parametrize(
    ("kind", "algorithm"), [("sqlite", "RS256"), pytest.param("postgresql", "ES256", marks=pytest.mark.heavy)]
)
def test_two_servers_on_one_database_sign_with_the_same_keys(
    kind: str,
    algorithm: str,
    servers: Nursery,
    http: httpx.Client,
    tmp_path: Path,
    postgresql: Server,  # noqa: F811
) -> None:
    """What one signed verifies by the other's published keys, and after a restart as well."""
    (tmp_path / "other").mkdir()
    with MAKERS[kind](tmp_path / "other", postgresql) as made:
        settings = {"ENTRADA_ASSERTION_ALGORITHM": algorithm}
        if kind == "postgresql":
            settings |= {
                "ENTRADA_DATABASE_URL": made.database_url or "",
                "ENTRADA_SECRET_KEYS": "0123456789abcdef" * 3,
            }
        one = servers.server(**settings)
        two = servers.server(public_url=one.public_url, **settings)
        ada = signed_in(one, http)
        raw = told(ada.open("/page"))
        assert jwt.get_unverified_header(raw)["alg"] == algorithm
        documents = [keys_of(place, http) for place in (one, two)]
        one.kill()
        documents.append(keys_of(servers.server(public_url=one.public_url, **settings), http))
        assert documents[0] == documents[1] == documents[2]
        for document in documents:
            checking = AssertionVerifier(issuer=one.public_url, audience="tool", fetch=lambda: document)  # noqa: B023
            assert checking.verify(raw)["email"] == ADA


def keys_of(place: ServerProcess, http: httpx.Client) -> bytes:
    answer = http.get(f"{place.address}/.well-known/jwks.json")
    assert answer.status_code == 200
    return answer.content


def test_another_secret_key_stops_the_start(servers: Nursery) -> None:
    """One sentence that names the setting; assertions by keys of two minds would be worse."""
    first = servers.server(ENTRADA_SECRET_KEYS="0123456789abcdef" * 3)
    second = servers.begin_server(ENTRADA_SECRET_KEYS="fedcba9876543210" * 3)

    def said() -> str:
        return second.log.read_text() if second.log.exists() else ""

    until(lambda: "sealed with another key than those of ENTRADA_SECRET_KEYS" in said())
    assert "Traceback" not in said()
    assert first.is_up()


def test_behind_nginx_the_application_gets_what_entrada_signed_and_nothing_else(
    servers: Nursery, http: httpx.Client, upstream: Upstream, tmp_path: Path
) -> None:
    """nginx copies the field of the answer; a client's own assertion never survives."""
    nginx = tools.command_path("nginx")
    port = tools.free_port()
    place = servers.server(public_url=f"http://localhost:{port}")
    configuration = NGINX.format(
        port=port, entrada=place.address.removeprefix("http://"), application=f"127.0.0.1:{upstream.port}"
    )
    with running_nginx(nginx, tmp_path, configuration):
        place.address = f"http://127.0.0.1:{port}"
        ada = signed_in(place, http)
        claims = verified(place, told(ada.open("/page", x_entrada_assertion="forged")), "grafana")
        assert claims["email"] == ADA
        stranger = Visitor(place, http)  # type: ignore[arg-type]  # a place to visit
        fields = dict(stranger.open("/open", x_entrada_assertion="forged").json()["fields"])
        assert "forged" not in fields.values()


NGINX = """
    server {{
        listen 127.0.0.1:{port};
        server_name localhost;
        location /auth/ {{ proxy_pass http://{entrada}; proxy_set_header Host $http_host; }}
        location = /.well-known/jwks.json {{ proxy_pass http://{entrada}; proxy_set_header Host $http_host; }}
        location / {{
            auth_request /check;
            auth_request_set $entrada_assertion $upstream_http_x_entrada_assertion;
            proxy_set_header X-Entrada-Assertion $entrada_assertion;
            proxy_pass http://{application};
        }}
        location = /check {{
            internal;
            proxy_pass http://{entrada}/auth/nginx?audience=grafana;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_set_header X-Original-Method $request_method;
            proxy_set_header X-Original-Host $http_host;
            proxy_set_header X-Original-URI $request_uri;
        }}
    }}
"""
