"""Fails when a tracked file tells where it was made; warns when a module has grown long.

A home directory, a package index, the path of this very checkout: none belongs into a repository that
others clone. Names of example directories are allowed in ALLOWED, each with its reason.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LONG_MODULE_LINES = 400

TRACES = {
    "a home directory": re.compile(r"/(?:home|Users)/[A-Za-z][\w.-]*|(?<![\w.])/root/"),
    "the address of a package index": re.compile(
        r"https?://[^\s/\"']+/(?:[^\s\"']+/)?simple\b|https?://(?:registry|files)\.[^\s\"']+"
        r"|--(?:extra-)?index-url[ =]\S"
    ),
    "a lock file's download address": re.compile(r"\"resolved\": *\"https?:"),
}
ALLOWED = (
    "/home/src",  # the project directory inside Mage's container image
    "/root/.dstack/server",  # dstack's own directory inside its container image
    "/home/you",
)
# These name the traces in order to find them.
EXEMPT = {"scripts/check_house.py", "tests/house/test_repository.py"}


def tracked_text_files() -> list[tuple[str, str]]:
    """(name, text) of every file that git tracks and that is text."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    files = []
    for name in sorted(set(listed.split("\0")) - {""}):
        path = ROOT / name
        if not path.is_file() or path.is_symlink():
            continue
        content = path.read_bytes()
        if b"\0" not in content[:8000]:
            files.append((name, content.decode("utf-8", errors="replace")))
    return files


def traces_in(name: str, text: str) -> list[str]:
    """One sentence for each line of the file that tells where it was made."""
    if name in EXEMPT:
        return []
    own_places = [str(place) for place in (ROOT, Path.home()) if len(place.parts) > 2]
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        for allowed in ALLOWED:
            line = line.replace(allowed, "")
        for what, pattern in TRACES.items():
            if match := pattern.search(line):
                found.append(f"{name}:{number} holds {what}: {match.group()}")
        found += [f"{name}:{number} holds a path of this machine: {p}" for p in own_places if p in line]
    return found


def long_modules(files: list[tuple[str, str]]) -> list[str]:
    """A warning for each module that wants a reason for its length."""
    counted = [(name, len(text.splitlines())) for name, text in files]
    return [
        f"warning: {name} has {count} lines; more than {LONG_MODULE_LINES} want a reason"
        for name, count in counted
        if name.startswith("src/") and name.endswith(".py") and count > LONG_MODULE_LINES
    ]


if __name__ == "__main__":
    all_files = tracked_text_files()
    all_traces = [trace for name, text in all_files for trace in traces_in(name, text)]
    print("\n".join([*all_traces, *long_modules(all_files)]))
    sys.exit(1 if all_traces else 0)
