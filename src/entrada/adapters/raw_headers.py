"""A request's headers as its server has them, read when they are asked for: most requests need three of them.

What is read is as it was when the request came, whatever an application does to its scope or environ.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, TypeVar, overload

OtherT = TypeVar("OtherT")


class AsgiHeaders(Mapping[str, str]):
    """By lower-case name. Of a repeated header the values are joined as HTTP says."""

    __slots__ = ("_raw",)

    def __init__(self, fields: Collection[tuple[bytes, bytes]]) -> None:
        self._raw = dict(fields)
        if len(self._raw) != len(fields):
            self._raw = _joined(fields)

    def __getitem__(self, name: str) -> str:
        return self._raw[_in_scope(name)].decode("latin-1")

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, /, default: str | OtherT) -> str | OtherT: ...
    def get(self, name: str, /, default: Any = None) -> Any:
        value = self._raw.get(_in_scope(name))
        return default if value is None else value.decode("latin-1")

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _in_scope(name) in self._raw

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._raw)

    def __len__(self) -> int:
        return len(self._raw)


class WsgiHeaders(Mapping[str, str]):
    """By lower-case name, out of a copy of what the environ has of them: `raw`, by the environ's names."""

    __slots__ = ("raw",)

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self.raw: dict[str, str] = {name: value for name, value in environ.items() if name[:5] == "HTTP_"}
        for name in _WITHOUT_PREFIX:
            if value := environ.get(name):
                self.raw[f"HTTP_{name}"] = value

    def __getitem__(self, name: str) -> str:
        return self.raw[_in_environ(name)]

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, /, default: str | OtherT) -> str | OtherT: ...
    def get(self, name: str, /, default: Any = None) -> Any:
        return self.raw.get(_in_environ(name), default)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _in_environ(name) in self.raw

    def __iter__(self) -> Iterator[str]:
        return (name[5:].replace("_", "-").lower() for name in self.raw)

    def __len__(self) -> int:
        return len(self.raw)


_WITHOUT_PREFIX = ("CONTENT_TYPE", "CONTENT_LENGTH")


# The names that are asked for are a few, and constants.


@lru_cache(maxsize=200)
def _in_scope(name: str) -> bytes:
    return name.encode("latin-1", "replace")


@lru_cache(maxsize=200)
def _in_environ(name: str) -> str:
    return "HTTP_" + name.upper().replace("-", "_")


def _joined(fields: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    values: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        values.setdefault(name, []).append(value)
    return {name: (b"; " if name == b"cookie" else b", ").join(several) for name, several in values.items()}
