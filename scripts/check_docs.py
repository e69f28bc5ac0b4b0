"""Fails when a page of the documentation points at something that is not there.

Owns: every relative link and `#anchor` in a Markdown file of the repository; the two commands that
README must name; the index of docs/ and those of folders that have one, which must name every page.
Refuses nothing about style. Source of the anchor rule: GitHub's own heading anchors (lower case, spaces to
hyphens, punctuation dropped, a repeated heading numbered).
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
README_MUST_NAME = ("make demo", "make test", "CONTRIBUTING.md", "CHANGELOG.md", "docs/README.md")
# Pages that the index of docs/ does not have to name one by one: these folders have an index of their own.
INDEXED_BY_FOLDER = ("docs/adr/",)

_FENCE = re.compile(r"^ {0,3}(```+|~~~+).*?^ {0,3}\1\s*$", re.MULTILINE | re.DOTALL)
_INLINE_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"(?<!\\)\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_REFERENCE = re.compile(r"^ {0,3}\[[^\]^][^\]]*\]:\s+<?(\S+?)>?(?:\s|$)", re.MULTILINE)
_HTML_LINK = re.compile(r"<(?:a|img|source)\b[^>]*?\b(?:href|src|srcset)=\"([^\"]+)\"")
_HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)


def markdown_files() -> list[Path]:
    """Every Markdown file that git tracks or would track."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "*.md"],  # noqa: S607
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return sorted(ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file())


def anchors(text: str) -> set[str]:
    """The anchors of a page: its headings as GitHub slugs them, and explicit ids."""
    found: set[str] = set(re.findall(r"\b(?:id|name)=\"([^\"]+)\"", text))
    seen: dict[str, int] = {}
    for heading in _HEADING.findall(_FENCE.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "")
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).strip().replace(" ", "-")
        repeated = seen.get(slug, 0)
        seen[slug] = repeated + 1
        found.add(f"{slug}-{repeated}" if repeated else slug)
    return found


def links(text: str) -> list[str]:
    """Link targets of a page in order, code left out."""
    prose = _INLINE_CODE.sub("", _FENCE.sub("", text))
    return [*_LINK.findall(prose), *_REFERENCE.findall(prose), *_HTML_LINK.findall(prose)]


def broken_links(page: Path, text: str) -> list[str]:
    """One sentence for each link of `page` that leads nowhere."""
    problems = []
    for target in links(text):
        if re.match(r"[a-z][a-z0-9+.-]*:|//", target):
            continue
        path_text, _, anchor = unquote(target).partition("#")
        destination = (page.parent / path_text).resolve() if path_text else page
        name = page.relative_to(ROOT)
        if path_text.startswith("/") or not destination.is_relative_to(ROOT):
            problems.append(f"{name}: the link {target} leaves the repository")
        elif not destination.exists():
            problems.append(f"{name}: the link {target} leads nowhere")
        elif anchor and destination.suffix == ".md" and anchor not in anchors(destination.read_text("utf-8")):
            problems.append(f"{name}: {target} names a heading that is not there")
    return problems


def linked_from(index: Path) -> set[Path]:
    """The files of the repository that a page links to."""
    return {
        (index.parent / unquote(target).partition("#")[0]).resolve()
        for target in links(index.read_text("utf-8"))
        if "://" not in target
    }


def missing_from_index(pages: list[Path]) -> list[str]:
    """Pages under docs/ that docs/README.md, or the index of their folder, does not link to."""
    index = ROOT / "docs/README.md"
    if not index.is_file():
        return ["docs/README.md, the index of the documentation, is missing"]
    linked = {index: linked_from(index)}
    problems = []
    for page in pages:
        name = page.relative_to(ROOT).as_posix()
        if not name.startswith("docs/") or page == index:
            continue
        of_folder = page.parent / "README.md"
        by_folder = name.startswith(INDEXED_BY_FOLDER) and page != of_folder and of_folder.is_file()
        its_index = of_folder if by_folder else index
        if its_index not in linked:
            linked[its_index] = linked_from(its_index)
        if page not in linked[its_index]:
            problems.append(f"{its_index.relative_to(ROOT)} does not link to {name}")
    return problems


def problems() -> list[str]:
    """Everything that is wrong, one sentence each."""
    pages = markdown_files()
    found = [problem for page in pages for problem in broken_links(page, page.read_text("utf-8"))]
    found += missing_from_index(pages)
    readme = (ROOT / "README.md").read_text("utf-8")
    found += [f"README.md does not name {needed}" for needed in README_MUST_NAME if needed not in readme]
    return found


if __name__ == "__main__":
    found_problems = problems()
    print("\n".join(found_problems))
    sys.exit(1 if found_problems else 0)
