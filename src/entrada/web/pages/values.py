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

    `quiet` is a plain link, for what few need. `about` is read out behind the label, where several on a page
    bear the same. `fields` go with the form.
    """

    label: str
    path: str
    csrf_token: str | None = None
    first: bool = False
    quiet: bool = False
    about: str = ""
    fields: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, kw_only=True)
class MenuItem:
    label: str
    path: str
    is_current: bool = False


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What stands in one place of a table. `path` makes it a link, `chips` are set side by side behind it.

    `soft` stands below, in small letters.
    """

    text: str = ""
    path: str | None = None
    exact: bool = False
    soft: str = ""
    chips: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Row:
    """The first cell names the row."""

    cells: Sequence[Cell]
    actions: Sequence[Action] = ()


@dataclass(frozen=True, kw_only=True)
class Table:
    """`caption` says what the rows are; `empty` is the sentence that stands there without any.

    Tables that are `aligned` have columns of the same widths, so that several below one another line up.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Row]
    empty: str
    aligned: bool = False


@dataclass(frozen=True, kw_only=True)
class Field:
    """One thing to fill in: a line, several lines (`rows`), one of `options` (value and label).

    `suggestions` are offered beside what is typed.
    """

    name: str
    label: str
    value: str = ""
    hint: str = ""
    options: Sequence[tuple[str, str]] = ()
    suggestions: Sequence[str] = ()
    rows: int = 0
    kind: str = "text"
    longest: int = 500
    required: bool = False


@dataclass(frozen=True, kw_only=True)
class Form:
    """With `csrf_token` it posts; without, it asks for a page by its address and changes nothing."""

    label: str
    path: str
    fields: Sequence[Field]
    button: str
    csrf_token: str | None = None
    hidden: Sequence[tuple[str, str]] = ()
    first: bool = False


@dataclass(frozen=True, kw_only=True)
class Block:
    """A part of a page under a heading of its own, which `anchor` names in addresses."""

    heading: str
    anchor: str
    paragraphs: Sequence[str] = ()
    facts: Sequence[Fact] = ()
    table: Table | None = None
    forms: Sequence[Form] = ()
    actions: Sequence[Action] = ()
