"""The applications of the how-to pages, run as they are printed, in a real browser."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser

from browser.visiting import Visitor, is_asked_who, pick, press_the_button, visiting
from docs.pages import blocks
from entrada.emulator import RunningEmulator
from house.tools import ROOT
from walks.site import wait_until

pytestmark = pytest.mark.browser

HOW_TO = ROOT / "docs/how-to"


class Place:
    """An application of a page, listening."""

    def __init__(self, url: str, entra: RunningEmulator) -> None:
        self.url, self.entra = url, entra

    @property
    def hosts(self) -> set[str]:
        """Who a browser may talk to."""
        return {self.url.partition("//")[2], self.entra.http_url.partition("//")[2]}


@contextmanager
def as_printed(page: Path, entra: RunningEmulator, folder: Path) -> Iterator[Place]:
    """The page's application in its file, started by the page's command; only the port is another."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    application = next(blocks(page, "python")).text
    (folder / "app.py").write_text(application.replace("8000", port), "utf-8")
    command = next(block.text for block in blocks(page, "sh") if "ENTRADA_PUBLIC_URL" in block.text)
    command = command.replace("8000", port).replace("http://localhost:8400", entra.http_url)
    lines = [line for line in command.splitlines() if not line.startswith("eval")]
    with running(" && ".join(lines), entra, folder, port) as place:
        yield place


@contextmanager
def running(command: str, entra: RunningEmulator, folder: Path, port: str) -> Iterator[Place]:
    """What the shell command starts, until the end of the block."""
    commands = str(Path(sys.executable).parent)
    environment = {
        **os.environ,
        **entra.env("entrada"),
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "ENTRADA_DATABASE_URL": f"sqlite:///{folder / 'entrada.db'}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    *before, last = command.rpartition(" && ")
    log = folder / "log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            ["sh", "-c", "".join([*before, f"exec {last}"])],
            cwd=folder,
            env=environment,
            stdout=written,
            stderr=subprocess.STDOUT,
        )
    url = f"http://localhost:{port}"

    def answers() -> bool:
        assert process.poll() is None, log.read_text("utf-8")
        try:
            return httpx.get(f"{url}/auth/me", trust_env=False, timeout=5).status_code == 401
        except httpx.TransportError:
            return False

    try:
        wait_until(answers, seconds=30)
        yield Place(url, entra)
    finally:
        process.terminate()
        process.wait(timeout=15)


@contextmanager
def signed_in(browser: Browser, place: Place, page: str, person: str) -> Iterator[Visitor]:
    """A browser that asked for the page and signed in on the way to it."""
    with visiting(browser, place, expected=[r"status of 404 .*favicon"]) as visitor:
        tab = visitor.tab()
        tab.goto(place.url + page)
        assert "/auth/login" in tab.url
        press_the_button(tab)
        if is_asked_who(tab):
            pick(tab, person)
        tab.wait_for_url(place.url + page)
        yield visitor


def test_the_fastapi_page_gets_a_token_of_the_emulators_by_the_lines_it_prints(
    entra: RunningEmulator, browser: Browser, tmp_path: Path
) -> None:
    """Who signed in once calls the API with an access token, by nothing but what the page says."""
    page = HOW_TO / "protect-a-fastapi-app.md"
    lines = next(block.text for block in blocks(page, "sh") if block.text.startswith("at="))
    with as_printed(page, entra, tmp_path) as place:
        with signed_in(browser, place, "/me", "ada"):
            pass
        for printed, here in (
            ("http://localhost:8000", place.url),
            ("http://localhost:8400", entra.http_url),
            ("https://localhost:8443", entra.https_url),
        ):
            assert printed in lines
            lines = lines.replace(printed, here)
        environment = {**os.environ, **entra.env("entrada"), "NO_PROXY": "*"}
        said = subprocess.run(
            ["sh", "-c", lines], env=environment, capture_output=True, text=True, timeout=60, check=True
        )
    assert "Ada Lovelace" in said.stdout


@pytest.mark.parametrize(
    ("page", "drafts"),
    [
        ("protect-a-starlette-app.md", "/drafts"),
        ("protect-a-fastapi-app.md", "/drafts/7"),
        ("protect-a-flask-app.md", "/drafts"),
        ("protect-a-tornado-app.md", "/drafts"),
        ("write-your-own-adapter.md", "/drafts"),
    ],
)
def test_an_application_as_printed(
    page: str, drafts: str, entra: RunningEmulator, browser: Browser, tmp_path: Path
) -> None:
    """It knows who signed in, lets editors in, tells a viewer which role is missing, and signs out."""
    entra.reset()
    with as_printed(HOW_TO / page, entra, tmp_path) as place:
        with signed_in(browser, place, "/me", "ed") as visitor:
            (tab,) = visitor.context.pages
            assert "Ed Codd" in tab.inner_text("body")
            assert tab.goto(place.url + drafts).status == 200
            tab.goto(f"{place.url}/auth/logout")
            tab.get_by_role("button", name="Sign out").click()
            tab.wait_for_url(f"{place.url}/auth/signed-out*")
            tab.goto(f"{place.url}/me")
            assert "/auth/login" in tab.url
        with signed_in(browser, place, "/me", "vi") as visitor:
            (tab,) = visitor.context.pages
            assert tab.goto(place.url + drafts).status == 403
            assert "Editor or Admin" in tab.inner_text("body")


def test_graph_is_called_as_printed(entra: RunningEmulator, browser: Browser, tmp_path: Path) -> None:
    """Graph says who signed in; what needs a further consent asks for it, once, and is back at the page."""
    entra.reset()
    with (
        as_printed(HOW_TO / "call-microsoft-graph.md", entra, tmp_path) as place,
        signed_in(browser, place, "/card", "ed") as visitor,
    ):
        (tab,) = visitor.context.pages
        assert "ed@contoso.test" in tab.inner_text("body")
        tab.goto(f"{place.url}/people?order=name")
        assert urlsplit(tab.url).netloc == urlsplit(entra.http_url).netloc
        assert "User.ReadBasic.All" in tab.inner_text("body")
        tab.get_by_role("button", name="Accept").click()
        tab.wait_for_url(f"{place.url}/people?order=name")
        assert "Ada Lovelace" in tab.inner_text("body")
        tab.goto(f"{place.url}/people")
        assert "Ada Lovelace" in tab.inner_text("body")
        entra.revoke_sessions("ed@contoso.test")
        tab.goto(f"{place.url}/people?again=1")
        if urlsplit(tab.url).netloc == urlsplit(entra.http_url).netloc:
            pick(tab, "ed")
        tab.wait_for_url(f"{place.url}/people?again=1")
        assert "Ada Lovelace" in tab.inner_text("body")


def test_a_django_project_as_printed(entra: RunningEmulator, browser: Browser, tmp_path: Path) -> None:
    """A new project with the page's settings: its check is content, and Ada administers it."""
    entra.reset()
    page = HOW_TO / "protect-a-django-project.md"
    python = Path(sys.executable)
    subprocess.run([python, "-m", "django", "startproject", "wiki", tmp_path], check=True)
    settings = tmp_path / "wiki/settings.py"
    settings.write_text(settings.read_text("utf-8") + next(blocks(page, "python")).text, "utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    then = next(block.text for block in blocks(page, "sh") if "manage.py" in block.text).splitlines()
    exports = [
        f"export ENTRADA_PUBLIC_URL=http://localhost:{port}",
        """export ENTRADA_ROLES_MAPPING='{"Admin": "Admin"}'""",
    ]
    command = " && ".join([*exports, *then, f"python manage.py runserver --noreload {port}"])
    with (
        running(command, entra, tmp_path, port) as place,
        signed_in(browser, place, "/admin/", "ada") as visitor,
    ):
        (tab,) = visitor.context.pages
        assert "no issues" in (tmp_path / "log").read_text("utf-8")
        assert re.search("Welcome,\\s+Ada", tab.inner_text("body"), re.IGNORECASE)
        tab.get_by_role("link", name="Entra identities").first.click()
        tab.get_by_text("ada@contoso.test").first.wait_for()
