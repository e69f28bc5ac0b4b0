"""The head of a proxy's question, whole in one read: parsed by llhttp, without a call for each field.

    one read   GET /auth/nginx HTTP/1.1 … to the empty line: exactly one head, and nothing behind it
    fields     each name exactly once, and none that makes a request unusual

It is a second parser, for requests that leave no state behind: the server's own sees none of those. Whatever
is read otherwise (in two reads, two at once, a field twice, a body, `Connection`) is None, and for the
server's parser. What names a request has is decided once for each row of names, as proxies and browsers send
few of them.

Source: RFC 9112, sections 2.1, 3 and 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httptools

from entrada.adapters.identity_fields import folded_name
from entrada.gateway.forward_auth import CONTRACTS
from entrada.gateway.rules import OVERRIDE_FIELDS
from entrada.web.limits import LARGEST_HEAD_BYTES

MOST_REMEMBERED = 1024
"""Request lines and rows of names; visitors choose names, so the oldest go, and long ones are not kept."""
LONGEST_REMEMBERED_BYTES = 2048

_ASKING = {
    contract.path.encode(): (contract.method.encode(), contract.host.encode(), contract.target.encode())
    for contract in CONTRACTS
    if contract.target is not None and contract.method is not None and not contract.answers_people
}
"""By address: the fields in which method, host and target stand."""

_UNUSUAL = frozenset(
    {
        b"authorization",
        b"connection",
        b"content-length",
        b"expect",
        b"sec-websocket-key",
        b"transfer-encoding",
        b"upgrade",
    }
)
_OVERRIDES = frozenset(name.encode() for name in OVERRIDE_FIELDS)
_END = b"\r\n\r\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class Names:
    """How a request spells the names of the fields that are read."""

    method: bytes
    host: bytes
    target: bytes
    cookie: bytes


Head = tuple[bytes, Names, dict[bytes, bytes]]
"""The request target, the spelling of its names, and all fields by their names as spelt."""

_Rows = dict[tuple[bytes, ...], Names | None]


class WholeHeads:
    """Reads one head after the other, of any connection. What is returned is good until the next is read."""

    def __init__(self) -> None:
        self._lines: dict[bytes, tuple[bytes, _Rows]] = {}
        self._rows: dict[bytes, _Rows] = {address: {} for address in _ASKING}
        self._fields: dict[bytes, bytes] = {}
        # httptools calls whatever has this name: a dict's own method, which keeps the first of two fields, at
        # less cost than any function of ours.
        self.on_header = self._fields.setdefault
        self._begin_anew()

    def on_message_complete(self) -> None:
        self._completed += 1

    def read(self, data: bytes) -> Head | None:
        """What was read where a request begins; None: for the server's parser."""
        line = data[: data.find(b"\r\n")]
        known = self._lines.get(line) or self._learn_line(line)
        if known is None or not data.endswith(_END) or len(data) > LARGEST_HEAD_BYTES:
            return None
        target, rows = known
        fields = self._fields
        fields.clear()
        self._completed = 0
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._begin_anew()
            return None
        row = tuple(fields)
        names = rows[row] if row in rows else self._learn_row(row, target, rows)
        # A line for each field: none stood there twice, and none went on in a further line.
        if names is None or self._completed != 1 or data.count(b"\n") != len(row) + 2:
            self._begin_anew()
            return None
        return target, names, fields

    def _begin_anew(self) -> None:
        """A parser that has seen anything else may stand anywhere."""
        self._parser = httptools.HttpRequestParser(self)

    def _learn_line(self, line: bytes) -> tuple[bytes, _Rows] | None:
        method, _, rest = line.partition(b" ")
        target, _, version = rest.partition(b" ")
        rows = self._rows.get(target.partition(b"?")[0])
        if rows is None or method != b"GET" or version != b"HTTP/1.1" or len(line) > LONGEST_REMEMBERED_BYTES:
            return None
        _make_room(self._lines)
        self._lines[line] = target, rows
        return target, rows

    def _learn_row(self, row: tuple[bytes, ...], target: bytes, rows: _Rows) -> Names | None:
        spelt = {name.lower(): name for name in row}
        wanted = (*_ASKING[target.partition(b"?")[0]], b"cookie")
        is_usual = _UNUSUAL.isdisjoint(spelt) and _OVERRIDES.isdisjoint(map(folded_name, row))
        names = None
        if is_usual and len(spelt) == len(row) and all(name in spelt for name in wanted):
            method, host, asked, cookie = (spelt[name] for name in wanted)
            names = Names(method=method, host=host, target=asked, cookie=cookie)
        if sum(map(len, row)) <= LONGEST_REMEMBERED_BYTES:
            _make_room(rows)
            rows[row] = names
        return names


def _make_room(remembered: dict[Any, Any]) -> None:
    if len(remembered) >= MOST_REMEMBERED:
        del remembered[next(iter(remembered))]
