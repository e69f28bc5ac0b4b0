"""Which tests hold each case of the catalogue that is the gateway's: a case without one fails here.

A test holds a case by its number in the test's name (`test_d7_…`, `test_fault_26_…`) or in a parameter's id.
`BEHIND` are those that are tried behind every real proxy and with the gateway by itself: at least one of the
tests that hold them asks for `behind_proxy`.
"""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from house import tools

CASES = {
    "D1": "identity fields of the client's own, in any case and twice",
    "D1b": "names folded by any character",
    "D1c": "a field that the answer does not set",
    "D2": "identity fields named in Connection",
    "D3": "paths, methods and hosts that a client claims",
    "D3b": "X-Forwarded-Uri believed by default",
    "D4": "public rules that see a query or a fragment",
    "D5": "paths that two readers take differently",
    "D5b": "encoded slashes, backslashes and dots, parameters",
    "D6": "a host that becomes a path",
    "D7": "a health checker's User-Agent",
    "D8": "method overrides, TRACE, unknown methods",
    "D9": "malformed requests in the check",
    "D10": "two readings of a body's length",
    "D10b": "CONNECT with a body",
    "D11": "an authorization server that does not answer",
    "D12": "upgrades without a session, and after it",
    "D13": "our cookie and Authorization, upstream and back",
    "D14": "responses by RFC 9110",
    "D15": "values that no field can carry",
    "D16": "the application reached past the gateway",
    "D17": "decisions kept for somebody else",
    "D18": "CORS preflights",
    "D19": "refusals that hand secrets on",
    "D20": "connections and heads without end",
    "D21": "two rules that fit",
    "D22": "two sign-ins at once that swap people",
    "D23": "an application that believes anybody",
    "D24": "a revoked token that goes on",
    "E1": "redirects to other origins",
    "E2": "hosts that look like an allowed one",
    "E3": "schemes, ports, users in a target",
    "E4": "targets that are too long or broken",
    "E5": "targets looked at only once",
    "E6": "redirects after a POST",
    "F4": "odd cookies",
    "G1": "tokens for something else",
    "G2": "versions of tokens",
    "G3": "audiences that look alike",
    "G4": "applications and people in each other's place",
    "G5": "clients that are not listed",
    "G6": "scopes that look alike",
    "G7": "other tenants' tokens",
    "G8": "challenges by RFC 6750, for those who can answer",
    "G9": "tokens in the address",
    "G10": "odd Authorization fields",
    "G11": "tokens with a nonce in the head",
    "G12": "a token that expires while something is open",
    "G13": "made-up key ids without end",
    "G14": "claims challenges from Graph",
    "fault_15": "a store that is gone, slow, full or read-only",
    "fault_26": "upstreams and clients that go away",
    "fault_27": "slow clients and idle connections",
    "fault_28": "memory and file descriptors over time",
    "fault_29": "told to stop",
    "fault_33": "many checks at once",
}
BEHIND = (
    "D1", "D1b", "D1c", "D2", "D3", "D4", "D5", "D5b", "D6", "D7", "D8", "D9", "D10", "D10b", "D11", "D12",
    "D17", "D18", "D19", "D20", "E1", "F4", "G1", "G9", "G10",
)  # fmt: skip


@cache
def every_test() -> tuple[tuple[str, str, str, bool], ...]:
    """File, name, the text of its decorators and of the lists they name, whether it is behind proxies."""
    found = []
    for file in sorted((tools.ROOT / "tests").rglob("test_*.py")):
        if file.name == "test_cases_table.py":
            continue
        source = file.read_text("utf-8")
        lists: dict[str, str] = {}
        module = ast.parse(source)
        for node in module.body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            lists |= {one.id: ast.unparse(node) for one in targets if isinstance(one, ast.Name)}
        for node in ast.walk(module):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
                decorators = " ".join(ast.unparse(one) for one in node.decorator_list)
                named = [text for name, text in lists.items() if re.search(rf"\b{name}\b", decorators)]
                is_behind = file.name.startswith("test_behind_proxies")
                found.append((file.name, node.name, " ".join([decorators, *named]), is_behind))
    return tuple(found)


def holding(case: str) -> list[tuple[str, bool]]:
    """The tests that hold a case, and whether each is behind proxies."""
    in_name = re.compile(rf"_{case}(_|$)", re.IGNORECASE)
    in_id = re.compile(rf"\b{case}\b")
    return [
        (f"{file}::{name}", is_behind)
        for file, name, text, is_behind in every_test()
        if in_name.search(name) or in_id.search(text)
    ]


@pytest.mark.parametrize("case", CASES)
def test_the_case_has_a_test(case: str) -> None:
    """And where it is about proxies, one behind each of them."""
    found = holding(case)
    assert found, f"{case} ({CASES[case]}) has no test with its number in its name or id"
    if case in BEHIND:
        assert any(is_behind for _, is_behind in found), f"{case} is tried behind no proxy: {found}"


def test_a_number_is_a_whole_word() -> None:
    """D1 is not held by what holds D10 or D1b."""
    assert not re.search(r"\bD1\b", "D10 D1b")
    held_by = {name for name, _ in holding("D1")}
    assert held_by - {name for name, _ in holding("D10")}
    assert not any("_d1b_" in name and "_d1_" not in name for name in held_by)
    assert holding("D0") == []
