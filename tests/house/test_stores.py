"""No store without its suite: whoever implements a store Protocol is run by `tests/conformance`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from conformance.products import IMPLEMENTERS, PEOPLE
from conformance.stores import MAKERS

MARKS_OF_A_STORE = (
    {"find_by_identity", "create", "link", "record_sign_in"},
    {"open", "find", "touch", "end_of_user"},
    {"claim_due", "renew", "end_access"},
    {"take", "release", "holder"},
    {"put", "hold", "renew", "let_go"},
)
"""Whoever has all of one line has the methods of AdmissionStore, SessionStore, RecheckStore, LeaseStore or
SealedGrants."""


def stores_in(folder: Path, package: str) -> Iterator[str]:
    for file in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                methods = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
                bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
                if any(marks <= methods for marks in MARKS_OF_A_STORE) or bases & {
                    "AccountStore",
                    "AdmissionStore",
                    "SessionStore",
                    "RecheckStore",
                    "SealedGrants",
                    "SealedSignIns",
                    "LeaseStore",
                }:
                    module = ".".join([package, *file.relative_to(folder).with_suffix("").parts])
                    yield f"{module}.{node.name}"


def test_every_class_that_is_a_store_is_run_by_the_suites(project_root: Path) -> None:
    """A new one is not added without a maker in tests/conformance, and no maker's name is made up."""
    found = {*stores_in(project_root / "src/entrada", "entrada")}
    found |= {*stores_in(project_root / "tests/integrations", "integrations")}
    assert found == set(IMPLEMENTERS)
    known = {*MAKERS, *PEOPLE}
    for store, makers in IMPLEMENTERS.items():
        if not makers.startswith(("a Protocol", "not yet: ")):
            assert set(makers.split(", ")) <= known, store
