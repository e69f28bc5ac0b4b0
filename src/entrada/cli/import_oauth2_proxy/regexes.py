"""The path of a `skip_auth_route` as a pattern of ours, where both mean the same or ours means less.

A regular expression of oauth2-proxy matches anywhere in the path unless it is anchored, and `.*` in its
middle crosses slashes (D4). Patterns here are whole segments. So only an anchored expression of plain text is
translated, with one segment as `[^/]+` or `[^/]*`, and `.*` at its end; the rest says why not.

    ^/healthz$          /healthz
    ^/static/.*         /static/**
    ^/static/           /static/**
    ^/(ping|ready)$     /ping, /ready
    ^/api/[^/]+/open$   /api/*/open
    /public             not: anywhere in the path
    ^/api/.*/status     not: whatever lies between
    ^/api               /api/**, and no longer /apix
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from entrada.gateway.patterns import parse_path_pattern

_MOST_PATTERNS = 20
_PLAIN = re.compile(r"(?:[A-Za-z0-9_~@!&',:=/ -]|\\[-./_~@!&',:=+$()]|\.)(?![*+?{])")
_SEGMENT = re.compile(r"\(?\[\^/\][+*]\)?")
_CHOICE = re.compile(r"\((?:\?:)?([A-Za-z0-9_./~|-]+)\)(?![*+?{])")
_TAIL = re.compile(r"(?:\(?\.[*+]\)?)?\$?")
_END = re.compile(r"(?:/\??)?\$")
_BELOW = re.compile(r"\((?:\?:)?/(?:\.\*)?\)\?\$?|\((?:\?:)?/\|\$\)|\((?:\?:)?\$\|/\)")


@dataclass(frozen=True, kw_only=True)
class Translated:
    """`patterns` fit what it did, a slash at the end aside; `narrower` says what they leave out."""

    patterns: Sequence[str]
    narrower: str = ""


def translate_regex(text: str) -> Translated:
    """
    Raises:
        ValueError: it cannot be translated; says why.
    """
    if not text.startswith("^"):
        raise ValueError("it matches anywhere in a path, since it does not begin with ^")
    if not text.startswith("^/"):
        raise ValueError("it is no path")
    parts, rest = _parts(text[1:])
    variants = ["".join(parts) for parts in product(*parts)][: _MOST_PATTERNS + 1]
    if len(variants) > _MOST_PATTERNS:
        raise ValueError("it stands for too many paths")
    patterns, narrower = [], ""
    for path in variants:
        if _END.fullmatch(rest):
            pattern = path or "/"
        elif _BELOW.fullmatch(rest):
            pattern = f"{path}/**"
        elif path == "/":
            raise ValueError("it matches every path")
        elif path.endswith("/"):
            pattern = f"{path}**"
        else:
            pattern = f"{path}/**"
            narrower = f"what only begins like {path} needs a sign-in"
        _check(pattern)
        patterns.append(pattern)
    return Translated(patterns=patterns, narrower=narrower)


def _parts(text: str) -> tuple[list[list[str]], str]:
    """The text as parts with their alternatives, and the end of the expression, which is none of them."""
    parts: list[list[str]] = []
    while text and not any(end.fullmatch(text) for end in (_END, _TAIL, _BELOW)):
        if match := _SEGMENT.match(text):
            parts.append(["*"])
        elif match := _CHOICE.match(text):
            parts.append([choice.replace("\\", "") for choice in match[1].split("|")])
        elif match := _PLAIN.match(text):
            # A dot stands for any character; taken for itself it fits less.
            parts.append([match[0].removeprefix("\\")])
        else:
            raise ValueError(f"{text[:20]!r} in it is more than a path")
        text = text[match.end() :]
    return parts, text


def _check(pattern: str) -> None:
    """That it is one of ours, with stars for whole segments only."""
    parse_path_pattern(pattern)


def split_route(text: str) -> tuple[str | None, str]:
    """The method, if one is named, and the expression of a `skip_auth_route`.

    Raises:
        ValueError: it opens everything that it does not match.
    """
    if text.startswith("!="):
        raise ValueError("it opens everything but what it matches")
    method, mark, regex = text.partition("=")
    if mark and method.endswith("!"):
        raise ValueError("it opens everything but what it matches")
    if mark and method.isalpha():
        return method.upper(), regex
    return None, text


def without_covered(patterns: Sequence[tuple[str, str | None]]) -> Iterator[tuple[str, str | None]]:
    """Patterns with their methods, without what another one covers: a rule never reached stops the start."""
    for index, (pattern, method) in enumerate(patterns):
        covered = any(
            other_method in (None, method)
            and parse_path_pattern(other).covers(parse_path_pattern(pattern))
            and ((other, other_method) != (pattern, method) or place < index)
            for place, (other, other_method) in enumerate(patterns)
            if place != index
        )
        if not covered:
            yield pattern, method
