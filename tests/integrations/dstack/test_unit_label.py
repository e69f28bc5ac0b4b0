"""The words on dstack's button."""

from __future__ import annotations

import pytest

from entrada.integrations.dstack.label import labelled_scripts
from entrada.web.messages import WebRequest

STOCK = b"""x=JSON.parse('{"login_okta":"Continue with Okta","login_entra":"Continue with EntraID"}')"""
LABEL = "Sign in with Microsoft Entra ID"


@pytest.mark.parametrize("words", [b"Continue with EntraID", b"Sign in with EntraID"])
def test_the_label_replaces_dstacks_words(words: bytes) -> None:
    """Exactly that one text changes; the page of every supported version has it."""
    script = STOCK.replace(b"Continue with EntraID", words)
    made = labelled_scripts({"main-1.js": script}, LABEL)["/main-1.js"]
    assert made.body == script.replace(words, LABEL.encode())


@pytest.mark.parametrize(
    "script", [b"", STOCK + STOCK, STOCK.replace(b"EntraID", b"Entra"), STOCK.replace(b'":"', b'": "')]
)
def test_an_unknown_script_is_left_alone(script: bytes) -> None:
    """Where the text is not there exactly once as known, dstack's own words stay."""
    assert labelled_scripts({"main-1.js": script}, LABEL) == {}


@pytest.mark.parametrize("label", ["", 'a"b', "it's", "a\\b", "<b>", "a\nb", "${x}", "ü", "x" * 81])
def test_a_label_that_could_be_misread_is_not_used(label: str) -> None:
    """What JSON or JavaScript treat as special never gets into the script."""
    assert labelled_scripts({"main-1.js": STOCK}, label) == {}


def test_a_browser_asks_again_and_is_told_when_nothing_changed() -> None:
    """The script is revalidated at each load, so that another label shows at once."""
    made = labelled_scripts({"main-1.js": STOCK}, LABEL)["/main-1.js"]
    first = made.response_to(WebRequest(method="GET", path="/main-1.js"))
    tag = dict(first.headers)["etag"]
    again = made.response_to(WebRequest(method="GET", path="/main-1.js", headers={"if-none-match": tag}))
    assert (first.status, again.status, again.body) == (200, 304, b"")
    assert labelled_scripts({"main-1.js": STOCK}, "Other")["/main-1.js"].tag != tag
