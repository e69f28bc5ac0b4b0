"""The one reader of JSON that nobody has vouched for: tokens, discovery, keys, token responses, Graph.

Refuses what two readers could understand differently (a member twice) and what harms later: deep nesting,
numbers without end, NaN, half of a surrogate pair, and anything but an object.

Source: RFC 8259; RFC 7519, section 4 (duplicate names).
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

DEPTH_LIMIT = 32
INTEGER_DIGITS_LIMIT = 20

# A string literal is skipped whole; an unterminated one runs to the end. What follows the repetition is a
# quotation mark or the end, so it never goes back, and the scan stays linear.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.?)*(?:"|\Z)|[\[\]{}]', re.DOTALL)


class JsonRefused(ValueError):
    """The bytes are not one JSON object in the strict reading. The message quotes none of them."""


def read_json_object(data: bytes) -> dict[str, Any]:
    """The JSON object in `data`: UTF-8, no member twice at any depth, no NaN, bounded nesting and integers.

    Raises:
        JsonRefused: anything else, also a lone surrogate, which could not be stored or logged later.
    Source: RFC 8259; RFC 7519, section 4 (duplicate names).
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise JsonRefused("not UTF-8") from None
    _check_depth(text)
    try:
        value = _decoded(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except JsonRefused:
        raise
    except UnicodeEncodeError:
        raise JsonRefused("half of a surrogate pair somewhere") from None
    except ValueError:
        raise JsonRefused("not JSON") from None
    if not isinstance(value, dict):
        raise JsonRefused("not a JSON object")
    return value


def _decoded(text: str) -> Any:
    # What has no space around it, as nearly all has, is spared the decoder's two searches for some.
    if text.startswith("{"):
        value, end = _STRICT.raw_decode(text)
        if end == len(text):
            return value
    return _STRICT.decode(text)


def _check_depth(text: str) -> None:
    # Fewer brackets than the limit cannot nest deeper than it: the common case costs two counts.
    if text.count("{") + text.count("[") <= DEPTH_LIMIT:
        return
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(match[0], 0)
        if depth > DEPTH_LIMIT:
            raise JsonRefused("nested too deeply")


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise JsonRefused("naming a member twice")
    return members


def _bounded_integer(digits: str) -> int:
    if len(digits) > INTEGER_DIGITS_LIMIT:
        raise JsonRefused("holding a number of too many digits")
    return int(digits)


def _finite_float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise JsonRefused("holding a number beyond all bounds")
    return number


def _no_constant(_name: str) -> Any:
    raise JsonRefused("holding NaN or Infinity")


_STRICT = json.JSONDecoder(
    object_pairs_hook=_unique_members,
    parse_int=_bounded_integer,
    parse_float=_finite_float,
    parse_constant=_no_constant,
)
