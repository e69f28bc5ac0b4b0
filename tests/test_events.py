"""Log events: named, one line each, with fields from a list, whatever a visitor or a claim says."""

from __future__ import annotations

import logging
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrada.events import FIELDS, Event, record, subscribe


class Lines(logging.Handler):
    """The lines as a file would hold them."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []

    def emit(self, entry: logging.LogRecord) -> None:
        self.written.append(self.format(entry))


def written(event: Event = Event.SIGN_IN_REFUSED, **fields: object) -> str:
    handler, log = Lines(), logging.getLogger("entrada.events")
    level, log.level = log.level, logging.DEBUG
    log.addHandler(handler)
    try:
        record(event, **fields)
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
    (line,) = handler.written
    return line


def test_an_event_is_its_name_and_its_fields() -> None:
    """A line reads `event name=value …`; what is None is left out."""
    line = written(code="state_missing", status=400, check=None, reason="two words")
    assert line == "sign_in_refused code=state_missing status=400 reason='two words'"


@pytest.mark.parametrize(
    "value",
    [
        "a\nsign_in_completed user_id=root",
        "a\r\nb",
        "\x1b[31mred",
        "a\u2028b",
        "a\x85b",
        "a\x0bb\x0cc",
        "\ud800",
        "\x00",
        "﻿" * 3,
        "😀" * 500,
        "x" * 200_000,
    ],
    ids=lambda value: repr(value)[:16],
)
def test_J2_no_value_breaks_a_line(value: str) -> None:
    """A15: line ends, escapes and 200 kB in a value are one short line of plain ASCII."""
    line = written(error=value)
    assert len(line.splitlines()) == 1
    assert line.isascii()
    assert line.isprintable()
    assert len(line) < 2_500


@settings(deadline=None)
@given(st.text(max_size=300))
def test_J2_no_value_looks_like_another_field(value: str) -> None:
    """Whatever a value holds, it does not write a second field: what has spaces or quotes is quoted."""
    line = written(reason=value, status=400)
    assert line.endswith(" status=400")
    shown = line.removeprefix("sign_in_refused reason=").removesuffix(" status=400")
    assert re.fullmatch(r"[^\s\"]*|'.*'|\".*\"", shown)
    assert line.isascii()
    assert line.isprintable()


@pytest.mark.parametrize("name", ["token", "state", "cookie", "id_token", "email", "name", "client_secret"])
def test_J1_a_field_that_is_not_on_the_list_is_our_mistake(name: str) -> None:
    """Codes, tokens, cookies and people's names cannot be logged by accident."""
    with pytest.raises(ValueError, match=name):
        record(Event.SIGNED_OUT, **{name: "hush"})


def test_J1_no_field_of_the_list_is_for_a_secret() -> None:
    """The list itself names nothing secret; `code` is the code of an error."""
    assert not {name for name in FIELDS if re.search("token|secret|cookie|state|nonce|verifier|email", name)}


@pytest.mark.parametrize("event", list(Event))
def test_what_an_administrator_should_look_at_is_a_warning(
    event: Event, caplog: pytest.LogCaptureFixture
) -> None:
    """Refusals, ended access and failed re-checks stand out by their level; the rest does not."""
    with caplog.at_level(logging.INFO, logger="entrada.events"):
        record(event)
    (entry,) = caplog.records
    assert (entry.levelno == logging.WARNING) == event.value.endswith(("refused", "ended", "failed"))


def test_a_subscriber_hears_every_event_at_any_log_level(caplog: pytest.LogCaptureFixture) -> None:
    """Who counts events does not depend on what the log shows; ended, it hears no more."""
    caplog.set_level(logging.ERROR, logger="entrada.events")
    heard: list[tuple[Event, dict[str, object]]] = []
    end = subscribe(lambda event, fields: heard.append((event, dict(fields))))
    record(Event.SIGNED_OUT, user_id="u")
    end()
    record(Event.SIGNED_OUT, user_id="v")
    assert heard == [(Event.SIGNED_OUT, {"user_id": "u"})]
    assert caplog.records == []
