"""The page about dstack says what the plug-in reads; tests/integrations/dstack runs it on the real server."""

from __future__ import annotations

from clients.dstack import CONFIGURATION, VERSIONS, WITH_PLUGIN
from docs.pages import blocks
from docs.test_docs_run import exported
from entrada.integrations.dstack.addresses import CALLBACK_PATH
from entrada.integrations.dstack.roles import roles_of
from entrada.settings import load_settings
from house.tools import ROOT

PAGE = ROOT / "docs/how-to/dstack.md"
TEXT = PAGE.read_text("utf-8")


def test_the_configuration_file_is_the_one_that_tests_start_dstack_with() -> None:
    """Every dstack of the tests starts with the page's config.yml."""
    (block,) = blocks(PAGE, "yaml")
    assert block.text == CONFIGURATION + WITH_PLUGIN


def test_the_versions_are_those_of_the_matrix() -> None:
    """The page names the versions that CI tries."""
    assert f"dstack {VERSIONS[0]}, {VERSIONS[1]} and {VERSIONS[2]}" in TEXT


def test_the_redirect_uris_are_the_ones_that_are_sent() -> None:
    """Letter for letter, for a server and for one's own computer."""
    for address in ("https://dstack.example.com", "http://localhost:3000"):
        assert f"`{address}{CALLBACK_PATH}`" in TEXT


def test_its_variables_load_together() -> None:
    """Each block of exports, on top of the first one, is a configuration that dstack starts with."""
    first, *others = exported(PAGE)
    assert set(first) == {"DSTACK_SERVER_URL", *(f"DSTACK_ENTRA_{name}" for name in _DOCUMENTED)}
    for further in [{}, *others]:
        settings, _ = load_settings({**first, **further})
        roles_of(settings)


_DOCUMENTED = ("TENANT_ID", "CLIENT_ID", "CLIENT_SECRET")
