"""`entrada run`: what the application is told, what it is not, and who comes to it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL, SIGTERM

import httpx
import pytest

from entrada.adapters.assertion import AssertionVerifier
from entrada.emulator import RunningEmulator, start
from entrada.errors import TokenRefused
from gateway.operation import Serving
from walks.site import wait_until
from walks.visitor import PAGE_VISIT, Visitor, new_http

from .runs import complaint, ended, is_gone, processes_below, running, small


@pytest.fixture(scope="module")
def entra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    with start(state_dir=tmp_path_factory.mktemp("entra")) as emulator:
        yield emulator


RULES = """
[[rules]]
path = "/admin/**"
roles = ["Admin"]

[[rules]]
path = "/open/**"
access = "public"
"""


@pytest.fixture(scope="module")
def run(entra: RunningEmulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("run")
    command = small("serve")
    with running(
        entra,
        folder,
        *command,
        options=["--audience", "numbers"],
        toml=RULES,
        ENTRADA_ADMIN_ROLES="Admin",
    ) as made:
        yield made


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with new_http() as client:
        yield client


def signed_in(run: Serving, http: httpx.Client, person: str) -> Visitor:
    visitor = run.visitor(http)
    visitor.sign_in_as(f"{person}@contoso.test")
    return visitor


def fields_of(answer: httpx.Response) -> dict[str, str]:
    """What the application got, by lower-case name; none twice."""
    assert answer.status_code == 200, answer.text
    got = [(name.lower(), value) for name, value in answer.json()["fields"]]
    assert len(dict(got)) == len(got)
    return dict(got)


def test_it_is_told_who_is_asking(run: Serving, http: httpx.Client) -> None:
    """Account, name, address and roles, in both styles."""
    told = fields_of(signed_in(run, http, "ada").open("/x"))
    assert told["x-entrada-name"] == "Ada Lovelace"
    assert told["x-entrada-roles"] == told["x-forwarded-groups"] == "Admin"
    assert told["x-entrada-email"] == told["x-forwarded-email"] == "ada@contoso.test"
    assert told["x-entrada-object-id"] == told["x-forwarded-user"]
    assert told["host"] == run.public_url.partition("//")[2]


def test_the_page_of_administrators_explains_by_its_rules(run: Serving, http: httpx.Client) -> None:
    """Whether somebody may open an address is said by the rules of the settings file."""
    ada = signed_in(run, http, "ada")
    ada.open("/x")
    page = ada.open("/auth/admin/explain?q=ada@contoso.test&path=/admin/x")
    assert "the rule for /admin/** on line 2" in page.text


def test_d1_a_client_tells_it_nothing(run: Serving, http: httpx.Client) -> None:
    """Fields that say who somebody is are ours alone, in every spelling, on public paths too."""
    names = ("X-Entrada-Name", "X-Forwarded-User", "X-Entrada-Roles", "X-Forwarded-Groups", "Remote-User")
    forged = {name.replace("-", mark): "forged" for name in names for mark in ("-", "_", ".")} | {
        "X-Entrada-Assertion": "forged",
        "x_entrada_assertion": "forged",
    }
    vi = signed_in(run, http, "vi")
    for visitor, path in ((vi, "/x"), (vi, "/open/x"), (run.visitor(http), "/open/x")):
        answer = visitor.send("GET", path, {**PAGE_VISIT, **forged})
        assert "forged" not in fields_of(answer).values(), path
    cookie = fields_of(vi.open("/x")).get("cookie", "")
    assert "entrada_session" not in cookie


def test_d23_the_assertion_is_for_it_alone(run: Serving, http: httpx.Client) -> None:
    """Signed, for the audience that the line names, by keys that stand at the public URL."""
    raw = fields_of(signed_in(run, http, "ada").open("/x"))["x-entrada-assertion"]

    def fetch() -> bytes:
        return http.get(f"{run.address}/.well-known/jwks.json").content

    claims = AssertionVerifier(issuer=run.public_url, audience="numbers", fetch=fetch).verify(raw)
    assert (claims["name"], claims["roles"]) == ("Ada Lovelace", ["Admin"])
    with pytest.raises(TokenRefused):
        AssertionVerifier(issuer=run.public_url, audience="others", fetch=fetch).verify(raw)


def test_our_secrets_stay_with_us(run: Serving, http: httpx.Client) -> None:
    """The application's environment holds none of our settings, and has its own address."""
    environment = signed_in(run, http, "ada").open("/x").json()["environment"]
    assert [name for name in environment if name.startswith("ENTRADA_")] == []
    assert run.environment["ENTRADA_CLIENT_SECRET"] not in environment.values()
    assert environment["HOST"] == "127.0.0.1"


def test_rules_decide(run: Serving, http: httpx.Client) -> None:
    """Those of entrada.toml: a role, anybody, and whoever is signed in."""
    vi, stranger = signed_in(run, http, "vi"), run.visitor(http)
    assert vi.open("/admin/x").status_code == 403
    assert signed_in(run, http, "ada").open("/admin/x").status_code == 200
    assert stranger.open("/open/x").status_code == 200
    assert stranger.open("/x").status_code == 303
    assert stranger.open("/open/../admin/x").status_code in (303, 400)
    assert stranger.open("/open/%2e%2e/admin/x").status_code in (303, 400)


@pytest.mark.parametrize("name", ["SCRIPT_NAME", "Script_Name", "X_Script_Name"])
def test_d3_a_client_moves_no_path_behind_gunicorn(behind_gunicorn: Serving, name: str) -> None:
    """It believes SCRIPT_NAME of its own machine, and would serve /admin where /open/admin was judged."""
    answer = httpx.get(f"{behind_gunicorn.address}/open/admin/x", headers={name: "/open"}, trust_env=False)
    assert answer.text == "['', '/open/admin/x']"


@pytest.fixture(scope="module")
def behind_gunicorn(entra: RunningEmulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("gunicorn")
    (folder / "wsgi_paths.py").write_text(WSGI)
    command = (sys.executable, "-m", "gunicorn", "wsgi_paths:app", "--bind", "{host}:{port}")
    with running(entra, folder, *command, toml=RULES) as made:
        yield made


WSGI = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [repr([environ["SCRIPT_NAME"], environ["PATH_INFO"]]).encode()]
"""


def test_a_socket_of_its_own(entra: RunningEmulator, tmp_path: Path, http: httpx.Client) -> None:
    """In a directory that no other account enters, and that goes with the application: kill -9 as well."""
    with running(entra, tmp_path, *small("socket", "{socket}")) as run:
        assert signed_in(run, http, "ada").open("/x").json()["path"] == "/x"
        folder = Path(run.log.partition("Starting ")[2].split()[2]).parent
        assert folder.stat().st_mode & 0o777 == 0o700
        run.signal(SIGKILL)
        wait_until(lambda: not folder.exists(), seconds=30)


def test_gunicorn_as_the_page_shows_it(entra: RunningEmulator, tmp_path: Path, http: httpx.Client) -> None:
    """`gunicorn app:app --bind unix:{socket}`, its workers end with it."""
    (tmp_path / "app.py").write_text(
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
        "    return [environ['HTTP_X_ENTRADA_NAME'].encode()]\n"
    )
    gunicorn = str(Path(sys.executable).with_name("gunicorn"))
    with running(entra, tmp_path, gunicorn, "app:app", "--bind", "unix:{socket}", "--workers", "2") as run:
        assert signed_in(run, http, "ada").open("/").text == "Ada Lovelace"
        pids = processes_below(run.process.pid)
        assert run.end() == 0
        assert all(map(is_gone, pids))


def test_a_signal_while_it_starts(entra: RunningEmulator, tmp_path: Path) -> None:
    """Nobody waits for what is not wanted any more."""
    with running(entra, tmp_path, *small("never"), wait=False) as run:
        wait_until(lambda: "Starting" in run.log, seconds=30)
        run.signal(SIGTERM)
        assert run.process.wait(timeout=30) == 128 + SIGTERM
        assert "entrada:" not in run.log


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        pytest.param({"ENTRADA_CLIENT_SECRET": ""}, [], id="no secret"),
        pytest.param({"ENTRADA_DATABASE_URL": "sqlite:////nowhere/entrada.db"}, [], id="no database"),
        pytest.param({}, ["--host", "0.0.0.0"], id="no public URL"),
    ],
)
def test_what_is_wrong_is_said_before_it_is_started(
    entra: RunningEmulator, tmp_path: Path, settings: dict[str, str], options: list[str]
) -> None:
    """A setting that is missing or wrong: one sentence, and the application was never there."""
    status, log = ended(entra, tmp_path, *small("serve"), options=options, **settings)
    assert (status, bool(complaint(log)), "Starting" in log) == (1, True, False), log


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run", "streamlit", "run", "app.py", "--server.port", "1"], "write -- before the command"),
        (["run"], "name the command"),
        (["run", "--"], "name the command"),
        (["run", "--", ""], "name the command"),
        (["run", "--start-within", "soon", "--", "x"], "--start-within"),
        (["run", "--port", "http", "--", "x"], "--port"),
    ],
)
def test_wrong_use(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2, and what is wrong."""
    from entrada.cli import main

    with pytest.raises(SystemExit) as ending:
        main(words)
    assert ending.value.code == 2
    assert sentence in capsys.readouterr().err


def test_nohup_is_heeded(entra: RunningEmulator, tmp_path: Path) -> None:
    """Who starts it with SIGHUP ignored means that a closed terminal ends nothing."""
    from signal import SIG_IGN, SIGHUP, signal

    before = signal(SIGHUP, SIG_IGN)
    try:
        with running(entra, tmp_path, *small("serve")) as run:
            run.signal(SIGHUP)
            assert httpx.get(f"{run.address}/healthz", trust_env=False).status_code == 200
            os.kill(run.process.pid, 0)
    finally:
        signal(SIGHUP, before)


def test_a_session_that_a_link_names_is_its_openers_own(
    entra: RunningEmulator, tmp_path: Path, http: httpx.Client
) -> None:
    """Bokeh and Panel join whoever says the same `bokeh-session-id`; here two people never say the same."""
    command = tmp_path / "bokeh"
    command.write_text(
        f"#!{sys.executable}\nimport runpy, sys\n"
        "path = sys.argv[sys.argv.index('--unix-socket') + 1]\n"
        f"sys.argv[1:] = ['socket', path]\nrunpy.run_path({small()[1]!r}, run_name='__main__')\n"
    )
    command.chmod(0o755)
    with running(entra, tmp_path / "run", str(command), "serve", "app.py") as run:
        told = []
        for person in ("ada", "vi"):
            visitor = signed_in(run, http, person)
            path = visitor.open("/app?bokeh-session-id=s1").json()["path"]
            named = dict(visitor.open("/app", **{"Bokeh-Session-Id": "s1"}).json()["fields"])
            assert path == f"/app?bokeh-session-id={named['bokeh-session-id']}"
            told.append(path)
    assert told[0] != told[1]
    assert all(path.startswith("/app?bokeh-session-id=s1-") for path in told)
