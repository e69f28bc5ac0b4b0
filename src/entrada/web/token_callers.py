"""Callers with an access token for this application: the token of a request, and whom it stands for.

A person, an agent for a person and an agent's own account have the roles of their account here. An
application or agent that asks for itself has those roles that the mapping gives for its app roles.

An endpoint reads `principal.groups` and would take "unknown" for "in none of them". So where groups matter
($[groups]), a caller whose groups nobody could say is refused, as a sign-in is.

Source: RFC 6750; Microsoft, "Secure applications and APIs by validating claims".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from entrada.accounts.principal import AppPrincipal
from entrada.accounts.roles import RoleMapping
from entrada.entra.jws import RawAccessToken
from entrada.errors import GroupsUnknown
from entrada.flows.bearer import BearerCheck, CheckedToken, read_bearer, refuse_token_in_query
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
        raw = None if credentials is None else read_bearer([credentials])
        if raw is not None:
            refuse_token_in_query(request.query)
        return raw

    def remembered(self, raw: RawAccessToken) -> CheckedToken | None:
        """Who calls with a token that has been verified lately; never waits. None decides nothing."""
        checked = self.check.in_memory(raw)
        return None if checked is None or self.check.lacks_groups(checked) else self._here(checked)

    def identify(self, raw: RawAccessToken) -> CheckedToken:
        """Who calls. May ask Entra for keys, and the database.

        Raises:
            BearerTokenRefused, AdmissionRefused, EntraUnavailable, StoreUnavailable: see `BearerCheck.check`.
            GroupsUnknown: groups matter here, and neither the token nor Graph says which they are in.
        """
        checked = self.check.check(raw)
        if self.check.lacks_groups(checked):
            raise groups_of_token_unknown()
        return self._here(checked)

    def _here(self, checked: CheckedToken) -> CheckedToken:
        """With the roles that its caller has here."""
        if not isinstance(checked.principal, AppPrincipal):
            return checked
        known = self.mapping.app_roles
        roles = frozenset(role for value in checked.principal.roles for role in known.get(value, ()))
        return checked.by(replace(checked.principal, roles=roles))


def groups_of_token_unknown() -> GroupsUnknown:
    """The refusal of a caller with a token whose groups matter and are not known."""
    return GroupsUnknown(
        "Whether this caller is in a group that matters here is not known.",
        hint="Your administrator: groups that a token cannot hold are asked for at Graph, which takes the "
        "application permission GroupMember.Read.All. The log says what is missing.",
    )
