"""docs/reference/adapters.md: the adapters' public names, from their sources: no framework is imported."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ADAPTERS: Mapping[str, Sequence[str]] = {
    "fastapi": (
        "install",
        "current_principal",
        "optional_principal",
        "roles_required",
        "scopes_required",
        "EntraScheme",
    ),
    "starlette": (
        "EntradaMiddleware",
        "login_required",
        "roles_required",
        "scopes_required",
        "current_principal",
        "principal_of",
    ),
    "asgi": ("EntradaMiddleware", "visitor_of", "refusal_of", "respond", "close_code_of"),
    "flask": ("EntradaFlask", "login_required", "roles_required", "scopes_required"),
    "quart": ("EntradaQuart", "login_required", "roles_required", "scopes_required"),
    "django": (
        "middleware.EntradaMiddleware",
        "backend.EntradaBackend",
        "rest_framework.EntradaAuthentication",
        "guards.login_required",
        "guards.roles_required",
        "guards.scopes_required",
        "guards.current_principal",
    ),
    "tornado": (
        "install",
        "EntradaMixin",
        "login_required",
        "roles_required",
        "scopes_required",
        "current_principal",
    ),
    "wsgi": (
        "EntradaMiddleware",
        "login_required",
        "roles_required",
        "scopes_required",
        "current_principal",
        "visitor_of",
    ),
}


def adapters_page(source: Path, mark: str) -> str:
    """The page; `source` is the folder of `entrada.adapters`.

    Raises:
        LookupError: an adapter lacks a name that it promises.
    """
    lines = [
        "# Adapters",
        "",
        mark,
        "",
        "`HasAuth` is an [`Entrada`](python.md#entrada); a `Visitor` is one request and who makes it.",
        "`callers` are kinds of `entrada.entra.callers.CallerKind`: people by default.",
        "An adapter for something else takes [six steps](../how-to/write-your-own-adapter.md).",
    ]
    for adapter, names in ADAPTERS.items():
        place = source / adapter
        module = ast.parse(
            (place / "__init__.py" if place.is_dir() else place.with_suffix(".py")).read_text()
        )
        lines += ["", f"## `entrada.adapters.{adapter}`", "", *_opening(ast.get_docstring(module) or "")]
        for name in names:
            inner, _, short = name.rpartition(".")
            home = module if not inner else ast.parse((place / f"{inner}.py").read_text("utf-8"))
            lines += ["", *_entry(home, short, f"{adapter}.{name}")]
    return "\n".join(lines) + "\n"


def _opening(docstring: str) -> Iterator[str]:
    """The first paragraph and the example; the rest is for who reads the code."""
    paragraphs = inspect.cleandoc(docstring).split("\n\n")
    yield " ".join(paragraphs[0].split())
    example = []
    for paragraph in paragraphs[1:]:
        if not paragraph.startswith("    "):
            break
        example.append(textwrap.dedent(paragraph))
    if example:
        yield from ["", "```", *"\n\n".join(example).splitlines(), "```"]


def _entry(module: ast.Module, name: str, called: str) -> Iterator[str]:
    node = next(
        (
            found
            for found in module.body
            if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and found.name == name
        ),
        None,
    )
    if node is None:
        raise LookupError(f"entrada.adapters.{called} is promised and does not exist")
    yield f"### `{name}`"
    yield ""
    if isinstance(node, ast.ClassDef):
        yield from _told(node)
        for inner in node.body:
            if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) and (
                inner.name == "__init__" or not inner.name.startswith("_")
            ):
                yield from ["", f"`{_signature(inner, name)}`"]
                yield from _told(inner, before=[""])
    else:
        yield from [f"`{_signature(node, name)}`"]
        yield from _told(node, before=[""])


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef, of: str) -> str:
    shown = of if node.name == "__init__" else node.name
    arguments = ast.unparse(node.args).removeprefix("self, ").removeprefix("self")
    returns = "" if node.returns is None or node.name == "__init__" else f" -> {ast.unparse(node.returns)}"
    if any(isinstance(mark, ast.Name) and mark.id == "property" for mark in node.decorator_list):
        return f"{shown}{returns.replace(' ->', ':')}"
    is_async = "await " if isinstance(node, ast.AsyncFunctionDef) else ""
    return f"{is_async}{shown}({arguments}){returns}"


def _told(
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, *, before: Sequence[str] = ()
) -> Iterator[str]:
    text = ast.get_docstring(node)
    if text:
        yield from before
        yield " ".join(text.split("\n\n")[0].split())
        if "Raises:" in text:
            yield ""
            yield "Raises " + " ".join(text.partition("Raises:")[2].partition("Source:")[0].split())
