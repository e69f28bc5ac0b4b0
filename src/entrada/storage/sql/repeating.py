"""The one place where a transaction is made again that lost against another, or lost its connection.

    @repeats_transactions
    class SqlThings: ...        each public method is one transaction of its `_database`

PostgreSQL chooses a victim of two transactions that wait for each other, and of two that cannot be put in an
order; a restart or a fail-over ends connections. `failures.may_be_repeated` says when nothing was changed.
Where COMMIT was on its way and no answer came, what became of it is not known, and nothing is repeated.

Source: PostgreSQL, "Serialization Failure Handling".
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from entrada import jitter
from entrada.errors import StoreUnavailable
from entrada.storage.sql.deadline import within
from entrada.storage.sql.failures import may_be_repeated

ATTEMPTS = 5
FIRST_PAUSE_SECONDS = 0.02
"""Doubled each time, of which between half and all is waited: two that met do not meet again."""

Store = TypeVar("Store", bound=type)


def repeats_transactions(store: Store) -> Store:
    """Each public method of the class is made again where nothing was changed and it may succeed now."""
    for name, method in vars(store).items():
        if inspect.isfunction(method) and not name.startswith("_"):
            setattr(store, name, repeated(method))
    return store


def repeated(transaction: Callable[..., Any]) -> Callable[..., Any]:
    """The method of a store, made up to `ATTEMPTS` times, all in the time that a transaction may take."""

    @wraps(transaction)
    def repeat(store: Any, *arguments: Any, **named: Any) -> Any:
        with within(store._database.wait):
            for attempt in range(1, ATTEMPTS):
                try:
                    return transaction(store, *arguments, **named)
                except StoreUnavailable as failure:
                    if not may_be_repeated(failure):
                        raise
                time.sleep(FIRST_PAUSE_SECONDS * 2**attempt * jitter.between(0.5, 1))
            return transaction(store, *arguments, **named)

    return repeat
