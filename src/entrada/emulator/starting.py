"""Starting an emulator: its folder, keys, certificates, directory and listeners, or nothing left behind.

`start` is what tests and `entrada demo` use; the command line uses it too.
What few runs need is imported by the function that needs it: the start is to be quick.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from .directory.directory import Directory
from .directory.state_file import StateFile
from .private_file import write_private
from .running import EmulatorError, RunningEmulator
from .seed import seed
from .server.application import Application
from .server.certificates import ensure_certificates
from .server.listeners import Listeners, bind, is_loopback
from .state.keys import KeyRing
from .state.sealing import Sealer
from .state.world import World

RUNNING_FILE = "running.json"
_SEALING_KEY_FILE = "sealing.key"


def start(
    *,
    port: int = 0,
    tls_port: int = 0,
    directory: Path | None = None,
    state_dir: Path | None = None,
    host: str = "127.0.0.1",
    state_file: Path | None = None,
    insecure_allow_remote: bool = False,
    browser_over_https: bool = False,
    issue_as_live: bool = False,
) -> RunningEmulator:
    """Start an emulator in a background thread and return when both listeners answer.

    Port 0 is any free port.  `directory` is a TOML file; without it there are the seeded tenants.  Keys and
    certificates live in `state_dir`, or in a directory that is removed at the end.  `state_file` keeps
    changes of the directory between runs.  `browser_over_https` sends browsers to https too, for clients that
    accept no http endpoint.  `issue_as_live` writes the live service's issuers into tokens and metadata, for
    clients that expect no other.

    Raises:
        EmulatorError: a port is taken, the directory file is wrong, or the host is not loopback and
            `insecure_allow_remote` was not given.
    """
    if not is_loopback(host) and not insecure_allow_remote:
        raise EmulatorError(
            f"The emulator does not listen on {host}: it lets anybody sign in as anybody.",
            hint="Use 127.0.0.1, or allow it explicitly with --insecure-allow-remote on a network you trust.",
        )
    temporary = state_dir is None
    folder = _temporary_folder() if state_dir is None else state_dir
    http = https = keys = None
    try:
        keys = _prepared(folder)
        fill = _filler(directory)
        http, https = _sockets(host, port, tls_port)
        world, tls_file = _world(folder, keys, fill, http[0].getsockname()[1], https[0].getsockname()[1])
        world.browser_over_https = browser_over_https
        world.issue_as_live = issue_as_live
        world.remote_allowed = insecure_allow_remote
        state = StateFile(state_file) if state_file else None
        if state is not None:
            state.load_into(world.directory)
            world.changed = partial(state.save, world.directory)
        listeners = Listeners(Application(world), (http, world.http_url), (https, world.https_url), tls_file)
        _start_listening(listeners, folder)
        keys.open()
    except BaseException:
        for bound in (*(http or ()), *(https or ())):
            bound.close()
        if keys is not None:
            keys.close()
        if temporary:
            _remove(folder)
        raise
    _remember_running(folder, world)
    leave = partial(_remove if temporary else _forget_running, folder)
    return RunningEmulator(world, listeners, state=state, tidy_up=leave)


def _temporary_folder() -> Path:
    import tempfile

    return Path(tempfile.mkdtemp(prefix="entra-emulator-"))


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _start_listening(listeners: Listeners, folder: Path) -> None:
    try:
        listeners.start()
    except OSError as error:
        raise EmulatorError(
            f"The emulator cannot start: {error}; are its certificates damaged?",
            hint=f"Remove {folder} to begin anew.",
        ) from None


def _prepared(folder: Path) -> KeyRing:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return KeyRing(folder)
    except OSError as error:
        raise EmulatorError(
            f"The state directory {folder} cannot be used: {error.strerror}.",
            hint="Choose another with --state-dir.",
        ) from None


def _filler(directory: Path | None) -> Callable[[Directory], None]:
    if directory is None:
        return seed
    from .directory.directory_file import load_directory

    return load_directory(directory, seed=seed)


def _sockets(host: str, port: int, tls_port: int) -> tuple[list[Any], list[Any]]:
    bound: list[list[Any]] = []
    for wanted, option in ((port, "--port"), (tls_port, "--tls-port")):
        try:
            bound.append(bind(host, wanted))
        except (OSError, OverflowError) as error:
            for one in (one for sockets in bound for one in sockets):
                one.close()
            reason = getattr(error, "strerror", None) or str(error)
            raise EmulatorError(
                f"Port {wanted} on {host} cannot be opened: {reason}.", hint=f"Choose another with {option}."
            ) from None
    return bound[0], bound[1]


def _world(
    folder: Path, keys: KeyRing, fill: Callable[[Directory], None], http_port: int, https_port: int
) -> tuple[World, Path]:
    try:
        ca_file, tls_file = ensure_certificates(folder)
        sealing_key = _sealing_key(folder)
    except OSError as error:
        raise EmulatorError(
            f"The state directory {folder} cannot be used: {error.strerror}.",
            hint="Choose another with --state-dir.",
        ) from None
    world = World(
        directory=Directory(),
        fill=fill,
        keys=keys,
        sealer=Sealer(sealing_key),
        graph_key=sealing_key[::-1],
        http_url=_url("http", http_port, usual=80),
        https_url=_url("https", https_port, usual=443),
        ca_file=ca_file.resolve(),
    )
    fill(world.directory)
    return world, tls_file


def _url(scheme: str, port: int, *, usual: int) -> str:
    """The listener's address, as a browser would write it: without the scheme's own port."""
    return f"{scheme}://localhost" if port == usual else f"{scheme}://localhost:{port}"


def _sealing_key(folder: Path) -> bytes:
    file = folder / _SEALING_KEY_FILE
    if file.exists() and len(known := file.read_bytes()) == 32:
        return known
    key = os.urandom(32)
    write_private(file, key)
    return key


def _remember_running(folder: Path, world: World) -> None:
    state = {
        "pid": os.getpid(),
        "http_url": world.http_url,
        "https_url": world.https_url,
        "ca_file": str(world.ca_file),
    }
    (folder / RUNNING_FILE).write_text(json.dumps(state), encoding="utf-8")


def _forget_running(folder: Path) -> None:
    """Remove the note of this run; another emulator that started since keeps its own."""
    file = folder / RUNNING_FILE
    try:
        if json.loads(file.read_text(encoding="utf-8")).get("pid") == os.getpid():
            file.unlink()
    except (OSError, ValueError):
        return
