"""The error tree: codes are stable names that programs branch on, so they are unique and documented."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from entrada import errors

Errors = Iterator[type[errors.EntradaError]]


def every_error(parent: type[errors.EntradaError] = errors.EntradaError) -> Errors:
    """Every error of the tree, in the order of the tree."""
    yield parent
    for child in parent.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from every_error(child)


def test_codes_are_unique_and_each_class_has_its_own() -> None:
    """No two errors share a code, and none inherits its parent's."""
    classes = list(every_error())
    assert [error.__name__ for error in classes if "code" not in vars(error)] == []
    codes = [error.code for error in classes]
    assert sorted(set(codes)) == sorted(codes)
    assert [code for code in codes if not re.fullmatch(r"[a-z][a-z0-9_]*", code)] == []


def test_every_code_is_documented(project_root: Path) -> None:
    """docs/reference/errors.md has a heading for every code, and for no other."""
    page = (project_root / "docs/reference/errors.md").read_text("utf-8")
    assert re.findall(r"^## (\S+)$", page, re.MULTILINE) == [error.code for error in every_error()]


def test_the_drawing_shows_every_error() -> None:
    """The tree at the top of errors.py names each class under its parent, in order."""
    drawn = re.findall(r"^ +((?:[│ ] +)*)(?:[├└]── )?([A-Z]\w+)", errors.__doc__ or "", re.MULTILINE)
    assert [name for _, name in drawn] == [error.__name__ for error in every_error()]


def test_sentences_and_hints_are_sentences() -> None:
    """What a person reads begins with a capital, ends with a full stop and stands on one line."""
    for error in every_error():
        for text in (error.default_sentence, error.default_hint):
            assert re.fullmatch(r"[A-Z][^\n]*[.)]", text), f"{error.__name__}: {text}"
