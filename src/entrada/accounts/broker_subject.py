"""What a broker calls a person: values in, values out."""

from __future__ import annotations

import hashlib

from entrada.accounts.identity import EntraIdentity


def subject_of(identity: EntraIdentity) -> str:
    """The person's `sub`: stable, and the same for every installation of this broker."""
    named = f"entrada broker subject {identity.tenant_id} {identity.object_id}"
    return hashlib.sha256(named.encode()).hexdigest()
