"""nginx with one worker, configured for a benchmark."""

from __future__ import annotations

import shutil
from pathlib import Path

from bench.processes import SERVER_CORE, CannotRun, Server, free_port, start

CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 512; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
    uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
    {more}
    server {{ listen 127.0.0.1:{port}; {locations} }}
}}
"""
EMPTY_200 = 'location / { return 200 ""; }'


def start_nginx(
    folder: Path,
    *,
    name: str = "nginx",
    core: int = SERVER_CORE,
    locations: str = EMPTY_200,
    more: str = "",
) -> tuple[Server, int]:
    """nginx and its port. `locations` stand in its one server, `more` beside that.

    Raises:
        CannotRun: nginx is not installed.
    """
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if program is None:
        raise CannotRun("nginx is not installed")
    port, own = free_port(), folder / name
    own.mkdir()
    configuration = own / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(folder=own, port=port, locations=locations, more=more))
    server = start(
        [program, "-p", own, "-c", configuration], environment={}, folder=own, name=name, core=core
    )
    try:
        server.wait_for_port(port)
    except CannotRun:
        server.stop()
        raise
    return server, port
