"""Callers with an access token for this application: the token of a request, and whom it stands for.

A person, an agent for a person and an agent's own account have the roles of their account here. An
application or agent that asks for itself has those roles that the mapping gives for its app roles.

Source: RFC 6750; Microsoft, "Secure applications and APIs by validating claims".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from entrada.accounts.principal import AppPrincipal
from entrada.accounts.roles import RoleMapping
from entrada.entra.jws import RawAccessToken
from entrada.flows.bearer import BearerCheck, CheckedToken, read_bearer
from entrada.web.messages import WebRequest


@dataclass(frozen=True, kw_only=True)
class TokenCallers:
    """`scopes` are those of $[bearer_scopes], for guards that name none of their own."""

    check: BearerCheck
    scopes: frozenset[str]
    mapping: RoleMapping

    def token_of(self, request: WebRequest) -> RawAccessToken | None:
        """The token of a request; None if it carries none.

        Raises:
            BearerRequestRefused: it cannot be read in one way only.
        """
        credentials = request.headers.get("authorization")
        if credentials is None or read_bearer([credentials]) is None:
            return None
        return read_bearer([credentials], query=request.query)

    def identify(self, raw: RawAccessToken) -> CheckedToken:
        """Who calls. May ask Entra for keys, and the database.

        Raises:
            BearerTokenRefused, AdmissionRefused, EntraUnavailable, StoreUnavailable: see `BearerCheck.check`.
        """
        checked = self.check.check(raw)
        if not isinstance(checked.principal, AppPrincipal):
            return checked
        known = self.mapping.app_roles
        roles = frozenset(role for value in checked.principal.roles for role in known.get(value, ()))
        return replace(checked, principal=replace(checked.principal, roles=roles))
