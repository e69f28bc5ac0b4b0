"""`entrada demo` as a newcomer meets it: what it prints, where that leads, how it ends, the second start."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser

from browser.visiting import BUTTON, fact, heading, pick

pytestmark = pytest.mark.browser

READY_SECONDS = 5.0


@contextmanager
def demo(home: Path, port: int) -> Iterator[str]:
    """The demo up to its last line, as text; ended by Ctrl-C at the end of the block, without a complaint."""
    process = subprocess.Popen(
        [sys.executable, "-m", "entrada.cli", "demo", "--port", str(port)],
        env={**os.environ, "XDG_STATE_HOME": str(home), "PYTHONIOENCODING": "utf-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    printed = ""
    try:
        for line in process.stdout:
            printed += line
            if "Ctrl-C" in line:
                break
        yield printed
        process.send_signal(signal.SIGINT)
        assert (process.stdout.read(), process.wait(timeout=20)) == ("\nStopped.\n", 0)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_demo_leads_a_newcomer_through(tmp_path: Path, browser: Browser) -> None:
    """It says where to click and as whom; that works; a taken port is no obstacle; the account is kept."""
    accounts = []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for _ in range(2):
            with demo(tmp_path, port) as printed:
                said = re.search(r"^Open (http://localhost:\d+) and sign in as:", printed, re.MULTILINE)
                assert said is not None, printed
                assert f"Port {port} cannot be opened" in printed
                assert urlsplit(said.group(1)).port != port
                assert "\x1b" not in printed
                context = browser.new_context()
                tab = context.new_page()
                tab.goto(said.group(1))
                tab.get_by_role("link", name=BUTTON).click()
                for person in re.findall(r"^  (\w+)@contoso\.test", printed, re.MULTILINE):
                    assert tab.get_by_role("button", name=f"{person}@contoso.test").count() == 1
                pick(tab, "ed")
                tab.wait_for_url(f"{said.group(1)}/")
                assert heading(tab) == "Hello, Ed Codd"
                accounts.append(fact(tab, "Account"))
                context.close()
    ready = re.search(r"^Ready in ([\d.]+) s\.", printed, re.MULTILINE)
    assert ready is not None
    # A test beside others has half a processor, so only far beyond the promise is a failure here.
    assert float(ready.group(1)) < 3 * READY_SECONDS
    assert accounts[0] == accounts[1]
