"""What the command line writes to stderr, and how much of it.

A log that cannot be written (a full disk) stops nobody from signing in: it is counted how often, and said as
soon as there is room again.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

_handler: logging.Handler | None = None
LOST = "The log could not be written %d times: lines are missing here."


if TYPE_CHECKING:
    TextHandler = logging.StreamHandler[TextIO]
else:
    TextHandler = logging.StreamHandler  # takes no type before Python 3.11


class CountingHandler(TextHandler):
    """Says how often it could not write, in place of a traceback that nobody reads either."""

    _failed = 0

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        before, self._failed = self._failed, 0
        try:
            if before:
                self._write(LOST % before)
            self._write(self.format(record))
        except OSError:
            self._failed = before + 1
        except Exception:
            self.handleError(record)

    def _write(self, text: str) -> None:
        self.stream.write(text + self.terminator)
        self.flush()


def log_to_stderr() -> None:
    """Our log and the libraries' warnings; what somebody else has set up stays."""
    global _handler
    _handler = CountingHandler(sys.stderr)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", handlers=[_handler]
    )
    for talkative in ("urllib3", "alembic", "uvicorn"):
        logging.getLogger(talkative).setLevel(logging.WARNING)


def log_at(level: str) -> None:
    """From here on as much as this level says: debug, info, warning or error."""
    if _handler is not None and _handler in logging.getLogger().handlers:
        _handler.setLevel(level.upper())
        logging.getLogger("entrada").setLevel(level.upper())


@contextmanager
def errors_alone(*names: str) -> Iterator[None]:
    """These loggers say nothing but errors ("" is the one above all); afterwards they are as they were."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
