"""What axe-core finds wrong with a page, and whether it can be used by keyboard alone."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from playwright.sync_api import Page as Tab

from house import tools

_AXE = Path(__file__).with_name("node_modules") / "axe-core" / "axe.min.js"


@cache
def _axe() -> str:
    if not _AXE.is_file():
        tools.could_not_run("npm packages of tests/browser are not installed (sh scripts/setup-tests)")
    return _AXE.read_text("utf-8")


def violations(tab: Tab) -> list[str]:
    """Every rule of axe-core's that the page breaks, with the elements. Its policy does not stop us."""
    tab.evaluate(f"() => {{ {_axe()} }}")
    found: list[str] = tab.evaluate(
        """async () => (await axe.run()).violations
          .map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(" ")}`)"""
    )
    return found


def by_keyboard(tab: Tab, most: int = 12) -> list[str]:
    """The texts of what the Tab key reaches, in order, each of which must be seen to be reached."""
    texts: list[str] = []
    for _ in range(most):
        tab.keyboard.press("Tab")
        text, outlined = tab.evaluate(
            """() => { const one = document.activeElement;
              return one === document.body ? ["", true]
                : [one.innerText, getComputedStyle(one).outlineStyle !== "none"]; }"""
        )
        if not text:
            break
        assert outlined, text
        texts.append(text.strip())
    return texts
