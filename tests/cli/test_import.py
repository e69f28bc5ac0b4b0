"""`entrada import oauth2-proxy`: what was configured there is configured here, and what is not is said."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from entrada.cli import main
from entrada.cli.import_oauth2_proxy.options import OPTIONS, Configuration, Kind, Place, Said
from entrada.cli.import_oauth2_proxy.translation import translate
from entrada.compatibility import tomllib
from entrada.emulator import RunningEmulator
from gateway.upstream import Upstream, running_upstream
from house.tools import free_port
from walks.conftest import emulator, http  # noqa: F401  # fixtures
from walks.nursery import ENTRADA, plain_environment, until
from walks.visitor import Visitor

TENANT = "aaaabbbb-0000-cccc-1111-dddd2222eeee"
CLIENT = "00001111-aaaa-2222-bbbb-3333cccc4444"
GROUP = "968b4844-d5e7-4e18-a834-59927959369f"
SECRET = "A1b~C2d.E3f-made-up"
COOKIE_SECRET = "0123456789abcdef0123456789abcdef"

CFG = f"""
provider = "entra-id"
oidc_issuer_url = "https://login.microsoftonline.com/{TENANT}/v2.0"
client_id = "{CLIENT}"
client_secret = "{SECRET}"
redirect_url = "https://tool.contoso.com/oauth2/callback"
cookie_secret = "{COOKIE_SECRET}"
email_domains = ["*"]
allowed_groups = ["{GROUP}"]
reverse_proxy = true
http_address = "127.0.0.1:4180"
upstreams = ["http://127.0.0.1:8080/", "http://127.0.0.1:8081/wiki/"]
skip_auth_routes = ["GET=^/healthz$", "^/static/"]
cookie_expire = "12h0m0s"
"""
ENV = f"""
# as docker and systemd read it
OAUTH2_PROXY_PROVIDER=entra-id
OAUTH2_PROXY_OIDC_ISSUER_URL=https://login.microsoftonline.com/{TENANT}/v2.0
OAUTH2_PROXY_CLIENT_ID={CLIENT}
export OAUTH2_PROXY_CLIENT_SECRET="{SECRET}"
OAUTH2_PROXY_REDIRECT_URL=https://tool.contoso.com/oauth2/callback
OAUTH2_PROXY_COOKIE_SECRET={COOKIE_SECRET}
OAUTH2_PROXY_EMAIL_DOMAINS=*
OAUTH2_PROXY_ALLOWED_GROUPS={GROUP}
OAUTH2_PROXY_REVERSE_PROXY=true
OAUTH2_PROXY_HTTP_ADDRESS=127.0.0.1:4180
OAUTH2_PROXY_UPSTREAMS=http://127.0.0.1:8080/,http://127.0.0.1:8081/wiki/
OAUTH2_PROXY_SKIP_AUTH_ROUTES=GET=^/healthz$,^/static/
OAUTH2_PROXY_COOKIE_EXPIRE=12h
HOSTNAME=elsewhere
"""
FLAGS = f"""
docker run -p 4180:4180 quay.io/oauth2-proxy/oauth2-proxy:v7.12.0 \\
  --provider=entra-id \\
  --oidc-issuer-url https://login.microsoftonline.com/{TENANT}/v2.0 \\
  --client-id={CLIENT} --client-secret='{SECRET}' \\
  --redirect-url=https://tool.contoso.com/oauth2/callback \\
  --cookie-secret={COOKIE_SECRET} \\
  --email-domain=* --allowed-group={GROUP} --reverse-proxy --http-address=127.0.0.1:4180 \\
  --upstream=http://127.0.0.1:8080/ --upstream=http://127.0.0.1:8081/wiki/ \\
  --skip-auth-route="GET=^/healthz$" --skip-auth-route='^/static/' --cookie-expire=12h
"""
UNIT = f"""
[Service]
User=www-data
Environment="OAUTH2_PROXY_CLIENT_SECRET={SECRET}" OAUTH2_PROXY_COOKIE_SECRET={COOKIE_SECRET}
ExecStart=/usr/local/bin/oauth2-proxy --provider=entra-id --client-id={CLIENT} \\
  --oidc-issuer-url=https://login.microsoftonline.com/{TENANT}/v2.0 \\
  --redirect-url=https://tool.contoso.com/oauth2/callback --email-domain=* \\
  --allowed-group={GROUP} --reverse-proxy=true --http-address=127.0.0.1:4180 \\
  --upstream=http://127.0.0.1:8080/,http://127.0.0.1:8081/wiki/ \\
  --skip-auth-route=GET=^/healthz$,^/static/ --cookie-expire=12h
Restart=always
"""
YAML = f"""
upstreamConfig:
  upstreams:
    - {{id: app, path: /, uri: "http://127.0.0.1:8080"}}
    - id: wiki
      path: /wiki/
      uri: http://127.0.0.1:8081
injectRequestHeaders:
  - name: X-Forwarded-User
    values: [{{claim: user}}]
server:
  BindAddress: 127.0.0.1:4180
providers:
  - id: entra
    provider: entra-id
    clientID: {CLIENT}
    clientSecret: "{SECRET}"
    allowedGroups: ["{GROUP}"]
    oidcConfig:
      issuerURL: https://login.microsoftonline.com/{TENANT}/v2.0
      insecureSkipNonce: false
proxyOptions:
  redirectUrl: https://tool.contoso.com/oauth2/callback
  reverseProxy: true
  emailDomains: ["*"]
  skipAuthRoutes:
    - GET=^/healthz$
    - ^/static/
cookie:
  secret: {COOKIE_SECRET}
  expire: 12h
"""
FORMS = {
    "oauth2-proxy.cfg": CFG,
    "oauth2-proxy.env": ENV,
    "start.sh": FLAGS,
    "oauth2-proxy.service": UNIT,
    "oauth2-proxy.yaml": YAML,
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and none of this machine's settings."""
    for name in list(os.environ):
        if name.startswith(("ENTRADA_", "AZURE_", "OAUTH2_PROXY_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def imported(here: Path, capsys: pytest.CaptureFixture[str], *names: str, **texts: str) -> SimpleNamespace:
    """What the command says in JSON, and the settings that it wrote."""
    capsys.readouterr()
    assert main(["import", "oauth2-proxy", *names, "--json", "--into", str(here)]) == 0
    document = json.loads(capsys.readouterr().out)
    file = Path(document["written"][0])
    return SimpleNamespace(
        **document, text=file.read_text("utf-8"), settings=tomllib.loads(file.read_text("utf-8"))
    )


def of(changes: dict[str, str], *, without: tuple[str, ...] = ()) -> str:
    """The configuration file with some lines changed, added or left out."""
    lines = dict(line.split(" = ", 1) for line in CFG.strip().splitlines())
    lines |= changes
    return "\n".join(f"{name} = {value}" for name, value in lines.items() if name not in without) + "\n"


def remarks(found: SimpleNamespace, option: str) -> list[tuple[str, str]]:
    return [(one["verdict"], one["sentence"]) for one in found.remarks if one["option"] == option]


# --- every form ---


@pytest.mark.parametrize("name", FORMS)
def test_each_form_becomes_the_same_settings(
    here: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """The file, the environment, a command line, a unit file, the nested form: one entrada.toml."""
    (here / name).write_text(FORMS[name])
    found = imported(here, capsys, name)
    assert found.settings == {
        "tenant_id": TENANT,
        "client_id": CLIENT,
        "client_secret_file": str(here / "entrada.client-secret"),
        "public_url": "https://tool.contoso.com",
        "callback_paths": ["/oauth2/callback"],
        "habits": ["oauth2-proxy"],
        "trusted_proxies": ["127.0.0.1", "::1"],
        "session_absolute": "12h",
        "routes": [
            {"path": "/wiki/**", "upstream": "http://127.0.0.1:8081"},
            {"upstream": "http://127.0.0.1:8080"},
        ],
        "rules": [
            {"path": "/healthz", "methods": ["GET"], "access": "public"},
            {"path": "/static/**", "access": "public"},
            {"groups": [GROUP]},
        ],
    }
    assert found.start == f"entrada serve --host 127.0.0.1 --port 4180 --settings {here}/entrada.toml"
    written = (here / name).read_text().splitlines()
    for one in found.remarks:
        assert one["option"].rpartition(" ")[2] in written[one["line"] - 1], one


@pytest.mark.parametrize("name", FORMS)
def test_secrets_stand_in_a_file_of_their_own_alone(
    here: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Only its owner may read it; neither entrada.toml nor what is printed holds one."""
    (here / name).write_text(FORMS[name])
    assert main(["import", "oauth2-proxy", name]) == 0
    printed = capsys.readouterr()
    secret = here / "entrada.client-secret"
    assert secret.read_text().strip() == SECRET
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    for text in (printed.out, printed.err, (here / "entrada.toml").read_text()):
        assert SECRET not in text
        assert COOKIE_SECRET not in text


def test_words_in_a_value_do_not_make_it_a_command_line(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file with an option of oauth2-proxy is its configuration file, whatever stands in it."""
    (here / "p.cfg").write_text(of({"provider_display_name": '"our oauth2-proxy --provider=oidc"'}))
    found = imported(here, capsys, "p.cfg")
    assert found.settings["sign_in_label"] == "Sign in with our oauth2-proxy --provider=oidc"


def test_flags_beat_the_environment_and_that_beats_the_file(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As with oauth2-proxy; together they are one configuration."""
    (here / "a.cfg").write_text(of({"cookie_expire": '"1h"', "provider_display_name": '"File"'}))
    (here / "b.env").write_text("OAUTH2_PROXY_COOKIE_EXPIRE=2h\nOAUTH2_PROXY_PROVIDER_DISPLAY_NAME=Env\n")
    (here / "c.sh").write_text("oauth2-proxy --config=/etc/a.cfg --cookie-expire=3h\n")
    found = imported(here, capsys, "c.sh", "a.cfg", "b.env")
    assert found.settings["session_absolute"] == "3h"
    assert found.settings["session_idle"] == "3h"
    assert found.settings["sign_in_label"] == "Sign in with Env"


# --- the real server ---


@contextmanager
def serving(command: str, folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """The command that the import has said, until the end of the block."""
    words = command.split()
    assert words[:2] == ["entrada", "serve"]
    log = folder / "log"
    with (
        log.open("wb") as written,
        Popen([*ENTRADA, *words[1:]], cwd=folder, env=environment, stdout=written, stderr=written) as process,
    ):
        address = f"http://127.0.0.1:{words[words.index('--port') + 1]}"

        def answers() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return httpx.get(f"{address}/ready", trust_env=False).status_code == 200
            except httpx.TransportError:
                return False

        try:
            until(answers)
            yield
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with running_upstream() as running:
        yield running


@pytest.mark.parametrize("name", ["oauth2-proxy.cfg", "oauth2-proxy.yaml"])
def test_what_was_written_starts_and_signs_in(
    here: Path,
    capsys: pytest.CaptureFixture[str],
    emulator: RunningEmulator,  # noqa: F811
    http: httpx.Client,  # noqa: F811
    upstream: Upstream,
    name: str,
) -> None:
    """`entrada serve` by the command that was printed: a member signs in by the old link and reaches the
    application, which gets the group; who is in none gets 403; public paths are public; the old link signs
    out."""
    given, port = emulator.env("entrada"), free_port()
    member = emulator.person("ada@contoso.test")
    public_url = f"http://localhost:{port}"
    text = FORMS[name]
    for old, new in {
        TENANT: given["ENTRADA_TENANT_ID"],
        CLIENT: given["ENTRADA_CLIENT_ID"],
        SECRET: given["ENTRADA_CLIENT_SECRET"],
        GROUP: member.groups[-1],
        "https://tool.contoso.com": public_url,
        "127.0.0.1:4180": f"127.0.0.1:{port}",
        "http://127.0.0.1:8080": f"http://127.0.0.1:{upstream.port}",
    }.items():
        assert old in text
        text = text.replace(old, new)
    (here / name).write_text(text)
    found = imported(here, capsys, name)
    to_the_emulator = ("AUTHORITY_HOST", "GRAPH_HOST", "CA_BUNDLE", "INSECURE_ALLOW_EMULATOR")
    environment = {
        **plain_environment(here),
        **{f"ENTRADA_{one}": given[f"ENTRADA_{one}"] for one in to_the_emulator},
    }
    with serving(found.start, here, environment):
        site: Any = SimpleNamespace(public_url=public_url, address=f"http://127.0.0.1:{port}")
        browser = Visitor(site, http)
        assert browser.fetch("/static/app.css").status_code == 200
        assert browser.fetch("/healthz").status_code == 200
        assert browser.fetch("/other").status_code == 401
        away = browser.open("/oauth2/start?rd=/reports").headers["location"]
        browser.approve_as(member, away)
        assert browser.complete().headers["location"] == "/reports"
        fields = {key.lower(): value for key, value in browser.open("/reports").json()["fields"]}
        assert fields["x-forwarded-user"] == member.object_id
        assert fields["x-forwarded-groups"] == member.groups[-1]
        userinfo = browser.fetch("/oauth2/userinfo").json()
        assert (userinfo["email"], userinfo["groups"]) == ("ada@contoso.test", [member.groups[-1]])
        other = Visitor(site, http)
        other.sign_in_as("nora@contoso.test")
        assert other.fetch("/reports").status_code == 403
        browser.open("/oauth2/sign_out?rd=/", sec_fetch_site="same-origin")
        assert browser.fetch("/reports").status_code == 401


# --- every option ---


@pytest.mark.parametrize("option", sorted(OPTIONS))
def test_every_option_gets_a_remark(option: str) -> None:
    """No line of anybody's configuration goes by in silence, whichever way its switch is set."""
    place = Place(file="x", line=1, written=option)
    base = {name: value for name, value in tomllib.loads(CFG).items() if name != option}
    usual: dict[str, Any] = {
        "provider": "entra-id",
        "oidc_issuer_url": f"https://login.microsoftonline.com/{TENANT}/v2.0",
        "azure_tenant": TENANT,
        "entra_id_allowed_tenants": [TENANT],
        "client_id": CLIENT,
        "redirect_url": "https://tool.contoso.com/oauth2/callback",
        "cookie_expire": "12h",
        "metrics_address": "127.0.0.1:9100",
        "oidc_groups_claim": "groups",
        "allowed_groups": [GROUP],
        "upstreams": ["http://127.0.0.1:8080/"],
        "trusted_proxy_ips": ["10.0.0.1"],
        "skip_auth_routes": ["^/x$"],
        "skip_auth_regex": ["^/x$"],
    }
    values = {Kind.TEXT: ["text"], Kind.LIST: [["one"]], Kind.SWITCH: [True, False]}[OPTIONS[option]]
    for value in [usual[option]] if option in usual else values:
        said = [
            *(
                Said(option=name, place=Place(file="y", line=1, written=name), value=v)
                for name, v in base.items()
            ),
            Said(option=option, place=place, value=value),
        ]
        made = translate(Configuration(said=said))
        assert any(remark.place == place for remark in made.remarks), (option, value)
        assert all("$[" not in remark.place.written for remark in made.remarks)


# --- what is wider stays out ---


@pytest.mark.parametrize(
    ("route", "patterns"),
    [
        ("^/healthz$", ["/healthz"]),
        ("^/healthz/?$", ["/healthz"]),
        ("^/(ping|ready)$", ["/ping", "/ready"]),
        ("^/api/[^/]+/open$", ["/api/*/open"]),
        ("^/static/.*", ["/static/**"]),
        ("^/docs(/.*)?$", ["/docs/**"]),
        ("^/favicon.ico$", ["/favicon.ico"]),
        ("^/robots\\\\.txt$", ["/robots.txt"]),
        ("^/api", ["/api/**"]),
        ("^/$", ["/"]),
    ],
)
def test_a_public_path_is_a_pattern_of_ours(
    here: Path, capsys: pytest.CaptureFixture[str], route: str, patterns: list[str]
) -> None:
    """Plain paths, with one segment or an end left open."""
    (here / "p.cfg").write_text(of({"skip_auth_routes": f'["{route}"]'}))
    rules = imported(here, capsys, "p.cfg").settings["rules"][:-1]
    assert rules == [{"path": pattern, "access": "public"} for pattern in patterns]


@pytest.mark.parametrize(
    "route",
    [
        "/public",
        ".*",
        "^.*$",
        "^/",
        "^/.*",
        "^/api/.*/status",
        "!=^/admin",
        "GET!=^/admin",
        "^/a|/b",
        "(?i)^/x",
        "^/[a-z]+$",
        "^/v[^/]+/x$",
        "^/x/../y",
        "[",
    ],
)
@pytest.mark.parametrize("option", ["skip_auth_routes", "skip_auth_regex"])
def test_d4_an_expression_that_opens_more_than_a_path_opens_nothing(
    here: Path, capsys: pytest.CaptureFixture[str], option: str, route: str
) -> None:
    """It is left out, which asks for a sign-in, and said to be dangerous."""
    (here / "p.cfg").write_text(
        of({option: f"['{route}']"}, without=("skip_auth_routes",) * (option != "skip_auth_routes"))
    )
    found = imported(here, capsys, "p.cfg")
    assert found.settings["rules"] == [{"groups": [GROUP]}]
    ((verdict, sentence),) = remarks(found, option)
    assert verdict == "dangerous"
    assert "a sign-in is needed" in sentence


def test_a_rule_that_another_covers_is_left_out(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It would stop the start, being never reached."""
    routes = '["^/a/b$", "^/a/", "GET=^/a/", "OPTIONS=^/x$", "^/a/"]'
    (here / "p.cfg").write_text(of({"skip_auth_routes": routes, "skip_auth_preflight": "true"}))
    assert imported(here, capsys, "p.cfg").settings["rules"][:-1] == [
        {"methods": ["OPTIONS"], "access": "public"},
        {"path": "/a/**", "access": "public"},
    ]


@pytest.mark.parametrize(
    ("changes", "expected", "verdict"),
    [
        ({"authenticated_emails_file": '"/etc/emails"'}, {"roles_required": True}, "dangerous"),
        ({"email_domains": '["contoso.com"]'}, {}, "dangerous"),
        ({"trusted_ips": '["10.0.0.0/8"]'}, {}, "dangerous"),
        ({"htpasswd_file": '"/etc/htpasswd"'}, {}, "dangerous"),
        ({"extra_jwt_issuers": '["https://x=y"]'}, {}, "dangerous"),
        ({"skip_jwt_bearer_tokens": "true"}, {}, "dangerous"),
        ({"insecure_oidc_skip_issuer_verification": "true"}, {}, "dangerous"),
        ({"insecure_oidc_skip_nonce": "true"}, {}, "dangerous"),
        ({"ssl_insecure_skip_verify": "true"}, {}, "dangerous"),
        ({"ssl_upstream_insecure_skip_verify": "true"}, {}, "dangerous"),
        ({"skip_auth_strip_headers": "false"}, {}, "dangerous"),
        ({"cookie_secure": "false"}, {}, "dangerous"),
        ({"ping_user_agent": '"kube-probe"'}, {}, "dangerous"),
        ({"pass_access_token": "true"}, {}, "dangerous"),
        ({"acr_values": '"c1"'}, {}, "dangerous"),
        ({"ssl_insecure_skip_verify": "false"}, {}, "needless"),
        ({"cookie_secure": "true"}, {}, "needless"),
        ({"insecure_oidc_skip_nonce": "false"}, {}, "needless"),
        ({"api_routes": '["^/api"]'}, {}, "needless"),
        ({"session_store_type": '"redis"'}, {}, "needless"),
        ({"whitelist_domains": '[".contoso.com"]'}, {}, "none"),
        ({"cookie_domains": '[".contoso.com"]'}, {}, "none"),
        ({"tls_cert_file": '"/etc/x.pem"'}, {}, "none"),
        ({"provider_display_name": '"Contoso"'}, {"sign_in_label": "Sign in with Contoso"}, "same"),
        ({"metrics_address": '":9100"'}, {"metrics_address": "0.0.0.0:9100"}, "same"),
        ({"metrics_address": '"[::1]:9100"'}, {"metrics_address": "[::1]:9100"}, "same"),
        ({"http_address": '"unix:///run/proxy.sock"'}, {}, "none"),
        ({"provider_ca_files": '["/etc/ca.pem"]'}, {"ca_bundle": "/etc/ca.pem"}, "different"),
    ],
)
def test_a_line_is_said_for_what_it_is(
    here: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, str],
    expected: dict[str, Any],
    verdict: str,
) -> None:
    """Dangerous, without counterpart, different, needless, or the same."""
    (option,) = changes
    without = ("email_domains",) if option == "authenticated_emails_file" else ()
    (here / "p.cfg").write_text(of(changes, without=("allowed_groups", *without)))
    found = imported(here, capsys, "p.cfg")
    assert [said for said, _ in remarks(found, option)] == [verdict]
    assert expected.items() <= found.settings.items()


def test_a_list_of_people_lets_in_nobody_rather_than_everybody(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where groups were asked for besides: alone they would let in more."""
    text = of({"authenticated_emails_file": '"/etc/emails"'}, without=("email_domains",))
    (here / "p.cfg").write_text(text)
    found = imported(here, capsys, "p.cfg")
    assert found.settings["roles_required"] is True
    assert "roles_mapping" not in found.settings
    assert all(rule["access"] == "public" for rule in found.settings["rules"])


@pytest.mark.parametrize(
    ("groups", "claim", "rule"),
    [
        (f'["{GROUP.upper()}"]', None, {"groups": [GROUP]}),
        ('["Platform Team", "Ops"]', None, {"groups": ["group:Platform Team", "group:Ops"]}),
        ('["Tool.Use"]', '"roles"', {"roles": ["Tool.Use"]}),
    ],
)
def test_allowed_groups_are_asked_for_everywhere(
    here: Path, capsys: pytest.CaptureFixture[str], groups: str, claim: str | None, rule: dict[str, Any]
) -> None:
    """By object id, by name, or as app roles where oidc_groups_claim says so, below what is public."""
    changes = {"allowed_groups": groups, **({} if claim is None else {"oidc_groups_claim": claim})}
    (here / "p.cfg").write_text(of(changes))
    found = imported(here, capsys, "p.cfg")
    assert found.settings["rules"][-1] == rule
    assert found.settings.get("roles_mapping") == (None if claim is None else {"Tool.Use": "Tool.Use"})


def test_several_tenants_are_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Personal accounts are not among them, and a group is each tenant's own."""
    other = "11112222-bbbb-3333-cccc-4444dddd5555"
    changes = {
        "oidc_issuer_url": '"https://login.microsoftonline.com/common/v2.0"',
        "entra_id_allowed_tenants": f'["9188040d-6c67-4c5b-b112-36a304b66dad", "{TENANT}", "{other}"]',
    }
    (here / "p.cfg").write_text(of(changes))
    found = imported(here, capsys, "p.cfg")
    assert found.settings["tenant_id"] == "organizations"
    assert found.settings["allowed_tenants"] == [TENANT, other]
    assert found.settings["rules"][-1] == {"groups": [f"{TENANT}/{GROUP}", f"{other}/{GROUP}"]}


@pytest.mark.parametrize(
    ("changes", "hops", "verdict"),
    [
        ({}, ["127.0.0.1", "::1"], "different"),
        ({"http_address": '"0.0.0.0:4180"'}, [], "dangerous"),
        ({"http_address": '":4180"'}, [], "dangerous"),
        ({"trusted_proxy_ips": '["10.0.0.5"]'}, ["10.0.0.5"], "different"),
        ({"trusted_proxy_ips": '["0.0.0.0/0", "::/0"]'}, [], "dangerous"),
    ],
)
def test_d3_nobody_is_believed_whom_nobody_named(
    here: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, str], hops: list[str], verdict: str
) -> None:
    """`reverse_proxy` believes everybody there; here the addresses that were named, or this machine's own."""
    (here / "p.cfg").write_text(of(changes))
    found = imported(here, capsys, "p.cfg")
    assert found.settings["trusted_proxies"] == hops
    assert [said for said, _ in remarks(found, "reverse_proxy")] == [verdict]


def test_as_a_proxy_s_authorization_server_it_has_no_routes(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`static://202`; with rules for paths the proxy has to ask at another address, which is said."""
    (here / "p.cfg").write_text(of({"upstreams": '["static://202"]'}))
    found = imported(here, capsys, "p.cfg")
    assert "routes" not in found.settings
    ((verdict, sentence),) = remarks(found, "upstreams")
    assert verdict == "different"
    assert "/auth/traefik" in sentence
    assert any("/auth/nginx" in sentence for _, sentence in remarks(found, "skip_auth_routes"))


@pytest.mark.parametrize(
    ("uri", "route"),
    [
        ("unix:///run/tool.sock", {"upstream": "unix:/run/tool.sock"}),
        ("http://127.0.0.1:1/exact", {"path": "/exact", "upstream": "http://127.0.0.1:1"}),
        ("https://tool.internal", {"upstream": "https://tool.internal"}),
        ("file:///var/www/#/files/", None),
    ],
)
def test_an_upstream_is_a_route(
    here: Path, capsys: pytest.CaptureFixture[str], uri: str, route: dict[str, str] | None
) -> None:
    """Sockets, exact paths and folders; files are nobody's."""
    (here / "p.cfg").write_text(of({"upstreams": f'["{uri}"]'}))
    found = imported(here, capsys, "p.cfg")
    assert found.settings.get("routes") == (None if route is None else [route])
    assert remarks(found, "upstreams")[0][0] == ("none" if route is None else "same")


# --- what stops ---


@pytest.mark.parametrize(
    ("changes", "line", "said"),
    [
        ({"provider": '"google"'}, 1, "Microsoft Entra ID alone"),
        ({"oidc_issuer_url": '"https://accounts.google.com"'}, 2, "no address of Microsoft Entra ID"),
        ({"oidc_issuer_url": '"https://login.microsoftonline.com/common/v2.0"'}, 2, "every organisation"),
        ({"oidc_issuer_url": '"https://login.microsoftonline.de/x/v2.0"'}, 2, "closed"),
        ({"client_id": '"tool"'}, 3, "not a GUID"),
        ({"client_secret": '"a,b"'}, 4, "comma"),
        ({"redirect_url": '"https://u@x.test/"'}, 5, "no user"),
        ({"redirect_url": '"/oauth2/callback"'}, None, "--public-url"),
        ({"redirect_url": '"http://tool.contoso.com/oauth2/callback"'}, None, "plain http"),
        ({"cookie_expire": '"soon"'}, 13, "no duration"),
        ({"reverse_proxy": '"perhaps"'}, 9, "neither true nor false"),
        ({"email_domains": "[1]"}, 7, "list of texts"),
        ({"skip_auth_route": '["^/x"]'}, 14, "Did you mean skip_auth_routes"),
        ({"upstreams": '["http://u:p@h/"]'}, 11, "cannot be used"),
        ({"upstreams": '["http://a/", "http://b/"]'}, 11, "second upstream"),
        ({"provider_display_name": '"a\\nb"'}, 14, "one line"),
        ({"metrics_address": '"everywhere"'}, 14, "no address"),
        ({"http_address": '"127.0.0.1:70000"'}, 10, "no port"),
        ({"azure_tenant": '"contoso.com"'}, 14, "different tenants"),
        ({"oidc_groups_claim": '"wids"'}, 8, "not read"),
    ],
)
def test_a_bad_line_stops_with_file_line_and_fix(
    here: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, str], line: int | None, said: str
) -> None:
    """Status 1, one sentence and a hint, nothing written, no secret told."""
    (here / "p.cfg").write_text(of(changes))
    assert main(["import", "oauth2-proxy", "p.cfg"]) == 1
    told = capsys.readouterr().err
    assert said in told
    assert line is None or f"p.cfg, line {line}:" in told
    assert "\n  " in told
    assert "Traceback" not in told
    assert SECRET not in told
    assert [path.name for path in here.iterdir()] == ["p.cfg"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("p.cfg", "provider = ", "p.cfg, line 1: This is not the TOML"),
        ("p.yaml", "providers: [", "p.yaml, line "),
        ("p.yaml", "- a", "no configuration of oauth2-proxy"),
        ("p.yaml", "providers:\n  - provider: oidc\n  - provider: oidc\n", "p.yaml, line 3: There is more"),
        ("p.yaml", "cookie:\n  name: a\n  name: b\n", "p.yaml, line 3: name stands there twice"),
        ("p.yaml", "cookie:\n  nam: a\n", "Did you mean name"),
        ("p.yaml", "services:\n  proxy:\n    command: x\n", "files of their own"),
        ("p.yaml", "providers:\n  - clientSecret: ${SECRET}\n", "line 2: clientSecret takes its value"),
        ("p.env", "OAUTH2_PROXY_CLIENTID=x\n", "p.env, line 1: OAUTH2_PROXY_CLIENTID is no option"),
        (
            "p.sh",
            "oauth2-proxy --client-secret=$SECRET_OF_IT",
            "p.sh, line 1: --client-secret takes its value",
        ),
        ("p.sh", "oauth2-proxy \\\n --reverse-proxy false", "p.sh, line 2: A word stands there"),
        ("p.sh", "oauth2-proxy --nonsense=1", "p.sh, line 1: --nonsense is no option"),
        ("p.sh", "oauth2-proxy --provider='oidc", "quotation mark"),
        ("p.sh", "oauth2-proxy --provider", "has no value"),
        ("p.sh", "oauth2-proxy --config=/etc/else.cfg", "'/etc/else.cfg', which was not given"),
        ("p.service", "[Service]\nEnvironmentFile=-/etc/x.env\nExecStart=/oauth2-proxy\n", "line 2: Env"),
        ("p.cfg", "\xff", "p.cfg, line 1: This is not the TOML"),
        ("p.cfg", "", "No provider is named"),
    ],
)
def test_a_bad_file_stops_with_file_line_and_fix(
    here: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, said: str
) -> None:
    """Whatever oauth2-proxy would not start with, and half a configuration."""
    (here / name).write_text(text)
    assert main(["import", "oauth2-proxy", name]) == 1
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told


def test_yaml_without_its_extra_says_what_to_install(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base install has none; the other forms need none."""
    (here / "p.yaml").write_text(YAML)
    monkeypatch.setitem(sys.modules, "yaml", None)
    monkeypatch.delitem(sys.modules, "entrada.cli.import_oauth2_proxy.nested", raising=False)
    assert main(["import", "oauth2-proxy", "p.yaml"]) == 1
    assert 'pip install "./entrada[yaml]"' in capsys.readouterr().err


def test_a_file_of_aliases_is_no_bomb(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ten lines that stand for a billion values are refused, not read."""
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    (here / "p.yaml").write_text("\n".join(lines))
    assert main(["import", "oauth2-proxy", "p.yaml"]) == 1
    assert "holds too much" in capsys.readouterr().err


@pytest.mark.parametrize("there", ["entrada.toml", "entrada.client-secret"])
def test_nothing_is_written_over(here: Path, capsys: pytest.CaptureFixture[str], there: str) -> None:
    """Status 1, and whatever was there is as it was, alone."""
    (here / "p.cfg").write_text(CFG)
    (here / there).write_text("mine")
    assert main(["import", "oauth2-proxy", "p.cfg"]) == 1
    assert f"{there} is there already" in capsys.readouterr().err
    assert (here / there).read_text() == "mine"
    assert sorted(path.name for path in here.iterdir()) == sorted(["p.cfg", there])


def test_a_dry_run_writes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It prints what would be written."""
    (here / "p.cfg").write_text(CFG)
    assert main(["import", "oauth2-proxy", "p.cfg", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert f'tenant_id = "{TENANT}"' in printed
    assert f'client_secret_file = "{here}/entrada.client-secret"' in printed
    assert SECRET not in printed
    assert [path.name for path in here.iterdir()] == ["p.cfg"]


def test_the_address_may_be_named_by_hand(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """oauth2-proxy can take it from the Host header; Entrada never does."""
    (here / "p.cfg").write_text(of({}, without=("redirect_url",)))
    assert main(["import", "oauth2-proxy", "p.cfg", "--public-url", "https://x.test"]) == 0
    assert tomllib.loads((here / "entrada.toml").read_text())["public_url"] == "https://x.test"
    capsys.readouterr()
    assert main(["import", "oauth2-proxy", "p.cfg", "--public-url", "x.test"]) == 1
    assert "--public-url" in capsys.readouterr().err


def test_wrong_use_is_status_2(here: Path) -> None:
    """No file, no product, another product."""
    for words in ([], ["oauth2-proxy"], ["traefik", "x"]):
        with pytest.raises(SystemExit) as ended:
            main(["import", *words])
        assert ended.value.code == 2
