"""How the walk looks and sounds: light and dark, on a phone, at 320 px, and to a screen reader."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page as Tab

from browser.visiting import Site, Visitor, pick, press_the_button, sign_in

pytestmark = pytest.mark.browser
Shot = Callable[[Tab, str], Path]

SCREENS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True},
    "phone-dark": {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"},
    "narrow": {"viewport": {"width": 320, "height": 568}},
}
WHOLE = ("dark", "narrow")
"""On these also the rarer pages are looked at."""

SMALLEST_TARGET_PX = 24
"""Source: WCAG 2.2, success criterion 2.5.8."""


@pytest.mark.parametrize("screen", SCREENS)
def test_the_walk_fits_every_screen(
    screen: str, site: Site, visitors: Callable[..., Visitor], shot: Shot
) -> None:
    """Nothing is cut off at the side, and everything to press is large enough for a finger."""
    tab = visitors(**SCREENS[screen]).tab()
    fits(tab, shot, screen, f"{site.url}/editors", "login")
    press_the_button(tab)
    fits(tab, shot, screen, None, "picker", targets=False)
    pick(tab, "vi")
    tab.wait_for_url(f"{site.url}/editors")
    fits(tab, shot, screen, None, "no-access")
    fits(tab, shot, screen, site.url, "signed-in")
    if screen not in WHOLE:
        return
    fits(tab, shot, screen, f"{site.url}/auth/entra/callback?state=x&code=y", "stale")
    fits(tab, shot, screen, f"{site.url}/auth/account", "account")
    fits(tab, shot, screen, f"{site.url}/auth/logout", "confirm")
    tab.get_by_role("button", name="Sign out").click()
    tab.wait_for_url(f"{site.url}/auth/signed-out*")
    fits(tab, shot, screen, None, "signed-out")


def fits(tab: Tab, shot: Shot, screen: str, url: str | None, name: str, *, targets: bool = True) -> None:
    """Goes there, keeps a picture, and measures."""
    if url is not None:
        tab.goto(url)
    shot(tab, f"{name}-{screen}")
    wide, visible, small = tab.evaluate(
        """(least) => [document.documentElement.scrollWidth, innerWidth,
          [...document.querySelectorAll("main a, main button, main summary")]
            .filter((one) => { const box = one.getBoundingClientRect();
              return box.height < least || box.width < least; })
            .map((one) => one.innerText)]""",
        SMALLEST_TARGET_PX,
    )
    assert wide <= visible, f"{name} is {wide} px wide on {visible} px"
    if targets:
        assert small == [], name


def outline(tab: Tab) -> str:
    """The page as a screen reader walks it, ids and times left out."""
    text = tab.locator("body").aria_snapshot()
    return re.sub(r"[0-9a-f]{16,}|\d{4}-\d\d-\d\d [\d:]{8} UTC|[0-9a-f-]{36}", "…", text)


def test_a_screen_reader_reads_the_sign_in_page(site: Site, visitor: Visitor) -> None:
    """One heading, one link with the label, and nothing in between but a sentence."""
    tab = visitor.tab()
    tab.goto(site.url)
    assert tab.title() == "Sign in · Contoso Wiki"
    assert outline(tab) == (
        "- main:\n"
        '  - heading "Sign in to Contoso Wiki" [level=1]\n'
        "  - paragraph: Use your work or school account.\n"
        "  - paragraph:\n"
        '    - link "Sign in with Microsoft Entra ID":\n'
        "      - /url: /auth/entra/start\n"
        "  - paragraph: This page came over plain http. That is fine on your own computer, "
        "and nowhere else.\n"
        "- contentinfo: Sign-in by Entrada"
    )


def test_a_screen_reader_reads_a_failure(site: Site, visitor: Visitor) -> None:
    """Title and first heading say what happened; then what to do, who can do it, and the way on."""
    tab = visitor.tab()
    sign_in(tab, site, "vi")
    tab.goto(f"{site.url}/editors")
    assert tab.title() == "You have no access here yet · Contoso Wiki"
    lines = outline(tab).splitlines()
    order = [
        'heading "You have no access here yet" [level=1]',
        "paragraph: This page is for people with the role Editor or Admin.",
        "term: Signed in as",
        "definition: Vi Hart (vi@contoso.test)",
        "term: Roles",
        "definition: Viewer",
        'region "Your administrator can fix this"',
        'heading "Your administrator can fix this" [level=2]',
        'link "Use another account"',
        'link "Go to the application"',
        'link "Sign out"',
        "term: Incident",
    ]
    found = [next((n for n, line in enumerate(lines) if text in line), None) for text in order]
    assert None not in found, "\n".join(lines)
    assert found == sorted(found, key=int)  # type: ignore[arg-type]  # no None, as said above


def test_forced_colours_and_large_text_leave_it_usable(
    site: Site, visitors: Callable[..., Visitor], shot: Shot
) -> None:
    """With colours forced and text at 200 %, the button is seen whole and can be pressed."""
    tab = visitors(forced_colors="active", viewport={"width": 640, "height": 480}).tab()
    tab.goto(site.url)
    tab.evaluate("() => { document.documentElement.style.setProperty('font-size', '200%') }")
    shot(tab, "login-forced-colours")
    box = tab.get_by_role("link").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 640
    press_the_button(tab)
    assert tab.url.startswith(site.entra.http_url)


FONTS = (
    None,
    "Segoe UI",
    "Roboto",
    "Noto Sans",
    "Cantarell",
    "Ubuntu",
    "Liberation Sans",
    "Arial",
    "DejaVu Sans",
)
LINES = """(font) => {
  const button = document.querySelector(".microsoft");
  if (font) button.style.fontFamily = `"${font}", sans-serif`;
  const text = document.createRange();
  text.selectNodeContents(button.querySelector("span") ?? button);
  const tops = [...text.getClientRects()].filter((box) => box.width > 25).map((box) => Math.round(box.top));
  return new Set(tops).size;
}"""


@pytest.mark.parametrize("width", [360, 375, 390, 412, 417, 430, 1280])
def test_K36_the_label_stays_on_one_line(site: Site, visitors: Callable[..., Visitor], width: int) -> None:
    """From 360 px on, in each of the named fonts that are here, and in what stands in for others."""
    tab = visitors(viewport={"width": width, "height": 740}).tab()
    tab.goto(site.url)
    lines = {font: tab.evaluate(LINES, font) for font in FONTS}
    assert lines == dict.fromkeys(FONTS, 1)
