"""The changelog is in the form it says: one section of a kind in each version, each of them one list."""

from __future__ import annotations

import re
from pathlib import Path

CHANGELOG = (Path(__file__).resolve().parents[2] / "CHANGELOG.md").read_text(encoding="utf-8")
KINDS = ("Security", "Added", "Changed", "Deprecated", "Removed", "Fixed")


def versions() -> dict[str, str]:
    """Each version's part of the page, by its heading."""
    parts = re.split(r"^## \[(.+?)\].*$", CHANGELOG, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_a_version_has_one_section_of_a_kind_security_first() -> None:
    """Who looks whether a hole was mended finds one list, at the top."""
    assert versions()
    for version, text in versions().items():
        kinds = re.findall(r"^### (.+)$", text, re.MULTILINE)
        assert kinds == [kind for kind in KINDS if kind in kinds], f"{version}: {kinds}"


def test_a_section_is_one_list() -> None:
    """No entry stands alone between two blank lines, where a merge left it."""
    for version, text in versions().items():
        for section in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
            heading, _, body = section.partition("\n")
            for line in body.strip().splitlines():
                assert line.startswith(("- ", "  ")), f"{version}, {heading}: {line!r}"


def test_no_entry_stands_there_twice() -> None:
    """No two entries begin alike, as a merge leaves them."""
    for version, text in versions().items():
        begun = [entry[:60] for entry in re.findall(r"^- (.+)$", text, re.MULTILINE)]
        assert len(begun) > 1, version
        assert sorted(set(begun)) == sorted(begun), version
