"""`python manage.py check`: what is missing or wrong, by the name of the setting.

entrada.E001    EntradaMiddleware is missing, or stands before AuthenticationMiddleware
entrada.E002    EntradaBackend is not in AUTHENTICATION_BACKENDS
entrada.E003    a setting of Entrada's is missing or wrong
entrada.W001    LOGIN_URL leads elsewhere
entrada.W002    the admin site still asks for a password
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.admin.apps import AdminConfig
from django.core.checks import CheckMessage, Error, Warning

from entrada.adapters.django.backend import BACKEND
from entrada.adapters.django.options import read_options
from entrada.errors import EntradaError

_MIDDLEWARE = (
    "entrada.adapters.django.EntradaMiddleware",
    "entrada.adapters.django.middleware.EntradaMiddleware",
)
_BACKENDS = (BACKEND, "entrada.adapters.django.backend.EntradaBackend")
_AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"


def check_project(app_configs: Any, **_: Any) -> list[CheckMessage]:  # noqa: ARG001
    """Everything that is wrong, each with the fix."""
    return list(_wrong())


def _wrong() -> Iterator[CheckMessage]:
    middleware = list(settings.MIDDLEWARE)
    ours = next((name for name in _MIDDLEWARE if name in middleware), None)
    if ours is None:
        yield Error(
            "Nothing answers the sign-in addresses.",
            hint=f"Add {_MIDDLEWARE[0]!r} to MIDDLEWARE, after {_AUTHENTICATION!r}.",
            id="entrada.E001",
        )
    elif _AUTHENTICATION in middleware and middleware.index(ours) < middleware.index(_AUTHENTICATION):
        yield Error(
            "Django's AuthenticationMiddleware would take the person away again.",
            hint=f"Put {ours!r} after {_AUTHENTICATION!r} in MIDDLEWARE.",
            id="entrada.E001",
        )
    if not any(name in settings.AUTHENTICATION_BACKENDS for name in _BACKENDS):
        yield Error(
            "People who sign in through Entra would have no permissions.",
            hint=f"Add {BACKEND!r} to AUTHENTICATION_BACKENDS.",
            id="entrada.E002",
        )
    yield from _wrong_settings()
    if apps.is_installed("django.contrib.admin") and type(apps.get_app_config("admin")) is AdminConfig:
        yield Warning(
            "The admin site asks for a password that people of Entra do not have.",
            hint='In INSTALLED_APPS put "entrada.adapters.django.apps.EntradaAdminConfig" '
            'in the place of "django.contrib.admin".',
            id="entrada.W002",
        )


def _wrong_settings() -> Iterator[CheckMessage]:
    try:
        read_options()
        auth = apps.get_app_config("entrada").entrada.auth
    except EntradaError as error:
        yield Error(error.sentence, hint=error.hint, id="entrada.E003")
        return
    if str(settings.LOGIN_URL) not in (auth.site.login_path, "entrada:login"):
        yield Warning(
            "Django's login_required sends people to a page that is not Entrada's.",
            hint=f'Write LOGIN_URL = "{auth.site.login_path}".',
            id="entrada.W001",
        )
