"""What the broker remembers, as rows of its tables and back."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from entrada.broker.documents import (
    installation_document,
    person_document,
    read_person,
)
from entrada.broker.grants import AuthorizationCode, Grant, GrantId
from entrada.broker.installations import Installation
from entrada.broker.store import Delivery


def installation_row(installation: Installation) -> dict[str, Any]:
    """An installation as the columns that hold it."""
    return {"client_id": installation.client_id, "document": installation_document(installation)}


def grant_row(grant: Grant) -> dict[str, Any]:
    """A grant as the columns that hold it."""
    return {
        "id": grant.id,
        "client_id": grant.client_id,
        "tenant_id": grant.person.identity.tenant_id,
        "object_id": grant.person.identity.object_id,
        "person": person_document(grant.person),
        "scopes": " ".join(sorted(grant.scopes)),
        "begun_at": grant.begun_at,
        "expires_at": grant.expires_at,
        "entra_session_id": grant.entra_session_id,
        "logout_hint": grant.logout_hint,
        "sealed_sign_in": grant.sealed_sign_in,
        "refresh_hash": grant.refresh_hash,
        "previous_refresh_hash": grant.previous_refresh_hash,
        "refreshed_at": grant.refreshed_at,
        "logout_address": grant.logout_address,
        "next_check_at": grant.next_check_at,
    }


def grant_of(row: Row[Any]) -> Grant:
    """The grant in a row."""
    return Grant(
        id=GrantId(row.id),
        client_id=row.client_id,
        person=read_person(row.person),
        scopes=frozenset(row.scopes.split()),
        begun_at=row.begun_at,
        expires_at=row.expires_at,
        entra_session_id=row.entra_session_id,
        logout_hint=row.logout_hint,
        sealed_sign_in=row.sealed_sign_in,
        refresh_hash=row.refresh_hash,
        previous_refresh_hash=row.previous_refresh_hash,
        refreshed_at=row.refreshed_at,
        logout_address=row.logout_address,
        next_check_at=row.next_check_at,
    )


def code_of(row: Row[Any]) -> AuthorizationCode:
    """The authorization code in a row."""
    return AuthorizationCode(
        hash=row.hash,
        grant_id=GrantId(row.grant_id),
        client_id=row.client_id,
        redirect_uri=row.redirect_uri,
        code_challenge=row.code_challenge or None,
        nonce=row.nonce,
        expires_at=row.expires_at,
        spent_at=row.spent_at,
    )


def delivery_of(row: Row[Any]) -> Delivery:
    """The logout token to deliver in a row."""
    return Delivery(
        id=row.id,
        client_id=row.client_id,
        grant_id=GrantId(row.grant_id),
        subject=row.subject,
        ended_at=row.ended_at,
        due_at=row.due_at,
        tries=row.tries,
        address=row.address,
    )
