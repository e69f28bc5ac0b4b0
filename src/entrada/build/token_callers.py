"""From settings to whose access tokens an application takes."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

from entrada.accounts.groups import WantedGroups
from entrada.accounts.identity import EntraIdentity, UserId
from entrada.entra.access_token import V1, V2, AccessTokenExpectations
from entrada.entra.authority import TenantId
from entrada.flows.bearer import BearerCheck
from entrada.flows.groups import AllGroups
from entrada.flows.identification import Identification
from entrada.flows.relying_party import RelyingParty
from entrada.flows.token_groups import TokenGroups
from entrada.settings import Settings
from entrada.web.token_callers import TokenCallers


def build_token_callers(relying_party: RelyingParty, settings: Settings) -> TokenCallers | None:
    """None where the sign-in goes through a broker, which issues no access tokens for an API.

    A token must be for this registration: its client id, or `api://` and that.
    """
    if relying_party.sign_in.application.authority.is_broker:
        return None
    check = build_bearer_check(relying_party)
    return TokenCallers(check=check, scopes=frozenset(settings.bearer_scopes), mapping=settings.roles)


def build_bearer_check(relying_party: RelyingParty) -> BearerCheck:
    """The check of tokens for this registration, of both versions, and of the groups of whom they stand for.

    The gateway and the library ask about the same groups as a sign-in does, and in one way.
    """
    identification = relying_party.sign_in.identification
    application, recheck = identification.application, relying_party.recheck

    @lru_cache(10)
    def expectations(issuer_template: str, tenants: frozenset[TenantId]) -> AccessTokenExpectations:
        return AccessTokenExpectations(
            issuer_template=issuer_template,
            audiences=frozenset({application.client_id, f"api://{application.client_id}"}),
            allowed_tenants=tenants,
            versions=frozenset({V1, V2}),
        )

    def expected() -> AccessTokenExpectations:
        return expectations(application.metadata().issuer_template, identification.allowed_tenants())

    def access_ended_at(user_id: UserId, identity: EntraIdentity) -> datetime | None:
        kept = [] if recheck is None else recheck.sealed_sign_ins.of_user(user_id)
        return next((each.tokens_from for each in kept if each.identity == identity), None)

    return BearerCheck(
        expected=expected,
        keys_for=application.keys_for,
        accounts=relying_party.accounts,
        clock=relying_party.clock,
        sessions=relying_party.session_check,
        groups=_token_groups(identification),
        access_ended_at=access_ended_at,
        fresh_keys=application.fresh_keys,
        start_background=relying_party.start_background,
    )


def _token_groups(identification: Identification) -> TokenGroups:
    finder, application = identification.groups, identification.application
    return TokenGroups(
        wanted=WantedGroups(groups=finder.besides.groups, everything=isinstance(finder, AllGroups)),
        transport=finder.transport,
        graph_url=finder.graph_url,
        at_tenant=lru_cache(100)(application.at_tenant),
    )
