"""The pages of the documentation, and the code blocks in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from house.tools import ROOT

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block: where it begins (`page:line`), its language, its text."""

    place: str
    language: str
    text: str


def pages() -> list[Path]:
    """README and everything under docs/ that people wrote: the generated reference is tested elsewhere."""
    written = [path for path in sorted((ROOT / "docs").rglob("*.md")) if path.parent.name != "reference"]
    return [ROOT / "README.md", *written]


def blocks(page: Path, language: str | None = None) -> Iterator[Block]:
    text = page.read_text("utf-8")
    for match in _BLOCK.finditer(text):
        if language in (None, match.group(1)):
            line = text.count("\n", 0, match.start()) + 1
            yield Block(
                place=f"{page.relative_to(ROOT)}:{line}", language=match.group(1), text=match.group(2)
            )


def all_blocks(language: str) -> list[Block]:
    return [block for page in pages() for block in blocks(page, language)]
