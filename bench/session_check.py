"""The check of a live session, over HTTP: Entrada's answers beside nginx answering an empty 200.

Sixteen kept-alive connections, one session, headers as a browser sends them. Where it stands; there is no
goal yet.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

from bench.browser import PAGE_VISIT
from bench.figures import Report, median, ratio
from bench.load import Load, load
from bench.peers import ENTRADA, run
from bench.processes import CannotRun, Server, free_port, start
from bench.provider import start_provider
from bench.sign_in import Crowd

SECONDS = 2.0

NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 256; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
    uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
    server {{ listen 127.0.0.1:{port}; location / {{ return 200 ""; }} }}
}}
"""


def session_check(folder: Path, *, smoke: bool) -> Report:
    """Requests a second and CPU a request, medians of alternating rounds."""
    rounds = 1 if smoke else 5
    found: dict[str, list[Load]] = defaultdict(list)
    with ExitStack() as stack:
        provider = start_provider(folder, people=1)
        stack.enter_context(provider.server)
        entrada = run(ENTRADA, provider, folder)
        stack.enter_context(entrada.server)
        cookie = Crowd(provider, size=1).sign_in(entrada, 1)
        nginx, port = start_nginx(folder)
        stack.enter_context(nginx)
        origin = entrada.start_url.partition("/auth/")[0].replace("localhost", "127.0.0.1")
        headers = {**PAGE_VISIT, "cookie": cookie}
        asked: list[tuple[str, Server, str]] = [
            ("nginx, empty 200", nginx, f"http://127.0.0.1:{port}/"),
            ("GET /auth/me", entrada.server, f"{origin}/auth/me"),
            ("a protected page", entrada.server, f"{origin}/"),
        ]
        for _ in range(rounds):
            for name, server, url in asked:
                found[name].append(load(server, url, seconds=SECONDS, headers=headers, folder=folder))
    wall = {name: median([one.per_second for one in loads]) for name, loads in found.items()}
    rates = {name: median([one.per_cpu_second for one in loads]) for name, loads in found.items()}
    limit = rates["nginx, empty 200"]
    return Report(
        name="session-check",
        title=f"a live session checked over HTTP, medians of {rounds} alternating rounds of {SECONDS:g} s",
        columns=("", "CPU µs", "for a second of CPU", "to nginx", "requests/s now"),
        rows=[
            (name, f"{1e6 / rate:.1f}", f"{rate:,.0f}", ratio(rate, limit, digits=3), f"{wall[name]:,.0f}")
            for name, rate in rates.items()
        ],
        remarks=["the protected page is the front page of `entrada serve`: a redirect to /auth/account"],
        figures={"per_cpu_second": rates, "per_second": wall},
    )


def start_nginx(folder: Path) -> tuple[Server, int]:
    """nginx with one worker that answers every request with an empty 200, and its port.

    Raises:
        CannotRun: nginx is not installed.
    """
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if program is None:
        raise CannotRun("nginx is not installed")
    port, own = free_port(), folder / "nginx"
    own.mkdir()
    configuration = own / "nginx.conf"
    configuration.write_text(NGINX.format(folder=own, port=port))
    server = start([program, "-p", own, "-c", configuration], environment={}, folder=own, name="nginx")
    try:
        server.wait_for_port(port)
    except CannotRun:
        server.stop()
        raise
    return server, port
