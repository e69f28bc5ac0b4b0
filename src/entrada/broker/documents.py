"""Installations and people as JSON documents, as the database stores them.

Reading refuses nothing silently: a document that this version cannot read raises, and names what it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from entrada.accounts.identity import EntraIdentity
from entrada.broker.grants import Person
from entrada.broker.installations import ClientId, Installation, Proof, Standing
from entrada.entra.authority import ObjectId, TenantId


def installation_document(installation: Installation) -> str:
    return json.dumps(
        {
            "client_id": installation.client_id,
            "tenant_id": installation.tenant_id,
            "redirect_uris": list(installation.redirect_uris),
            "origin_pattern": installation.origin_pattern,
            "post_logout_redirect_uris": list(installation.post_logout_redirect_uris),
            "backchannel_logout_uri": installation.backchannel_logout_uri,
            "proof": installation.proof.value,
            "secret_hashes": [one.hex() for one in installation.secret_hashes],
            "jwks": list(installation.jwks),
            "claims": sorted(installation.claims),
            "groups": None if installation.groups is None else sorted(installation.groups),
            "roles_claim": installation.roles_claim,
            "roles_mapping": _mapping_document(installation.roles_mapping),
            "insecure_without_pkce": installation.insecure_without_pkce,
            "standing": installation.standing.value,
            "asked_at": _written(installation.asked_at),
            "asked_from": installation.asked_from,
        },
        separators=(",", ":"),
    )


def read_installation(document: str) -> Installation:
    found = _object(document)
    groups = found["groups"]
    return Installation(
        client_id=ClientId(found["client_id"]),
        tenant_id=TenantId(found["tenant_id"]),
        redirect_uris=tuple(found["redirect_uris"]),
        origin_pattern=found["origin_pattern"],
        post_logout_redirect_uris=tuple(found["post_logout_redirect_uris"]),
        backchannel_logout_uri=found["backchannel_logout_uri"],
        proof=Proof(found["proof"]),
        secret_hashes=tuple(bytes.fromhex(one) for one in found["secret_hashes"]),
        jwks=tuple(found["jwks"]),
        claims=frozenset(found["claims"]),
        groups=None if groups is None else frozenset(groups),
        roles_claim=found.get("roles_claim"),  # documents of an older version hold none of the three
        roles_mapping=_read_mapping(found.get("roles_mapping")),
        insecure_without_pkce=found.get("insecure_without_pkce", False),
        standing=Standing(found["standing"]),
        asked_at=_read_time(found["asked_at"]),
        asked_from=found["asked_from"],
    )


def _mapping_document(mapping: Mapping[str, Sequence[str]] | None) -> Mapping[str, Sequence[str]] | None:
    return None if mapping is None else {key: list(roles) for key, roles in mapping.items()}


def _read_mapping(found: Mapping[str, Sequence[str]] | None) -> Mapping[str, tuple[str, ...]] | None:
    return None if found is None else {key: tuple(roles) for key, roles in found.items()}


def person_document(person: Person) -> str:
    return json.dumps(
        {
            "tenant_id": person.identity.tenant_id,
            "object_id": person.identity.object_id,
            "name": person.name,
            "username": person.username,
            "email": person.email,
            "email_is_verified": person.email_is_verified,
            "is_guest": person.is_guest,
            "home_tenant": person.home_tenant,
            "roles": list(person.roles),
            "groups": list(person.groups),
            "auth_time": _written(person.auth_time),
            "amr": list(person.amr),
            "acr": person.acr,
            "acrs": list(person.acrs),
        },
        separators=(",", ":"),
    )


def read_person(document: str) -> Person:
    found = _object(document)
    identity = EntraIdentity(
        tenant_id=TenantId(found.pop("tenant_id")), object_id=ObjectId(found.pop("object_id"))
    )
    found["auth_time"] = _read_time(found["auth_time"])
    for name in ("roles", "groups", "amr", "acrs"):
        found[name] = tuple(found[name])
    return Person(identity=identity, **found)


def _object(document: str) -> dict[str, Any]:
    found = json.loads(document)
    if not isinstance(found, Mapping):
        raise TypeError("a document of the broker's is not an object")
    return dict(found)


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _read_time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
