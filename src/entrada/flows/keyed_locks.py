"""One lock for each key that somebody holds or waits for: single flight within a process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock


class KeyedLocks:
    """`with locks.of(key):` one thread at a time. What nobody holds or waits for is forgotten."""

    def __init__(self) -> None:
        self._guard = Lock()
        self._locks: dict[object, tuple[Lock, int]] = {}

    @contextmanager
    def of(self, key: object) -> Iterator[None]:
        """The block alone, among all of this key."""
        with self._guard:
            lock, waiting = self._locks.get(key, (Lock(), 0))
            self._locks[key] = (lock, waiting + 1)
        try:
            with lock:
                yield
        finally:
            with self._guard:
                lock, waiting = self._locks[key]
                if waiting == 1:
                    del self._locks[key]
                else:
                    self._locks[key] = (lock, waiting - 1)
