"""The plain values that a page is made of: a caller fills them in, and a template writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from entrada.compatibility import StrEnum


@dataclass(frozen=True, kw_only=True)
class Page:
    """UTF-8 HTML and the `Content-Security-Policy` without which it must not be sent."""

    html: bytes
    content_security_policy: str


class Tone(StrEnum):
    """`CAUTION` asks for attention; `PLAIN` only tells."""

    PLAIN = "plain"
    CAUTION = "caution"


@dataclass(frozen=True, kw_only=True)
class Notice:
    text: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, kw_only=True)
class Fact:
    """`exact` sets the text in a fixed-width face, for ids and codes that people compare or copy."""

    label: str
    text: str
    exact: bool = False


@dataclass(frozen=True, kw_only=True)
class Action:
    """A link, or with `csrf_token` a form that posts. `first` marks the one most people want.

    `quiet` is a plain link, for what few need.
    """

    label: str
    path: str
    csrf_token: str | None = None
    first: bool = False
    quiet: bool = False


@dataclass(frozen=True, kw_only=True)
class Section:
    """One thing of several on a page: what it is called, what is known of it, what can be done with it."""

    heading: str
    facts: Sequence[Fact] = ()
    actions: Sequence[Action] = ()


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A form with one line to fill in and, if `option` has a name, one box to tick. It posts."""

    heading: str
    path: str
    csrf_token: str
    field: str
    label: str
    example: str
    button: str
    option: str | None = None
    option_label: str = ""
