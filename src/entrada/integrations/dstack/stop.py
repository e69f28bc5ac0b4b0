"""How a wrong configuration stops the server: with a sentence, not with a page of calls.

dstack loads plug-ins while uvicorn waits for its start-up, and uvicorn prints whatever is raised there with
all its calls. The sentence for the person who started the server replaces them.
"""

from __future__ import annotations

import logging

from entrada.errors import EntradaError


class StartRefused(RuntimeError):
    """dstack must not start. No ImportError: dstack would warn of it, and come up without sign-in."""


def stop(error: EntradaError) -> StartRefused:
    """What to raise so that the server does not start, and says why."""
    words = f"entrada: {error.sentence}\n  {error.hint}"
    logging.getLogger("uvicorn.error").addFilter(_Shortening(words))
    return StartRefused(words)


class _Shortening(logging.Filter):
    def __init__(self, words: str) -> None:
        super().__init__()
        self._words = words

    def filter(self, record: logging.LogRecord) -> bool:
        if StartRefused.__name__ in record.getMessage():
            record.msg, record.args, record.exc_info = self._words, (), None
        return True
