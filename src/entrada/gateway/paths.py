"""The path of a request, read the one way in which every reader reads it, or refused.

A rule of ours and the application behind must mean the same thing by a path; where two readers could differ,
no rule is asked. In a row, and each fails closed:

    origin form                 begins with one slash; no absolute form, no `*`, no authority
    characters                  printable ASCII without backslash, `#` and `;`
    percent-encoding            well formed, and not of `/ \\ % ; # ?` or a control character, NUL included
    UTF-8                       valid once decoded: no overlong form, no surrogate, nothing invisible
    segments                    none empty but the last (`//`), none of dots or blanks alone (`.`, `..`)
    compatibility forms         none that NFKC turns into one of these characters

What is left is decoded once, into `segments`. `folded` is what a reader makes of it who does not distinguish
case, compatibility forms and blanks or dots at the end of a name: `entrada.gateway.rules` refuses a request
on which the two readings lead to different rules.
A route that says `paths = "opaque"` (an application with encoded slashes in its addresses) has one rule for
all of it, so there the path decides nothing and only its characters are looked at: `opaque_path`.

Source: RFC 3986, sections 3.3 and 6.2.2; RFC 9112, section 3.2; RFC 3629, sections 3 and 10.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from entrada.errors import AmbiguousRequest

_PRINTABLE = re.compile(rb"[!-~]*")
_QUERY = re.compile(rb'[!"$-~]*')  # printable, without the fragment's sign
_BROKEN_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ENCODED_SYNTAX = re.compile(rb"%(?:2[35Ff]|3[BbFf]|5[Cc]|[01][0-9A-Fa-f]|7[Ff])")
_SYNTAX = frozenset("/\\%;#?")
# Control characters (C1), unassigned and private ones, lone surrogates, line and paragraph separators.
_REFUSED_CATEGORIES = frozenset({"Cc", "Cn", "Co", "Cs", "Zl", "Zp"})


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestPath:
    """`raw` and `query` are what the upstream is sent, to the byte; rules look at `segments` alone.

    `segments` are None for an opaque path. A slash at the end adds no segment: `/a/` is `/a`, as most
    applications have it. `query` is without its question mark, None where there was none.
    """

    raw: str
    query: str | None
    segments: tuple[str, ...] | None
    folded: tuple[str, ...] | None


def read_path(target: bytes) -> RequestPath:
    """The path and query of a request target in origin form.

    Raises:
        AmbiguousRequest: two readers could take it differently; the sentence says by what.
    """
    raw, query = _split(target)
    for sign in b"\\#;":
        if sign in raw:
            raise AmbiguousRequest(f"the sign {chr(sign)}")
    if b"%" in raw:
        _check_encoding(raw)
    try:
        text = unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        raise AmbiguousRequest("bytes that are no UTF-8") from None
    if not text.isascii():
        _check_characters(text)
    segments = text[1:].split("/")
    if segments[-1] == "":
        segments.pop()
    for segment in segments:
        if not segment:
            raise AmbiguousRequest("an empty segment (//)")
        if not segment.strip(". "):
            raise AmbiguousRequest("a segment of dots or blanks")
    kept = tuple(segments)
    return RequestPath(
        raw=raw.decode("ascii"), query=query, segments=kept, folded=tuple(map(folded_segment, kept))
    )


def opaque_path(target: bytes) -> RequestPath:
    """As `read_path` for a route whose path decides nothing: anything printable that begins with a slash.

    Raises:
        AmbiguousRequest: not in origin form, or with a control character, a blank, or a byte beyond ASCII.
    """
    raw, query = _split(target)
    return RequestPath(raw=raw.decode("ascii"), query=query, segments=None, folded=None)


def folded_segment(segment: str) -> str:
    """A name as the most lenient reader takes it: without case, invisible characters, dots at its end."""
    if segment.isascii():
        return segment.lower().rstrip(". ")
    shown = "".join(char for char in segment if unicodedata.category(char) != "Cf")
    # Some compare capitals, where \u0131 (dotless) is I, and some small letters, where \u0130 (dotted) is i.
    same = unicodedata.normalize("NFKC", shown).replace("\u0130", "i").upper().casefold()
    return unicodedata.normalize("NFKC", same).rstrip(". ")


def _split(target: bytes) -> tuple[bytes, str | None]:
    if not target.startswith(b"/"):
        raise AmbiguousRequest("no slash at its beginning")
    raw, mark, query = target.partition(b"?")
    if not _PRINTABLE.fullmatch(raw):
        raise AmbiguousRequest("a control character, a blank, or a byte beyond ASCII")
    if not _QUERY.fullmatch(query):
        raise AmbiguousRequest("a character that no query may hold")
    return raw, query.decode("ascii") if mark else None


def _check_encoding(raw: bytes) -> None:
    if _BROKEN_PERCENT.search(raw):
        raise AmbiguousRequest("a percent sign that encodes nothing")
    if encoded := _ENCODED_SYNTAX.search(raw):
        raise AmbiguousRequest(
            f"{encoded[0].decode()}, which is syntax to one reader and a character to another"
        )


def _check_characters(text: str) -> None:
    if any(unicodedata.category(char) in _REFUSED_CATEGORIES for char in text):
        raise AmbiguousRequest("a control character or one that has no meaning")
    if _syntax_of(unicodedata.normalize("NFKC", text)) != _syntax_of(text):
        raise AmbiguousRequest("a character that some readers take for syntax")
    for segment in text.split("/"):
        if segment and not folded_segment(segment):
            raise AmbiguousRequest("a segment of dots or blanks")


def _syntax_of(text: str) -> list[str]:
    return [char for char in text if char in _SYNTAX]
