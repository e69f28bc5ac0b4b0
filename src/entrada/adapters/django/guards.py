"""Guards for Django's views, sync and async. They send what every guard of Entrada sends."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import wraps
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse

from entrada.accounts.principal import Principal, UserPrincipal
from entrada.adapters.asgi import refusal_of, token_of
from entrada.adapters.django.middleware import take_as_user, to_django
from entrada.adapters.django.people import is_lately_active, note_active
from entrada.entra.callers import CallerKind
from entrada.errors import AccountDisabled
from entrada.web.guards import (
    PEOPLE,
    SIGNED_IN,
    Requirement,
    Visitor,
    context_requirement,
    role_requirement,
    scope_requirement,
)

if TYPE_CHECKING:
    from entrada.entra.api_token import ApiToken

ViewT = TypeVar("ViewT", bound=Callable[..., Any])


def visitor_of(request: HttpRequest) -> Visitor:
    """Who makes this request.

    Raises:
        RuntimeError: the middleware is not installed.
    """
    visitor: Visitor | None = getattr(request, "entrada", None)
    if visitor is None:
        raise RuntimeError("entrada.adapters.django.EntradaMiddleware is not in MIDDLEWARE")
    return visitor


def current_principal(request: HttpRequest) -> Principal | None:
    """Who is asking, by session or by the token that a guard has let in; or None."""
    return visitor_of(request).principal


def token_for(request: HttpRequest, scopes: Iterable[str], *, challenge: str | None = None) -> ApiToken:
    """`Entrada.token_for` for who makes this request."""
    return visitor_of(request).token_for(scopes, challenge=challenge)


async def atoken_for(
    request: HttpRequest, scopes: Iterable[str], *, challenge: str | None = None
) -> ApiToken:
    """As `token_for`, for asynchronous views: in a thread, because Entra may have to be asked."""
    return await token_of(visitor_of(request), scopes, challenge=challenge)


def login_required(view: ViewT) -> ViewT:
    """Lets signed-in people pass; a page visit goes to the sign-in page, a script gets 401."""
    return _guarded(view, SIGNED_IN)


def roles_required(*roles: str, callers: Collection[CallerKind] = PEOPLE) -> Callable[[ViewT], ViewT]:
    """Lets callers with one of these roles pass; other people get 403 with a page that says why."""
    required = role_requirement(roles, callers)
    return lambda view: _guarded(view, required)


def scopes_required(
    *scopes: str, roles: Collection[str] = (), callers: Collection[CallerKind] = PEOPLE
) -> Callable[[ViewT], ViewT]:
    """Lets pass who is signed in, and access tokens with one of these scopes; `roles` as above, if any."""
    required = scope_requirement(scopes, roles, callers)
    return lambda view: _guarded(view, required)


def auth_context_required(
    auth_context: str,
    *,
    scopes: Collection[str] = (),
    roles: Collection[str] = (),
    callers: Collection[CallerKind] = PEOPLE,
) -> Callable[[ViewT], ViewT]:
    """Lets pass whose sign-in met this authentication context, such as "c1"; Entra is asked for it once."""
    required = context_requirement(auth_context, scopes, roles, callers)
    return lambda view: _guarded(view, required)


def _guarded(view: ViewT, required: Requirement) -> ViewT:
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        visitor = visitor_of(request)
        refused = visitor.refusal(required)
        if refused is not None:
            return to_django(refused)
        _take_caller(request, visitor)
        person = _to_look_up(visitor)
        if person is not None:
            if not request.user.is_authenticated:
                return _switched_off(request)
            note_active(person)
        return view(request, *args, **kwargs)

    @wraps(view)
    async def guarded_async(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        visitor = visitor_of(request)
        refused = await refusal_of(visitor, required)
        if refused is not None:
            return to_django(refused)
        _take_caller(request, visitor)
        person = _to_look_up(visitor)
        if person is not None:
            if not (await request.auser()).is_authenticated:
                return _switched_off(request)
            note_active(person)
        response = view(request, *args, **kwargs)
        return await response if isawaitable(response) else response

    return cast("ViewT", guarded_async if _is_async(view) else guarded)


def _is_async(view: Callable[..., Any]) -> bool:
    """The `dispatch` of an asynchronous class does not say that it is one; its object does."""
    its_object = getattr(getattr(view, "func", view), "__self__", None)  # `method_decorator` makes a partial
    return iscoroutinefunction(view) or getattr(its_object, "view_is_async", False)


def _take_caller(request: HttpRequest, visitor: Visitor) -> None:
    """A person's token makes them the user, too."""
    token = visitor.token
    if token is not None and isinstance(token.principal, UserPrincipal):
        take_as_user(request, token.principal)


def _to_look_up(visitor: Visitor) -> UserPrincipal | None:
    """The person of whom it is not known whether their user here is active."""
    principal = visitor.principal
    if not isinstance(principal, UserPrincipal) or is_lately_active(principal):
        return None
    return principal


def _switched_off(request: HttpRequest) -> HttpResponse:
    """Signed in at Entra, and a user here that is not active."""
    visitor = visitor_of(request)
    return to_django(visitor.auth.failure(AccountDisabled(), visitor.request, session=visitor.session))
