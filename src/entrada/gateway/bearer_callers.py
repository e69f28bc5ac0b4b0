"""Callers with an access token, at the same addresses as people with a session.

A request with `Authorization: Bearer` is judged by its token alone; its cookies are not looked at. It must
be for this registration: its client id or `api://` and that. Whom it lets in:

    person               one of the scopes of $[bearer_scopes], and an account here; then the account's roles
    application, agent   an app role that the mapping knows, and a rule that names one of its roles
    agent for a person,  as a person, where $[bearer_callers] or a rule's `callers` names them
    agent's account

Source: RFC 6750; Microsoft, "Secure applications and APIs by validating claims".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from entrada.accounts.principal import AppPrincipal
from entrada.accounts.roles import RoleMapping
from entrada.build.token_callers import build_bearer_check
from entrada.entra.callers import USUAL_CALLERS, CallerKind
from entrada.entra.jws import RawAccessToken
from entrada.errors import BearerError, ConfigurationError, EntradaError, InsufficientScope
from entrada.flows.bearer import BearerCheck, CheckedToken, read_bearer
from entrada.flows.relying_party import RelyingParty
from entrada.gateway.caller import Caller, caller_of
from entrada.gateway.fields import Field
from entrada.web.bearer_challenges import bearer_challenge


@dataclass(frozen=True, kw_only=True)
class BearerCallers:
    """`scopes`: one of these, of a token with a person in it. `mapping` says what app roles mean here."""

    check: BearerCheck
    scopes: frozenset[str]
    mapping: RoleMapping
    callers: frozenset[CallerKind] = USUAL_CALLERS
    """Who is let in where a rule does not say."""

    def token_of(self, fields: Sequence[Field], query: str) -> RawAccessToken | None:
        """The token of a request; None: it carries none, and then its query is the application's own affair.

        Raises:
            BearerRequestRefused: it cannot be read in one way only.
        """
        values = [value.decode("latin-1") for name, value in fields if name == b"authorization"]
        return None if read_bearer(values) is None else read_bearer(values, query=query)

    def caller(self, raw: RawAccessToken) -> Caller:
        """Who calls. May ask Entra for keys, and the database.

        Raises:
            BearerTokenRefused, InsufficientScope: the token failed a check, or is not for this.
            AdmissionRefused, EntraUnavailable, StoreUnavailable: as `BearerCheck.check`.
        """
        return self._caller_of(self.check.check(raw))

    def in_memory(self, raw: RawAccessToken) -> Caller | None:
        """As `caller` for a remembered token, if nothing has to be waited for; None decides nothing.

        Raises:
            InsufficientScope: the token is not for this.
        """
        checked = self.check.in_memory(raw)
        return None if checked is None else self._caller_of(checked)

    def _caller_of(self, checked: CheckedToken) -> Caller:
        kind, principal = checked.token.caller, checked.principal
        if not isinstance(principal, AppPrincipal):
            if self.scopes.isdisjoint(checked.token.scopes):
                raise InsufficientScope(
                    f"This call needs the scope {' or '.join(sorted(self.scopes))}.", scopes=self.scopes
                )
            return caller_of(
                principal, kind=kind, expires_at=checked.token.expires_at, is_usual=kind in self.callers
            )
        known = self.mapping.app_roles
        return Caller(
            user_id="",
            tenant_id=principal.tenant_id,
            object_id=principal.object_id,
            name=principal.name,
            email=None,
            username=None,
            roles=frozenset(role for value in principal.roles for role in known.get(value, ())),
            membership=principal.membership,
            kind=kind,
            expires_at=checked.token.expires_at,
            is_usual=kind in self.callers,
        )

    def seconds_left(self, caller: Caller) -> float | None:
        """How long what this caller opens may stay open: as long as the token; None: it came without one."""
        if caller.expires_at is None:
            return None
        return max((caller.expires_at - self.check.clock.now()).total_seconds(), 0.0)


def bearer_callers(
    relying_party: RelyingParty,
    *,
    scopes: Sequence[str],
    mapping: RoleMapping,
    callers: frozenset[CallerKind] = USUAL_CALLERS,
) -> BearerCallers | None:
    """None without scopes: then no token is looked at.

    Raises:
        ConfigurationError: sign-in goes through a broker, whose tokens are for nobody's API.
    """
    if not scopes:
        return None
    if relying_party.sign_in.application.authority.is_broker:
        raise ConfigurationError(
            "$[bearer_scopes] is set, and a broker issues no access tokens for an API.",
            hint="Leave $[bearer_scopes] out, or sign in with a registration of your own.",
            setting="bearer_scopes",
        )
    check = build_bearer_check(relying_party)
    return BearerCallers(check=check, scopes=frozenset(scopes), mapping=mapping, callers=callers)


def challenge_fields(error: EntradaError | None) -> list[tuple[str, str]]:
    """WWW-Authenticate for a refusal of a token, or (None) for a call that brought none."""
    if error is None or isinstance(error, BearerError):
        return [("www-authenticate", bearer_challenge(error))]
    return []
