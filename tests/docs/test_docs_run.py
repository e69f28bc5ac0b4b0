"""What the documentation tells people to type does what it says.

Applications run against the emulator; settings are loaded; a shell line that this module does not know how
to check fails, so that nobody adds one that nothing checks.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import uvicorn

from docs.pages import Block, all_blocks, blocks
from entrada import cli
from entrada.build import build_auth_routes
from entrada.cli.serve import listen, server_config
from entrada.cli.walkthrough import Browser, walk_through
from entrada.compatibility import tomllib
from entrada.emulator import RunningEmulator, start
from entrada.entra.credential import ClientSecret
from entrada.errors import ConfigurationError
from entrada.flows.pending import MOST_PENDING, SIGN_IN_LIFE
from entrada.settings import Settings, aliases_of, load_settings
from house.tools import ROOT

REAL_TENANT = ROOT / "docs/how-to/sign-in-with-a-real-tenant.md"
STARLETTE = ROOT / "docs/how-to/protect-a-starlette-app.md"
WALK = ROOT / "docs/why/how-a-sign-in-works.md"
README = ROOT / "README.md"
ROLES = '{"Admin": "Admin", "Editor": "Editor", "Viewer": "Viewer"}'

SECRET_FILE = "ENTRADA_CLIENT_SECRET_FILE"
RUN_WHOLE = ('at="$ENTRADA_TENANT_ID/oauth2',)
"""How a block begins whose lines need one another; tests/browser/test_browser_applications.py runs it."""
RUN_COMMANDS = ("streamlit", "python", "chainlit", "marimo", "panel", "gunicorn")
place = {"ids": lambda block: block.place}


@pytest.fixture(scope="module")
def entra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    with start(state_dir=tmp_path_factory.mktemp("entra")) as emulator:
        yield emulator


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("ENTRADA_", "AZURE_", "ACTIVE_DIRECTORY_", "DSTACK_", "MICROSOFT_GRAPH")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


# --- applications ---


@contextmanager
def application(
    block: Block, entra: RunningEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[str]:
    """The `app` that a page shows, listening; gives its address."""
    listener: socket.socket = listen("127.0.0.1", 0)
    url = f"http://localhost:{listener.getsockname()[1]}"
    for name, value in {
        **entra.env("entrada"),
        "ENTRADA_PUBLIC_URL": url,
        "ENTRADA_DATABASE_URL": f"sqlite:///{tmp_path / 'entrada.db'}",
        "ENTRADA_ROLES_MAPPING": ROLES,
    }.items():
        monkeypatch.setenv(name, value)
    names: dict[str, Any] = {"__name__": "app"}
    exec(compile(block.text, block.place, "exec"), names)
    server = uvicorn.Server(server_config(names["app"]))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        yield url
    finally:
        server.should_exit = server.force_exit = True
        thread.join(timeout=10)
        names["entrada"].close()


def signed_in(url: str, person: str) -> Browser:
    """A browser in which that person has signed in."""
    browser = Browser()
    to_entra = browser.visit(f"{url}/auth/entra/start").location
    hint = urlencode({"login_hint": f"{person}@contoso.test", "_emulator_approve": "1"})
    back = browser.visit(browser.visit(f"{to_entra}&{hint}").location)
    assert (back.status, back.location) == (303, f"{url}/")
    return browser


@pytest.mark.parametrize("block", all_blocks("python"), **place)
def test_python_compiles(block: Block) -> None:
    """Every Python block is Python."""
    compile(block.text, block.place, "exec")


def test_the_application_of_the_readme(
    entra: RunningEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It protects its page and greets who signed in."""
    (block,) = blocks(README, "python")
    with application(block, entra, monkeypatch, tmp_path) as url:
        assert Browser().visit(f"{url}/").location == f"{url}/auth/login"
        assert signed_in(url, "ada").visit(f"{url}/").body == b"Hello, Ada Lovelace"


def test_the_application_of_the_starlette_page(
    entra: RunningEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A front page for everybody, a page for who is signed in, a page for editors."""
    (block,) = blocks(STARLETTE, "python")
    with application(block, entra, monkeypatch, tmp_path) as url:
        stranger = Browser()
        assert stranger.visit(f"{url}/").body == b"Hello, stranger"
        assert stranger.visit(f"{url}/me").location == f"{url}/auth/login?next=/me"
        viewer, editor = signed_in(url, "vi"), signed_in(url, "ed")
        assert b'"roles":["Viewer"]' in viewer.visit(f"{url}/me").body
        refused = viewer.visit(f"{url}/drafts")
        assert refused.status == 403
        assert b"Editor or Admin" in refused.body
        assert editor.visit(f"{url}/drafts").body == b"The drafts."


def test_the_demos_walk_tells_where_it_stopped(
    entra: RunningEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`make demo ONCE=1` names the step that failed: here, in an application without an editors' page."""
    (block,) = blocks(README, "python")
    with application(block, entra, monkeypatch, tmp_path) as url:
        told: list[str] = []
        with pytest.raises(Exception, match="stopped at the editors' page: HTTP 404"):
            told.extend(walk_through(url, person="ada@contoso.test"))


# --- settings ---


def test_the_settings_file_of_the_page_loads(tmp_path: Path) -> None:
    """entrada.toml as the page shows it, the secret in a file of its own."""
    (block,) = blocks(REAL_TENANT, "toml")
    file, secret = tmp_path / "entrada.toml", tmp_path / "secret"
    file.write_text(block.text)
    secret.write_text("a secret's Value\n")
    settings, _ = load_settings({SECRET_FILE: str(secret)}, file=file)
    assert SECRET_FILE in REAL_TENANT.read_text("utf-8")
    assert settings.public_url == "https://app.example.com"
    assert settings.client_secret is not None
    assert settings.client_secret.get_secret_value() == "a secret's Value"


def exported(page: Path) -> list[dict[str, str]]:
    """The variables of each shell block that exports some."""
    found = []
    for block in blocks(page, "sh"):
        words = [shlex.split(line, comments=True) for line in block.text.splitlines()]
        pairs = [word[1].partition("=") for word in words if word[:1] == ["export"]]
        found.append({name: value for name, _, value in pairs})
    return [variables for variables in found if variables]


def test_the_settings_of_the_page_load_together(tmp_path: Path) -> None:
    """Each block of exports, on top of the first one, is a configuration that starts."""
    first, *others = (one for one in exported(REAL_TENANT) if SECRET_FILE not in one)
    for further in [{}, *others]:
        values = {**first, "ENTRADA_DATABASE_URL": "memory:", **further}
        if "ENTRADA_CLIENT_CERTIFICATE_PATH" in further:
            del values["ENTRADA_CLIENT_SECRET"]
            settings, _ = load_settings(values)
            assert str(settings.client_certificate_path) == further["ENTRADA_CLIENT_CERTIFICATE_PATH"]
            continue
        build_auth_routes(*load_settings(values)).relying_party.close()


def test_the_addresses_of_the_page_are_the_ones_entrada_uses() -> None:
    """The redirect URI, the signed-out page and the front-channel address, letter for letter."""
    values = {**exported(REAL_TENANT)[0], "ENTRADA_DATABASE_URL": "memory:"}
    auth = build_auth_routes(*load_settings(values))
    text = REAL_TENANT.read_text("utf-8")
    for path in (auth.site.callback_paths[0], auth.site.signed_out_path, auth.site.front_channel_path):
        assert f"`https://app.example.com{path}`" in text
    assert f"`http://localhost:8000{auth.site.callback_paths[0]}`" in text
    assert f"`http://localhost:8000{auth.site.callback_paths[0]}`" in README.read_text("utf-8")
    auth.relying_party.close()


def test_every_extra_is_named_by_a_page() -> None:
    """Nobody finds out by an error what a page forgot to have them install; the emulator among it."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    texts = {page: page.read_text("utf-8") for page in (ROOT / "docs/how-to").glob("*.md")}
    named = re.findall(r"entrada\[([a-z,]+)\]|`\[([a-z]+)\]`|extra `([a-z]+)`", "".join(texts.values()))
    assert set(extras) == {one for group in named for names in group for one in names.split(",")} - {""}
    for page, text in texts.items():
        if "entrada emulator env" in text:
            assert re.search(r"entrada\[(emulator|server)|\]\(emulator\.md\)", text), page


def test_any_company_in_the_world_is_refused() -> None:
    """As the page says: `organizations` alone does not start."""
    values = {**exported(REAL_TENANT)[0], "ENTRADA_TENANT_ID": "organizations"}
    with pytest.raises(ConfigurationError, match="organizations"):
        build_auth_routes(*load_settings({**values, "ENTRADA_DATABASE_URL": "memory:"}))


def test_plain_http_is_for_localhost() -> None:
    """As the pages say: another name needs https."""
    values = {**exported(REAL_TENANT)[0], "ENTRADA_PUBLIC_URL": "http://app.example.com"}
    with pytest.raises(ConfigurationError, match="ENTRADA_PUBLIC_URL"):
        load_settings(values)


def test_two_secrets_are_two() -> None:
    """As the page says: the new and the old value, comma-separated."""
    (both,) = [one for one in exported(REAL_TENANT) if list(one) == ["ENTRADA_CLIENT_SECRET"]]
    settings, _ = load_settings({**exported(REAL_TENANT)[0], **both})
    assert settings.credentials == [
        ClientSecret(value="the new Value"),
        ClientSecret(value="the old Value"),
    ]


# --- shell lines ---

_KNOWN_NAMES = {
    name
    for field_name, field in Settings.model_fields.items()
    for name in (
        f"ENTRADA_{field_name.upper()}",
        f"ENTRADA_{field_name.upper()}_FILE",
        *aliases_of(field),
    )
}
_NAMES_OF_PRODUCTS = {"REQUIRE_USER_AUTHENTICATION", "HTTPS_PROXY", "NO_PROXY", "GRAPH_URL"}


def complaint(words: list[str]) -> str | None:
    """What is wrong with a shell line, or None."""
    match words:
        case []:
            return None
        case ["export", pair]:
            name = pair.partition("=")[0]
            return None if name in _KNOWN_NAMES | _NAMES_OF_PRODUCTS else "not a setting"
        case ["unset", name]:
            return None if name in _KNOWN_NAMES else "not a setting"
        case ["make", target, *_]:
            return (
                None
                if re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
                else "no target"
            )
        case ["curl", "-v", url]:
            return None if url.startswith("https://") else "no address"
        case ["pip", "install", *wanted]:
            return None if wanted and all(map(can_be_installed, wanted)) else "no such extra or product"
        case ["eval", command]:
            return complaint(shlex.split(command.removeprefix("$(").removesuffix(")")))
        case ["entrada", *arguments]:
            return command_line_complaint(arguments)
        case ["curl", "-s", url]:
            return None if url.startswith("http://localhost:8000/") else "asks a stranger"
        case ["uvicorn", "app:app", "--port", "8000", "--no-access-log"]:
            return None
        # These run in tests/browser/test_browser_applications.py.
        case ["python", "manage.py", "migrate" | "check"] | ["python", "app.py"]:
            return None
        case ["gunicorn", "app:app", "--bind", "127.0.0.1:8000", "--threads", "8"]:
            return None
        # These run in tests/integrations.
        case ["mkdir", "-p", "~/.dstack/server"]:
            return None
        case ["dstack", "server"] | ["dstack", "login", "--url", "https://dstack.example.com"]:
            return None
        case ["uvicorn", "entrada.integrations.dstack:app", "--port", "3000"]:
            return None
    return "this test does not know how to check it"


def can_be_installed(wanted: str) -> bool:
    """Whether this is a checkout of Entrada with an extra it has, or what one goes with."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = re.fullmatch(r"\./entrada\[([\w,]+)\]", wanted)
    return wanted in ("dstack[server]", "mage-ai", "uvicorn", "gunicorn", "httpx") or (
        named is not None and set(named.group(1).split(",")) <= set(extras)
    )


def command_line_complaint(arguments: list[str]) -> str | None:
    """Whether `entrada` takes these words; nothing runs."""
    command = next((word for word in arguments if word in cli.COMMANDS), None)
    behind = None
    if command == "run":
        arguments, behind = cli._split(arguments)
        if not behind:
            return "no command behind --"
    try:
        cli._parser(only=command).parse_args(arguments)
    except SystemExit:
        return "wrong use"
    if behind and behind[0] not in RUN_COMMANDS:
        return "a command that tests/integrations/run does not start"
    return None


@pytest.mark.parametrize("block", all_blocks("sh"), **place)
def test_a_shell_line_can_be_typed(block: Block) -> None:
    """Make targets, commands, options, settings and extras that a page names are there."""
    if block.text.startswith(RUN_WHOLE):
        return
    for line in block.text.splitlines():
        wrong = complaint(shlex.split(line, comments=True))
        assert wrong is None, f"{block.place}: {line!r}: {wrong}"


@pytest.mark.parametrize(
    "line", ["rm -rf x", "make nonsense", "export ENTRADA_NONSENSE=1", "entrada nonsense"]
)
def test_a_wrong_shell_line_is_found(line: str) -> None:
    """The test above can fail."""
    assert complaint(shlex.split(line)) is not None


# --- numbers ---


def test_the_numbers_of_the_walk_are_the_codes() -> None:
    """An hour, five sign-ins, eight hours, twenty-four hours."""
    text = WALK.read_text("utf-8")
    hours = {
        name: int(Settings.model_fields[name].default.total_seconds() // 3600)
        for name in ("session_idle", "session_absolute")
    }
    assert f"for {int(SIGN_IN_LIFE.total_seconds() // 60)} minutes" in text
    assert f"At most {MOST_PENDING} such cookies" in text
    assert f"after {hours['session_idle']} hours without a request" in text
    assert f"after {hours['session_absolute']} hours in any case" in text
