"""gateway-proxy: 1 kB of an application behind a proxy, connections kept alive, and 1 GB streamed.

nginx as a proxy that asks nobody, Entrada and oauth2-proxy that check a session for each request, all before
the same application (another nginx, on the client's core).
"""

from __future__ import annotations

import subprocess
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from bench.figures import Report, alternate, median_ratio
from bench.gateway.shown import COLUMNS, by_cpu, columns, p99
from bench.gateway.subjects import SECONDS, Subject, check_headers, signed_in, start_gateway
from bench.load import CONNECTIONS, Load
from bench.nginx import start_nginx
from bench.oauth2_proxy import start_oauth2_proxy
from bench.peers import ENTRADA as ENTRADA_SERVE
from bench.peers import Contestant
from bench.processes import CLIENT_CORE, CannotRun, Server, on_core
from bench.provider import Provider, start_provider

ROUNDS = 15
LARGE_BYTES, STREAMS = 1_000_000_000, 5
NGINX, ENTRADA, OAUTH2_PROXY = "nginx", "Entrada", "oauth2-proxy"
KEPT_AT_LEAST, MOST_TIMES_NGINX, MOST_GROWTH_BYTES = 0.25, 5, 32 * 1024 * 1024

PROXY = """
location / {{
    proxy_pass http://application;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_max_temp_file_size 0;
}}
"""
APPLICATION = (
    "upstream application {{ server 127.0.0.1:{port}; keepalive 16; keepalive_requests 100000000; }}"
)


def proxying(folder: Path, *, smoke: bool) -> Report:
    """Requests a second, latency, and the CPU and memory of a large body."""
    with ExitStack() as stack:
        provider = start_provider(folder, people=1)
        stack.enter_context(provider.server)
        with on_core(CLIENT_CORE):
            port = _application(folder, stack, size=1_000_000 if smoke else LARGE_BYTES)
        subjects, reasons = _start_all(provider, folder, port, stack)
        found = alternate(
            {name: partial(one.load, folder) for name, one in subjects.items()},
            rounds=1 if smoke else ROUNDS,
            most_seconds=100,
        )
        streams = alternate(
            {name: partial(stream, one) for name, one in subjects.items()},
            rounds=1 if smoke else STREAMS,
            most_seconds=60,
        )
    to_nginx = {
        name: median_ratio([one.cpu_seconds for one in made], [one.cpu_seconds for one in streams[NGINX]])
        for name, made in streams.items()
    }
    growth = {name: max(one.growth_bytes for one in made) for name, made in streams.items()}
    return Report(
        name="gateway-proxy",
        title=f"1 kB, {CONNECTIONS} connections, medians of {len(found[NGINX])} alternating rounds of"
        f" {SECONDS:g} s; and 1 GB",
        columns=("", *COLUMNS, "1 GB: CPU to nginx's", "memory", ""),
        rows=[
            *(
                (
                    name,
                    *columns(loads, found[NGINX]),
                    f"{to_nginx[name]:.1f}",
                    f"{growth[name] / 2**20:+.0f} MiB",
                    "",
                )
                for name, loads in found.items()
            ),
            *((name, *("–" for _ in COLUMNS), "–", "–", reason) for name, reason in reasons.items()),
        ],
        figures={
            "requests": {name: [asdict(one) for one in loads] for name, loads in found.items()},
            "streams": {name: [asdict(one) for one in made] for name, made in streams.items()},
        },
        goals={} if smoke else _goals(found, to_nginx, growth),
    )


def _of_stream(to_nginx: float, growth_bytes: int) -> tuple[str, str]:
    return f"{to_nginx:.1f}", f"{growth_bytes / 2**20:+.0f} MiB"


@dataclass(frozen=True, kw_only=True)
class Stream:
    """What a proxy used for one large body."""

    cpu_seconds: float
    growth_bytes: int


def stream(subject: Subject) -> Stream:
    """Takes the large body, and looks at the proxy's memory meanwhile."""
    server = subject.server
    assert isinstance(server, Server)
    command = ["curl", "--silent", "--fail", "--output", "/dev/null"]
    for name, value in subject.headers.items():
        command += ["--header", f"{name}: {value}"]
    memory, before, most = server.rss_bytes(), server.cpu_seconds(), 0
    with on_core(CLIENT_CORE):
        client = subprocess.Popen([*command, subject.url.replace("/small", "/large")])
    while client.poll() is None:
        most = max(most, server.rss_bytes())
        time.sleep(0.05)
    if client.returncode != 0:
        raise CannotRun(f"curl ended with {client.returncode}")
    return Stream(cpu_seconds=server.cpu_seconds() - before, growth_bytes=max(0, most - memory))


def _application(folder: Path, stack: ExitStack, *, size: int) -> int:
    files = folder / "files"
    for place in (folder, files):
        place.mkdir(exist_ok=True)
        place.chmod(0o755)
    (files / "small").write_bytes(b"x" * 1024)
    with (files / "large").open("wb") as large:
        large.truncate(size)
    options = f"root {files}; location / {{ }}"
    server, port = start_nginx(
        folder,
        name="application",
        core=CLIENT_CORE,
        locations=options,
        more="sendfile on; open_file_cache max=16 inactive=60s; open_file_cache_valid 60s;",
    )
    stack.enter_context(server)
    return port


def _start_all(
    provider: Provider, folder: Path, application: int, stack: ExitStack
) -> tuple[dict[str, Subject], dict[str, str]]:
    nginx, port = start_nginx(folder, locations=PROXY.format(), more=APPLICATION.format(port=application))
    stack.enter_context(nginx)
    subjects, reasons = {NGINX: Subject(server=nginx, url=f"http://127.0.0.1:{port}/small")}, {}
    upstream = f"http://127.0.0.1:{application}"
    contestants = {
        ENTRADA: replace(ENTRADA_SERVE, start=lambda *where: start_gateway(*where, "--upstream", upstream)),
        OAUTH2_PROXY: Contestant(
            name=OAUTH2_PROXY,
            version=str,
            start=partial(start_oauth2_proxy, upstream=upstream),
            path="/oauth2/start?rd=/",
            does="",
        ),
    }
    for name, contestant in contestants.items():
        try:
            server, origin, cookie = signed_in(contestant, provider, folder, stack)
        except CannotRun as reason:
            reasons[name] = f"did not run: {reason}"
            continue
        headers = {
            key: value
            for key, value in check_headers(origin, cookie).items()
            if not key.startswith("x-original")
        }
        subjects[name] = Subject(server=server, url=f"{origin}/small", headers=headers)
    subjects[NGINX] = replace(subjects[NGINX], headers=subjects[ENTRADA].headers)
    for subject in subjects.values():
        subject.answer()
    return subjects, reasons


def _goals(
    found: dict[str, list[Load]], to_nginx: dict[str, float], growth: dict[str, int]
) -> dict[str, bool]:
    ours, nginx = found[ENTRADA], found[NGINX]
    return {
        f"{KEPT_AT_LEAST} of nginx": by_cpu(ours, nginx) >= KEPT_AT_LEAST,
        f"1 GB for at most {MOST_TIMES_NGINX} times nginx's CPU": to_nginx[ENTRADA] <= MOST_TIMES_NGINX,
        "memory flat while 1 GB passes": growth[ENTRADA] <= MOST_GROWTH_BYTES,
        "p99 at most twice nginx's": p99(ours, nginx) <= 2,
    }
