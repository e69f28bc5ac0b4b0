"""An emulator seen from a test: people, applications, faults and requests, over the control API.

Works the same for an emulator in this process and in another.  `entra` of the pytest plug-in is one.
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import quote

from .environment import environment
from .seed import CLIENT_ID

_ANSWER_SECONDS = 30


class RemoteError(Exception):
    """The emulator refused; the message is its sentence and hint."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Redirects are answers here, not something to follow."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


@dataclass(frozen=True, kw_only=True)
class AuthorizationAnswer:
    """Where a browser goes after signing in: a redirect, or a form to post."""

    url: str
    form: Mapping[str, str] = field(default_factory=dict)


class RemoteEmulator:
    """A handle on a running emulator."""

    def __init__(self, http_url: str) -> None:
        # Neither a proxy nor a redirect: the emulator is on this machine and answers itself.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())
        self.http_url = http_url
        self._state = self._call("GET", "state")

    @property
    def https_url(self) -> str:
        """`https://localhost:PORT`, where MSAL goes."""
        return str(self._state["https_url"])

    @property
    def ca_file(self) -> str:
        """The PEM of the authority to trust for https."""
        return str(self._state["ca_file"])

    def env(self, product: str = "entrada") -> dict[str, str]:
        """Environment variables that point `entrada`, `mage`, `dstack` or `azure` at this emulator."""
        return environment(product, self._state)

    def person(self, user_principal_name: str, **fields: Any) -> dict[str, Any]:
        """A person of that name: made when there is none, else changed as the fields say.

        Fields are those of `Person`; `groups` may be names, `roles` are of the seeded application.
        """
        name = quote(user_principal_name, safe="@")
        if self._exists(f"people/{name}"):
            known: dict[str, Any] = self._call("PATCH", f"people/{name}", fields)
            return known
        made: dict[str, Any] = self._call(
            "POST", "people", {"user_principal_name": user_principal_name, **fields}
        )
        return made

    def remove_person(self, user_principal_name: str) -> None:
        """Delete a person."""
        self._call("DELETE", f"people/{quote(user_principal_name, safe='@')}")

    def group(self, display_name: str, **fields: Any) -> dict[str, Any]:
        """A new group."""
        made: dict[str, Any] = self._call("POST", "groups", {"display_name": display_name, **fields})
        return made

    def app(self, name: str = CLIENT_ID, **fields: Any) -> dict[str, Any]:
        """The application of that client id or name, by default the seeded one, changed as the fields say.

        One that does not exist is made.
        """
        path = f"apps/{quote(name, safe='')}"
        if self._exists(path):
            known: dict[str, Any] = self._call("PATCH", path, fields)
            return known
        made: dict[str, Any] = self._call("POST", "apps", {"display_name": name, **fields})
        return made

    def policy(self, display_name: str, **fields: Any) -> dict[str, Any]:
        """The Conditional Access policy of that name: made when there is none, else changed.

        `control` is `block` or `mfa`; `people`, `groups`, `excluded_people` and `apps` may be names.
        """
        path = f"policies/{quote(display_name, safe='')}"
        if self._exists(path):
            known: dict[str, Any] = self._call("PATCH", path, fields)
            return known
        made: dict[str, Any] = self._call("POST", "policies", {"display_name": display_name, **fields})
        return made

    def remove_policy(self, display_name: str) -> None:
        """Delete a Conditional Access policy."""
        self._call("DELETE", f"policies/{quote(display_name, safe='')}")

    def fail(self, fault: str, **parameters: Any) -> None:
        """Switch a fault on; `endpoint`, `times`, `for_seconds` and its own parameters may be given."""
        self._call("POST", "faults", {"fault": fault, **parameters})

    @contextmanager
    def failing(self, fault: str, **parameters: Any) -> Iterator[None]:
        """The fault for the length of a `with` block; all faults are off afterwards."""
        self.fail(fault, **{"times": None, **parameters})
        try:
            yield
        finally:
            self.clear_faults()

    def clear_faults(self) -> None:
        """Switch every fault off and set the clock right."""
        self._call("DELETE", "faults")

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The requests received, oldest first, secrets masked."""
        shown: list[dict[str, Any]] = self._call("GET", "requests")
        return shown

    def clear_requests(self) -> None:
        """Forget the requests received."""
        self._call("DELETE", "requests")

    def rotate_keys(self, *, keep_old: bool = True) -> str:
        """Sign with a new key from now on; returns its id."""
        return str(self._call("POST", "keys/rotate", {"keep_old": keep_old})["kid"])

    def revoke_sessions(self, user_principal_name: str = "") -> None:
        """Revoke one person's sessions and refresh tokens, or everybody's."""
        self._call("POST", "sessions/revoke", {"person": user_principal_name})

    def clock(self, offset_seconds: float) -> None:
        """Set the emulator's clock off by so many seconds."""
        self._call("POST", "clock", {"offset_seconds": offset_seconds})

    def allow_password_grant(self, allowed: bool = True) -> None:
        """Switch the password grant on or off."""
        self._call("POST", "settings", {"password_grant": allowed})

    def limit_loops(self, requests: int) -> None:
        """Answer AADSTS50196 to more than so many equal token requests a minute; 0 allows any number."""
        self._call("POST", "settings", {"loop_limit": requests})

    def reset(self) -> None:
        """Back to the directory of the start: no faults, no sessions, no memory of requests."""
        self._call("POST", "reset")

    def answer(self, authorization_url: str, who: str = "ada@contoso.test") -> AuthorizationAnswer:
        """What a browser would do after signing in as somebody at this authorization URL.

        Raises:
            RemoteError: Entra shows a page instead, such as for a disabled account.
        """
        response = self._open("GET", f"{authorization_url}&_emulator_as={quote(who)}&_emulator_approve=1")
        location = response.headers.get("location")
        if location:
            return AuthorizationAnswer(url=location)
        page = response.read().decode()
        action = re.search(r'<form id="post" method="post" action="([^"]+)"', page)
        if action is None:
            title = re.search(r'role="alert">([^<]+)', page)
            raise RemoteError(unescape(title[1]) if title else "Entra shows a page instead of answering.")
        fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page)
        return AuthorizationAnswer(
            url=unescape(action[1]), form={unescape(name): unescape(value) for name, value in fields}
        )

    def _exists(self, path: str) -> bool:
        return bool(self._open("GET", f"{self.http_url}/_emulator/{path}").status == 200)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if method == "GET" else json.dumps(body or {}).encode()
        response = self._open(method, f"{self.http_url}/_emulator/{path}", data)
        content = json.loads(response.read())
        if response.status >= 400:
            raise RemoteError(f"{content['error']} {content.get('hint', '')}".strip())
        return content

    def _open(self, method: str, url: str, data: bytes | None = None) -> Any:
        if not url.startswith(("http://", "https://")):
            raise RemoteError(f"Not an address of the emulator: {url[:100]}")
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(url, method=method, data=data, headers=headers)  # noqa: S310 checked above
        try:
            return self._opener.open(request, timeout=_ANSWER_SECONDS)
        except urllib.error.HTTPError as error:
            return error
