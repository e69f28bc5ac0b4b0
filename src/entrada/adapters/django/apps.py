"""The Django application: its Entrada, made once from the settings, and its checks."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from django.apps import AppConfig
from django.conf import settings
from django.contrib.admin import apps as admin_apps  # not AdminConfig itself: Django looks at what is here
from django.contrib.auth import get_user_model
from django.core import checks
from django.db.models.signals import post_delete, post_save
from django.utils.module_loading import import_string

from entrada.web.guards import HasAuth


class EntradaConfig(AppConfig):
    default = True
    name = "entrada.adapters.django"
    label = "entrada"
    verbose_name = "Sign-in with Microsoft Entra ID"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Django calls this once everything is loaded."""
        from entrada.adapters.django.checks import check_project
        from entrada.adapters.django.people import forget_active

        for model in (get_user_model(), self.get_model("EntraIdentity")):
            for signal in (post_save, post_delete):
                signal.connect(forget_active, sender=model)
        checks.register(check_project, checks.Tags.security)

    @cached_property
    def entrada(self) -> HasAuth:
        """From `settings.ENTRADA["values"]`; else from the environment, and `entrada.toml` in BASE_DIR.

        Raises:
            ConfigurationError, StoreUnavailable: see `Entrada.from_environment`.
        """
        from entrada.adapters.django.options import read_options

        made: HasAuth
        library, values = import_string("entrada.Entrada"), read_options().values
        if values is not None:
            made = library.from_values(**values)
            return made
        beside = Path(str(getattr(settings, "BASE_DIR", "."))) / "entrada.toml"
        made = library.from_environment(file=beside if beside.is_file() else None)
        return made


class EntradaAdminConfig(admin_apps.AdminConfig):
    """In INSTALLED_APPS in the place of "django.contrib.admin": its sign-in page is Entrada's."""

    default = False
    default_site = "entrada.adapters.django.admin_site.EntradaAdminSite"
