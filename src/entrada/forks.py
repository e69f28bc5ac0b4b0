"""What begins anew in a forked child, where the parent's threads do not exist and may have held its locks."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class StartsOver(Protocol):
    def start_over_in_child(self) -> None:
        """Called in the child before anything else of ours runs there."""


_known: WeakSet[StartsOver] = WeakSet()


def starts_over_in_children(one: StartsOver) -> None:
    """From now on, for as long as it is used."""
    _known.add(one)


def _start_over() -> None:
    for one in list(_known):
        one.start_over_in_child()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_start_over)
