"""Public functions of `integrations` and `storage` say what the caller gets."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "entrada"
MODULES = sorted(
    path
    for folder in ("integrations", "storage")
    for path in (SOURCE / folder).rglob("*.py")
    if path.parent.name != "versions"  # migrations: each module says what it does
)


def undocumented(node: ast.AST) -> Iterator[str]:
    """Public functions and methods without a docstring.

    A method of a class that names its Protocol inherits what is said there.
    """
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            if not child.name.startswith("_") and not ast.get_docstring(child):
                yield child.name
        elif isinstance(child, ast.ClassDef) and not child.name.startswith("_") and not child.bases:
            yield from undocumented(child)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_public_functions_are_documented(module: Path) -> None:
    """Each has a docstring, its own or its Protocol's."""
    assert list(undocumented(ast.parse(module.read_text("utf-8")))) == []
