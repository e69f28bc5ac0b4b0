"""What copying and quoting leave on a value: quotation marks, braces, invisible characters, placeholders.

Refuses them at the start with the words that follow "cannot be used:"; otherwise Entra would refuse the first
person, with a sentence about a secret that looks right in every editor. Nothing is repaired in silence: the
same value is read by other programs, too. The words never repeat a value.
"""

from __future__ import annotations

import re
import unicodedata

from entrada.entra.authority import parse_guid

_CLOSING = {'"': '"', "'": "'", "`": "`", "“": "”", "„": "“", "‘": "’", "«": "»"}
_QUOTES = frozenset(_CLOSING) | frozenset(_CLOSING.values())
_BRACES = {"{": "}", "(": ")", "[": "]"}
_INVISIBLE = frozenset({"Cc", "Cf", "Zl", "Zp", "Cn"})
_OTHER_SPACES = "Zs"
_FILLED_IN_LATER = re.compile(r"<[^<>]*>|\$\{[^}]*\}|\{\{.*\}\}|%[A-Za-z_]+%|\$\([^)]*\)|\$[A-Z][A-Z0-9_]*")
_EXAMPLE = re.compile(
    r"your[-_ ].*|my[-_](client|tenant|app|secret).*|change[-_ ]?me.*|replace[-_ ]?me.*|todo|secret"
    r"|x{3,}|\*{3,}|\.{3}|…|0{8}-0{4}-0{4}-0{4}-0{12}",
    re.IGNORECASE,
)
_ASSIGNMENT = re.compile(r"(export\s+)?[A-Z]+(_[A-Z0-9]+)+\s*=\s*(?!$)")
_SECRET_OF_TODAY = re.compile(r"[A-Za-z0-9_.~-]{32,64}", re.ASCII)


def check_pasted(text: str) -> None:
    """For any setting that no person reads as a sentence.

    Raises:
        ValueError: the text stands in quotation marks, begins or ends invisibly, or was never filled in.
    """
    for end, where in ((text[:1], "begins"), (text[-1:], "ends")):
        if is_invisible(end):
            raise ValueError(f"it {where} with the invisible character {_code(end)}; type it anew")
    if len(text) > 1 and text[-1] == _CLOSING.get(text[0]):
        raise ValueError("it stands in quotation marks; write it without them")
    if _FILLED_IN_LATER.fullmatch(text):
        raise ValueError("this is a placeholder; put the value itself there")
    if _ASSIGNMENT.match(text):
        raise ValueError("it begins with a name and '='; write what follows alone")


def check_pasted_id(text: str) -> None:
    """For what is copied letter for letter from the Entra admin center: ids, tenants, secrets.

    Raises:
        ValueError: see `check_pasted`; also an invisible character anywhere, braces around it, an example.
    """
    check_pasted(text)
    for character in text:
        if character in "\r\n":
            raise ValueError("it goes over several lines; nothing else may stand there")
        if is_invisible(character):
            raise ValueError(f"it holds the invisible character {_code(character)}; type it anew")
    if len(text) > 1 and text[-1] == _BRACES.get(text[0]):
        raise ValueError("it stands in braces; write it without them")
    if _EXAMPLE.fullmatch(text):
        raise ValueError("this is an example; put the value of your own app registration there")
    if (text[0] in _QUOTES) != (text[-1] in _QUOTES):
        rest = text.strip("".join(_QUOTES))
        if parse_guid(rest) or _SECRET_OF_TODAY.fullmatch(rest) or not text.isascii():
            raise ValueError("it has a quotation mark at one end; write it without")


def is_invisible(character: str) -> bool:
    """Nothing that an editor shows: controls, byte order marks, zero-width and other than plain spaces."""
    category = unicodedata.category(character) if character else ""
    return category in _INVISIBLE or (category == _OTHER_SPACES and character != " ")


def _code(character: str) -> str:
    return f"U+{ord(character):04X}"
