"""What is refused before the server is up, and how that is said. dstack itself is not needed for it."""

from __future__ import annotations

import importlib
import json
import logging
import sys

import pytest

from entrada.errors import ConfigurationError, RequestRefused
from entrada.integrations.dstack import hooks
from entrada.integrations.dstack.access_log import keep_codes_out
from entrada.integrations.dstack.responses import failure_json, json_body
from entrada.integrations.dstack.start import ON_DSTACKS_PAGE, check_settings
from entrada.integrations.dstack.stop import stop
from entrada.integrations.kit.hooks import Finding, Hook, look_at
from entrada.settings import load_settings
from entrada.web.messages import WebRequest

CLIENT_ID = "00001111-aaaa-2222-bbbb-3333cccc4444"


def checked(environ: dict[str, str]) -> None:
    settings, found = load_settings(environ, usual=ON_DSTACKS_PAGE)
    with found.names.in_errors():
        check_settings(settings)


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({}, "DSTACK_SERVER_URL is not set"),
        ({"DSTACK_SERVER_URL": "http://127.0.0.1:3000"}, "DSTACK_SERVER_URL holds http://127.0.0.1:3000"),
        (
            {"DSTACK_SERVER_URL": "https://d.test", "DSTACK_ENTRA_EXTRA_URLS": "http://127.0.0.1:1"},
            "DSTACK_ENTRA_EXTRA_URLS holds",
        ),
        ({"DSTACK_SERVER_URL": "https://d.test", "ENTRADA_RESPONSE_MODE": "form_post"}, "form_post"),
        ({"DSTACK_SERVER_URL": "https://d.test", "ENTRADA_CALLBACK_PATHS": "/oauth"}, "another path"),
    ],
)
def test_settings_that_dstack_cannot_have(environ: dict[str, str], words: str) -> None:
    """An address that Entra refuses, or an answer dstack's page cannot read, stops the start in words."""
    with pytest.raises(ConfigurationError, match=words):
        checked(environ)


def test_an_address_entra_refuses_comes_with_the_one_it_takes() -> None:
    """dstack's own default is http://127.0.0.1:3000; the hint has what to write instead."""
    with pytest.raises(ConfigurationError) as refused:
        checked({"DSTACK_SERVER_URL": "http://127.0.0.1:3000"})
    assert "write http://localhost:3000" in refused.value.hint


@pytest.mark.parametrize("url", ["http://localhost:3000", "http://localhost", "https://dstack.contoso.com"])
def test_addresses_that_are_fine(url: str) -> None:
    """https anywhere, plain http on localhost."""
    checked({"DSTACK_SERVER_URL": url})


def test_a_missing_variable_is_called_what_dstacks_page_calls_it() -> None:
    """Who followed dstack's page reads DSTACK_ENTRA_CLIENT_ID; who used our names reads ENTRADA_CLIENT_ID."""
    error = ConfigurationError("$[client_id] is not set.", hint="h", setting="client_id")
    _, found = load_settings({}, usual=ON_DSTACKS_PAGE)
    assert error.told(found.names)[0] == "DSTACK_ENTRA_CLIENT_ID is not set."
    _, found = load_settings(
        {"ENTRADA_CLIENT_ID": "00001111-aaaa-2222-bbbb-3333cccc4444"}, usual=ON_DSTACKS_PAGE
    )
    assert error.told(found.names)[0] == "ENTRADA_CLIENT_ID is not set."


def test_the_sentence_replaces_the_calls(caplog: pytest.LogCaptureFixture) -> None:
    """uvicorn prints the sentence and the hint for a start that was refused, and no traceback."""
    logger = logging.getLogger("uvicorn.error")
    try:
        refused = stop(ConfigurationError("It is wrong.", hint="Mend it."))
        logger.error("Traceback (most recent call last):\n ...\n%s: x", type(refused).__name__)
        logger.error("Application startup failed. Exiting.")
    finally:
        logger.filters.clear()
    assert [record.getMessage() for record in caplog.records] == [
        "entrada: It is wrong.\n  Mend it.",
        "Application startup failed. Exiting.",
    ]
    assert not isinstance(refused, ImportError)


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ("/auth/entra/callback?code=secret&state=s", "/auth/entra/callback"),
        ("/auth/entra/callback", "/auth/entra/callback"),
        ("/auth/entra/start?prompt=login", "/auth/entra/start?prompt=login"),
    ],
)
def test_no_code_in_uvicorns_access_log(
    path: str, written: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address with the code is logged without its query; every other address is as it was."""
    logger = logging.getLogger("uvicorn.access")
    # A uvicorn of another test's in this process may have set it up in its own way.
    monkeypatch.setattr(logger, "handlers", [caplog.handler])
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "disabled", False)
    keep_codes_out()
    try:
        with caplog.at_level(logging.INFO, logger="uvicorn.access"):
            logger.info('%s - "%s %s HTTP/%s" %d', "127.0.0.1:1", "GET", path, "1.1", 200)
            logger.info("started")
    finally:
        logger.filters.clear()
    assert caplog.messages == [f'127.0.0.1:1 - "GET {written} HTTP/1.1" 200', "started"]


def test_the_package_needs_no_dstack_to_be_imported() -> None:
    """`entrada dstack check` runs where there is none; asking for the plug-in there stops with a sentence."""
    assert "dstack" not in sys.modules
    package = importlib.import_module("entrada.integrations.dstack")
    try:
        with pytest.raises(RuntimeError, match=r"pip install \"./entrada\[dstack\]\"") as refused:
            package.EntradaPlugin  # noqa: B018  # asking is what is tried
    finally:
        logging.getLogger("uvicorn.error").filters.clear()
    assert not isinstance(refused.value, ImportError)
    with pytest.raises(AttributeError):
        package.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("version", "supported"),
    [
        ("0.20.9", False),
        ("0.21.0", True),
        ("0.21.5", True),
        ("0.22.5", True),
        ("1.0.0", True),
        ("0.22.5rc1", True),
        ("", False),
        ("latest", False),
    ],
)
def test_supported_versions(version: str, supported: bool) -> None:
    """From 0.21.0 on; newer ones are judged by their hooks, not by their number."""
    assert hooks.is_supported(version) is supported


def test_a_missing_or_changed_hook_is_found() -> None:
    """A hook that is gone, cannot be imported, or lost a parameter is a problem in words."""
    fits = Hook(name="dumps", module="json", has=("obj", "indent"))
    assert look_at(fits) == (json.dumps, Finding(hook="json.dumps", problem=None))
    for hook, words in (
        (Hook(name="dumps", module="json", has=("obj", "colour")), "has no colour"),
        (Hook(name="nothing", module="json"), "is not there"),
        (Hook(name="x", module="no_such_module"), "cannot be imported"),
        (Hook(name="JSONDecoder", module="json", has=("decode", "encode")), "has no encode"),
    ):
        assert words in (look_at(hook)[1].problem or "")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"[]", "application/json"),
        (b"{", "application/json"),
        (b'{"state": "a", "state": "b"}', "application/json"),
        (b"[" * 60_000, "application/json"),
        (b"\xff", "application/json"),
        (b"{}", "text/plain"),
        (b"{}", "application/x-www-form-urlencoded"),
        (b"{}", ""),
    ],
)
def test_A8_a_body_that_is_no_plain_json_is_refused(body: bytes, content_type: str) -> None:
    """Another site's form cannot pass for dstack's page, and no member counts twice."""
    request = WebRequest(method="POST", path="/", headers={"content-type": content_type}, body=body)
    with pytest.raises(RequestRefused):
        json_body(request)


def test_a_refusal_is_in_the_shape_dstacks_command_line_shows() -> None:
    """400 with a `detail` list: any other status hides the words from the person."""
    answer = failure_json(RequestRefused("No.", hint="Do that."))
    document = json.loads(answer.body)
    assert answer.status == 400
    assert document["detail"] == [{"msg": "No. Do that.", "code": "error"}]
    assert document["incident"]
