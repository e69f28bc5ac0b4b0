"""Who a Django user is in Entra: the pair of tenant and object, and nothing that changes hands."""

from __future__ import annotations

from typing import ClassVar

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models

if not apps.is_installed("entrada.adapters.django"):
    raise ImproperlyConfigured('"entrada.adapters.django" is missing in INSTALLED_APPS; add it there.')


class EntraIdentity(models.Model):
    """One person in one tenant, and the user of this project that is theirs.

    `roles_seen` are the roles that groups and flags were last made from.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="entra_identities"
    )
    tenant_id = models.UUIDField()
    object_id = models.UUIDField()
    roles_seen = models.JSONField(null=True, editable=False)
    linked_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "Entra identity"
        verbose_name_plural = "Entra identities"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant_id", "object_id"], name="entrada_identity_once"),
        ]

    def __str__(self) -> str:
        return f"{self.object_id} in {self.tenant_id}"
