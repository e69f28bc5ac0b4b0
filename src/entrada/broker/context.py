"""What a sign-in here remembers of the installation's request until the person is back from Entra.

It travels in the sealed cookie of the pending sign-in; nobody else reads or changes it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from entrada.broker.authorization_request import AuthorizationRequest, ReturnAddress

_MARK = "broker "
"""What a context of ours begins with; other endings leave theirs empty."""


@dataclass(frozen=True, kw_only=True)
class BrokerContext:
    """Where the answer goes, and what the code will stand for."""

    client_id: str
    redirect_uri: str
    response_mode: str
    scopes: list[str]
    code_challenge: str | None
    state: str | None = field(default=None, repr=False)
    nonce: str | None = field(default=None, repr=False)

    @property
    def return_address(self) -> ReturnAddress:
        return ReturnAddress(
            redirect_uri=self.redirect_uri, response_mode=self.response_mode, state=self.state
        )

    def written(self) -> str:
        return _MARK + json.dumps(asdict(self), separators=(",", ":"))


def context_of(request: AuthorizationRequest) -> BrokerContext:
    return BrokerContext(
        client_id=request.client_id,
        redirect_uri=request.return_address.redirect_uri,
        response_mode=request.return_address.response_mode,
        scopes=sorted(request.scopes),
        code_challenge=request.code_challenge,
        state=request.return_address.state,
        nonce=request.nonce,
    )


def read_context(written: str) -> BrokerContext | None:
    """The context, or None: this sign-in was not begun for an installation."""
    if not written.startswith(_MARK):
        return None
    return BrokerContext(**json.loads(written.removeprefix(_MARK)))
