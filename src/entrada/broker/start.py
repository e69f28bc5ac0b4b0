"""From settings to a broker: its own sign-in, and the provider on top of it.

Towards Entra the broker is one multi-tenant registration, and asks each tenant as if it were the only one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from functools import lru_cache

from entrada.accounts.roles import role_mapping
from entrada.broker.directory import DirectoryWithGrants
from entrada.broker.installations import Installation
from entrada.broker.people import PersonRefresh
from entrada.broker.provider import Addresses, Provider
from entrada.broker.routes import BrokerRoutes
from entrada.broker.sign_in import BrokerSignIn
from entrada.broker.sql_store import SEALED_KEYS, SqlBrokerStore
from entrada.broker.store import BrokerStore
from entrada.build import Stores, build_auth_routes, open_stores, secret_keys_of
from entrada.clock import Clock
from entrada.entra.authority import TenantId
from entrada.entra.entra_errors import admin_consent_url
from entrada.errors import ConfigurationError
from entrada.flows.groups import AllGroups
from entrada.flows.identification import Identification
from entrada.sealing import Sealer
from entrada.settings import FoundValues, Settings
from entrada.storage.sql.engine import EXAMPLES
from entrada.web.auth_routes import AuthRoutes

SEALED_SIGN_INS = "broker sign-in"
"""The purpose of the sealer for what asking Entra again needs."""

_MOST_TENANTS = 1_000


def build_broker(
    settings: Settings,
    found: FoundValues,
    *,
    listed: Sequence[Installation],
    stores: Stores | None = None,
    clock: Clock | None = None,
) -> BrokerRoutes:
    """The broker these settings describe.

    Raises:
        ConfigurationError: a needed setting is missing, or one cannot be carried out.
        StoreUnavailable: the database does not answer.
    """
    if settings.broker_url is not None:
        with found.names.in_errors():
            raise ConfigurationError(
                "$[broker_url] is set, but a broker asks Entra itself.",
                hint="Drop it at the broker; its installations set it.",
                setting="broker_url",
            )
    stores = stores or open_stores(settings.database_url)
    if settings.delta_every is not None and stores.database is not None:
        with found.names.in_errors():
            granted = _broker_store(stores, secret_keys_of(settings))
        stores = replace(stores, directory=DirectoryWithGrants(stores.database, stores.directory, granted))
    auth = build_auth_routes(settings, found, stores=stores, clock=clock)
    with found.names.in_errors():
        keys = secret_keys_of(settings)
        store = _broker_store(stores, keys)
    walks = _Walks(auth.relying_party.sign_in.identification)
    sealer = Sealer(keys, purpose=SEALED_SIGN_INS)
    addresses = Addresses(issuer=auth.site.urls[0])
    provider = Provider(
        addresses=addresses,
        store=store,
        clock=auth.relying_party.clock,
        listed=listed,
        tenants=auth.relying_party.sign_in.identification.tenants,
        refresh_person=lambda grant: refresh(grant),
        recheck_every=settings.recheck_every,
        hint_sealer=Sealer(keys, purpose="broker logout hint"),
    )
    _check_tenants(provider, found)
    refresh = PersonRefresh(
        identification_for=walks.identification_for, installation=provider.installation, sealer=sealer
    )
    broker = BrokerSignIn(
        provider=provider,
        accounts=stores.accounts,
        web=auth.sign_in,
        identification_for=walks.identification_for,
        sealer=sealer,
    )
    own = {one.name: getattr(auth, one.name) for one in fields(AuthRoutes)}
    return BrokerRoutes(
        **own, broker=broker, ca_bundle=settings.ca_bundle, sessions_last=settings.session_absolute
    )


def admin_consent_link(broker: BrokerRoutes, tenant_id: TenantId) -> str:
    """Where an administrator of that tenant accepts the registration, once for everybody there."""
    application = broker.relying_party.sign_in.application
    return admin_consent_url(
        login_url=application.authority.login_url,
        tenant=tenant_id,
        client_id=application.client_id,
        redirect_uri=broker.site.urls[0] + broker.site.callback_paths[0],
    )


def _check_tenants(provider: Provider, found: FoundValues) -> None:
    for one in provider.listed:
        if not provider.allows(one.tenant_id):
            with found.names.in_errors():
                raise ConfigurationError(
                    f"The installation {one.client_id!r} is for the tenant {one.tenant_id}, which is not one "
                    "of those that may sign in here.",
                    hint="Add it to $[allowed_tenants], or take the installation off the list.",
                    setting="allowed_tenants",
                )


def _broker_store(stores: Stores, keys: Sequence[bytes]) -> BrokerStore:
    if stores.database is None:
        raise ConfigurationError(
            "A broker needs a database: $[database_url] keeps everything in memory.",
            hint=EXAMPLES,
            setting="database_url",
        )
    return SqlBrokerStore(stores.database, sealer=Sealer(keys, purpose=SEALED_KEYS))


class _Walks:
    """The walk to Entra at each tenant: one application at each, all of the same registration."""

    def __init__(self, own: Identification) -> None:
        self._own = own
        self._at_tenant = lru_cache(_MOST_TENANTS)(self._make)

    def identification_for(self, installation: Installation) -> Identification:
        """For the people of the installation's tenant and nobody else, and the groups it may know of."""
        walk = self._at_tenant(installation.tenant_id)
        roles = role_mapping(installation.roles_mapping or {})
        if "groups" not in installation.claims:
            return replace(walk, roles=roles)
        if installation.groups is not None:
            to_tell = role_mapping({one: one for one in installation.groups})
            return replace(walk, roles=roles.together_with(to_tell))
        finder = AllGroups(transport=walk.groups.transport, graph_url=walk.groups.graph_url)
        return replace(walk, roles=roles, groups=finder)

    def _make(self, tenant_id: TenantId) -> Identification:
        return replace(
            self._own,
            application=self._own.application.at_tenant(tenant_id),
            tenants=frozenset({tenant_id}),
            roles=role_mapping({}),
            verified_domains=frozenset(),
        )
