"""From a verified sign-in to what an installation may know of the person, now and at every later look.

Source: OpenID Connect Core 1.0, section 12 (refreshed ID tokens).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from entrada.accounts.roles import role_mapping
from entrada.broker.grants import Grant, Person
from entrada.broker.installations import Installation
from entrada.errors import AdmissionRefused, TenantRefused
from entrada.flows.identification import Identification, Identified
from entrada.flows.refreshable_sign_in import seal_again, seal_sign_in, unseal_sign_in
from entrada.sealing import Sealer

__all__ = ["PersonRefresh", "person_of", "seal_sign_in"]


def person_of(identified: Identified, installation: Installation) -> Person:
    """What Entra said, reduced to what the installation may learn."""
    newcomer, token = identified.newcomer, identified.id_token
    return Person(
        identity=newcomer.identity,
        name=newcomer.profile.name,
        username=newcomer.profile.username,
        email=newcomer.profile.email,
        email_is_verified=newcomer.profile.email_is_verified,
        is_guest=newcomer.profile.is_guest,
        home_tenant=newcomer.home_tenant,
        roles=tuple(sorted(_roles_of(identified, installation))),
        groups=tuple(sorted(_groups_of(identified, installation))),
        auth_time=token.auth_time,
        amr=tuple(sorted(token.authentication_methods)),
        acr=token.auth_class,
        acrs=tuple(sorted(token.auth_contexts)),
    )


def _roles_of(identified: Identified, installation: Installation) -> frozenset[str]:
    if installation.roles_mapping is None:
        return identified.id_token.roles
    given = frozenset(grant.role for grant in identified.newcomer.grants)
    return given & role_mapping(installation.roles_mapping).every_role  # groups to tell are there, too


def _groups_of(identified: Identified, installation: Installation) -> frozenset[str]:
    if "groups" not in installation.claims:
        return frozenset()
    found = frozenset(identified.groups.ids)
    return found if installation.groups is None else found & installation.groups


@dataclass(frozen=True, kw_only=True)
class PersonRefresh:
    """Asks Entra again about a grant's person; called whenever an installation refreshes."""

    identification_for: Callable[[Installation], Identification]
    installation: Callable[[str], Installation | None]
    sealer: Sealer

    def __call__(self, grant: Grant) -> Grant:
        """The grant with the person as Entra sees them today.

        Raises:
            SignInError: Entra no longer answers for them, or they are another tenant's.
            EntraUnavailable: nobody knows.
        """
        installation = self.installation(grant.client_id)
        found = unseal_sign_in(grant.sealed_sign_in or "", grant.person.identity, self.sealer)
        if installation is None or found is None:
            # Nobody can ask any more: without this, losing the key would mean access for ever.
            raise AdmissionRefused
        identified = self.identification_for(installation).refresh(found.remembered, found.refresh_token)
        if identified.newcomer.identity != grant.person.identity:
            raise TenantRefused
        newer = seal_again(found, identified, self.sealer)
        return replace(grant, person=person_of(identified, installation), sealed_sign_in=newer)
