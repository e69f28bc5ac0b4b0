"""K30 with a real disk that is full: the server is not ready, and the page says who can help."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from walks.conftest import NewVisitor, Serve
from walks.refusals import text_of
from walks.visitor import Visitor


def mount(*words: str) -> None:
    done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)  # words of ours
    if done.returncode:
        pytest.skip(f"this machine lets the tests mount nothing: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder))
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # words of ours


def fill(disk: Path) -> None:
    with suppress(OSError), (disk / "something else").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


def test_K30_a_full_disk(disk: Path, serve: Serve, new_visitor: NewVisitor, pat: Any) -> None:
    """Not ready, and the sign-in's page sends nobody to wait; with room again both are good by themselves."""
    site = serve(database=disk / "entrada.db")
    visitor, words = new_visitor(site), "its disk is full"
    assert visitor.open("/readyz").status_code == 200
    fill(disk)
    page = text_of(sign_ins_until_refused(visitor, pat))
    site.clock.pass_by(seconds=11)
    ready = visitor.open("/readyz")
    assert ready.status_code == 503
    assert words in ready.json()["waiting_for"]["database"]
    assert words in page
    assert "Your administrator can fix this" in page
    assert "waiting helps" not in page
    (disk / "something else").unlink()
    site.clock.pass_by(seconds=11)
    assert visitor.open("/readyz").status_code == 200
    assert visitor.sign_in_as(pat).status_code == 303


def sign_ins_until_refused(visitor: Visitor, person: Any) -> Any:
    """The page of the first sign-in that could not be kept: what is left of the last page may hold some."""
    for _ in range(200):
        answer = visitor.sign_in_as(person)
        if answer.status_code != 303:
            return answer
    raise AssertionError("every sign-in was kept")
