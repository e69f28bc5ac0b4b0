"""Entrada inside a Flask application.

    app = Flask(__name__)
    EntradaFlask(Entrada.from_environment()).init_app(app)

    @app.get("/me")
    @login_required
    def me():
        return {"name": current_principal.name}

`current_principal` stands for whoever makes this request, as Flask's own proxies do; with nobody signed in it
is false. A whole blueprint is guarded by `blueprint.before_request(login_required(lambda: None))`. Templates
find `url_for("entrada.login")` and `url_for("entrada.logout")`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from entrada.adapters.setup_mistakes import needs, refuse_bare, remember

try:
    from flask import Blueprint, Flask, Request, Response, current_app, request
    from werkzeug.local import LocalProxy
except ModuleNotFoundError as missing:
    raise needs("flask", missing) from None

from entrada.accounts.principal import Principal, UserPrincipal
from entrada.adapters import wsgi
from entrada.entra.callers import CallerKind
from entrada.errors import AdmissionRefused, EntradaError
from entrada.web.guards import (
    PEOPLE,
    SIGNED_IN,
    HasAuth,
    Requirement,
    context_requirement,
    role_requirement,
    scope_requirement,
)
from entrada.web.messages import WebResponse

if TYPE_CHECKING:
    from flask_login import LoginManager

    from entrada.entra.api_token import ApiToken


ViewT = TypeVar("ViewT", bound=Callable[..., Any])


class EntradaFlask:
    """Flask's form of an extension: made with an Entrada, given to one application or several."""

    def __init__(self, entrada: HasAuth, app: Flask | None = None) -> None:
        self._entrada = entrada
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Sign-in pages and sessions for this application."""
        app.wsgi_app = wsgi.EntradaMiddleware(app.wsgi_app, self._entrada)  # type: ignore[method-assign]
        app.extensions["entrada"] = self
        app.register_blueprint(self._addresses())
        app.register_error_handler(EntradaError, _respond_to)
        app.before_request(_refuse_bare)

    def init_login_manager(
        self, login_manager: LoginManager, *, load_user: Callable[[UserPrincipal], Any] | None = None
    ) -> None:
        """Flask-Login's `current_user` and `login_required` go by Entrada's session.

        `load_user` makes the application's own user of a person, or None to refuse them; without it a
        `FlaskLoginUser`.
        """
        load = load_user or FlaskLoginUser

        def user_of(asking: Request) -> Any:
            principal = wsgi.current_principal(asking.environ)
            return load(principal) if isinstance(principal, UserPrincipal) else None

        login_manager.request_loader(user_of)
        login_manager.unauthorized_handler(_challenge)

    def _addresses(self) -> Blueprint:
        """Names for `url_for`; the middleware has responded before Flask looks for a view."""
        blueprint, site = Blueprint("entrada", __name__), self._entrada.auth.site
        for name, path in (
            ("login", site.login_path),
            ("logout", site.logout_path),
            ("me", site.me_path),
            ("account", site.account_path),
        ):
            blueprint.add_url_rule(path, name, build_only=True)
        return blueprint


class FlaskLoginUser:
    """A person as Flask-Login asks about them."""

    is_authenticated = is_active = True
    is_anonymous = False

    def __init__(self, principal: UserPrincipal) -> None:
        self.principal = principal

    def get_id(self) -> str:
        """The account's id here."""
        return self.principal.user_id


def _current() -> Principal | None:
    return wsgi.current_principal(request.environ)


current_principal = cast("Principal", LocalProxy(_current))
"""Who makes this request, by session or by the token that a guard has let in."""


def token_for(scopes: Iterable[str], *, challenge: str | None = None) -> ApiToken:
    """`Entrada.token_for` for who makes this request."""
    return wsgi.token_for(request.environ, scopes, challenge=challenge)


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


def _refuse_bare() -> None:
    views = current_app.view_functions
    refuse_bare(views.get(request.endpoint or ""), views.values())


def _guarded(view: ViewT, required: Requirement) -> ViewT:
    remember(view)
    is_async = inspect.iscoroutinefunction(view)

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        refused = wsgi.visitor_of(request.environ).refusal(required)
        if refused is not None:
            return _response(refused)
        return (current_app.ensure_sync(view) if is_async else view)(*args, **kwargs)

    return cast("ViewT", guarded)


def _respond_to(error: EntradaError) -> Response:
    """Whatever of Entrada's a view has not caught, `token_for` above all."""
    return _response(wsgi.visitor_of(request.environ).response_to(error))


def _challenge() -> Response:
    visitor = wsgi.visitor_of(request.environ)
    if visitor.session is None:
        return _response(visitor.auth.challenge(visitor.request))
    refusal = AdmissionRefused(  # signing in once more would lead here again
        "You are signed in, and this application has no user for you.",
        hint="Ask whoever runs it to let you in.",
    )
    return _response(visitor.auth.failure(refusal, visitor.request, session=visitor.session))


def _response(refused: WebResponse) -> Response:
    return Response(refused.body, status=refused.status, headers=list(refused.headers))
