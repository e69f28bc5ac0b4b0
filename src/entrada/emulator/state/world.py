"""Everything one running emulator knows, handed to every endpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..clock import Clock
from ..directory.directory import Directory
from ..directory.records import Person
from .codes import Codes
from .delta_tokens import DeltaTokens
from .device_codes import DeviceCodes
from .keys import KeyRing
from .loops import Loops
from .pending import PendingSteps
from .request_log import RequestLog
from .sealing import Sealer
from .sessions import Sessions
from .switched_faults import Faults


@dataclass(kw_only=True)
class World:
    """One emulator's directory, keys, sessions and switches.

    `fill` puts the initial records into an empty directory.  `password_grant` is off unless asked for, as the
    grant is discouraged.  `issue_as_live` names the live service as issuer; see `tokens.tenants`.
    `changed` is told after each request, for whoever keeps the directory in a file.
    """

    directory: Directory
    fill: Callable[[Directory], None]
    keys: KeyRing
    sealer: Sealer
    http_url: str
    https_url: str
    ca_file: Path
    clock: Clock = field(default_factory=Clock)
    sessions: Sessions = field(default_factory=Sessions)
    pending: PendingSteps = field(default_factory=PendingSteps)
    faults: Faults = field(default_factory=Faults)
    log: RequestLog = field(default_factory=RequestLog)
    loops: Loops = field(default_factory=Loops)
    codes: Codes = field(default_factory=Codes)
    delta_tokens: DeltaTokens = field(default_factory=DeltaTokens)
    device_codes: DeviceCodes = field(default_factory=DeviceCodes)
    password_grant: bool = False
    browser_over_https: bool = False
    issue_as_live: bool = False
    remote_allowed: bool = False
    graph_key: bytes = b""
    changed: Callable[[], None] | None = None

    @property
    def own_urls(self) -> tuple[str, str]:
        """The addresses of both listeners."""
        return (self.http_url, self.https_url)

    @property
    def browser_url(self) -> str:
        """The listener that metadata sends browsers to."""
        return self.https_url if self.browser_over_https else self.http_url

    @property
    def cookie_name(self) -> str:
        """The session cookie's name; the port keeps several emulators on one host apart."""
        return f"entra_emulator_{self.http_url.rpartition(':')[2].strip('/') or 'localhost'}"

    def reset(self) -> None:
        """Begin anew: the directory of the start, nobody signed in, no faults, the right time."""
        fresh = Directory()
        self.fill(fresh)
        fresh.changes = self.directory.changes + 1
        self.directory.__dict__.update(fresh.__dict__)
        self.sessions.clear()
        self.codes.clear()
        self.faults.clear()
        self.keys.begin_anew()
        self.log.clear()
        self.loops.clear()
        self.device_codes.clear()
        self.delta_tokens.clear()
        self.clock.offset_seconds = 0.0
        self.password_grant = False

    def revoke_sessions(self, person: Person) -> None:
        """End the person's sessions and refresh tokens, as an administrator's "revoke sessions" does."""
        self.sessions.end_person(person.object_id)
        self.directory.put(replace(person, sessions_valid_from=self.clock.now()))
