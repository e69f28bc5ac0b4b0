"""Entrada inside a Django project.

    INSTALLED_APPS += ["entrada.adapters.django"]
    MIDDLEWARE += ["entrada.adapters.django.EntradaMiddleware"]       # after AuthenticationMiddleware
    AUTHENTICATION_BACKENDS = ["entrada.adapters.django.EntradaBackend"]
    LOGIN_URL = "/auth/login"
    ENTRADA = {"superuser_roles": ["Admin"], "staff_roles": ["Editor"]}

`request.user` is then the Django user of whoever is signed in, made and linked at their first visit; Django's
own `login_required`, permissions and templates work as they are. `python manage.py check` names a wrong
setting. Names are loaded when they are asked for: Django imports this package before models may be.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from entrada.adapters.django.backend import EntradaBackend
    from entrada.adapters.django.guards import (
        atoken_for,
        auth_context_required,
        current_principal,
        login_required,
        roles_required,
        scopes_required,
        token_for,
    )
    from entrada.adapters.django.middleware import EntradaMiddleware
    from entrada.adapters.django.rest_framework import EntradaAuthentication

__all__ = [
    "EntradaAuthentication",
    "EntradaBackend",
    "EntradaMiddleware",
    "atoken_for",
    "auth_context_required",
    "current_principal",
    "login_required",
    "roles_required",
    "scopes_required",
    "token_for",
]

_HOMES = {
    "EntradaAuthentication": "rest_framework",
    "EntradaBackend": "backend",
    "EntradaMiddleware": "middleware",
    "atoken_for": "guards",
    "auth_context_required": "guards",
    "current_principal": "guards",
    "login_required": "guards",
    "roles_required": "guards",
    "scopes_required": "guards",
    "token_for": "guards",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
