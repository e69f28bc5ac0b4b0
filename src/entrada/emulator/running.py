"""A running emulator: start it, ask where it is, change it, stop it.

`start` is what tests and `entrada demo` use; the command line uses it too.
What few runs need is imported by the function that needs it: the start is to be quick.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from . import control_actions as actions
from . import control_policies as policies
from .application import Application
from .certificates import ensure_certificates, write_private
from .directory import App, Directory, Group, Person, Policy
from .environment import environment
from .faults import Fault
from .http import Parameters, Request
from .keys import KeyRing
from .listeners import Listeners, bind, is_loopback
from .request_log import ReceivedRequest
from .sealing import Sealer
from .seed import seed
from .state_file import StateFile
from .world import World

RUNNING_FILE = "running.json"
_SEALING_KEY_FILE = "sealing.key"


class EmulatorError(Exception):
    """The emulator cannot start; `hint` says what to do."""

    def __init__(self, sentence: str, *, hint: str) -> None:
        super().__init__(sentence)
        self.hint = hint


class RunningEmulator:
    """A started emulator.  Also a context manager that stops it."""

    def __init__(
        self, world: World, listeners: Listeners, *, state_dir: Path, temporary: bool, state: StateFile | None
    ) -> None:
        self._world = world
        self._listeners = listeners
        self._state_dir = state_dir
        self._temporary = temporary
        self._state = state
        self._stopped = False

    def __enter__(self) -> RunningEmulator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def http_url(self) -> str:
        """`http://localhost:PORT`, where browsers go."""
        return self._world.http_url

    @property
    def https_url(self) -> str:
        """`https://localhost:PORT`, where MSAL goes."""
        return self._world.https_url

    @property
    def ca_file(self) -> Path:
        """The PEM of the authority to trust for https."""
        return self._world.ca_file

    @property
    def directory(self) -> Directory:
        """The directory itself."""
        return self._world.directory

    @property
    def people(self) -> list[Person]:
        """Everybody."""
        return list(self._world.directory.people.values())

    @property
    def requests(self) -> list[ReceivedRequest]:
        """The requests received, oldest first, secrets masked, the control API's own left out."""
        return [one for one in self._world.log.shown() if one.endpoint != "control"]

    def env(self, product: str) -> dict[str, str]:
        """Environment variables that point `entrada`, `mage`, `dstack` or `azure` at this emulator."""
        return environment(product, actions.state(self._world))

    def person(self, name: str) -> Person:
        """The person of that id or name."""
        return actions.find_person(self._world, name)

    def add_person(self, user_principal_name: str, **fields: Any) -> Person:
        """A new person; fields are those of `Person`, and `roles` of the seeded application."""
        made = actions.add_person(self._world, "", {"user_principal_name": user_principal_name, **fields})
        return self._world.directory.people[made["object_id"]]

    def change_person(self, name: str, **fields: Any) -> Person:
        """Change some fields of a person; `roles` replaces the roles of the seeded application."""
        made = actions.change_person(self._world, name, fields)
        return self._world.directory.people[made["object_id"]]

    def remove_person(self, name: str) -> None:
        """Delete a person."""
        actions.remove_person(self._world, name, {})

    def add_group(self, display_name: str, **fields: Any) -> Group:
        """A new group."""
        made = actions.add_group(self._world, "", {"display_name": display_name, **fields})
        return self._world.directory.groups[made["object_id"]]

    def app(self, name: str) -> App:
        """The application with that client id or name."""
        return actions.find_app(self._world, name)

    def add_app(self, display_name: str, **fields: Any) -> App:
        """A new application; fields are those of `App`."""
        made = actions.add_app(self._world, "", {"display_name": display_name, **fields})
        return self._world.directory.apps[made["client_id"]]

    def change_app(self, name: str, **fields: Any) -> App:
        """Change some fields of an application."""
        made = actions.change_app(self._world, name, fields)
        return self._world.directory.apps[made["client_id"]]

    def add_policy(self, display_name: str, *, control: str, **fields: Any) -> Policy:
        """A new Conditional Access policy, `block` or `mfa`; fields are those of `Policy`, names for ids."""
        body = {"display_name": display_name, "control": control, **fields}
        made = policies.add_policy(self._world, "", body)
        return self._world.directory.policies[made["policy_id"]]

    def remove_policy(self, name: str) -> None:
        """Delete a Conditional Access policy."""
        policies.remove_policy(self._world, name, {})

    def fail(
        self,
        fault: str,
        *,
        endpoint: str | None = None,
        times: int | None = 1,
        for_seconds: float | None = None,
        **parameters: Any,
    ) -> list[Fault]:
        """Switch a fault on for the next `times` requests (None: until cleared) or for a time."""
        return actions.fail(
            self._world, fault, endpoint=endpoint, times=times, for_seconds=for_seconds, **parameters
        )

    @property
    def faults(self) -> list[Fault]:
        """The faults that are on."""
        return self._world.faults.active()

    def clear_faults(self) -> None:
        """Switch every fault off and set the clock right."""
        actions.clear_faults(self._world, "", {})

    def clear_requests(self) -> None:
        """Forget the requests received."""
        self._world.log.clear()

    def rotate_keys(self, *, keep_old: bool = True) -> str:
        """Sign with a new key from now on; returns its id."""
        return self._world.keys.rotate(keep_old=keep_old)

    def withdraw_key(self, kid: str = "") -> None:
        """Publish a key no longer, by default the one that signs."""
        self._world.keys.withdraw(kid or self._world.keys.current.kid)

    def revoke_sessions(self, name: str = "") -> None:
        """Revoke one person's sessions and refresh tokens, or everybody's."""
        actions.revoke_sessions(self._world, "", {"person": name})

    def clock(self, offset_seconds: float) -> None:
        """Set the emulator's clock off by so many seconds."""
        self._world.clock.offset_seconds = float(offset_seconds)

    def allow_password_grant(self, allowed: bool = True) -> None:
        """Switch the password grant on or off."""
        self._world.password_grant = allowed

    def limit_loops(self, requests: int) -> None:
        """Answer AADSTS50196 to more than so many equal token requests a minute; 0 allows any number."""
        actions.change_settings(self._world, "", {"loop_limit": requests})

    def reset(self) -> None:
        """Back to the directory of the start: no faults, no sessions, no memory of requests."""
        self._world.reset()

    def answer(self, authorization_url: str, *, as_: str = "", cookie: str = "") -> str:
        """Where a browser is sent for an authorization request, signing in as somebody without a page.

        Returns the Location of the answer.

        Raises:
            EmulatorError: the answer is a page rather than a redirect.
        """
        path_and_query = authorization_url.partition("://")[2].partition("/")[2]
        path, _, query = path_and_query.partition("?")
        if as_:
            from urllib.parse import quote

            query += f"&_emulator_as={quote(as_)}&_emulator_approve=1"
        request = Request(
            method="GET",
            path=f"/{path}",
            query=Parameters(query),
            headers={"cookie": cookie} if cookie else {},
            body=b"",
            base_url=self.http_url,
        )
        response = Application(self._world).answer(request)
        location = dict(response.headers).get("location")
        if location is None:
            raise EmulatorError(
                "The answer is a page, not a redirect.", hint="Open the address in a browser."
            )
        return location

    def stop(self) -> None:
        """Stop listening and, when the state directory was made for this run, remove it."""
        if self._stopped:
            return
        self._stopped = True
        self._listeners.stop()
        self._world.keys.close()
        if self._state is not None:
            self._state.save(self._world.directory)
        _forget_running(self._state_dir)
        if self._temporary:
            _remove(self._state_dir)


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
) -> RunningEmulator:
    """Start an emulator in a background thread and return when both listeners answer.

    Port 0 is any free port.  `directory` is a TOML file; without it there are the seeded tenants.  Keys and
    certificates live in `state_dir`, or in a directory that is removed at the end.  `state_file` keeps
    changes of the directory between runs.  `browser_over_https` sends browsers to https too, for clients that
    accept no http endpoint.

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
    running = RunningEmulator(world, listeners, state_dir=folder, temporary=temporary, state=state)
    _remember_running(folder, world)
    return running


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
    from .directory_file import load_directory

    return load_directory(directory)


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
        http_url=f"http://localhost:{http_port}",
        https_url=f"https://localhost:{https_port}",
        ca_file=ca_file.resolve(),
    )
    fill(world.directory)
    return world, tls_file


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
