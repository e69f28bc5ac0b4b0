"""From settings to the walk to Entra and back, and who is let in after it."""

from __future__ import annotations

from entrada.accounts.admission import AdmissionPolicy
from entrada.accounts.roles import RoleMapping
from entrada.clock import Clock
from entrada.entra.application import EntraApplication
from entrada.entra.authority import Authority
from entrada.entra.transport import HttpTransport
from entrada.errors import ConfigurationError
from entrada.flows.groups import AllGroups, GroupFinder
from entrada.flows.identification import Identification, SpentSignIns
from entrada.settings import Settings


def build_identification(
    settings: Settings,
    *,
    roles: RoleMapping,
    spent: SpentSignIns,
    transport: HttpTransport,
    clock: Clock,
    base_path: str = "",
) -> Identification:
    """The walk these settings describe, for whoever has accounts of their own.

    `base_path` is the prefix that browsers find the application under: at a broker its public URL with this
    prefix is its client id, so that one host may hold several.

    Raises:
        ConfigurationError: a needed setting is missing, or one cannot be carried out.
    """
    registration = settings.registration
    authority = registration.authority
    if authority.is_broker and roles.group_names:
        raise ConfigurationError(
            "$[roles_mapping] names a group by its name, but a broker hands over object ids alone.",
            hint="Name the group by its object id.",
            setting="roles_mapping",
        )
    wanted = settings.groups
    if authority.is_broker and wanted.names:
        raise ConfigurationError(
            f"The group {min(wanted.names)!r} is a name, but a broker hands over object ids alone.",
            hint="Name the group by its object id, in $[groups] and in the rules.",
            setting="groups",
        )
    scopes = _graph_scopes(
        authority,
        ids=bool(roles.groups or wanted.groups or wanted.everything),
        names=bool(roles.group_names or wanted.names),
    )
    finder = AllGroups if wanted.everything else GroupFinder
    is_named_by_url = authority.is_broker and settings.client_id is None
    application = EntraApplication(
        authority=authority,
        client_id=registration.client_id + (base_path if is_named_by_url else ""),
        credentials=registration.credentials,
        transport=transport,
        clock=clock.now,
        scopes=scopes,
    )
    return Identification(
        application=application,
        groups=finder(transport=transport, graph_url=authority.graph_url, besides=wanted),
        roles=roles,
        spent=spent,
        clock=clock,
        response_mode=settings.response_mode,
        sign_in_life=settings.sign_in_life,
        tenants=frozenset(settings.allowed_tenants) or None,
        verified_domains=frozenset(settings.verified_domains),
    )


def admission_of(settings: Settings, roles: RoleMapping) -> AdmissionPolicy:
    """Who is let in, beside what `roles` says."""
    return AdmissionPolicy(roles=roles, guests=settings.guests, link_by_email=settings.link_by_email)


def _graph_scopes(authority: Authority, *, ids: bool, names: bool) -> list[str]:
    """What Graph must allow so that groups can be found: nothing where no groups are asked about.

    Nothing either at a broker, which finds them itself.
    """
    if authority.is_broker:
        return []
    if names:
        return [f"{authority.graph_url}/GroupMember.Read.All"]
    return [f"{authority.graph_url}/User.Read"] if ids else []
