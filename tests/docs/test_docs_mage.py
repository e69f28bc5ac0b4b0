"""The page about Mage says what the launcher reads; tests/integrations/mage runs it on the real Mage."""

from __future__ import annotations

import pytest

from clients.mage import REQUIREMENT
from docs.pages import blocks
from docs.test_docs_run import exported
from entrada.integrations.mage.addresses import CALLBACK_PATH, FRONT_CHANNEL_PATH
from entrada.integrations.mage.hooks import TRIED_VERSIONS
from entrada.integrations.mage.launcher import check_settings
from entrada.settings import Settings, load_settings
from house.tools import ROOT

PAGE = ROOT / "docs/how-to/mage.md"
TEXT = PAGE.read_text("utf-8")


def test_the_version_is_the_one_that_is_tried() -> None:
    """The page, the hooks and the tests name the same Mage."""
    version = REQUIREMENT.partition("==")[2]
    assert f"tried with Mage {version}," in TEXT
    assert version in TRIED_VERSIONS


def test_the_addresses_are_the_ones_that_are_used() -> None:
    """Letter for letter, for a server and for one's own computer."""
    for address in ("https://mage.example.com", "http://localhost:6789"):
        assert f"`{address}{CALLBACK_PATH}`" in TEXT
    assert f"`https://mage.example.com{FRONT_CHANNEL_PATH}`" in TEXT


def test_its_variables_load_together() -> None:
    """Each block of exports, on top of the first one, is a configuration that Mage starts with."""
    first, *others = exported(PAGE)
    assert first["ACTIVE_DIRECTORY_CLIENT_ID"]
    for further in [{}, *others]:
        check_settings(*load_settings({**first, **further}))


@pytest.mark.parametrize("name", ["recheck_every", "session_absolute"])
def test_its_durations_are_the_defaults(name: str) -> None:
    """Fifteen minutes, twenty-four hours."""
    seconds = Settings.model_fields[name].default.total_seconds()
    assert seconds == {"recheck_every": 15 * 60, "session_absolute": 24 * 3600}[name]
    (line,) = [line for line in TEXT.splitlines() if line.startswith(f"| `ENTRADA_{name.upper()}`")]
    assert ("15 minutes" if name == "recheck_every" else "24 hours") in line


def test_its_picture_is_there() -> None:
    """The page begins with what people will see."""
    assert (ROOT / "docs/images/mage-sign-in.png").is_file()
    assert "(../images/mage-sign-in.png)" in TEXT
    assert list(blocks(PAGE, "sh"))
