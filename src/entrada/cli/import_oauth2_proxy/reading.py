"""Reads what oauth2-proxy is configured by: its file, flags, `OAUTH2_PROXY_*`, or the nested YAML.

    oauth2-proxy.cfg          TOML, flat
    oauth2-proxy.env          OAUTH2_PROXY_CLIENT_ID=…
    oauth2-proxy.service      ExecStart=/usr/bin/oauth2-proxy --provider=…, and Environment=
    a command line            oauth2-proxy --provider=… \\
    oauth2-proxy.yaml         the nested form (alpha_config, and later the whole configuration)

Flags beat the environment, and that beats files, as oauth2-proxy has it. What oauth2-proxy itself would not
start with, and what stands in a file that was not given, stops: half a configuration read as a whole one
could let in more people than before.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from entrada.cli.import_oauth2_proxy.options import (
    OPTIONS,
    OTHER_FILES,
    Configuration,
    Kind,
    Place,
    Said,
    option_of_flag,
)
from entrada.cli.import_oauth2_proxy.typed import plain, refuse, typed
from entrada.compatibility import tomllib
from entrada.errors import ConfigurationError
from entrada.settings.tables import wrong

LARGEST_FILE_BYTES = 1024 * 1024

_PREFIX = "OAUTH2_PROXY_"
_PROGRAM = re.compile(r"(?:.*/)?oauth2[-_]proxy(?::[\w.-]+)?(?:@sha256:[0-9a-f]+)?")
_ENTRY = re.compile(r"^[ \t]*[\"']?([A-Za-z0-9_]+)[\"']?[ \t]*=", re.MULTILINE)
_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)")


@dataclass(frozen=True, kw_only=True)
class _Word:
    text: str
    line: int


def read_configuration(files: Sequence[Path]) -> Configuration:
    """
    Raises:
        ConfigurationError: a file cannot be read, or oauth2-proxy would not start with it; with the line.
    """
    read = [_read(path) for path in files]
    given = {path.name for path in files}
    for said in [said for _, configuration in read for said in configuration.said]:
        if said.option in OTHER_FILES and Path(said.text).name not in given:
            refuse(
                said.place,
                f"names the file {said.text!r}, which was not given.",
                "Give all files at once: entrada import oauth2-proxy FILE FILE.",
            )
    return Configuration(
        said=list(_strongest(read)),
        upstreams=[upstream for _, found in read for upstream in found.upstreams],
        headers=next((found.headers for _, found in read if found.headers is not None), None),
    )


def _strongest(read: Sequence[tuple[int, Configuration]]) -> Iterator[Said]:
    """Each option once, as the strongest source has it; flags of a list add up."""
    kept: dict[str, tuple[int, Said]] = {}
    for rank, configuration in read:
        for said in configuration.said:
            if said.option in OTHER_FILES or said.value in ("", []):
                continue
            before = kept.get(said.option)
            if before is None or rank > before[0]:
                kept[said.option] = (rank, said)
            elif rank == before[0] and OPTIONS[said.option] is Kind.LIST:
                merged = replace(before[1], value=[*before[1].items, *said.items])
                kept[said.option] = (rank, merged)
            elif rank == before[0] and said.value != before[1].value:
                refuse(
                    said.place,
                    f"is also set in {before[1].place.file}, line {before[1].place.line}, otherwise.",
                    "Keep the one that oauth2-proxy uses.",
                )
    return (said for _, said in kept.values())


def _read(path: Path) -> tuple[int, Configuration]:
    """The file's rank (flags 3, environment 2, files 1), and what it says."""
    text = _text_of(path)
    name = str(path)
    if path.suffix.lower() in (".yaml", ".yml"):
        try:
            from entrada.cli.import_oauth2_proxy.nested import read_nested
        except ModuleNotFoundError:
            raise ConfigurationError(
                f"{name} is YAML, which needs PyYAML, and that is not installed.",
                hint='Install it with: pip install "./entrada[yaml]"',
            ) from None
        return 1, read_nested(name, text)
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("#", ";"))]
    if any(line.lstrip().startswith("ExecStart=") for line in lines):
        return 3, Configuration(said=[*_of_unit(name, text)])
    if any(match[1].lower() in OPTIONS for line in lines if (match := _ENTRY.match(line))):
        return 1, Configuration(said=list(_of_toml(name, text)))
    if any(re.match(r"\s*--?[a-z]", line) for line in lines) or any(
        _PROGRAM.fullmatch(word) for word in " ".join(lines).split()
    ):
        return 3, Configuration(said=list(_of_words(name, _words(name, text))))
    if any(re.match(rf"\s*(?:export\s+)?{_PREFIX}", line) for line in lines):
        return 2, Configuration(said=list(_of_environment(name, _assignments(text))))
    return 1, Configuration(said=list(_of_toml(name, text)))


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_FILE_BYTES + 1)
        if len(raw) > LARGEST_FILE_BYTES:
            raise ConfigurationError(f"{path} is too large to be a configuration.", hint="Check the path.")
        return raw.decode("utf-8-sig")
    except OSError as error:
        why = error.strerror or type(error).__name__
    except UnicodeDecodeError:
        why = "it is not UTF-8"
    raise ConfigurationError(f"{path} cannot be read ({why}).", hint="Check the path, and who may read it.")


# TOML


def _of_toml(file: str, text: str) -> Iterator[Said]:
    try:
        entries = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        raise wrong(
            file,
            int(line[1]) if line else text.count("\n") + 1,
            "This is not the TOML of an oauth2-proxy.cfg.",
            'Each line is name = "value". Flags and OAUTH2_PROXY_… are read from files of their own, and the '
            "nested form from a file that ends with .yaml.",
        ) from None
    lines = {match[1].lower(): text.count("\n", 0, match.start(1)) + 1 for match in _ENTRY.finditer(text)}
    for written, value in entries.items():
        place = Place(file=file, line=lines.get(written.lower()), written=written)
        option = written.lower()
        if option not in OPTIONS:
            _unknown(place, option, OPTIONS)
        yield Said(option=option, place=place, value=typed(place, option, value))


def _unknown(place: Place, name: str, known: Iterable[str]) -> NoReturn:
    close = difflib.get_close_matches(name, list(known), 1, 0.6)
    fix = f"Did you mean {close[0]}?" if close else "Delete it if oauth2-proxy starts without it."
    refuse(place, "is no option of oauth2-proxy.", fix)


# The environment


def _assignments(text: str) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        match = _ASSIGNMENT.fullmatch(line)
        if match is not None:
            value = match[2].strip()
            if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
                value = value[1:-1]
            yield number, match[1], value


def _of_environment(file: str, found: Iterable[tuple[int, str, str]]) -> Iterator[Said]:
    for line, name, value in found:
        if not name.startswith(_PREFIX):
            continue
        place = Place(file=file, line=line, written=name)
        option = name.removeprefix(_PREFIX).lower()
        if option in OTHER_FILES:
            yield Said(option=option, place=place, value=value)
            continue
        if option not in OPTIONS:
            _unknown(place, option, OPTIONS)
        if value:
            yield Said(option=option, place=place, value=typed(place, option, plain(place, value)))


# Flags


def _words(file: str, text: str, *, first_line: int = 1) -> list[_Word]:
    words = []
    for number, line in enumerate(text.splitlines(), first_line):
        try:
            found = shlex.split(line.rstrip().removesuffix("\\"), comments=True)
        except ValueError:
            raise wrong(
                file, number, "A quotation mark is not closed on its line.", "Write each flag on one line."
            ) from None
        words += [_Word(text=word, line=number) for word in found]
    return words


def _of_unit(file: str, text: str) -> Iterator[Said]:
    """A systemd unit: what ExecStart= runs, and Environment=."""
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        first, entry = number + 1, lines[number].strip()
        while lines[number].rstrip().endswith("\\") and number + 1 < len(lines):
            number += 1
            entry += "\n" + lines[number]
        number += 1
        name, _, value = entry.partition("=")
        if name == "ExecStart":
            yield from _of_words(file, _words(file, value.lstrip("-@:+!"), first_line=first))
        elif name == "Environment":
            pairs = [word.text.partition("=") for word in _words(file, value, first_line=first)]
            yield from _of_environment(file, [(first, pair[0], pair[2]) for pair in pairs])
        elif name == "EnvironmentFile":
            place = Place(file=file, line=first, written=name)
            yield Said(option=OTHER_FILES[0], place=place, value=value.strip().lstrip("-"))


def _of_words(file: str, words: Sequence[_Word]) -> Iterator[Said]:
    programs = [index for index, word in enumerate(words) if _PROGRAM.fullmatch(word.text)]
    rest = list(words[programs[-1] + 1 :] if programs else words)
    while rest:
        word = rest.pop(0)
        if word.text == "\\":
            continue
        place = Place(file=file, line=word.line, written=word.text.partition("=")[0])
        if not word.text.startswith("-"):
            place = replace(place, written="A word")
            refuse(
                place,
                "stands there that belongs to no flag.",
                "Write --flag=value; a switch is turned off by --flag=false.",
            )
        flag, mark, value = word.text.lstrip("-").partition("=")
        option = option_of_flag(flag)
        if option is None:
            _unknown(place, flag, [name.replace("_", "-") for name in OPTIONS])
        if not mark and OPTIONS.get(option) is Kind.SWITCH:
            value = "true"
        elif not mark:
            if not rest:
                refuse(place, "has no value.", "Write --flag=value.")
            value = rest.pop(0).text
        if option in OTHER_FILES:
            yield Said(option=option, place=place, value=value)
        else:
            yield Said(option=option, place=place, value=typed(place, option, plain(place, value)))
