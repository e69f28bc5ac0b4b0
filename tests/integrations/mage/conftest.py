"""One Entra for all, and few Mages: starting one takes half a minute, so tests share those that are alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from clients.mage import running_mage
from entrada.emulator import RunningEmulator, start
from integrations.mage import pages
from integrations.mage.desk import Desk

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

WITH_ENTRADA = {"ENTRADA_PUBLIC_URL": "{site}"}
"""What `entrada mage start` is told beyond Mage's own variables: the address that the tests' browsers use."""

BOTH = {"UPDATE_ROLES_ON_LOGIN": "1", "AZURE_DEVOPS_ORGANIZATION": "contoso"}
"""What lets Mage as it comes do its best, and opens the others beside the main one."""


@pytest.fixture(scope="session")
def entra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    with start(state_dir=tmp_path_factory.mktemp("entra")) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def running_desk(entra: RunningEmulator) -> Iterator[Desk]:
    """Mage with entrada, as an administrator starts it who follows Mage's page."""
    with running_mage(entra, with_entrada=True, settings={**BOTH, **WITH_ENTRADA}) as mage:
        yield Desk(mage=mage, entra=entra)


@pytest.fixture
def desk(running_desk: Desk) -> Desk:
    """The same, its Entra as at the start. Mage keeps its users: each test brings people of its own."""
    return running_desk.as_new()


@pytest.fixture
def visitor(browser: Browser) -> Iterator[BrowserContext]:
    """A person's browser with no past, patient with a busy machine."""
    context = browser.new_context()
    context.set_default_timeout(pages.WAIT_MS)
    yield context
    context.close()
