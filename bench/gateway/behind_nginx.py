"""gateway-nginx: 1 kB behind nginx, with and without being asked who is there; all on one core.

nginx alone, nginx that asks itself over a unix socket (what the asking costs), and nginx that asks Entrada
over one, both configured as the documentation shows. CPU is nginx's and Entrada's together.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from bench.browser import PAGE_VISIT
from bench.figures import Report, alternate
from bench.gateway.shown import COLUMNS, by_cpu, columns
from bench.gateway.subjects import SECONDS, Subject
from bench.load import CONNECTIONS
from bench.nginx import start_nginx
from bench.peers import ENTRADA, RunningContestant, entrada_environment
from bench.processes import Together, start
from bench.provider import SERVERS, start_provider
from bench.sign_in import Crowd

ROUNDS, KEPT_AT_LEAST = 15, 0.45
ALONE, ITSELF, ASKS = "nginx alone", "nginx asks itself", "nginx asks Entrada"

MORE = """
upstream entrada {{ server unix:{socket}; keepalive 16; keepalive_requests 100000000; }}
upstream itself {{ server unix:{own_socket}; keepalive 16; keepalive_requests 100000000; }}
server {{ listen unix:{own_socket}; location / {{ return 200 ""; }} }}
open_file_cache max=16 inactive=60s; open_file_cache_valid 60s;
"""
LOCATIONS = """
root {folder};
location / {{ }}
location /auth/ {{ proxy_pass http://entrada; proxy_set_header Host $http_host; }}
"""
ASKING = """
location /asks-{name}/ {{
    auth_request /_{name}/check;
    auth_request_set $entrada_user $upstream_http_x_forwarded_user;
}}
location = /_{name}/check {{
    internal;
    proxy_pass http://{name}/auth/nginx;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_pass_request_body off;
    proxy_set_header Content-Length "";
    proxy_set_header Host $http_host;
    proxy_set_header X-Original-Method $request_method;
    proxy_set_header X-Original-Host $http_host;
    proxy_set_header X-Original-URI $request_uri;
}}
"""


def behind_nginx(folder: Path, *, smoke: bool) -> Report:
    """What is left of nginx's rate when each request is asked about."""
    for place in (folder, folder / "asks-itself", folder / "asks-entrada"):
        place.mkdir(exist_ok=True)
        place.chmod(0o755)
        (place / "page").write_bytes(b"x" * 1024)
    socket = folder / "entrada.sock"
    with ExitStack() as stack:
        provider = start_provider(folder, people=1)
        stack.enter_context(provider.server)
        locations = [
            LOCATIONS.format(folder=folder),
            *(ASKING.format(name=one) for one in ("itself", "entrada")),
        ]
        more = MORE.format(socket=socket, own_socket=folder / "nginx.sock")
        nginx, port = start_nginx(folder, locations="".join(locations), more=more)
        stack.enter_context(nginx)
        entrada = start(
            [sys.executable, SERVERS / "gateway_on_unix_socket.py", str(socket), "--port", str(port)],
            environment=entrada_environment(provider, folder, port) | {"ENTRADA_TRUSTED_PROXIES": "unix"},
            folder=folder,
            name="entrada",
        )
        stack.enter_context(entrada)
        entrada.wait_for_socket(socket)
        running = RunningContestant(
            contestant=ENTRADA, server=entrada, start_url=f"http://localhost:{port}{ENTRADA.path}"
        )
        cookie = Crowd(provider, size=1).sign_in(running, 1)
        origin = f"http://127.0.0.1:{port}"
        headers = {"Host": f"localhost:{port}", **PAGE_VISIT, "cookie": cookie}
        alone = Subject(server=nginx, url=f"{origin}/page", headers=headers)
        subjects = {
            ALONE: alone,
            ITSELF: replace(alone, url=f"{origin}/asks-itself/page"),
            ASKS: replace(alone, server=Together([nginx, entrada]), url=f"{origin}/asks-entrada/page"),
        }
        for subject in subjects.values():
            subject.answer()
        found = alternate(
            {name: partial(one.load, folder) for name, one in subjects.items()},
            rounds=1 if smoke else ROUNDS,
            most_seconds=100,
        )
    kept = by_cpu(found[ASKS], found[ALONE])
    return Report(
        name="gateway-nginx",
        title=f"1 kB of nginx's, {CONNECTIONS} connections, medians of {len(found[ALONE])} alternating rounds"
        f" of {SECONDS:g} s",
        columns=("", *COLUMNS, ""),
        rows=[(name, *columns(loads, found[ALONE]), "") for name, loads in found.items()],
        remarks=[f"of nginx that asks itself: {by_cpu(found[ASKS], found[ITSELF]):.2f}"],
        figures={name: [asdict(one) for one in loads] for name, loads in found.items()},
        goals={} if smoke else {f"{KEPT_AT_LEAST} of nginx alone": kept >= KEPT_AT_LEAST},
    )
