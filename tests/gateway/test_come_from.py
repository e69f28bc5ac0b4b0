"""The page for who comes from oauth2-proxy or Easy Auth: each sentence of it, tried.

The addresses themselves are tried in `test_habits`, the import's remarks in `tests/cli/test_import`; here is
what the page shows and promises by name.
"""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from docs.pages import blocks
from entrada.cli import main
from entrada.compatibility import tomllib
from entrada.emulator import RunningEmulator
from entrada.gateway.app import create_gateway
from entrada.gateway.hops import TrustedHops, parse_trusted_hops
from entrada.gateway.rules import RuleBook
from entrada.gateway.tables import read_rule_book
from entrada.settings.tables import SettingsFile
from house import tools
from walks.site import Site, served
from walks.visitor import Visitor

from .proxies import running_nginx
from .test_habits import before_an_upstream
from .upstream import Upstream

PAGE = tools.ROOT / "docs/how-to/come-from-oauth2-proxy.md"
TEXT = PAGE.read_text("utf-8")


def block(language: str) -> str:
    (found,) = blocks(PAGE, language)
    return found.text


def imported(
    text: str, folder: Path, capsys: pytest.CaptureFixture[str], *more: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings file that the command writes, and what it says in JSON."""
    file = folder / "oauth2-proxy.cfg"
    file.write_text(text)
    capsys.readouterr()
    assert main(["import", "oauth2-proxy", str(file), "--into", str(folder), "--json", *more]) == 0
    document = json.loads(capsys.readouterr().out)
    return tomllib.loads(document["configuration"]), document


def test_what_the_page_shows_is_what_the_import_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Line for line; the last public path is the one that is dangerous, and the command stands at the end."""
    settings, document = imported(block("ini"), tmp_path, capsys)
    assert settings == tomllib.loads(block("toml"))
    said = [one for one in document["remarks"] if one["option"] == "skip_auth_routes"]
    assert [one["verdict"] for one in said if "status" in one["sentence"]] == ["dangerous"]
    assert [one["verdict"] for one in said if "status" not in one["sentence"]][:2] == ["same", "same"]
    written = block("ini").splitlines()
    lines = {one["line"] for one in document["remarks"]}
    assert lines == set(range(1, len(written) + 1))
    assert document["start"].startswith("entrada serve ")


def test_words_of_the_page_are_words_of_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a person reads it: five verdicts, and the command at the end."""
    file = tmp_path / "oauth2-proxy.cfg"
    file.write_text(block("ini"))
    assert main(["import", "oauth2-proxy", str(file), "--dry-run"]) == 0
    printed = capsys.readouterr().out
    for words in ("taken over", "with a difference", "not needed", "DANGEROUS"):
        assert words in TEXT
        assert f"    {words}: " in printed
    assert "no counterpart" in TEXT
    assert "Start it with: entrada serve" in printed.splitlines()[-2]
    assert list(tmp_path.iterdir()) == [file]


def test_a_secret_in_the_configuration_goes_into_a_file_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """entrada.client-secret, for its owner; cookie_secret is nowhere."""
    text = block("ini").replace(
        'client_secret_file = "/etc/oauth2-proxy.secret"', 'client_secret = "the-Value"'
    )
    settings, document = imported(text, tmp_path, capsys)
    secret = tmp_path / "entrada.client-secret"
    assert "`entrada.client-secret`" in TEXT
    assert settings["client_secret_file"] == str(secret)
    assert secret.read_text().strip() == "the-Value"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert "a secret of its own" not in json.dumps(document)


DIFFERENCES = {
    "reverse_proxy": ("reverse_proxy = true", "different"),
    "email_domains": ('email_domains = ["contoso.com"]', "dangerous"),
    "allowed_groups": ('allowed_groups = ["968b4844-d5e7-4e18-a834-59927959369f"]', "different"),
    "authenticated_emails_file": ('authenticated_emails_file = "/etc/emails"', "dangerous"),
    "skip_auth_regex": ('skip_auth_regex = ["/x"]', "dangerous"),
    "trusted_ips": ('trusted_ips = ["10.0.0.1"]', "dangerous"),
    "htpasswd_file": ('htpasswd_file = "/etc/htpasswd"', "dangerous"),
    "extra_jwt_issuers": ('extra_jwt_issuers = ["https://x=y"]', "dangerous"),
    "pass_access_token": ("pass_access_token = true", "dangerous"),
    "pass_authorization_header": ("pass_authorization_header = true", "dangerous"),
    "cookie_domains": ('cookie_domains = [".contoso.com"]', "none"),
    "session_store_type": ('session_store_type = "redis"', "needless"),
}


@pytest.mark.parametrize("option", DIFFERENCES)
def test_each_difference_of_the_table_is_said_by_the_import(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    """Nothing in the table that the command would not say, too."""
    line, verdict = DIFFERENCES[option]
    assert f"`{option}`" in TEXT or option == "session_store_type"
    kept = [
        one
        for one in block("ini").splitlines()
        if not one.startswith((f"{option} ", "skip_auth", *(["email_domains"] if "emails" in option else [])))
    ]
    settings, document = imported("\n".join([*kept, line]), tmp_path, capsys)
    said = [one["verdict"] for one in document["remarks"] if one["option"] == option]
    assert said == [verdict]
    if option == "authenticated_emails_file":
        assert settings["roles_required"] is True
    if option == "allowed_groups":
        assert settings["rules"] == [{"groups": ["968b4844-d5e7-4e18-a834-59927959369f"]}]


# --- addresses ---


def addresses(title: str) -> list[str]:
    """The addresses in the table below a heading."""
    section = TEXT.partition(f"## {title}\n")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `/")]
    return [address for cell in cells for address in re.findall(r"`([^`]+)`", cell)]


@contextmanager
def serving(emulator: RunningEmulator, folder: Path) -> Iterator[Site]:
    with served(
        emulator,
        database=folder / "entrada.db",
        app_of=lambda auth: create_gateway(auth, hops=parse_trusted_hops(["127.0.0.1"]), book=RuleBook()),
        ENTRADA_CALLBACK_PATHS="/oauth2/callback,/.auth/login/aad/callback",
    ) as site:
        yield site


def test_every_address_of_the_page_is_there(
    emulator: RunningEmulator, http: httpx.Client, tmp_path: Path
) -> None:
    """Without an upstream, by itself: none is 404."""
    found = [*addresses("oauth2-proxy: its addresses"), *addresses("Easy Auth")]
    assert len(found) == 12
    with serving(emulator, tmp_path) as site:
        visitor = Visitor(site, http)
        for address in found:
            assert visitor.fetch(address).status_code != 404, address


def test_before_an_upstream_they_are_there_where_habits_names_them(
    emulator: RunningEmulator, http: httpx.Client, tmp_path: Path
) -> None:
    """`/ping` is the upstream's without it, and asks for a sign-in."""
    for habits, status in ((None, 401), (frozenset({"oauth2-proxy"}), 200)):
        folder = tmp_path / str(status)
        folder.mkdir()
        with before_an_upstream(emulator, folder, habits) as (site, _):
            assert Visitor(site, http).fetch("/ping").status_code == status


# --- behind nginx ---


@pytest.fixture(scope="module")
def behind_nginx(
    emulator: RunningEmulator, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """The page's nginx configuration in a real nginx; Entrada as the import would set it up."""
    nginx = tools.command_path("nginx")
    folder, port = tmp_path_factory.mktemp("nginx"), tools.free_port()
    with served(
        emulator,
        database=folder / "entrada.db",
        public_url=f"http://localhost:{port}",
        app_of=lambda auth: create_gateway(
            auth, hops=parse_trusted_hops(["127.0.0.1"]), book=RuleBook(), habits=frozenset({"oauth2-proxy"})
        ),
        ENTRADA_CALLBACK_PATHS="/oauth2/callback",
    ) as site:
        servers = (
            block("nginx")
            .replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
            .replace("server_name tool.contoso.com;", "server_name localhost;")
            .replace("127.0.0.1:8000", site.address.removeprefix("http://"))
            .replace("127.0.0.1:5000", f"127.0.0.1:{upstream.port}")
        )
        with running_nginx(nginx, folder, servers):
            yield replace(site, address=f"http://127.0.0.1:{port}")


def test_behind_the_page_s_nginx_a_person_signs_in_and_comes_back(
    behind_nginx: Site, http: httpx.Client, upstream: Upstream
) -> None:
    """The page asked for shows the sign-in page, whose button leads back to it; the application is told who
    asks, whatever a client writes; the old link signs out."""
    upstream.requests.clear()
    visitor = Visitor(behind_nginx, http)
    page = visitor.open("/reports?x=1")
    assert page.status_code == 200
    assert 'href="/auth/entra/start?next=/reports%3Fx%3D1"' in page.text
    assert upstream.requests == []
    away = visitor.open("/auth/entra/start?next=/reports%3Fx%3D1").headers["location"]
    visitor.approve_as("ada@contoso.test", away)
    assert visitor.coming_back.startswith(f"{behind_nginx.public_url}/oauth2/callback?")
    assert visitor.complete().headers["location"] == "/reports?x=1"
    found = visitor.open("/reports?x=1", x_forwarded_user="mallory", x_forwarded_email="m@evil.test").json()
    fields = {name.lower(): value for name, value in found["fields"]}
    whoami = visitor.whoami()
    assert whoami is not None
    assert (fields["x-forwarded-user"], fields["x-forwarded-email"]) == (
        whoami["object_id"],
        "ada@contoso.test",
    )
    out = visitor.open("/oauth2/sign_out", sec_fetch_site="same-origin")
    assert "state=" not in out.headers["location"]
    upstream.requests.clear()
    assert "Sign in" in visitor.open("/reports").text
    assert upstream.requests == []


def test_a_field_of_the_visitor_s_own_says_nothing_behind_that_nginx(
    behind_nginx: Site, http: httpx.Client
) -> None:
    """nginx sets the field itself, so nobody is led where another page wanted."""
    page = Visitor(behind_nginx, http).open("/reports", x_auth_request_redirect="/elsewhere")
    assert "next=/reports" in page.text
    assert "/elsewhere" not in page.text


@pytest.mark.parametrize(
    ("rules", "status"),
    [
        ('[[rules]]\ngroups = ["968b4844-d5e7-4e18-a834-59927959369f"]\n', 401),
        ('[[rules]]\npath = "/static/**"\naccess = "public"\n', 403),
        ('[[rules]]\nmethods = ["OPTIONS"]\naccess = "public"\n', 403),
    ],
    ids=["whole host", "path", "method"],
)
def test_oauth2_auth_refuses_where_rules_look_at_paths(
    emulator: RunningEmulator, http: httpx.Client, tmp_path: Path, rules: str, status: int
) -> None:
    """It is told none: 403 for everybody, rather than a guess."""
    book = read_rule_book(SettingsFile(name="entrada.toml", entries=tomllib.loads(rules), text=rules))
    for hops, expected in ((parse_trusted_hops(["127.0.0.1"]), status), (TrustedHops(), 403)):
        with served(
            emulator,
            database=None,
            app_of=lambda auth, hops=hops: create_gateway(auth, hops=hops, book=book),
        ) as site:
            assert Visitor(site, http).fetch("/oauth2/auth").status_code == expected


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 202),
        ("?allowed_groups={group}", 202),
        ("?allowed_groups=968b4844-d5e7-4e18-a834-59927959369f", 403),
        ("?allowed_emails=ada@contoso.test", 403),
        ("?allowed_email_domains=contoso.test", 403),
    ],
)
def test_oauth2_auth_asks_for_groups_and_for_nothing_that_changes_hands(
    emulator: RunningEmulator, http: httpx.Client, tmp_path: Path, query: str, status: int
) -> None:
    """A parameter that is not understood is no reason to let anybody through."""
    group = emulator.person("ada@contoso.test").groups[-1]
    with served(
        emulator,
        database=tmp_path / "entrada.db",
        app_of=lambda auth: create_gateway(auth, hops=parse_trusted_hops(["127.0.0.1"]), book=RuleBook()),
        ENTRADA_GROUPS="all",
    ) as site:
        visitor = Visitor(site, http)
        visitor.sign_in_as("ada@contoso.test")
        assert visitor.fetch(f"/oauth2/auth{query.format(group=group)}").status_code == status
