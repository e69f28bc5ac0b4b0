"""The one seam of the sign-in over HTTP: what a verified person leads to.

The walk is the same for every application: begin → callback → identify. Its ending is the application's: a
session and a redirect here, a product's own cookie and page there. Every implementation passes
tests/conformance/test_endings.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from entrada.accounts.identity import UserId
from entrada.errors import EntradaError
from entrada.flows.authorization_response import AuthorizationResponse
from entrada.flows.identification import Identified
from entrada.flows.pending import PendingSignIn
from entrada.sessions.session import SessionId
from entrada.web.messages import WebRequest, WebResponse


@dataclass(frozen=True, kw_only=True)
class Ended:
    """Whom the walk has let in, and what their browser gets. Cookies of the walk are added to it."""

    user_id: UserId
    response: WebResponse


class Ending(Protocol):
    """Stateless; threads share one. Time and addresses come with its own parts."""

    def replaces(self, request: WebRequest) -> SessionId | None:
        """The session this browser has as it begins, for a response that comes back without its cookie.

        None where the ending has no such sessions.
        """

    def new_state(self) -> str | None:
        """The `state` of a sign-in that begins, where somebody else's page reads it; None: the walk makes it.

        Unguessable, and never the same twice.
        """

    def complete(self, identified: Identified, pending: PendingSignIn, request: WebRequest) -> Ended:
        """Let the person in and say what happens next, or refuse; then nothing half made is left behind.

        `pending.next_path` is where they were going, `pending.context` what this ending gave to the begin.

        Raises:
            AdmissionRefused: a genuine person whom this application does not let in.
            Unavailable: the database did not answer.
        """

    def refused(self, error: EntradaError, pending: PendingSignIn) -> WebResponse | None:
        """Where a refusal goes that is not the person's to read, or to answer; None: the walk's own.

        The walk tries a silent sign-in once more with the person, and shows a page for everything else.
        """

    def nothing_pending(self, response: AuthorizationResponse, request: WebRequest) -> WebResponse:
        """What a browser gets that has no sign-in under way which fits. Never a session: nothing is verified.

        Raises:
            StateMissing: the usual case.
            StoreUnavailable: it cannot be known who is there.
        """
