"""A request's headers as its server has them, read when they are asked for: most requests need three of them.

What is read is as it was when the request came, whatever an application does to its scope or environ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar, overload

OtherT = TypeVar("OtherT")


class AsgiHeaders(Mapping[str, str]):
    """By lower-case name. Of a repeated header the values are joined as HTTP says."""

    __slots__ = ("_raw",)

    def __init__(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        fields = list(fields)
        self._raw = dict(fields)
        if len(self._raw) != len(fields):
            self._raw = _joined(fields)

    def __getitem__(self, name: str) -> str:
        return self._raw[name.encode("latin-1", "replace")].decode("latin-1")

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, /, default: str | OtherT) -> str | OtherT: ...
    def get(self, name: str, /, default: Any = None) -> Any:
        value = self._raw.get(name.encode("latin-1", "replace"))
        return default if value is None else value.decode("latin-1")

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.encode("latin-1", "replace") in self._raw

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._raw)

    def __len__(self) -> int:
        return len(self._raw)


class WsgiHeaders(Mapping[str, str]):
    """By lower-case name, out of a copy of the environ."""

    __slots__ = ("_environ",)

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._environ = dict(environ)

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, /, default: str | OtherT) -> str | OtherT: ...
    def get(self, name: str, /, default: Any = None) -> Any:
        key = name.upper().replace("-", "_")
        if key in _WITHOUT_PREFIX and self._environ.get(key):
            return self._environ[key]
        return self._environ.get(f"HTTP_{key}", default)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        names = [key[5:] for key in self._environ if key[:5] == "HTTP_"]
        names += [key for key in _WITHOUT_PREFIX if self._environ.get(key) and key not in names]
        return (name.replace("_", "-").lower() for name in names)

    def __len__(self) -> int:
        return sum(1 for _ in self)


_WITHOUT_PREFIX = ("CONTENT_TYPE", "CONTENT_LENGTH")


def _joined(fields: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    values: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        values.setdefault(name, []).append(value)
    return {name: (b"; " if name == b"cookie" else b", ").join(several) for name, several in values.items()}
