"""Where the values of settings come from: the environment, files named by `NAME_FILE`, and `entrada.toml`.

Owns the ranks: the environment beats the file; the native name beats its aliases; other products' own names
beat `AZURE_*`, which on an Azure machine often mean something else. Two aliases of one rank that differ are
an error that names both.
"""

from __future__ import annotations

import codecs
import difflib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from entrada.compatibility import tomllib
from entrada.errors import NATIVE_PREFIX, ConfigurationError, native_name, why_unreadable
from entrada.settings.words import Names

DEFAULT_FILE = "entrada.toml"
TABLES = ("routes", "rules", "installations")
"""What else `entrada.toml` may hold: what stands behind the gateway or the broker. Read there, not here."""
RETIRED = {
    "redis_url": "Leave it out: several servers need nothing but one PostgreSQL, in $[database_url]. "
    "A Redis that was run for Entrada alone can go."
}
"""Names that were settings once, and what to do about one that is still set."""
_UTF16 = "UTF-16"
_LOWEST_RANK_PREFIX = "AZURE_"
_NOT_LOWEST = frozenset({"AZURE_HOST"})  # Mage's own name for the login host

log = logging.getLogger("entrada.settings")


@dataclass(frozen=True, kw_only=True)
class FoundValues:
    """Values by field name as text or TOML, where each was found, and what the person calls it."""

    values: Mapping[str, Any] = field(repr=False)
    origins: Mapping[str, str]
    names: Names
    tables: Mapping[str, Any] = field(default_factory=dict)
    """The entries of `entrada.toml` that are no settings, see `TABLES`."""


def default_file() -> Path | None:
    """`entrada.toml` in the working directory, if there is one."""
    path = Path(DEFAULT_FILE)
    return path if path.is_file() else None


def aliases_of(field: FieldInfo) -> list[str]:
    extra = field.json_schema_extra
    return [str(name) for name in extra["aliases"]] if isinstance(extra, dict) else []  # type: ignore[union-attr]  # declared as a list


def is_secret(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    return isinstance(extra, dict) and bool(extra["secret"])


def unit_of(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    return str(extra["unit"]) if isinstance(extra, dict) else ""


def find_values(
    environ: Mapping[str, str],
    *,
    file: Path | None,
    declared: Mapping[str, FieldInfo],
    usual: Mapping[str, str] | None = None,
) -> FoundValues:
    """One value for each setting that is set anywhere. `usual`: see `Names`.

    An empty variable or entry counts as unset: container systems set those for what was left blank.

    Raises:
        ConfigurationError: aliases that contradict, a `_FILE` that cannot be read, a broken or unknown entry.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    used: dict[str, str] = {}
    entries = _entries(file)
    for name, value in _from_file(file, entries, declared):
        values[name], origins[name] = value, f"{file} ({name})"
        used[name] = f"{name} in {file.name}" if file else name
    for name, info in declared.items():
        for names in _ranks(name, info):
            found = _one_value(environ, names, setting=name, secret=is_secret(info))
            if found is not None:
                origins[name], values[name] = found
                used[name] = origins[name]
                break
    _warn_of_unknown(environ, declared)
    _warn_of_retired(environ, entries, file)
    return FoundValues(
        values=values,
        origins=origins,
        names=Names(used=used, usual=usual or {}),
        tables={name: entries[name] for name in TABLES if name in entries},
    )


def _ranks(name: str, info: FieldInfo) -> Iterator[list[str]]:
    aliases = aliases_of(info)
    lowest = [
        alias for alias in aliases if alias.startswith(_LOWEST_RANK_PREFIX) and alias not in _NOT_LOWEST
    ]
    yield [native_name(name)]
    yield [alias for alias in aliases if alias not in lowest]
    yield lowest


def _one_value(
    environ: Mapping[str, str], names: list[str], *, setting: str, secret: bool
) -> tuple[str, str] | None:
    found = [
        (name, value) for name in names if (value := _read(environ, name, setting=setting, secret=secret))
    ]
    if not found:
        return None
    first_name, first = found[0]
    for name, value in found[1:]:
        if value != first:
            raise _refusal(
                f"{first_name} and {name} mean the same setting but differ.",
                hint=f"Set only one of them, or set {native_name(setting)}, which beats both.",
                setting=setting,
                called=first_name,
            )
    return first_name, first


def _read(environ: Mapping[str, str], name: str, *, setting: str, secret: bool) -> str:
    value = environ.get(name, "").strip()
    path = environ.get(f"{name}_FILE", "").strip() if secret else ""
    if not path:
        return value
    if value:
        raise _refusal(
            f"{name} and {name}_FILE are both set.",
            hint="Keep the one you mean.",
            setting=setting,
            called=name,
        )
    return _secret_in(path, f"{name}_FILE", setting=setting)


def _secret_in(path: str, name: str, *, setting: str) -> str:
    """The content of a file that `name`, a form of `setting`, names."""
    try:
        value = _text_of(Path(path)).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _refusal(
            f"{name} names {path!r}, which cannot be read ({_why(error)}).",
            hint="Check the path, and that the user Entrada runs as may read it; save it as UTF-8.",
            setting=setting,
            called=name,
        ) from None
    if not value:
        raise _refusal(
            f"{name} names {path!r}, which is empty.",
            hint="Write the secret into it, or drop the setting.",
            setting=setting,
            called=name,
        )
    return value


def _refusal(sentence: str, *, hint: str, setting: str, called: str) -> ConfigurationError:
    """About a setting that the person has written as `called`."""
    refusal = ConfigurationError(sentence, hint=hint, setting=setting)
    refusal.name_settings(Names(used={setting: called}))
    return refusal


def _entries(file: Path | None) -> Mapping[str, Any]:
    return {} if file is None else read_settings_file(file)[0]


def read_settings_file(file: Path) -> tuple[Mapping[str, Any], str]:
    """The entries of a settings file, and its text.

    Raises:
        ConfigurationError: it cannot be read, or is not TOML.
    """
    try:
        text = _text_of(file)
        entries: Mapping[str, Any] = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"The settings file {str(file)!r} cannot be read ({_why(error)}).",
            hint="Check the path, and that the user Entrada runs as may read it; save it as UTF-8.",
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(
            f"The settings file {str(file)!r} is not TOML: {error}.",
            hint='Each line is name = "value".',
        ) from None
    return entries, text


def _text_of(path: Path) -> str:
    """The text, without the byte order mark that some editors put in front.

    Raises:
        OSError, UnicodeDecodeError: it cannot be read; the latter's reason says so of UTF-16.
    """
    raw = path.read_bytes()
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in raw[:4]:
        raise UnicodeDecodeError("utf-8", raw, 0, 1, _UTF16)
    return raw.decode("utf-8-sig")


def _why(error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, OSError):
        return why_unreadable(error)
    return "it is UTF-16, not UTF-8" if error.reason == _UTF16 else "it is not UTF-8"


def _from_file(
    file: Path | None, entries: Mapping[str, Any], declared: Mapping[str, FieldInfo]
) -> Iterator[tuple[str, Any]]:
    for name, value in entries.items():
        if name in TABLES or name in RETIRED:
            continue
        base = name.removesuffix("_file")
        if base != name and base in declared and is_secret(declared[base]) and isinstance(value, str):
            if base in entries:
                raise ConfigurationError(
                    f"{base} and {name} are both set in {str(file)!r}.",
                    hint="Keep the one you mean.",
                    setting=base,
                )
            yield base, _secret_in(value, name, setting=base)
            continue
        if name not in declared:
            raise _no_setting(file, name, declared)
        if isinstance(value, str) and "\0" in value:
            raise ConfigurationError(
                f"The entry {name!r} of the settings file {str(file)!r} holds a NUL character.",
                hint="Type it anew; no setting can hold one.",
                setting=name,
            )
        if value != "":
            yield name, value


def check_names(file: Path, entries: Mapping[str, Any], declared: Mapping[str, FieldInfo]) -> None:
    """
    Raises:
        ConfigurationError: an entry is neither a setting nor one of `TABLES`.
    """
    for name in entries:
        base = name.removesuffix("_file")
        is_known = name in (*TABLES, *RETIRED, *declared) or (base in declared and is_secret(declared[base]))
        if not is_known:
            raise _no_setting(file, name, declared)


def _no_setting(file: Path | None, name: str, declared: Mapping[str, FieldInfo]) -> ConfigurationError:
    return ConfigurationError(
        f"The settings file {str(file)!r} has an entry {name!r} that is no setting.",
        hint=_did_you_mean(name.lower().removeprefix(NATIVE_PREFIX.lower()), [*declared, *TABLES]),
    )


def _warn_of_unknown(environ: Mapping[str, str], declared: Mapping[str, FieldInfo]) -> None:
    known = {native_name(name) for name in declared}
    known |= {f"{native_name(name)}_FILE" for name, info in declared.items() if is_secret(info)}
    for name in environ:
        if (
            name.startswith(NATIVE_PREFIX)
            and name not in known
            and difflib.get_close_matches(name, known, 1, 0.85)
        ):
            log.warning("%s is no setting and is ignored. %s", name, _did_you_mean(name, sorted(known)))


def _warn_of_retired(environ: Mapping[str, str], entries: Mapping[str, Any], file: Path | None) -> None:
    """Ignored, so that a start does not fail for what never did anything."""
    names = Names()
    for name, hint in RETIRED.items():
        for called in (native_name(name), f"{native_name(name)}_FILE"):
            if environ.get(called, "").strip():
                log.warning("%s is no setting any more and is ignored. %s", called, names.put_into(hint))
        if name in entries:
            called = f"{name} in {file.name}" if file else name
            log.warning("%s is no setting any more and is ignored. %s", called, names.put_into(hint))


def _did_you_mean(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1, 0.5)
    return f"Did you mean {close[0]}?" if close else "`entrada settings` lists them all."
