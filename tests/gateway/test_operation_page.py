"""docs/how-to/operate-the-gateway.md: what the other tests of operation do not hold.

The other sentences are held by test_operation_metrics, _access_log, _reload, _workers and _systemd.
"""

from __future__ import annotations

import configparser
import json
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from docs.pages import blocks
from emulator.relying_party import Entra, payload
from entrada.cli.serve import server_config
from entrada.compatibility import tomllib
from entrada.emulator import RunningEmulator
from entrada.emulator.seed import CLIENT_ID
from entrada.flows.bearer import MOST_REMEMBERED
from entrada.settings import load_settings
from house.tools import ROOT, free_port
from walks.site import wait_until

from .operation import Serving, cookie_of, serving
from .test_operation_access_log import FIELDS, until_logged
from .test_operation_workers import Alone, children
from .test_operation_workers import http as http_that_keeps_nothing  # noqa: F401  # a fixture
from .upstream import Upstream

PAGE = ROOT / "docs/how-to/operate-the-gateway.md"
SCOPE = "access_as_user"
UNIT = ROOT / "deploy/systemd/entrada.service"


def check_with(token: str, server: Serving, http: httpx.Client) -> int:
    """The status of nginx's question about a request with this token."""
    asked = {"X-Original-Method": "GET", "X-Original-Host": "h", "X-Original-URI": "/reports"}
    credentials = {"Authorization": f"Bearer {token}"}
    return http.get(f"{server.address}/auth/nginx", headers={**asked, **credentials}).status_code


def test_the_settings_of_the_page_load() -> None:
    """Each TOML block names settings that exist, with values that they take."""
    for block in blocks(PAGE, "toml"):
        for name, value in tomllib.loads(block.text).items():
            settings, _ = load_settings({f"ENTRADA_{name.upper()}": value})
            assert getattr(settings, name) == value


def test_the_table_of_metrics_is_what_is_told(
    emulator: RunningEmulator, tmp_path: Path, upstream: Upstream, http: httpx.Client
) -> None:
    """Every metric of the table with its labels, and no other; each part and each kind of end is counted."""
    written = dict(re.findall(r"^\| `(entrada_\w+)(?:\{([\w,]+)\})?`", PAGE.read_text(), re.MULTILINE))
    route = f'[[routes]]\nupstream = "http://127.0.0.1:{upstream.port}"\naudience = "a"\n'
    toml = 'trusted_proxies = ["127.0.0.1"]\nrecheck_every = "1h"\ndelta_every = "1s"\n' + route
    emulator.change_app(CLIENT_ID, application_permissions=["User.Read.All"])
    lea = emulator.add_person("lea@contoso.test")
    with serving(emulator, tmp_path, toml=toml) as server:
        leaver = server.visitor(http)
        leaver.sign_in_as(lea.user_principal_name)
        visitor = server.visitor(http)
        visitor.sign_in_as("ada@contoso.test")
        server.check("/x", cookie=cookie_of(visitor))
        visitor.open("/x")
        emulator.change_person(lea.user_principal_name, enabled=False)
        wait_until(lambda: 'entrada_access_ended_total{found_by="delta"}' in server.figures(http))
        figures = server.figures(http)
        told: dict[str, set[str]] = {}
        for name in figures:
            plain = re.sub(r"_(bucket|sum|count|created)(?=\{|$)", "", name.partition("{")[0])
            labels = set(re.findall(r'(\w+)="', name)) - {"le"}
            told.setdefault(plain, set()).update(labels)
        told = {name: labels for name, labels in told.items() if f"{name}_total" not in told}
        assert told == {name: set(filter(None, labels.split(","))) for name, labels in written.items()}
        for part in ("check", "proxy", "own"):
            assert figures[f'entrada_requests_total{{part="{part}",status="2xx"}}'] >= 1
        assert {name for name in figures if name.startswith("entrada_key_age_seconds")} == {
            'entrada_key_age_seconds{keys="entra"}',
            'entrada_key_age_seconds{keys="assertion"}',
        }


def test_a_client_that_goes_away_is_gone_and_a_request_that_is_never_whole_is_not_counted(
    emulator: RunningEmulator, tmp_path: Path, http: httpx.Client
) -> None:
    """`gone` for who leaves before the response; an address that is too long has no line in the figures."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        toml = (
            f'[[rules]]\npath = "/**"\naccess = "public"\n[[routes]]\nupstream = "http://127.0.0.1:{port}"\n'
        )
        with serving(emulator, tmp_path, toml=toml) as server:
            to = ("127.0.0.1", urlsplit(server.address).port or 0)

            def requests() -> dict[str, float]:
                return {
                    name: value
                    for name, value in server.figures(http).items()
                    if name.startswith("entrada_requests_total") and 'part="own"' not in name
                }

            with socket.create_connection(to) as link:
                link.sendall(b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert link.recv(100).startswith(b"HTTP/1.1 414")
            assert requests() == {}
            with socket.create_connection(to) as link:
                link.sendall(b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello")
                accepted, _ = silent.accept()
            with accepted:  # it never answers
                wait_until(lambda: requests() == {'entrada_requests_total{part="proxy",status="gone"}': 1})


def test_the_line_of_the_page_is_a_line_of_the_log() -> None:
    """The same fields; and the account's id is what `user_id` holds."""
    (block,) = blocks(PAGE, "json")
    assert json.loads(block.text).keys() == FIELDS
    assert "?" not in block.text


def test_of_an_application_the_log_has_its_object_id(
    emulator: RunningEmulator, tmp_path: Path, http: httpx.Client, entra: Entra
) -> None:
    """It has no account here."""
    settings = {"ENTRADA_BEARER_SCOPES": SCOPE, "ENTRADA_ACCESS_LOG": str(tmp_path / "access.log")}
    with serving(emulator, tmp_path, **settings) as server:
        form = {"grant_type": "client_credentials", "scope": f"api://{CLIENT_ID}/.default"}
        app = emulator.app(CLIENT_ID)
        emulator.directory.assign(app, app.service_principal_id, "Viewer")
        token = entra.token(**form).json()["access_token"]
        assert check_with(token, server, http) == 403  # no rule names its role
        line = until_logged(server, path="/reports")
        assert line["user_id"] == payload(token)["oid"]


def test_every_worker_says_what_is_missing(
    emulator: RunningEmulator,
    tmp_path: Path,
    http_that_keeps_nothing: httpx.Client,  # noqa: F811
) -> None:
    """/healthz is 200 and /readyz 503 with the name of what is missing, whoever is asked."""
    nowhere = f"https://127.0.0.1:{free_port()}"
    with serving(emulator, tmp_path, "--workers", "2", ENTRADA_AUTHORITY_HOST=nowhere) as server:
        wait_until(lambda: len(children(server)) == 2)
        with Alone(server) as alone:
            for pid in alone.pids:
                alone.ask(pid)
                assert http_that_keeps_nothing.get(f"{server.address}/healthz").status_code == 200
                answer = http_that_keeps_nothing.get(f"{server.address}/readyz")
                assert answer.status_code == 503
                assert answer.json()["waiting_for"].keys() == {"entra"}


def test_an_access_token_that_one_worker_remembers_ends_with_the_access(
    emulator: RunningEmulator,
    tmp_path: Path,
    http_that_keeps_nothing: httpx.Client,  # noqa: F811
    entra: Entra,
) -> None:
    """Disabled by the command line, the person is out in every worker within a second."""
    http = http_that_keeps_nothing
    with serving(emulator, tmp_path, "--workers", "2", ENTRADA_BEARER_SCOPES=SCOPE) as server:
        visitor = server.visitor(http)
        visitor.sign_in_as("ada@contoso.test")
        token = entra.tokens(scope=f"openid api://{CLIENT_ID}/{SCOPE}", prompt="login")["access_token"]
        wait_until(lambda: len(children(server)) == 2)
        with Alone(server) as alone:
            for pid in alone.pids:
                alone.ask(pid)
                assert [check_with(token, server, http) for _ in range(2)] == [200, 200]
        told = subprocess.run(
            [sys.executable, "-m", "entrada.cli", "users", "disable", "ada@contoso.test"],
            cwd=tmp_path,
            env=server.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert told.returncode == 0, told.stderr
        disabled = time.monotonic()
        with Alone(server) as alone:
            for pid in alone.pids:
                alone.ask(pid)
                wait_until(lambda: check_with(token, server, http) != 200, seconds=1)
        assert time.monotonic() - disabled < 2  # one second for each of the two


def test_the_numbers_of_the_page_are_the_codes() -> None:
    """20 seconds of patience, 10,000 tokens."""
    text = PAGE.read_text()
    assert server_config(None).timeout_graceful_shutdown == 20
    assert "20 seconds at most" in text
    assert f"{MOST_REMEMBERED:,} at most" in text


def test_the_unit_is_as_the_page_says() -> None:
    """Its paths, a user of its own, no capability, one place to write to."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(UNIT.read_text())
    service = unit["Service"]
    command = "/opt/entrada/bin/entrada serve --settings /etc/entrada/entrada.toml "
    assert service["ExecStart"].startswith(command)
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert service["LoadCredential"] == "client_secret:/etc/entrada/client_secret"
    assert (service["DynamicUser"], service["StateDirectory"]) == ("yes", "entrada")
    assert service["WorkingDirectory"] == "/var/lib/entrada"
    assert (service["ProtectSystem"], service["CapabilityBoundingSet"]) == ("strict", "")
