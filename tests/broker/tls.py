"""A real nginx that ends TLS before a broker, with the certificate of the emulator's own authority."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from entrada.emulator import RunningEmulator
from house import tools
from walks.site import wait_until

CONFIGURATION = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        server_name localhost;
        ssl_certificate {certificate};
        ssl_certificate_key {certificate};
        location / {{
            proxy_pass http://127.0.0.1:{upstream};
            proxy_set_header Host $http_host;
            proxy_buffer_size 16k;
            proxy_buffers 8 16k;
        }}
    }}
}}
"""


@contextmanager
def nginx_ends_tls(emulator: RunningEmulator, *, port: int, upstream: int) -> Iterator[None]:
    """`https://localhost:port` in front of `http://127.0.0.1:upstream`, until the end of the block."""
    program = tools.command_path("nginx")
    with tempfile.TemporaryDirectory(prefix="entrada-nginx-") as name:
        folder = Path(name)
        configuration = folder / "nginx.conf"
        configuration.write_text(
            CONFIGURATION.format(
                folder=folder,
                user="user root;" if os.geteuid() == 0 else "",
                port=port,
                upstream=upstream,
                certificate=emulator.ca_file.with_name("tls.pem"),
            ),
            "utf-8",
        )
        with subprocess.Popen(
            [program, "-p", folder, "-c", configuration, "-e", folder / "start.log"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:

            def answers() -> bool:
                assert process.poll() is None, process.stderr and process.stderr.read()
                try:
                    httpx.get(f"https://localhost:{port}/", verify=False, trust_env=False)
                except httpx.TransportError:
                    return False
                return True

            try:
                wait_until(answers, seconds=30)
                yield
            finally:
                tools.end(process, seconds=10)
