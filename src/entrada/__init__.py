"""Sign in with Microsoft Entra ID, for any self-hosted Python software.

    from entrada import Entrada

    entrada = Entrada.from_environment()        # then an adapter: EntradaMiddleware(app, entrada)

These names are promised, with the adapters of `entrada.adapters` and the errors of `entrada.errors`;
everything else may change. Each is loaded when it is asked for: importing this package costs next to nothing.
"""

from __future__ import annotations

import importlib

# `typing` would be nine tenths of what importing this costs; type checkers take this name for true.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from entrada.accounts.principal import AppPrincipal, UserPrincipal
    from entrada.build.library import Entrada
    from entrada.errors import EntradaError

__version__ = "0.1.0.dev0"

__all__ = ["AppPrincipal", "Entrada", "EntradaError", "UserPrincipal", "__version__"]

_HOMES = {
    "AppPrincipal": "entrada.accounts.principal",
    "Entrada": "entrada.build.library",
    "EntradaError": "entrada.errors",
    "UserPrincipal": "entrada.accounts.principal",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
