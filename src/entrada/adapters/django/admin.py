"""In the admin site: which Entra identity a user has. Adding one by hand links a user that exists already."""

from __future__ import annotations

from django.contrib import admin

from entrada.adapters.django.models import EntraIdentity


@admin.register(EntraIdentity)
class EntraIdentityAdmin(admin.ModelAdmin):
    list_display = ("user", "tenant_id", "object_id", "linked_at")
    search_fields = ("tenant_id", "object_id")
    raw_id_fields = ("user",)
