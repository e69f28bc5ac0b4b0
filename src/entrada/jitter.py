"""The random part of a waiting time, so that many processes do not all ask at once.

It is the system's: an application that seeds `random`, or forks after using it, would give each of its
processes the same waits, and its own numbers would change with ours.
"""

from __future__ import annotations

from random import SystemRandom

_system = SystemRandom()


def chance() -> float:
    """A number from 0 to 1, without 1."""
    return _system.random()


def between(least: float, most: float) -> float:
    """A number from `least` to `most`."""
    return _system.uniform(least, most)
