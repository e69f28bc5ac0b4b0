"""Keeps codes out of uvicorn's access log, for those who run uvicorn themselves.

uvicorn writes the whole address of each request, and the address that Entra sends a browser back to holds a
code. `dstack server` switches that log off; `uvicorn entrada.integrations.dstack:app` does not.

Source: uvicorn, `AccessFormatter`: the third argument of a record is the path with its query.
"""

from __future__ import annotations

import logging

from entrada.integrations.dstack.addresses import CALLBACK_PATH

_PATH = 2


def keep_codes_out() -> None:
    """From now on the callback stands in the access log without its query."""
    logging.getLogger("uvicorn.access").addFilter(_WithoutQuery())


class _WithoutQuery(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        arguments = record.args
        if isinstance(arguments, tuple) and len(arguments) > _PATH:
            path = str(arguments[_PATH])
            if path.partition("?")[0] == CALLBACK_PATH:
                record.args = (*arguments[:_PATH], CALLBACK_PATH, *arguments[_PATH + 1 :])
        return True
