"""Django with mozilla-django-oidc, as its documentation has it: one view behind Django's login_required."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import include, path

AUTHORITY = os.environ["BENCH_AUTHORITY"]

settings.configure(
    SECRET_KEY="of the benchmarks alone",
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    ROOT_URLCONF=__name__,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": Path.cwd() / "django.db"}},
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "mozilla_django_oidc",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "mozilla_django_oidc.middleware.SessionRefresh",
    ],
    AUTHENTICATION_BACKENDS=[f"{__name__}.Backend"],
    OIDC_RP_CLIENT_ID=os.environ["BENCH_CLIENT_ID"],
    OIDC_RP_CLIENT_SECRET=os.environ["BENCH_CLIENT_SECRET"],
    OIDC_RP_SIGN_ALGO="RS256",
    OIDC_OP_AUTHORIZATION_ENDPOINT=f"{AUTHORITY}/oauth2/v2.0/authorize",
    OIDC_OP_TOKEN_ENDPOINT=f"{AUTHORITY}/oauth2/v2.0/token",
    OIDC_OP_JWKS_ENDPOINT=f"{AUTHORITY}/discovery/v2.0/keys",
    OIDC_OP_USER_ENDPOINT=f"{AUTHORITY}/none",
    OIDC_AUTHENTICATION_CALLBACK_URL="callback",
    LOGIN_URL="/oidc/authenticate/",
    LOGIN_REDIRECT_URL="/page",
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()

from django.contrib.auth.decorators import login_required  # noqa: E402
from django.core.management import call_command  # noqa: E402
from mozilla_django_oidc.auth import (  # type: ignore[import-not-found]  # noqa: E402  # in the peers' environment
    OIDCAuthenticationBackend,
)
from mozilla_django_oidc.views import (  # type: ignore[import-not-found]  # noqa: E402
    OIDCAuthenticationCallbackView,
)


class Backend(OIDCAuthenticationBackend):  # type: ignore[misc]  # untyped
    def get_userinfo(self, access_token: str, id_token: str, payload: Any) -> Any:  # noqa: ARG002
        return {"email": payload.get("email") or payload["preferred_username"]}


@login_required  # type: ignore[untyped-decorator]
def asked(_: HttpRequest) -> JsonResponse:
    return JsonResponse({"let in": True})


call_command("migrate", verbosity=0)
urlpatterns = [
    path("page", asked),
    path("auth/entra/callback", OIDCAuthenticationCallbackView.as_view(), name="callback"),
    path("oidc/", include("mozilla_django_oidc.urls")),
]
app = get_wsgi_application()
