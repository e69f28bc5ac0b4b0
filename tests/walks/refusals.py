"""What "refuse" means everywhere: no session, no row, the sign-in spent, a page to read, one log line."""

from __future__ import annotations

import html
import logging
import re
from typing import Any

import httpx
import pytest

from entrada.emulator import RunningEmulator
from walks.visitor import Visitor, query_of

EVENTS = "entrada.events"
OURS = ("httpx", "httpcore")
"""Loggers of the tests' own HTTP client."""

_SECRET_SETTING = "emu~public.secret"
_SESSION_SET = re.compile(r"(__Host-)?entrada_session\w*=[^;]")


class Watch:
    """What the site kept when the watch began, to compare with afterwards."""

    def __init__(self, visitor: Visitor, emulator: RunningEmulator, caplog: pytest.LogCaptureFixture) -> None:
        self._visitor = visitor
        self._emulator = emulator
        self._caplog = caplog
        self._rows = visitor.site.rows() if visitor.site.database else {}
        self._token_requests = self._redemptions()
        caplog.clear()

    def refused(
        self,
        answer: httpx.Response,
        status: int = 400,
        code: str = "",
        *,
        sentence: str = "",
        token_requests: int | None = None,
    ) -> str:
        """The text of the page, after all that "refuse" means was checked."""
        assert answer.status_code == status, f"{answer.status_code}: {text_of(answer)}{self._tracebacks()}"
        assert answer.headers["content-type"].startswith("text/html")
        assert not any(_SESSION_SET.match(line) for line in answer.headers.get_list("set-cookie"))
        if self._visitor.site.database:
            assert self._visitor.site.rows() == self._rows, "something was kept"
        line = self._one_event()
        incident = re.search(r"incident=([0-9a-f]{16}) ", line)
        page = text_of(answer)
        assert incident is not None, line
        assert incident[1] in page, "the page does not name the incident of the log"
        if code:
            assert f" code={code} " in line, line
        assert sentence in page, page
        self.nothing_secret(page)
        if token_requests is not None:
            assert self._redemptions() - self._token_requests == token_requests
        return page

    def nothing_secret(self, page: str = "") -> None:
        """Neither log nor page holds what opens a door."""
        visitor = self._visitor
        secrets = [_SECRET_SETTING, *(cookie.value for cookie in visitor.jar.cookies.values())]
        if visitor.coming_back:
            code = query_of(visitor.coming_back).get("code")
            secrets += [code] if code else []
        for text in (page, *(logged(record) for record in self.records)):
            assert not any(secret in text for secret in secrets), text

    @property
    def records(self) -> list[logging.LogRecord]:
        return [record for record in self._caplog.records if not record.name.startswith(OURS)]

    @property
    def events(self) -> list[str]:
        return [record.getMessage() for record in self.records if record.name == EVENTS]

    def _tracebacks(self) -> str:
        return "\n".join(logging.Formatter().formatException(r.exc_info) for r in self.records if r.exc_info)

    def _one_event(self) -> str:
        refusals = [line for line in self.events if "_refused " in line]
        assert len(refusals) == 1, self.events
        assert len(refusals[0].splitlines()) == 1
        return refusals[0]

    def _redemptions(self) -> int:
        return sum(request.endpoint == "token" for request in self._emulator.requests)


def logged(record: logging.LogRecord) -> str:
    """Everything a log line could show: the message, its arguments, its extras, its traceback."""
    shown: dict[str, Any] = dict(record.__dict__)
    shown["exc_info"] = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
    return f"{record.getMessage()} {shown}"


def text_of(answer: httpx.Response) -> str:
    """The page as a person reads it."""
    page = re.sub(r"<style.*?</style>", "", answer.text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))
