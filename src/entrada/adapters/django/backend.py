"""Django's authentication backend: a verified person is the user that is theirs.

Permissions are Django's own (`ModelBackend`). No password is ever looked at.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend

from entrada.accounts.principal import UserPrincipal

BACKEND = "entrada.adapters.django.EntradaBackend"


class EntradaBackend(ModelBackend):
    """In AUTHENTICATION_BACKENDS: people who are signed in have Django's own permissions."""

    def authenticate(self, request: Any, *, principal: UserPrincipal | None = None) -> Any:  # noqa: ARG002
        """The user of a person whom Entrada has verified; None for nobody, and for inactive users."""
        if principal is None:
            return None
        from entrada.adapters.django.people import user_of

        user = user_of(principal)
        if not self.user_can_authenticate(user):
            return None
        user.backend = BACKEND
        return user
