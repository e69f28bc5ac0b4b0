"""Writes what was translated: entrada.toml for anybody to read, and the secret for its owner alone.

The secret stands in a file of mode 0600 that entrada.toml names, so that nothing has to be quoted for a
shell, a unit file or a container. Nothing that is there already is written over, and before anything is
written it is loaded the way `entrada serve` loads it.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from entrada.cli.import_oauth2_proxy.draft import Entry
from entrada.cli.import_oauth2_proxy.translation import Translation
from entrada.compatibility import tomllib
from entrada.errors import ConfigurationError
from entrada.gateway.tables import read_file
from entrada.settings import load_settings, native_name

SETTINGS_FILE = "entrada.toml"
SECRET_FILE = "entrada.client-secret"  # noqa: S105  # a file's name


def secret_file_of(translation: Translation, folder: Path) -> Path | None:
    """Where the secret stands, if the configuration itself held it."""
    return None if translation.client_secret is None else folder.absolute() / SECRET_FILE


def settings_text(translation: Translation, *, folder: Path) -> str:
    """entrada.toml; no secret is in it."""
    secret_file = secret_file_of(translation, folder)
    lines = ["# Made from oauth2-proxy's configuration by `entrada import oauth2-proxy`."]
    settings = dict(translation.settings)
    if secret_file is not None:
        settings["client_secret_file"] = str(secret_file)
    lines += [f"{name} = {_value(value)}" for name, value in settings.items()]
    for table, entries in (("routes", translation.routes), ("rules", translation.rules)):
        for entry in entries:
            lines += ["", f"[[{table}]]", *(f"{name} = {_value(value)}" for name, value in entry.items())]
    return "\n".join(lines) + "\n"


def check(text: str) -> None:
    """That `entrada serve` could start with it, files that it names aside.

    Raises:
        ConfigurationError: it could not; what was translated holds a mistake.
    """
    entries = tomllib.loads(text)
    environ = {}
    if "client_secret_file" in entries:
        environ[native_name("client_secret")] = "not-looked-at-here"
        text = "".join(
            line for line in text.splitlines(keepends=True) if not line.startswith("client_secret_file =")
        )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / SETTINGS_FILE
        file.write_text(text, "utf-8")
        settings, found = load_settings(environ, file=file)
        with found.names.in_errors():
            _ = settings.authority
            read_file(file)


def write(translation: Translation, *, folder: Path) -> Sequence[Path]:
    """Writes the files; gives their names, the settings file first.

    Raises:
        ConfigurationError: one of them is there already, or cannot be written.
    """
    folder, secret = folder.absolute(), secret_file_of(translation, folder)
    text = settings_text(translation, folder=folder)
    check(text)
    written: list[Path] = []
    try:
        for path, content, mode in _files(folder, text, translation.client_secret, secret):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            written.append(path)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(content)
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        taken = isinstance(error, FileExistsError)
        raise ConfigurationError(
            f"{error.filename} {'is there already' if taken else f'cannot be written ({error.strerror})'}.",
            hint="Move it away, or name another folder with --into.",
        ) from None
    return written


def _files(
    folder: Path, text: str, secret: str | None, secret_file: Path | None
) -> Iterator[tuple[Path, str, int]]:
    yield folder / SETTINGS_FILE, text, 0o644
    if secret is not None and secret_file is not None:
        yield secret_file, secret + "\n", 0o600


def _value(value: Entry) -> str:
    """A value as TOML writes it, which is as JSON does, but for one character and tables."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_value(key)} = {_value(item)}" for key, item in value.items()) + " }"
    return "[" + ", ".join(_value(item) for item in value) + "]"
