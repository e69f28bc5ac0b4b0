"""Whoever changes somebody's access says who it was: no call of a store's verbs goes without its cause."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

VERBS = {
    "set_disabled",
    "grant_role",
    "revoke_role",
    "end_by_entra_session",
    "end_of_user",
    "end_all",
}
AMBIGUOUS = {"delete", "end"}
"""Verbs of a store only where they are called on one."""
STORES = {"accounts", "sessions"}


def calls_without_a_cause(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        on = node.func.value
        name = on.attr if isinstance(on, ast.Attribute) else on.id if isinstance(on, ast.Name) else ""
        if node.args and ast.unparse(node.args[0]).endswith("connection"):
            continue  # a function of Mage's side, inside a transaction of its own
        is_verb = node.func.attr in VERBS or (node.func.attr in AMBIGUOUS and name.lstrip("_") in STORES)
        if is_verb and name.lstrip("_") in STORES and not any(k.arg == "cause" for k in node.keywords):
            yield f"line {node.lineno}: {ast.unparse(node)}"


def test_every_change_says_who_brings_it_about(project_root: Path) -> None:
    """The verbs of AccountStore and SessionStore have a default cause, for tests; the product states it."""
    found = [
        f"{file.name} {call}"
        for file in sorted((project_root / "src/entrada").rglob("*.py"))
        for call in calls_without_a_cause(ast.parse(file.read_text("utf-8")))
    ]
    assert found == []


def test_a_call_without_one_is_found() -> None:
    """The rule sees what it is for."""
    tree = ast.parse(
        "self.sessions.end(x)\nstores.accounts.delete(y)\nsessions.end_all(cause=z)\nother.end(x)"
    )
    assert [call.split(":")[0] for call in calls_without_a_cause(tree)] == ["line 1", "line 2"]
