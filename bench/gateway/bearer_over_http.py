"""gateway-bearer-http: a person's access tokens over HTTP, beside FastAPI with fastapi-azure-auth.

First tokens that come round again only after thousands of others, then one over and over. Entrada answers a
proxy's question about it at /auth/nginx; the peer answers at an endpoint that asks for the scope.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

from bench.browser import PAGE_VISIT
from bench.environment import peer_python
from bench.figures import Report, alternate
from bench.gateway.shown import COLUMNS, by_cpu, columns
from bench.gateway.subjects import SECONDS, Subject, check_headers, signed_in, start_gateway
from bench.load import CONNECTIONS, Load, load
from bench.peers import ENTRADA
from bench.processes import Server, free_port, start
from bench.provider import SERVERS, Provider, start_provider
from entrada.emulator.directory.records import DEFAULT_PASSWORD

ROUNDS, TOKENS = 15, 12_000
"""More tokens than Entrada remembers: each is new when it comes round again."""
SCOPE = "access_as_user"
UNSEEN, REMEMBERED = "tokens not seen before", "one token again and again"
PEER, OURS = "fastapi-azure-auth", "Entrada"
TIMES = {UNSEEN: 6, REMEMBERED: 17}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A server asked with one token after the other of a list."""

    subject: Subject
    tokens: Sequence[str]
    script: Path

    def load(self, folder: Path) -> Load:
        listed = ",".join(f'"{token}"' for token in self.tokens)
        self.script.write_text(
            f"local tokens, at = {{{listed}}}, 0\n"
            "request = function()\n"
            "  at = at % #tokens + 1\n"
            '  wrk.headers["Authorization"] = "Bearer " .. tokens[at]\n'
            "  return wrk.format()\n"
            "end\n"
        )
        return load(
            self.subject.server,
            self.subject.url,
            seconds=SECONDS,
            headers=self.subject.headers,
            script=self.script,
            folder=folder,
        )


def bearer_over_http(folder: Path, *, smoke: bool) -> Report:
    """How many calls are answered for a second of CPU."""
    with ExitStack() as stack:
        provider = start_provider(folder, people=1)
        stack.enter_context(provider.server)
        ours = _entrada(provider, folder, stack)
        peer = fastapi_azure_auth(provider, folder, stack)
        tokens = issued(provider, 50 if smoke else TOKENS)
        for subject in (ours, peer):
            replace(subject, headers={**subject.headers, "Authorization": f"Bearer {tokens[0]}"}).answer()
        asked = {
            called(name, kind): Asked(subject=subject, tokens=listed, script=folder / "tokens.lua")
            for kind, listed in ((UNSEEN, tokens), (REMEMBERED, tokens[:1]))
            for name, subject in ((OURS, ours), (PEER, peer))
        }
        found = alternate(
            {key: partial(one.load, folder) for key, one in asked.items()},
            rounds=1 if smoke else ROUNDS,
            most_seconds=120,
        )
    peers = {key: found[called(PEER, key.partition(", ")[2])] for key in found}
    return Report(
        name="gateway-bearer-http",
        title=f"calls with an access token, {CONNECTIONS} connections, medians of "
        f"{len(found[called(OURS, UNSEEN)])} alternating rounds of {SECONDS:g} s",
        columns=("", *COLUMNS),
        rows=[(key, *columns(loads, peers[key])) for key, loads in found.items()],
        figures={key: [asdict(one) for one in loads] for key, loads in found.items()},
        goals={}
        if smoke
        else {
            f"{times} times {PEER}, {kind}": by_cpu(found[called(OURS, kind)], found[called(PEER, kind)])
            >= times
            for kind, times in TIMES.items()
        },
    )


def called(name: str, kind: str) -> str:
    return f"{name}, {kind}"


def _entrada(provider: Provider, folder: Path, stack: ExitStack) -> Subject:
    scopes = {"ENTRADA_BEARER_SCOPES": SCOPE}
    contestant = replace(ENTRADA, start=partial(start_gateway, environment=scopes))
    server, origin, _ = signed_in(contestant, provider, folder, stack)
    headers = check_headers(origin, "")
    del headers["cookie"]
    return Subject(server=server, url=f"{origin}/auth/nginx", headers=headers)


def fastapi_azure_auth(provider: Provider, folder: Path, stack: ExitStack) -> Subject:
    """The peer, asked without a token."""
    port = free_port()
    server: Server = stack.enter_context(
        start(
            [peer_python(), SERVERS / "fastapi_azure_auth_api.py"],
            environment=provider.environment(port) | {"SSL_CERT_FILE": provider.ca_file},
            folder=folder,
            name="fastapi-azure-auth",
        )
    )
    server.wait_for_port(port)
    headers = {"Host": f"localhost:{port}", **PAGE_VISIT}
    return Subject(server=server, url=f"http://127.0.0.1:{port}/asked", headers=headers)


def issued(provider: Provider, count: int) -> list[str]:
    """So many access tokens of one person, each another."""
    form = urlencode(
        {
            "grant_type": "password",
            "client_id": provider.client_id,
            "client_secret": provider.client_secret,
            "username": "person0@contoso.test",
            "password": DEFAULT_PASSWORD,
            "scope": f"api://{provider.client_id}/{SCOPE}",
        }
    ).encode()
    parts = urlsplit(provider.authority)
    url = f"{parts.scheme}://{parts.netloc}{parts.path}/oauth2/v2.0/token"
    trust = ssl.create_default_context(cafile=provider.ca_file)
    tokens = []
    for _ in range(count):
        with urlopen(url, form, timeout=20, context=trust) as response:  # https
            tokens.append(json.loads(response.read())["access_token"])
    return tokens
