"""One emulator and one application a module; a new browser a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from browser.visiting import Site, Visitor, running_site, visiting
from entrada.emulator import RunningEmulator, start

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def entra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    with start(state_dir=tmp_path_factory.mktemp("entra")) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def module_site(entra: RunningEmulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(entra, tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def site(module_site: Site) -> Site:
    """The application, and its Entra as it was at the start: nobody signed in, no faults."""
    module_site.entra.reset()
    return module_site


@pytest.fixture
def visitors(browser: Browser, site: Site) -> Iterator[Callable[..., Visitor]]:
    """`visitors()` is another person's browser; options are those of a playwright context."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(visiting(browser, site, **options))


@pytest.fixture
def visitor(visitors: Callable[..., Visitor]) -> Visitor:
    return visitors()
