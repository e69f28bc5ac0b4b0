"""What every test may ask for: the project, a free port, tools of this machine, a browser, screenshots.

Owns also the end of the run: the section "could not run, and why", and the rule that in CI
(ENTRADA_TESTS_REQUIRE_ALL=1) a test without its tool is a failure. Tests say that a tool is missing
with `house.tools.could_not_run`; plain skips that name a tool are recognised too.
"""

from __future__ import annotations

import logging
import os
import re
import signal
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from house import tools

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

REQUIRE_ALL = os.environ.get("ENTRADA_TESTS_REQUIRE_ALL", "") not in ("", "0", "false")

# A slow machine is no failure, and CI tries the same examples each time; a desk tries new ones.
hypothesis.settings.register_profile("desk", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("ci" if REQUIRE_ALL else "desk")

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_configure() -> None:
    """What tests start ends by Ctrl-C also where this run does not.

    A script's shell starts what it puts into the background without it, and children inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--shots", metavar="DIR", help="keep the screenshots there (default: a temporary directory)"
    )


# --- the project and its surroundings ---


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The checkout."""
    return tools.ROOT


@pytest.fixture(scope="session")
def vectors_directory(project_root: Path) -> Path:
    """The public test vectors; the README there says whose they are."""
    return project_root / "tests" / "vectors"


@pytest.fixture
def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on right now."""
    return tools.free_port()


@pytest.fixture
def free_ports() -> Callable[[], int]:
    """The same as a function, for a test that needs several."""
    return tools.free_port


@pytest.fixture(scope="session")
def node_path() -> str:
    """Node.js 18 or newer, or the test could not run."""
    node = tools.find_node(18)
    if node is None:
        tools.could_not_run("node 18 or newer is not installed (Debian package nodejs)")
    return node


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """A test that leaves this process's log quieter makes another, run later, fail: so it fails itself."""
    before = _loudness()
    yield
    assert _loudness() == before


def _loudness() -> object:
    """What the log lets through; a logger made meanwhile, and as all are at first, is no difference."""
    root = logging.getLogger()
    ours = {name: one for name, one in root.manager.loggerDict.items() if name.partition(".")[0] == "entrada"}
    set_to = {
        name: (one.level, one.disabled, one.propagate)
        for name, one in {"": root, **ours}.items()
        if isinstance(one, logging.Logger)
    }
    return root.manager.disable, {name: how for name, how in set_to.items() if how != (0, False, True)}


# --- the browser ---


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """A Chrome or Chromium that starts, or the test could not run."""
    chromium = tools.find_chromium()
    if chromium is None:
        tools.could_not_run(
            "chromium is not installed (Debian package chromium; ENTRADA_CHROMIUM names another)"
        )
    return chromium


@pytest.fixture(scope="session")
def browser(chromium_path: str) -> Iterator[Browser]:
    """One headless Chromium for the whole run, driven through playwright's synchronous API.

    Tests that use it are moved to the end of the run: while it is open, playwright's event loop counts
    as running in this thread and `asyncio.run` would refuse to start another.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=chromium_path, headless=True, args=CHROMIUM_ARGUMENTS, timeout=60_000
        )
        yield opened
        opened.close()


@pytest.fixture
def browser_context(browser: Browser) -> Iterator[BrowserContext]:
    """A person's browser with no past: its own cookies and storage. Waits at most 15 s for anything."""
    context = browser.new_context()
    context.set_default_timeout(15_000)
    yield context
    context.close()


@pytest.fixture
def page(browser_context: BrowserContext) -> Page:
    """A tab of that browser."""
    return browser_context.new_page()


@pytest.fixture(scope="session")
def shots_directory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go: `--shots DIR`, else a temporary directory; never the repository."""
    chosen: str | None = request.config.getoption("--shots")
    directory = Path(chosen).resolve() if chosen else tmp_path_factory.mktemp("shots")
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@pytest.fixture
def shot(shots_directory: Path) -> Callable[[Page, str], Path]:
    """`shot(page, "login-dark")` saves a picture of the whole page and returns its path."""

    def take(page: Page, name: str) -> Path:
        path = shots_directory / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name)}.png"
        page.screenshot(path=path, full_page=True)
        return path

    return take


# --- the order and the end of a run ---


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests that drive a browser, and lets them run last (see `browser`)."""
    for item in items:
        if "chromium_path" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


def _tool_names() -> set[str]:
    """The commands of scripts/system-packages.txt: a skip that names one is for want of a tool."""
    lines = (tools.ROOT / "scripts/system-packages.txt").read_text("utf-8").splitlines()
    probes = [line.partition("|")[0] for line in lines if line.strip() and not line.startswith("#")]
    return {name.strip() for line in probes for name in line.split(",") if "/" not in name}


_WANT_OF_A_TOOL = re.compile(
    "|".join(
        [
            re.escape(tools.COULD_NOT_RUN),
            "could not import",
            *(rf"(?<![\w-]){re.escape(name)}(?![\w-])" for name in sorted(_tool_names())),
        ]
    )
)
_COULD_NOT_RUN = "could_not_run"
_skipped_modules: list[pytest.CollectReport] = []


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Why the test was skipped, as its author wrote it."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where every test must run, a test without its tool has failed."""
    report = yield
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        reason = _reason(report)
        if _WANT_OF_A_TOOL.search(reason):
            report.outcome = "failed"
            report.user_properties.append((_COULD_NOT_RUN, reason))
            report.longrepr = f"{item.nodeid} must run here and could not: {_plain(reason)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Remembers the modules that were left out whole."""
    report = yield
    if report.skipped:
        _skipped_modules.append(report)
    return report


def _plain(reason: str) -> str:
    return reason.removeprefix(tools.COULD_NOT_RUN)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A module that was left out whole for want of a tool fails the run, too, where every test must run."""
    if REQUIRE_ALL and any(_WANT_OF_A_TOOL.search(_reason(report)) for report in _skipped_modules):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints what could not run, and why, with the reason first: silence about it would read as "passed"."""
    skipped: dict[str, set[str]] = defaultdict(set)
    for report in terminalreporter.getreports("skipped"):
        skipped[_plain(_reason(report))].add(report.nodeid)
    for report in terminalreporter.getreports("failed"):
        for key, reason in getattr(report, "user_properties", ()):
            if key == _COULD_NOT_RUN:
                skipped[_plain(reason)].add(report.nodeid)
    if not skipped:
        return
    terminalreporter.section("could not run, and why")
    for reason, node_ids in sorted(skipped.items()):
        shown = ", ".join(sorted(node_ids)[:3]) + (" ..." if len(node_ids) > 3 else "")
        terminalreporter.write_line(f"{len(node_ids):4d}  {reason}")
        terminalreporter.write_line(f"      {shown}")
