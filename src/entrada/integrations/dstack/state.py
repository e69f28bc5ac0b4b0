"""The `state` parameter in dstack's shape, so that dstack's own pages and command line can read it.

dstack's is base64 of JSON `{"value", "local_port"}`, unsigned: whoever sends somebody a link with another
port makes dstack's page hand the code to that port. Here `value` is the sealed state of our sign-in, bound to
the port, so a state that we did not make leads nowhere.

Source: dstack, `services/auth.py`: `generate_oauth_state`, `get_next_redirect_url`.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from entrada.sealing import Sealer

PURPOSE = "dstack state"
_MEMBERS = {"value", "local_port"}


@dataclass(frozen=True, kw_only=True)
class State:
    """`text` is what nobody can guess; `local_port` is where `dstack login` listens, if it began."""

    text: str
    local_port: int | None


def write_state(state: State, sealer: Sealer) -> str:
    """The state as dstack's own pages read it, with what is ours sealed inside."""
    document = {
        "value": sealer.seal(state.text.encode(), context=_context(state.local_port)),
        "local_port": state.local_port,
    }
    return base64.b64encode(json.dumps(document, separators=(",", ":")).encode()).decode()


def read_state(written: str, sealer: Sealer) -> State | None:
    """The state that `write_state` wrote, or None for anything else."""
    try:
        document = json.loads(base64.b64decode(written, validate=True))
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or document.keys() != _MEMBERS:
        return None
    value, local_port = document["value"], document["local_port"]
    if not isinstance(value, str) or not (local_port is None or type(local_port) is int):
        return None
    plain = sealer.unseal(value, context=_context(local_port))
    return None if plain is None else State(text=plain.decode(), local_port=local_port)


def _context(local_port: int | None) -> str:
    return "" if local_port is None else str(local_port)
