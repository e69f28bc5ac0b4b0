"""guarded: what Entrada costs an endpoint of each framework, and the same work beside its peers.

Each framework answers a page bare and guarded (a person with a session), over a real server on one core. Then
guarded pages beside those of peers: a session in Flask and Django, an access token in FastAPI.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from bench.browser import PAGE_VISIT
from bench.environment import peer_python
from bench.figures import Report, alternate, median
from bench.gateway.bearer_over_http import SCOPE, fastapi_azure_auth, issued
from bench.gateway.shown import COLUMNS, by_cpu, columns
from bench.gateway.subjects import Subject, signed_in
from bench.load import CONNECTIONS
from bench.peers import CONTESTANTS, ENTRADA, entrada_environment
from bench.processes import Server, free_port, start
from bench.provider import SERVERS, Provider, start_provider

ROUNDS, SECONDS = 11, 1.0
MOST_MORE = 0.15
"""Of a bare endpoint's CPU: what its guard may cost."""
PEER_TIMES = 3.0
MOST_IMPORT_MS = 30.0
FRAMEWORKS = ("fastapi", "starlette", "flask", "django")
ADAPTERS = {"entrada": "entrada", **{name: f"entrada.adapters.{name}" for name in FRAMEWORKS}}
BARE, GUARDED = "bare", "guarded"


def guarded(folder: Path, *, smoke: bool) -> Report:
    """CPU of a request, and how many times a peer's."""
    with ExitStack() as stack:
        provider = start_provider(folder, people=1)
        stack.enter_context(provider.server)
        subjects: dict[str, Subject] = {}
        for framework in FRAMEWORKS:
            subjects[f"{framework}, {BARE}"] = _bare(framework, provider, folder, stack)
            subjects[f"{framework}, {GUARDED}"] = _guarded(framework, provider, folder, stack)
        with_token = f"fastapi, {GUARDED}, access token"
        subjects[with_token] = _with_token(subjects[f"fastapi, {GUARDED}"], provider)
        ours_of_peer: dict[str, str] = {}
        if not smoke:
            for name, ours, made in (
                ("fastapi-azure-auth", with_token, _fastapi_azure_auth),
                ("identity, Flask", f"flask, {GUARDED}", _flask_identity),
                ("mozilla-django-oidc", f"django, {GUARDED}", _mozilla_django_oidc),
            ):
                subjects[name] = made(provider, folder, stack)
                ours_of_peer[name] = ours
        for subject in subjects.values():
            subject.answer()
        found = alternate(
            {name: partial(one.load, folder) for name, one in subjects.items()},
            rounds=1 if smoke else ROUNDS,
            most_seconds=240,
        )
    imports = {name: _import_ms(module, smoke=smoke) for name, module in ADAPTERS.items()}
    beside = {name: f"{name.partition(',')[0]}, {BARE}" for name in found} | ours_of_peer
    more = {f: 1 / by_cpu(found[f"{f}, {GUARDED}"], found[f"{f}, {BARE}"]) - 1 for f in FRAMEWORKS}
    times = {name: by_cpu(found[ours], found[name]) for name, ours in ours_of_peer.items()}
    return Report(
        name="guarded",
        title=f"a guarded page, {CONNECTIONS} connections, medians of {len(found[with_token])} alternating "
        f"rounds of {SECONDS:g} s",
        columns=("", *COLUMNS),
        rows=[(name, *columns(loads, found[beside[name]])) for name, loads in found.items()],
        remarks=[
            "beside: the bare page of its framework; for a peer, the guarded page that does the same work",
            *(f"{name}: a guard costs {share:.0%} more CPU" for name, share in more.items()),
            *(f"import {name}: {milliseconds:.0f} ms" for name, milliseconds in imports.items()),
        ],
        figures={
            "loads": {name: [asdict(one) for one in loads] for name, loads in found.items()},
            "more": more,
            "times": times,
            "import_ms": imports,
        },
        goals={}
        if smoke
        else {
            **{
                f"{name}: at most {MOST_MORE:.0%} more CPU than bare": share <= MOST_MORE
                for name, share in more.items()
            },
            **{
                f"{PEER_TIMES:g} times {name}: {factor:.1f}": factor >= PEER_TIMES
                for name, factor in times.items()
            },
            f"each import at most {MOST_IMPORT_MS:g} ms": max(imports.values()) <= MOST_IMPORT_MS,
        },
    )


def _command(framework: str, port: int, python: str | Path = sys.executable) -> list[str | Path]:
    if framework in ("fastapi", "starlette"):
        return [python, SERVERS / f"guarded_{framework}.py"]
    return _gunicorn(f"guarded_{framework}", port, python)


def _gunicorn(module: str, port: int, python: str | Path) -> list[str | Path]:
    return [python, "-m", "gunicorn", "--workers", "1", "--bind", f"127.0.0.1:{port}", f"{module}:app"]


def _server(
    framework: str, provider: Provider, folder: Path, port: int, *, kind: str, environment: Mapping[str, str]
) -> Server:
    own = folder / f"{framework}-{kind}"
    own.mkdir(exist_ok=True)
    told = {**provider.environment(port), "PYTHONPATH": str(SERVERS), **environment}
    return start(_command(framework, port), environment=told, folder=own, name=f"{framework}-{kind}")


def _bare(framework: str, provider: Provider, folder: Path, stack: ExitStack) -> Subject:
    port = free_port()
    server = stack.enter_context(
        _server(framework, provider, folder, port, kind=BARE, environment={"BENCH_GUARDED": ""})
    )
    server.wait_for_port(port)
    return Subject(server=server, url=f"http://127.0.0.1:{port}/page", headers=_headers(port, ""))


def _guarded(framework: str, provider: Provider, folder: Path, stack: ExitStack) -> Subject:
    def begin(provider: Provider, own: Path, port: int) -> Server:
        told = entrada_environment(provider, own, port) | {
            "BENCH_GUARDED": "1",
            "ENTRADA_BEARER_SCOPES": SCOPE,
        }
        return _server(framework, provider, folder, port, kind=GUARDED, environment=told)

    contestant = replace(ENTRADA, name=f"{framework} {GUARDED}", start=begin)
    server, origin, cookie = signed_in(contestant, provider, folder, stack)
    return Subject(
        server=server, url=f"{origin}/page", headers=_headers(int(origin.rpartition(":")[2]), cookie)
    )


def _with_token(guarded: Subject, provider: Provider) -> Subject:
    (token,) = issued(provider, 1)
    headers = {name: value for name, value in guarded.headers.items() if name != "cookie"}
    return replace(
        guarded,
        url=guarded.url.replace("/page", "/asked"),
        headers={**headers, "Authorization": f"Bearer {token}"},
    )


def _headers(port: int, cookie: str) -> dict[str, str]:
    """As a browser sends them; a page that is asked bare gets the cookie of another application."""
    return {"Host": f"localhost:{port}", **PAGE_VISIT, "cookie": cookie or f"theirs={'x' * 60}"}


def _fastapi_azure_auth(provider: Provider, folder: Path, stack: ExitStack) -> Subject:
    (token,) = issued(provider, 1)
    peer = fastapi_azure_auth(provider, folder, stack)
    return replace(peer, headers={**peer.headers, "Authorization": f"Bearer {token}"})


def _flask_identity(provider: Provider, folder: Path, stack: ExitStack) -> Subject:
    (contestant,) = (one for one in CONTESTANTS if one.name == "Flask + identity")
    server, origin, cookie = signed_in(contestant, provider, folder, stack)
    port = int(origin.rpartition(":")[2])
    return Subject(server=server, url=f"{origin}/start", headers=_headers(port, cookie))


def _mozilla_django_oidc(provider: Provider, folder: Path, stack: ExitStack) -> Subject:
    def begin(provider: Provider, own: Path, port: int) -> Server:
        told = provider.environment(port) | {"PYTHONPATH": str(SERVERS)}
        return start(
            _gunicorn("django_oidc", port, peer_python()), environment=told, folder=own, name="django-oidc"
        )

    contestant = replace(ENTRADA, name="mozilla-django-oidc", start=begin, path="/oidc/authenticate/")
    server, origin, cookie = signed_in(contestant, provider, folder, stack)
    port = int(origin.rpartition(":")[2])
    return Subject(server=server, url=f"{origin}/page", headers=_headers(port, cookie))


def _import_ms(module: str, *, smoke: bool) -> float:
    """On top of the framework, whose own import is not counted: the median of a few fresh processes."""
    framework = module.rpartition(".")[2]
    first = {"entrada": "sys", "fastapi": "fastapi", "starlette": "starlette.applications"}.get(
        framework, framework
    )
    program = (
        f"import sys, time, {first}; began = time.process_time(); import {module}; "
        "print((time.process_time() - began) * 1e3)"
    )
    return median(
        [
            float(
                subprocess.run(
                    [sys.executable, "-c", program], capture_output=True, text=True, check=True
                ).stdout
            )
            for _ in range(1 if smoke else 7)
        ]
    )
