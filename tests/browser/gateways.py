"""`entrada serve` before the notes application, alone or behind a real nginx: processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

from browser.notes_app import NotesApp, running_notes_app
from docs.pages import blocks
from entrada.emulator import RunningEmulator
from gateway.proxies import NGINX_PAGE, Running, documented_servers
from house import tools
from walks.site import ROLES, wait_until

NGINX = """
{user} daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log info;
events {{ worker_connections 256; }}
http {{
    access_log off; client_max_body_size 300m;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
{servers}
}}
"""
"""What a system's own nginx.conf holds, and a limit that lets uploads through."""

# Started as root, nginx works as somebody who may not write into a test's folder.
_USER = "user root;" if os.geteuid() == 0 else ""

_straight = build_opener(ProxyHandler({}))


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """`url` is the public one; `process` is `entrada serve`, its settings in `environment` and `folder`."""

    url: str
    entra: RunningEmulator
    app: NotesApp
    process: subprocess.Popen[bytes]
    environment: Mapping[str, str]
    folder: Path

    @property
    def hosts(self) -> set[str]:
        return {urlsplit(url).netloc for url in (self.url, self.entra.http_url)}

    def command(self, *words: str) -> str:
        """What an administrator types at this installation, and what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "entrada.cli", *words],
            env=dict(self.environment),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def resident_kb(self) -> int:
        lines = Path(f"/proc/{self.process.pid}/status").read_text("utf-8").splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])

    def log(self) -> str:
        return (self.folder / "log").read_text("utf-8")


@contextmanager
def running_gateway(
    entra: RunningEmulator, folder: Path, *, behind_nginx: bool, first: str = "", **settings: str
) -> Iterator[Gateway]:
    """Until the end of the block; rules and routes are those of the page about nginx, behind `first`."""
    (toml,) = (block.text for block in blocks(NGINX_PAGE, "toml"))
    with ExitStack() as stack:
        app = stack.enter_context(running_notes_app())
        application = f"127.0.0.1:{app.port}"
        port, own_port = tools.free_port(), tools.free_port()
        public_port = port if behind_nginx else own_port
        toml = toml.replace("127.0.0.1:5000", application)
        toml = toml.replace("https://tool.contoso.com", f"http://localhost:{public_port}")
        head, mark, rest = toml.partition("[[rules]]")
        (folder / "entrada.toml").write_text(f"{head}{first}{mark}{rest}", encoding="utf-8")
        environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            **entra.env("entrada"),
            "ENTRADA_DATABASE_URL": f"sqlite:///{folder / 'entrada.db'}",
            "ENTRADA_ROLES_MAPPING": ROLES,
            **settings,
        }
        process = stack.enter_context(_entrada(environment, folder, own_port))
        if behind_nginx:
            servers = documented_servers(port, f"127.0.0.1:{own_port}", application)
            (folder / "nginx.conf").write_text(
                NGINX.format(user=_USER, folder=folder, servers=servers), "utf-8"
            )
            nginx = tools.command_path("nginx")
            command = [nginx, "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
            stack.enter_context(Running(command, folder / "nginx.pid"))
        yield Gateway(
            url=f"http://localhost:{public_port}",
            entra=entra,
            app=app,
            process=process,
            environment=environment,
            folder=folder,
        )


@contextmanager
def _entrada(environment: dict[str, str], folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "entrada.cli", "serve", "--port", str(port)],
            env=environment,
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: _is_ready(process, folder, port), seconds=30)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _is_ready(process: subprocess.Popen[bytes], folder: Path, port: int) -> bool:
    assert process.poll() is None, (folder / "log").read_text("utf-8")
    try:
        with _straight.open(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
