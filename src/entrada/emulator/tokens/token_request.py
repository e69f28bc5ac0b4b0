"""A token request, read and its client authenticated."""

from __future__ import annotations

from dataclasses import dataclass

from ..directory.records import Tenant
from ..protocol.errors import EntraError
from ..protocol.http import Parameters, Request
from .client_authentication import AuthenticatedClient


@dataclass(frozen=True, kw_only=True)
class TokenRequest:
    """One request to the token endpoint.  `tenant` is None at the shared endpoints."""

    request: Request
    form: Parameters
    segment: str
    tenant: Tenant | None
    client: AuthenticatedClient
    grant_type: str
    version: int

    def required(self, name: str) -> str:
        """A parameter that must be there.

        Raises:
            EntraError: 900144.
        """
        value = self.form.get(name)
        if not value:
            raise EntraError(900144, f"The parameter is '{name}'.")
        return value

    def need_confidential(self) -> None:
        """The client must have proved who it is.

        Raises:
            EntraError: 7000218.
        """
        if not self.client.confidential:
            raise EntraError(7000218)
