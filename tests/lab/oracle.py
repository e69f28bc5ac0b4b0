"""What a request means to an application, read in every way that applications are known to read.

It shares nothing with the gateway: paths are decoded up to twice, leniently, their slashes merged, dots
resolved, parameters dropped, letters made small, and each combination of these is one reading. If any reading
is not allowed to whoever the application was told, the request should not have come.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from .subject import LabRule, Person

_OVERLONG = {
    b"\xc0\xaf": b"/", b"\xe0\x80\xaf": b"/", b"\xf0\x80\x80\xaf": b"/", b"\xc0\xae": b".",
    b"\xe0\x80\xae": b".", b"\xc1\x9c": b"\\",
}  # fmt: skip
_UNRESERVED = re.compile(rb"%(?:2[dDeE]|3[0-9]|[46][1-9a-fA-F]|[57][0-9aA]|5[fF]|7[eE])")
"""Letters, digits and `-._~`: encoded or not, the same to every reader (RFC 3986, section 6.2.2.2)."""
OVERRIDES = ("X_HTTP_METHOD_OVERRIDE", "X_HTTP_METHOD", "X_METHOD_OVERRIDE")


@lru_cache(maxsize=100_000)
def readings(target: bytes) -> frozenset[str]:
    """The paths that some reader sees in a request target."""
    if match := re.match(rb"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*", target):
        target = target[match.end() :] or b"/"
    cut = {re.split(rb"[?]", target)[0], re.split(rb"[?#]", target)[0]}
    decoded: set[bytes] = set()
    for path in (_UNRESERVED.sub(lambda match: unquote_to_bytes(match[0]), path) for path in cut):
        for _ in range(3):
            decoded.add(path)
            path = unquote_to_bytes(path)
    found: set[str] = set()
    for path in decoded:
        for text in _texts(path):
            if re.fullmatch(r"/[a-z0-9_-]+(/[a-z0-9_-]+)*", text):
                found.add(text)
                continue
            for steps in itertools.product((False, True), repeat=5):
                found.add(_read(text, *steps))
    return frozenset(found)


def _texts(path: bytes) -> set[str]:
    lenient = path
    for overlong, meant in _OVERLONG.items():
        lenient = lenient.replace(overlong, meant)
    texts = {path.decode("utf-8", "replace"), lenient.decode("utf-8", "replace")}
    return texts | {unicodedata.normalize("NFKC", text) for text in texts}


def _read(path: str, backslash: bool, cut: bool, merge: bool, dots: bool, small: bool) -> str:
    if backslash:
        path = path.replace("\\", "/")
    if cut:
        path = re.sub(r"[\x00-\x1f\x7f].*", "", re.sub(r";[^/]*", "", path))
    if merge:
        path = re.sub(r"/{2,}", "/", path)
    if dots:
        kept: list[str] = []
        for segment in path.split("/")[1:]:
            if segment == "..":
                kept = kept[:-1]
            elif segment != ".":
                kept.append(segment)
        path = "/" + "/".join(kept)
    if small:
        path = "/".join(segment.rstrip(". ") for segment in path.lower().split("/"))
    return path


def may(person: Person | None, method: str, path: str, rules: tuple[LabRule, ...]) -> bool:
    """Whether the rules let this person have that."""
    whom = next((rule.whom for rule in rules if rule.fits(method, path)), "signed-in")
    if whom in ("anybody", "nobody"):
        return whom == "anybody"
    return person is not None and (whom == "signed-in" or whom in person.roles)
