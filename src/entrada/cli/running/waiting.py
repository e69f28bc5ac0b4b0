"""Waiting until the application listens where it was told to, and nowhere that leads around the gateway.

    wait_until_listening(...)    returns when it does, or when the application has ended

On Linux a port counts only when a process of the application listens at it: what somebody else has opened
there meanwhile would be told who people are.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Sequence
from time import monotonic

from entrada.cli.running.command import Place
from entrada.cli.running.listening import IS_KNOWN, Listener, descendants, listeners_at, listeners_of
from entrada.cli.running.products import HOST
from entrada.cli.running.supervisor import Application, Supervisor
from entrada.errors import ConfigurationError

LOOK_EVERY_SECONDS = 0.1
SAY_EVERY_SECONDS = 10.0
_CONNECT_SECONDS = 1.0
_ROOT = 0

log = logging.getLogger("entrada")


def wait_until_listening(
    application: Application,
    supervisor: Supervisor,
    place: Place,
    *,
    title: str,
    seconds: float,
    is_ending: Callable[[], bool],
) -> None:
    """Returns also when the application has ended, or is asked to.

    Raises:
        ConfigurationError: it does not listen there in time, or listens where everybody reaches it.
    """
    began = monotonic()
    said = began
    while not (application.wait(LOOK_EVERY_SECONDS) or is_ending()):
        own = listeners_of(descendants(supervisor.pid))
        if place.socket is None:
            _refuse_open(own, place, title)
        if listens(own, place):
            _warn_of_others(own, place, title)
            return
        now = monotonic()
        if now - began > seconds:
            raise _too_late(own, place, title, seconds)
        if now - said > SAY_EVERY_SECONDS:
            said = now
            log.info("Waiting for %s to listen on %s (%d s) ...", title, place, now - began)


def listens(own: Sequence[Listener], place: Place) -> bool:
    """Whether the application, whose listeners are `own`, listens at that place."""
    if place.socket is not None:
        return place.socket.exists() and _answers(socket.AF_UNIX, str(place.socket))
    if not _answers(socket.AF_INET, (HOST, place.port)):
        return False
    if not IS_KNOWN or any(listener.port == place.port for listener in own):
        return True
    # A container engine listens as root, for a container that is no process of ours.
    others = listeners_at(place.port)
    return bool(others) and os.getuid() != _ROOT and all(listener.uid == _ROOT for listener in others)


def _answers(family: int, address: object) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(_CONNECT_SECONDS)
        try:
            probe.connect(address)  # type: ignore[arg-type]  # of that family
        except OSError:
            return False
    return True


def _refuse_open(own: Sequence[Listener], place: Place, title: str) -> None:
    for listener in own:
        if listener.port == place.port and not listener.is_private:
            raise ConfigurationError(
                f"{title} listens on {listener}, where others reach it without signing in.",
                hint=f"Let it listen on {HOST}: the command may hold {{host}} and {{port}}.",
            )


def _warn_of_others(own: Sequence[Listener], place: Place, title: str) -> None:
    for listener in own:
        if listener.port != place.port and not listener.is_private:
            log.warning("%s also listens on %s, where others reach it without signing in.", title, listener)


def _too_late(own: Sequence[Listener], place: Place, title: str, seconds: float) -> ConfigurationError:
    elsewhere = ", ".join(sorted(str(listener) for listener in own))
    sentence = f"{title} does not listen on {place} after {seconds:g} s"
    if elsewhere:
        return ConfigurationError(
            f"{sentence}, but on {elsewhere}.",
            hint="Where its command takes a port, write {port}, and {host} for the address.",
        )
    if place.socket is None and IS_KNOWN and listeners_at(place.port):
        return ConfigurationError(
            f"{sentence}; another process has that port.", hint="Start again: another port is chosen."
        )
    return ConfigurationError(
        f"{sentence}.",
        hint="Where its command takes a port, write {port}. If it needs longer: --start-within 5m.",
    )
