"""The admin site, signed in by Entra.

    INSTALLED_APPS = ["entrada.adapters.django.apps.EntradaAdminConfig", ...]   # not "django.contrib.admin"

Its sign-in page is Entrada's. Who is signed in but is no staff reads so, instead of being sent round again.
"""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from entrada.adapters.django.guards import visitor_of
from entrada.adapters.django.middleware import to_django
from entrada.errors import RoleRequired


class EntradaAdminSite(AdminSite):
    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:  # noqa: ARG002
        """Entrada's sign-in page, and back to where the person was going."""
        visitor = visitor_of(request)
        auth, wanted = visitor.auth, request.GET.get("next") or self._front_page()
        if self.has_permission(request):
            return HttpResponseRedirect(auth.site.next_path(wanted))
        if visitor.session is None:
            return HttpResponseRedirect(auth.site.login_at(auth.site.next_path(wanted)))
        refusal = RoleRequired(
            "The administration site is for staff, and you are none here.",
            hint="Ask your administrator for a role that settings.ENTRADA['staff_roles'] names.",
        )
        return to_django(auth.failure(refusal, visitor.request, session=visitor.session))

    def logout(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:  # noqa: ARG002
        """Entrada's page, which signs out here and at Entra."""
        return HttpResponseRedirect(visitor_of(request).auth.site.logout_path)

    def _front_page(self) -> str:
        from django.urls import reverse

        return reverse("admin:index", current_app=self.name)
