"""What the broker's store in a database enters into the audit trail of what it does.

People at installations have no account here: an entry names them as Entra does, and their grant by its id.
"""

from __future__ import annotations

from entrada.audit.acts import ENTRA, ENTRADA, Act, Action, Cause
from entrada.broker.grants import Grant
from entrada.broker.signing_keys import SigningKey
from entrada.storage.recorded import grant_act_at_broker


def grant_opened(grant: Grant) -> Act:
    """Of a sign-in at an installation."""
    return grant_act_at_broker(
        Action.SIGN_IN_COMPLETED,
        grant.id,
        client_id=grant.client_id,
        cause=Cause(actor=ENTRA, at=grant.begun_at),
        identity=grant.person.identity,
    )


def installation_changed(client_id: str, cause: Cause) -> Act:
    """Of an installation that asked, was added, let in, changed or removed: the cause says which."""
    return Act(action=Action.INSTALLATION_CHANGED, cause=cause, details={"client_id": client_id})


def new_key(key: SigningKey, reason: str) -> Act:
    """Of a key that signs tokens."""
    cause = Cause(actor=ENTRADA, at=key.made_at, reason=reason)
    return Act(action=Action.KEYS_ROTATED, cause=cause, details={"kid": key.kid, "key": "broker"})
