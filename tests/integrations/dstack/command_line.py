"""dstack's own `dstack login`, driven as a person drives it: it prints an address, somebody opens it.

with command_line(dstack, home) as login:
    login.address                     # the address at Entra
    login.end()                       # status and words, once it has ended
"""

from __future__ import annotations

import queue
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clients.dstack import Dstack, environment_of

_WAIT_SECONDS = 60
_ADDRESS = re.compile(r"https?://\S+/authorize\?\S+")


class CommandLine:
    """One run of the command. `words` is what it has printed so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._words: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def words(self) -> str:
        return "".join(self._words)

    @property
    def address(self) -> str:
        """The address it tells the person to open. Waits for it."""
        deadline = time.monotonic() + _WAIT_SECONDS
        while (found := _ADDRESS.search(self.words)) is None:
            line = self._lines.get(timeout=max(deadline - time.monotonic(), 0.001))
            assert line is not None, f"it ended without an address:\n{self.words}"
            self._words.append(line)
        return found[0]

    def end(self) -> tuple[int, str]:
        """Exit status and all words, when it has ended."""
        status = self._process.wait(timeout=_WAIT_SECONDS)
        while (line := self._lines.get(timeout=_WAIT_SECONDS)) is not None:
            self._words.append(line)
        return status, self.words

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)


@contextmanager
def command_line(dstack: Dstack, home: Path, *arguments: str, url: str = "") -> Iterator[CommandLine]:
    """`dstack login` at that server, by the same version's client, with a home of its own.

    `url` is another address that leads to the server.
    """
    environment = environment_of(home, dstack.commands) | {
        # A browser that opens nothing: the address is printed as well.
        "BROWSER": "true",
        "PYTHONUNBUFFERED": "1",
    }
    with subprocess.Popen(
        [dstack.commands / "dstack", "login", "--url", url or dstack.address, *arguments],
        cwd=home,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield CommandLine(process)
        finally:
            process.kill()


def projects_in(home: Path) -> list[dict[str, str]]:
    """The projects that dstack's configuration in this home names, each as the lines say it."""
    lines = (home / ".dstack/config.yml").read_text("utf-8").partition("projects:\n")[2].splitlines()
    projects: list[dict[str, str]] = []
    for line in lines:
        found = re.fullmatch(r"(- |  )(\w+): (.*)", line)
        if found is None:
            break
        if found[1] == "- ":
            projects.append({})
        projects[-1][found[2]] = found[3].strip("'")
    return projects
