"""Django with one view, bare or guarded by Entrada, and nothing else in the project that costs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

IS_GUARDED = bool(os.environ.get("BENCH_GUARDED"))
OURS = ["entrada.adapters.django"] if IS_GUARDED else []
USERS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]

settings.configure(
    SECRET_KEY="of the benchmarks alone",
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    ROOT_URLCONF=__name__,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": Path.cwd() / "django.db"}},
    INSTALLED_APPS=[*USERS, *OURS],
    MIDDLEWARE=[*MIDDLEWARE, *(f"{name}.EntradaMiddleware" for name in OURS)],
    AUTHENTICATION_BACKENDS=[f"{name}.EntradaBackend" for name in OURS]
    or ["django.contrib.auth.backends.ModelBackend"],
    LOGIN_URL="/auth/login",
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()


def asked(_: HttpRequest) -> JsonResponse:
    return JsonResponse({"let in": True})


view: Any = asked
if IS_GUARDED:
    from django.core.management import call_command

    from entrada.adapters.django import login_required

    call_command("migrate", verbosity=0)
    view = login_required(asked)
urlpatterns = [path("page", view)]
app = get_wsgi_application()
