"""Query options: `$filter` in the forms clients use, `$select`, `$top`, `$skiptoken`, `$count`.

The filter language is a small part of OData 4: comparisons with `eq`, `ne` and `in`, `startswith`, lambda
`any` over lists, joined by `and` and `or`.  What is not understood is refused as Graph refuses it.
Source: OData 4.01 URL conventions, 5.1.1; Microsoft Graph, "Use the $filter query parameter".
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, urlencode

from ..protocol.http import Request
from .access import GraphError

_DEFAULT_PAGE = 100
_MAX_PAGE = 999
_TOKEN = re.compile(r"\s*(?:(?P<string>'(?:[^']|'')*')|(?P<punctuation>[(),:])|(?P<word>[A-Za-z0-9_./@#-]+))")


def shaped(record: dict[str, Any], request: Request) -> dict[str, Any]:
    """The members that `$select` names; all when it names none."""
    wanted = [name.strip() for name in request.query.get("$select").split(",") if name.strip()]
    if not wanted:
        return record
    return {name: record.get(name) for name in wanted if name in record}


def collection(
    records: list[dict[str, Any]], request: Request, *, path: str, base_url: str, context: str
) -> dict[str, Any]:
    """One page of the records that pass the filter, with a link to the next.

    Raises:
        GraphError: 400 for an option that cannot be read.
    """
    text = request.query.get("$filter")
    if text:
        records = [record for record in records if matches(record, text)]
    answer: dict[str, Any] = {"@odata.context": f"{base_url}/v1.0/$metadata#{context}"}
    if request.query.get("$count") == "true":
        answer["@odata.count"] = len(records)
    size = _number(request, "$top", _DEFAULT_PAGE)
    if not 1 <= size <= _MAX_PAGE:
        raise GraphError(400, "Request_BadRequest", f"Invalid page size specified: '{size}'.")
    start = _number(request, "$skiptoken", 0)
    if start + size < len(records):
        options = {k: v for k, v in request.query.as_dict().items() if k != "$skiptoken"}
        options["$skiptoken"] = str(start + size)
        answer["@odata.nextLink"] = f"{base_url}{path}?{urlencode(options, quote_via=quote, safe='$')}"
    answer["value"] = [shaped(record, request) for record in records[start : start + size]]
    return answer


def _number(request: Request, name: str, default: int) -> int:
    text = request.query.get(name)
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise GraphError(400, "Request_BadRequest", f"Invalid value for '{name}'.")
    return int(text)


def matches(record: dict[str, Any], text: str) -> bool:
    """Whether a record passes a filter.

    Raises:
        GraphError: 400, the filter cannot be read.
    """
    if len(text) > 4_000:
        raise _invalid(text)
    parser = _Parser(_tokens(text), text)
    return parser.whole(record)


def _invalid(text: str) -> GraphError:
    return GraphError(
        400, "Request_UnsupportedQuery", f"Unsupported or invalid query filter clause: '{text[:100]}'."
    )


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    position = 0
    stripped = text.rstrip()
    while position < len(stripped):
        found = _TOKEN.match(stripped, position)
        if found is None:
            raise _invalid(text)
        tokens.append(found.group().strip())
        position = found.end()
    return tokens


class _Parser:
    """Reads and evaluates at once: `or` binds weakest, then `and`, then one comparison."""

    def __init__(self, tokens: list[str], text: str) -> None:
        self._tokens = tokens
        self._text = text
        self._at = 0

    def whole(self, record: Any) -> bool:
        result = self._either(record)
        if self._at != len(self._tokens):
            raise _invalid(self._text)
        return result

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self, expected: str = "") -> str:
        token = self._peek()
        if not token or (expected and token != expected):
            raise _invalid(self._text)
        self._at += 1
        return token

    def _either(self, record: Any) -> bool:
        result = self._both(record)
        while self._peek() == "or":
            self._next()
            right = self._both(record)
            result = result or right
        return result

    def _both(self, record: Any) -> bool:
        result = self._one(record)
        while self._peek() == "and":
            self._next()
            right = self._one(record)
            result = result and right
        return result

    def _one(self, record: Any) -> bool:
        word = self._next()
        if word == "not":
            return not self._one(record)
        if word == "(":
            result = self._either(record)
            self._next(")")
            return result
        if word.lower() in ("startswith", "endswith") and self._peek() == "(":
            return self._text_test(record, word.lower())
        if word.endswith("/any"):
            return self._any(record, word.removesuffix("/any"))
        return self._comparison(_value(record, word))

    def _text_test(self, record: Any, name: str) -> bool:
        self._next("(")
        value = str(_value(record, self._next()) or "").lower()
        self._next(",")
        wanted = str(self._literal()).lower()
        self._next(")")
        return value.startswith(wanted) if name == "startswith" else value.endswith(wanted)

    def _any(self, record: Any, path: str) -> bool:
        self._next("(")
        name = self._next()
        self._next(":")
        start = self._at
        found = False
        # The body is read once per element; once with nothing keeps the place right for empty lists.
        for element in [*(_value(record, path) or []), None]:
            self._at = start
            scoped = {name: element} if not isinstance(element, dict) else {name: element, **element}
            found = (self._either(scoped) and element is not None) or found
        self._next(")")
        return found

    def _comparison(self, value: Any) -> bool:
        operator = self._next()
        if operator == "in":
            self._next("(")
            wanted = [self._literal()]
            while self._peek() == ",":
                self._next()
                wanted.append(self._literal())
            self._next(")")
            return any(_equal(value, one) for one in wanted)
        literal = self._literal()
        if operator == "eq":
            return _equal(value, literal)
        if operator == "ne":
            return not _equal(value, literal)
        raise _invalid(self._text)

    def _literal(self) -> Any:
        token = self._next()
        if token.startswith("'"):
            return token[1:-1].replace("''", "'")
        return {"true": True, "false": False, "null": None}.get(token, token)


def _value(record: Any, path: str) -> Any:
    for name in path.split("/"):
        record = record.get(name) if isinstance(record, dict) else None
    return record


def _equal(value: Any, wanted: Any) -> bool:
    if isinstance(value, str) and isinstance(wanted, str):
        return value.lower() == wanted.lower()
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    return bool(value == wanted)
