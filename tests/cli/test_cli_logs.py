"""The log of the command line where it cannot be written (fault 23)."""

from __future__ import annotations

import io
import logging

from entrada.cli.logs import LOST, CountingHandler


class FullDisk(io.StringIO):
    """Takes no line while it is full."""

    is_full = False

    def write(self, text: str) -> int:
        if self.is_full:
            raise OSError(28, "No space left on device")
        return super().write(text)


def test_fault_23_lines_that_are_lost_are_counted_and_said() -> None:
    """Whoever logs goes on; with room again the log says first how often it could not be written."""
    disk = FullDisk()
    log = logging.Logger("of a full disk")
    log.addHandler(CountingHandler(disk))
    log.info("one")
    disk.is_full = True
    for line in ("two", "three"):
        log.info(line)
    disk.is_full = False
    log.info("four")
    log.info("five")
    assert disk.getvalue().splitlines() == ["one", LOST % 2, "four", "five"]
