"""What a product looks like inside, looked at before any of it is used.

A product without a public interface for a sign-in provider is used at places that it never promised to keep.
Each is a `Hook`: where it is, and what is expected of it. A server is hooked wholly or not at all.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Hook:
    """`has` are parameters of a function, or attributes of anything else; `uses` is what its code reads."""

    name: str
    module: str
    has: Sequence[str] = ()
    uses: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One hook as it was found. `problem` None: as expected."""

    hook: str
    problem: str | None


class Hooked:
    """A product's own parts by the names in its table of hooks."""

    def __init__(self, parts: Mapping[str, Any]) -> None:
        self._parts = parts

    def __getattr__(self, name: str) -> Any:
        try:
            return self._parts[name]
        except KeyError:
            raise AttributeError(f"{name} is not in the table of hooks") from None


def version_of(distribution: str) -> str | None:
    """The installed version, or None if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def look_at(hook: Hook) -> tuple[Any, Finding]:
    """The part, and how it was found. Imports its module; changes nothing."""
    part, problem = _found(hook)
    return part, Finding(hook=f"{hook.module}.{hook.name}", problem=problem)


def _found(hook: Hook) -> tuple[Any, str | None]:
    try:
        part = getattr(importlib.import_module(hook.module), hook.name)
    except ImportError as missing:
        return None, f"cannot be imported ({missing})"
    except AttributeError:
        return None, "is not there"
    except Exception as failure:  # whatever a product does while it is imported
        return None, f"cannot be imported ({type(failure).__name__}: {failure})"
    if lacking := [name for name in hook.has if not _has(part, name)]:
        return part, f"has no {', '.join(lacking)}"
    if hook.uses and (unread := [name for name in hook.uses if name not in _names_read(part)]):
        return part, f"no longer uses {', '.join(unread)}"
    return part, None


def _has(part: Any, name: str) -> bool:
    if inspect.isfunction(part):
        return name in inspect.signature(part).parameters
    # pydantic keeps fields without a default apart from the attributes of their class.
    fields = getattr(part, "model_fields", None) or getattr(part, "__fields__", None) or {}
    return hasattr(part, name) or (inspect.isclass(part) and name in fields)


def _names_read(function: Any) -> frozenset[str]:
    code = inspect.unwrap(function).__code__
    return frozenset((*code.co_names, *code.co_varnames, *code.co_freevars))
