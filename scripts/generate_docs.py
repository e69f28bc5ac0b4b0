"""Writes the pages of docs/reference that say what the code says; `--check` only compares.

A page is a function that returns its whole text, entered in PAGES. To add one: write the function,
enter it, run `make docs`, and link the page from docs/README.md. A function must not depend on the
machine, the time or the environment: the page is compared byte for byte in `make check`.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from adapters_page import adapters_page

import entrada
from entrada import errors
from entrada.cli import COMMANDS, module_name
from entrada.cli.settings import reference as settings_table
from entrada.entra.entra_errors import reference_page as aadsts_page
from entrada.settings import SettingValues

ROOT = Path(__file__).resolve().parent.parent
MARK = "<!-- Made by scripts/generate_docs.py; change the code, then run `make docs`. -->"


def error_classes() -> Iterator[tuple[int, type[errors.EntradaError]]]:
    """Every error with its depth in the tree, in the order in which the module defines them."""

    def below(
        parent: type[errors.EntradaError], depth: int
    ) -> Iterator[tuple[int, type[errors.EntradaError]]]:
        yield depth, parent
        for child in parent.__subclasses__():
            if child.__module__ == errors.__name__:
                yield from below(child, depth + 1)

    return below(errors.EntradaError, 0)


def _own(error: type[errors.EntradaError], name: str) -> str:
    """The default text, unless the class inherits the root's, which says nothing about it."""
    text: str = getattr(error, name)
    return text if error is errors.EntradaError or text != getattr(errors.EntradaError, name) else ""


def _first_paragraph(error: type[errors.EntradaError]) -> str:
    return " ".join((inspect.cleandoc(error.__doc__ or "").split("\n\n")[0]).split())


def errors_page() -> str:
    """docs/reference/errors.md: one entry an error, in the order of the tree."""
    lines = [
        "# Errors",
        "",
        MARK,
        "",
        "Every refusal of Entrada is one of these.",
        "The code is stable: a program may branch on it, and on the class; never on the sentence.",
        "A page, a JSON answer and a log line all carry the code.",
        "",
        "| code | class | who can help |",
        "|---|---|---|",
    ]
    entries = list(error_classes())
    for depth, error in entries:
        indent = "&nbsp;" * 4 * depth
        lines.append(
            f"| [`{error.code}`](#{error.code}) | {indent}`{error.__name__}` | {error.fixer.value} |"
        )
    for _, error in entries:
        bases = [base for base in error.__bases__ if issubclass(base, errors.EntradaError)]
        lines += ["", f"## {error.code}", "", f"`entrada.errors.{error.__name__}`"]
        if bases:
            lines[-1] += f", a kind of [`{bases[0].code}`](#{bases[0].code})"
        lines[-1] += "."
        if sentence := _own(error, "default_sentence"):
            lines += ["", f"> {sentence}"]
        if hint := _own(error, "default_hint"):
            lines += [">", f"> {hint}"] if sentence else ["", f"> {hint}"]
        if meaning := _first_paragraph(error):
            lines += ["", meaning]
    return "\n".join(lines) + "\n"


def python_page() -> str:
    """docs/reference/python.md: the names that `from entrada import ...` promises."""
    lines = [
        "# In Python",
        "",
        MARK,
        "",
        "These names, the adapters' and the classes of [`entrada.errors`](errors.md) are promised; "
        "everything else may change.",
    ]
    for name in sorted(entrada.__all__, key=str.lower):
        value = getattr(entrada, name)
        lines += ["", f"## `{name}`", ""]
        if not isinstance(value, type):
            lines.append("The version, as text.")
            continue
        lines.append(_prose(value.__doc__))
        lines += ["", "| member | what it is |", "|---|---|"]
        lines += [f"| `{member}` | {meaning} |" for member, meaning in _members(value)]
        if value is entrada.Entrada:
            lines += ["", "`from_values` takes these, by name:", "", "| argument | type |", "|---|---|"]
            lines += [f"| `{name}` | `{kind}` |" for name, kind in _arguments()]
    return "\n".join(lines) + "\n"


def _arguments() -> Iterator[tuple[str, str]]:
    for name, kind in inspect.get_annotations(SettingValues).items():
        yield name, str(getattr(kind, "__forward_arg__", kind)).replace("|", "\\|")


def _members(kind: type) -> Iterator[tuple[str, str]]:
    """Every public member, with the first paragraph of what it says about itself."""
    names = [name for name in dir(kind) if not name.startswith("_") and name not in dir(Exception)]
    for name in sorted({*names, *getattr(kind, "__dataclass_fields__", ())}):
        value = inspect.getattr_static(kind, name, None)
        callable_ = getattr(kind, name, None) if isinstance(value, classmethod) else value
        if inspect.isfunction(callable_) or inspect.ismethod(callable_):
            yield name + _typed(inspect.signature(callable_)), _prose(callable_.__doc__)
        else:
            annotation = getattr(kind, "__annotations__", {}).get(name, "")
            if isinstance(value, property) and value.fget is not None:
                annotation = value.fget.__annotations__.get("return", "")
            told = _prose(value.__doc__) if isinstance(value, property) else ""
            yield name, f"`{annotation}` {told}".replace("|", "\\|").strip()


def _typed(signature: inspect.Signature) -> str:
    """Parameters with their types, as they are written, and what comes back."""
    own = [parameter for name, parameter in signature.parameters.items() if name != "self"]
    shown = str(signature.replace(parameters=own)).replace("'", "")
    return shown.replace("|", "\\|")


def _prose(text: str | None) -> str:
    return " ".join(inspect.cleandoc(text or "").split("\n\n")[0].split()).replace("|", "\\|")


def settings_page() -> str:
    """docs/reference/settings.md: the table that `entrada settings --format markdown` prints."""
    return "\n".join(
        [
            "# Settings",
            "",
            MARK,
            "",
            "Each is an environment variable, or a line in `entrada.toml` (lower case, without `ENTRADA_`).",
            "The environment beats the file, and the native name beats the names it is also read from.",
            "`entrada settings` prints what is in force on a machine, and where each value came from.",
            "",
            settings_table(),
            "",
        ]
    )


def command_line_page() -> str:
    """docs/reference/command-line.md: every command with its options, read from the parsers themselves."""
    lines = [
        "# Command line",
        "",
        MARK,
        "",
        "Exit status: 0 done, 1 it failed (a sentence and a hint on stderr), 2 wrong use.",
    ]
    subparsers = argparse.ArgumentParser(prog="entrada").add_subparsers()
    for name, summary in COMMANDS.items():
        importlib.import_module(module_name(name)).add_parser(subparsers, summary=COMMANDS[name])
        lines += ["", f"## entrada {name}", "", f"{summary[0].upper()}{summary[1:]}."]
        lines += _options(subparsers.choices[name])
    return "\n".join(lines) + "\n"


def _options(parser: argparse.ArgumentParser) -> list[str]:
    """The lines of one command, and of the commands below it. Argparse's own layout differs by version."""
    lines: list[str] = []
    below: list[argparse.ArgumentParser] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            below += action.choices.values()
        elif not isinstance(action, argparse._HelpAction) and action.help is not argparse.SUPPRESS:
            value = action.metavar or ("|".join(map(str, action.choices)) if action.choices else None)
            value = str(value or action.dest.upper())
            shown = [f"{option} {value}" if action.nargs != 0 else option for option in action.option_strings]
            meaning = (action.help or "").replace("%(default)s", str(action.default)).replace("|", "\\|")
            names = "`, `".join(shown or [value]).replace("|", "\\|")
            lines.append(f"| `{names}` | {meaning} |")
    if lines:
        lines = ["", "| option | meaning |", "|---|---|", *lines]
    for command in below:
        lines += ["", f"### {command.prog}", *_options(command)]
    return lines


PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/aadsts.md": aadsts_page,
    "docs/reference/adapters.md": lambda: adapters_page(ROOT / "src/entrada/adapters", MARK),
    "docs/reference/command-line.md": command_line_page,
    "docs/reference/errors.md": errors_page,
    "docs/reference/python.md": python_page,
    "docs/reference/settings.md": settings_page,
}


def main(*, only_check: bool) -> int:
    """Writes, or compares, every page. Returns the exit status."""
    stale = 0
    for name, make_page in PAGES.items():
        path = ROOT / name
        wanted = make_page()
        present = path.read_text("utf-8") if path.is_file() else ""
        if present == wanted:
            continue
        if only_check:
            stale += 1
            print(f"{name} is not what the code says; run `make docs`:")
            difference = difflib.unified_diff(
                present.splitlines(), wanted.splitlines(), name, "the code", "", "", 1, ""
            )
            print("\n".join(list(difference)[:30]))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted, "utf-8")
            print(f"wrote {name}")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(only_check="--check" in sys.argv[1:]))
