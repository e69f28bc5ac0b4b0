"""A running emulator: ask where it is, change it, stop it.  `starting` makes one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from .control import actions as actions
from .control import policies as policies
from .directory.directory import Directory
from .directory.records import App, Group, Person, Policy
from .directory.state_file import StateFile
from .environment import environment
from .protocol.http import Parameters, Request
from .server.application import Application
from .server.listeners import Listeners
from .state.request_log import ReceivedRequest
from .state.switched_faults import Fault
from .state.world import World


class EmulatorError(Exception):
    """The emulator cannot start; `hint` says what to do."""

    def __init__(self, sentence: str, *, hint: str) -> None:
        super().__init__(sentence)
        self.hint = hint


class RunningEmulator:
    """A started emulator.  Also a context manager that stops it; `tidy_up` is called when it has stopped."""

    def __init__(
        self, world: World, listeners: Listeners, *, state: StateFile | None, tidy_up: Callable[[], None]
    ) -> None:
        self._world = world
        self._listeners = listeners
        self._state = state
        self._tidy_up = tidy_up
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
        """Stop listening, and leave nothing behind that was made for this run alone."""
        if self._stopped:
            return
        self._stopped = True
        self._listeners.stop()
        self._world.keys.close()
        if self._state is not None:
            self._state.save(self._world.directory)
        self._tidy_up()
