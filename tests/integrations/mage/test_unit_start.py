"""What `entrada mage start` and `check` find out before Mage runs, without Mage."""

from __future__ import annotations

import json
import socket
import sys
import types
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from entrada.cli import main
from entrada.errors import ConfigurationError
from entrada.integrations.kit.hooks import Finding, Hook, look_at
from entrada.integrations.mage import configuration, hooks
from entrada.integrations.mage.addresses import base_path_of
from entrada.integrations.mage.routes import token_in
from entrada.integrations.mage.setting_names import ON_MAGES_PAGE
from entrada.integrations.mage.store import check_interval
from entrada.settings import FoundValues, Names, Settings, load_settings

TENANT = "c0000000-0000-4000-8000-000000000001"
CLIENT_ID = "00001111-aaaa-2222-bbbb-3333cccc4444"


def loaded(**environ: str) -> tuple[Settings, FoundValues]:
    return load_settings(environ, usual=ON_MAGES_PAGE)


def test_the_shared_application_of_mages_makers_is_refused_with_the_next_step() -> None:
    """A tenant without a client id means Mage's own broker, whose secret nobody else has."""
    settings, found = loaded(ACTIVE_DIRECTORY_DIRECTORY_ID=TENANT)
    with pytest.raises(ConfigurationError) as refused:
        configuration.check_settings(settings, found.names)
    sentence, hint = refused.value.told(found.names)
    assert "ACTIVE_DIRECTORY_DIRECTORY_ID is set without ACTIVE_DIRECTORY_CLIENT_ID" in sentence
    assert "ACTIVE_DIRECTORY_CLIENT_ID" in hint


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        ({}, "ENTRADA_TENANT_ID"),
        ({"ACTIVE_DIRECTORY_CLIENT_ID": CLIENT_ID, "ACTIVE_DIRECTORY_DIRECTORY_ID": TENANT}, "CLIENT_SECRET"),
    ],
)
def test_what_is_missing_is_said_before_mage_is_imported(environ: dict[str, str], names: str) -> None:
    settings, found = loaded(**environ)
    with pytest.raises(ConfigurationError, match=names):
        configuration.check_settings(settings, found.names)


def test_behind_a_broker_the_tenant_is_enough() -> None:
    """The how-to's exports for a broker, by themselves; without a tenant they are no configuration."""
    alone = {
        "ENTRADA_BROKER_URL": "https://login.example.com",
        "ENTRADA_PUBLIC_URL": "https://mage.example.com",
    }
    settings, found = loaded(ACTIVE_DIRECTORY_DIRECTORY_ID=TENANT, **alone)
    configuration.check_settings(settings, found.names)
    assert settings.registration.client_id == "https://mage.example.com"
    settings, found = loaded(**alone)
    with pytest.raises(ConfigurationError, match=r"TENANT_ID|DIRECTORY_ID"):
        configuration.check_settings(settings, found.names)


def test_behind_a_broker_the_public_url_is_the_name() -> None:
    """Without it the registration says so, in words about the broker; on this machine the port gives it."""
    settings, found = loaded(
        ACTIVE_DIRECTORY_DIRECTORY_ID=TENANT, ENTRADA_BROKER_URL="https://login.example.com"
    )
    with pytest.raises(ConfigurationError, match="at a broker it is this application's name"):
        _ = settings.registration
    found_url = configuration.with_public_url(settings, found.names, host="localhost", port="1")
    assert found_url.registration.client_id == "http://localhost:1"


@pytest.mark.parametrize("value", ["0", "false", "no", ""])
def test_a_mage_that_asks_nobody_who_they_are_is_not_started(value: str) -> None:
    with pytest.raises(ConfigurationError, match="REQUIRE_USER_AUTHENTICATION is off"):
        configuration.check_environment({"REQUIRE_USER_AUTHENTICATION": value})


@pytest.mark.parametrize("environ", [{}, {"REQUIRE_USER_AUTHENTICATION": "True"}])
def test_mage_asks_unless_told_otherwise(environ: dict[str, str]) -> None:
    configuration.check_environment(environ)


@pytest.mark.parametrize(
    ("host", "name"), [("localhost", "localhost"), ("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")]
)
def test_on_this_machine_the_public_url_may_be_left_out(host: str, name: str, free_port: int) -> None:
    settings, _ = loaded()
    found = configuration.with_public_url(settings, Names(), host=host, port=str(free_port))
    assert found.public_url == f"http://{name}:{free_port}"


def test_a_port_that_is_taken_is_said_at_once() -> None:
    """Stock Mage moves to the next free port without a word; a redirect URI does not move with it."""
    settings, _ = loaded()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigurationError, match="listens on port"):
            configuration.with_public_url(
                settings, Names(), host="127.0.0.1", port=str(taken.getsockname()[1])
            )


@pytest.mark.parametrize("host", ["0.0.0.0", "mage.contoso.com", "::"])
def test_for_others_the_public_url_must_be_said(host: str) -> None:
    """Redirect URIs never come from a request, so there is nothing to guess with."""
    settings, _ = loaded()
    with pytest.raises(ConfigurationError) as refused:
        configuration.with_public_url(settings, Names(), host=host, port="6789")
    assert refused.value.setting == "ENTRADA_PUBLIC_URL"


def test_a_public_url_that_was_said_is_kept() -> None:
    settings, _ = loaded(ENTRADA_PUBLIC_URL="https://mage.contoso.com")
    assert (
        configuration.with_public_url(settings, Names(), host="0.0.0.0", port="1").public_url
        == "https://mage.contoso.com"
    )


@pytest.mark.parametrize(
    ("text", "path"), [(None, ""), ("", ""), ("mage", "/mage"), ("/team/mage/", "/team/mage")]
)
def test_base_paths_are_read_as_mage_writes_them(text: str | None, path: str) -> None:
    assert base_path_of(text) == path


@pytest.mark.parametrize("text", ["a b", "a//b", "http://x", "a?b", "a\\b"])
def test_a_base_path_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="base path"):
        base_path_of(text)


@pytest.mark.parametrize(
    ("every", "look"), [(timedelta(minutes=15), 30), (timedelta(seconds=100), 10), (timedelta(seconds=2), 1)]
)
def test_people_are_looked_for_often_enough(every: timedelta, look: int) -> None:
    assert check_interval(every) == timedelta(seconds=look)


@pytest.mark.parametrize(
    ("document", "token"),
    [
        ('{"session": {"token": "x"}}', "x"),
        ('{"session": {"token": null}}', None),
        ('{"error": {}}', None),
        ("[]", None),
        ("{", None),
        ('{"session": "x"}', None),
    ],
)
def test_a_session_that_mage_opens_itself_is_noticed(document: str, token: str | None) -> None:
    assert token_in(document) == token


@pytest.fixture
def pretended() -> Iterator[types.ModuleType]:
    """A module in place of one of Mage's."""
    module = types.ModuleType("pretended_mage")

    def make_app(template_dir: Any = None, status_only: bool = False) -> Any:
        return listen(template_dir, status_only)

    def listen(*_: Any) -> None: ...

    module.make_app = make_app  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


@pytest.mark.parametrize(
    ("hook", "problem"),
    [
        (Hook(name="make_app", module="pretended_mage", has=("template_dir",), uses=("listen",)), None),
        (Hook(name="make_app", module="pretended_mage", has=("update_routes",)), "has no update_routes"),
        (Hook(name="make_app", module="pretended_mage", uses=("serve",)), "no longer uses serve"),
        (Hook(name="other", module="pretended_mage"), "is not there"),
    ],
)
def test_a_mage_that_changed_is_noticed(pretended: types.ModuleType, hook: Hook, problem: str | None) -> None:
    """Missing, renamed, with other parameters, or no longer doing what a hook stands on."""
    assert look_at(hook)[1].problem == problem


def test_a_module_that_is_gone_is_noticed() -> None:
    problem = look_at(Hook(name="x", module="mage_that_is_not_there"))[1].problem
    assert problem is not None
    assert "cannot be imported" in problem


def test_what_does_not_fit_is_said_with_the_versions_that_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "installed_version", lambda: "0.9.99")
    error = hooks.does_not_fit(
        [Finding(hook="a", problem=None), Finding(hook="mage_ai.x", problem="is not there")]
    )
    assert error.sentence.endswith("mage_ai.x: is not there.")
    assert "0.9.80" in error.hint
    monkeypatch.setattr(hooks, "installed_version", lambda: None)
    assert 'pip install "./entrada[mage]"' in hooks.does_not_fit([]).hint


def test_check_without_mage_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """Status 1, and for programs the same as JSON."""
    assert main(["mage", "check", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "fits": False,
        "mage_version": None,
        "was_tried": False,
        "tried_versions": ["0.9.80"],
        "findings": [],
        "addresses": [],
    }


def test_an_object_id_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["mage", "link", "a@b.c", "--tenant-id", TENANT, "--object-id", "ada"])
    assert status == 1
    assert "no object ID" in capsys.readouterr().err


def test_sentences_name_the_variables_of_mages_page() -> None:
    """For who has set them, or nothing yet; who uses our own names reads those."""
    _, found = loaded(ACTIVE_DIRECTORY_CLIENT_ID=CLIENT_ID, ENTRADA_TENANT_ID=TENANT)
    said = found.names.put_into("$[client_secret], $[client_id], $[tenant_id], $[guests]")
    assert said == (
        "ACTIVE_DIRECTORY_CLIENT_SECRET, ACTIVE_DIRECTORY_CLIENT_ID, ENTRADA_TENANT_ID, ENTRADA_GUESTS"
    )
