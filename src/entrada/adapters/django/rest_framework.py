"""Django REST framework: sessions of the browser and access tokens, in one authentication class.

    REST_FRAMEWORK = {"DEFAULT_AUTHENTICATION_CLASSES": ["entrada.adapters.django.EntradaAuthentication"]}

`request.user` is the person's user, `request.auth` the principal. A session must bear Django's CSRF token to
change anything; a token need not. A subclass says otherwise who may call: `scopes`, `roles`, `callers`.
An application has no user: there `request.user` is an `Application`.

Source: Django REST framework, "Authentication".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import APIException, AuthenticationFailed, PermissionDenied

from entrada.accounts.principal import AppPrincipal, Principal, UserPrincipal
from entrada.adapters.django.guards import visitor_of
from entrada.adapters.django.middleware import take_as_user
from entrada.entra.callers import CallerKind
from entrada.errors import EntradaError
from entrada.web.bearer_challenges import bearer_challenge
from entrada.web.guards import PEOPLE, Requirement
from entrada.web.messages import WebResponse


class Application:
    """An application or agent that asks for itself, as Django asks about users."""

    is_authenticated = is_active = True
    is_anonymous = is_staff = is_superuser = False
    pk = id = None

    def __init__(self, principal: AppPrincipal) -> None:
        self.principal = principal

    def __str__(self) -> str:
        return self.principal.name


class EntradaAuthentication(BaseAuthentication):
    """In DEFAULT_AUTHENTICATION_CLASSES: sessions of the browser, and access tokens."""

    scopes: Sequence[str] = ()
    roles: Sequence[str] = ()
    callers: frozenset[CallerKind] = PEOPLE

    def authenticate(self, request: Any) -> tuple[Any, Principal] | None:
        """The user and the principal, or None: nobody says who they are.

        Raises:
            AuthenticationFailed, PermissionDenied: the token, or the session, does not suffice.
        """
        visitor = visitor_of(request._request)
        required = Requirement(scopes=self.scopes, roles=self.roles, callers=self.callers)
        if visitor.session is None and not visitor.takes_token(required):
            return None
        refused = visitor.refusal(required)
        if refused is not None:
            raise _failure(refused, visitor.error)
        principal = visitor.principal
        if principal is None:
            return None
        if visitor.token is None:
            SessionAuthentication().enforce_csrf(request)
        if not isinstance(principal, UserPrincipal):
            return Application(principal), principal
        take_as_user(request._request, principal)
        user = request._request.user
        if not user.is_authenticated:
            raise AuthenticationFailed("This account has been switched off here.")
        return user, principal

    def authenticate_header(self, request: Any) -> str:
        """The challenge of a 401, which is what makes the framework say 401 rather than 403."""
        return bearer_challenge(visitor_of(request._request).error)


def _failure(refused: WebResponse, error: EntradaError | None) -> APIException:
    """The refusal in the framework's words: its own handlers make the response."""
    told = None if error is None else str(error)
    if refused.status == 401:
        return AuthenticationFailed(told)
    failure = PermissionDenied(told) if refused.status == 403 else APIException(told)
    failure.status_code = refused.status
    return failure
