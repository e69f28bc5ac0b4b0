"""From settings to the walk to Entra and back, and who is let in after it."""

from __future__ import annotations

from collections.abc import Sequence

from entrada.accounts.admission import AdmissionPolicy
from entrada.accounts.roles import RoleMapping
from entrada.clock import Clock
from entrada.entra.application import EntraApplication
from entrada.entra.authority import Authority
from entrada.entra.credential import ClientCredential, credentials_for
from entrada.entra.hosts import authority_for, required
from entrada.entra.transport import HttpTransport
from entrada.flows.groups import GroupFinder
from entrada.flows.identification import Identification, SpentSignIns
from entrada.settings import Settings


def build_identification(
    settings: Settings,
    *,
    roles: RoleMapping,
    spent: SpentSignIns,
    transport: HttpTransport,
    clock: Clock,
) -> Identification:
    """The walk these settings describe, for whoever keeps accounts of their own.

    Raises:
        ConfigurationError: a needed setting is missing, or one cannot be carried out.
    """
    authority = authority_of(settings)
    application = EntraApplication(
        authority=authority,
        client_id=required(settings.client_id, "client_id", "the Application (client) ID"),
        credentials=credentials_of(settings),
        transport=transport,
        clock=clock.now,
        scopes=_graph_scopes(authority, ids=bool(roles.groups), names=bool(roles.group_names)),
    )
    return Identification(
        application=application,
        groups=GroupFinder(transport=transport, graph_url=authority.graph_url),
        roles=roles,
        spent=spent,
        clock=clock,
        response_mode=settings.response_mode,
        tenants=frozenset(settings.allowed_tenants) or None,
        verified_domains=frozenset(settings.verified_domains),
    )


def authority_of(settings: Settings) -> Authority:
    """Login host, Graph host and tenant.

    Raises:
        ConfigurationError: see `authority_for`.
    """
    return authority_for(
        tenant=settings.tenant_id or ("organizations" if settings.allowed_tenants else None),
        cloud=settings.cloud,
        authority_host=settings.authority_host,
        graph_host=settings.graph_host,
        insecure_allow_emulator=settings.insecure_allow_emulator,
    )


def credentials_of(settings: Settings) -> Sequence[ClientCredential]:
    """How the application proves itself.

    Raises:
        ConfigurationError: see `credentials_for`.
    """
    return credentials_for(
        secret=settings.client_secret.get_secret_value() if settings.client_secret else None,
        certificate_path=settings.client_certificate_path,
        token_file=settings.federated_token_file,
    )


def admission_of(settings: Settings, roles: RoleMapping) -> AdmissionPolicy:
    """Who is let in, beside what `roles` says."""
    return AdmissionPolicy(roles=roles, guests=settings.guests, link_by_email=settings.link_by_email)


def _graph_scopes(authority: Authority, *, ids: bool, names: bool) -> list[str]:
    """What Graph must allow so that groups can be found: nothing where no groups are mapped."""
    if names:
        return [f"{authority.graph_url}/GroupMember.Read.All"]
    return [f"{authority.graph_url}/User.Read"] if ids else []
