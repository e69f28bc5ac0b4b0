"""Directory records to and from plain mappings: one reading for TOML files, state files and the control API.

Field names are those of the records in `directory`.  A mistake is told with the place and the field's name.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Hashable, Mapping
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, cast

T = TypeVar("T")


class RecordError(ValueError):
    """A mapping that is no such record; the message names the place and the field."""


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def read_record(kind: type[T], mapping: Mapping[str, Any], *, where: str, base: T | None = None) -> T:
    """The record the mapping describes, or `base` with the mapping's fields changed.

    Raises:
        RecordError: an unknown field, a wrong type, or a required field that is missing.
    """
    if not isinstance(mapping, Mapping):
        raise RecordError(f"{where} is not a table of fields")
    hints = _hints(cast(Hashable, kind))
    unknown = sorted(set(mapping) - set(hints))
    if unknown:
        raise RecordError(f"{where} has no field '{unknown[0]}'; it has {', '.join(hints)}")
    values: dict[str, Any] = dict(base.__dict__) if base is not None else {}
    for name, value in mapping.items():
        values[name] = _value(hints[name], value, f"{where}, field '{name}'")
    try:
        return kind(**values)
    except TypeError:
        assert is_dataclass(kind)
        missing = [f.name for f in fields(kind) if f.name not in values and f.name in _required(kind)]
        raise RecordError(f"{where} lacks the field '{missing[0] if missing else '?'}'") from None


@cache
def _required(kind: type) -> frozenset[str]:
    from dataclasses import MISSING

    assert is_dataclass(kind)
    return frozenset(f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING)


def _value(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise RecordError(f"{where} is not a list")
        inner = typing.get_args(hint)[0]
        return tuple(_value(inner, one, where) for one in value)
    if isinstance(hint, type) and is_dataclass(hint):
        return read_record(hint, value, where=where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    accepted = hint if isinstance(hint, type | types.UnionType) else object
    if not isinstance(value, accepted) or (accepted is int and isinstance(value, bool)):
        raise RecordError(f"{where} is not of type {getattr(hint, '__name__', hint)}")
    return value


def write_record(record: Any) -> dict[str, Any]:
    """The record as a mapping that `read_record` reads back."""
    written: dict[str, Any] = asdict(record)
    return written
