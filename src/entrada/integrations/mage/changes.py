"""What we change in a running Mage, with parts that `hooks` has found to fit, and what we ask of it.

    NAME_TO_PROVIDER        Microsoft's two entries, in place: other modules hold the same dictionary
    SessionResource.create  asks the door before and after
    UserResource.create     with Entra only: gives out no session for a user just made
    make_app                our addresses before Mage's
    render_string           of Mage's pages: one script more
    Application.listen      refuses an application that did not come from our make_app

All of it in this process only: nothing on disk is touched.

Source: Mage 0.9.80, read and run.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from entrada.integrations.inside import Finding
from entrada.integrations.mage.hooks import SERVER, Mage, does_not_fit


def replace_providers(mage: Mage, replacements: Mapping[str, Any]) -> None:
    """In place: Mage's API modules hold the same dictionary."""
    for name, replacement in replacements.items():
        mage.NAME_TO_PROVIDER[name] = replacement


def has_other_provider(mage: Mage, *, ours: str) -> bool:
    """Whether one more of Mage's providers is configured: each says so by not refusing to be made.

    Making the generic OIDC one asks the network for its metadata.
    """
    for name, provider in mage.NAME_TO_PROVIDER.items():
        if str(name) == ours:
            continue
        try:
            provider()
        except Exception:  # noqa: S112  # what Mage itself takes for "not configured"
            continue
        return True
    return False


def guard_sessions(
    mage: Mage,
    *,
    before: Callable[[Mapping[str, Any]], str | None],
    after: Callable[[Any], str | None],
) -> None:
    """Ask before Mage opens a session for a request, and after, with the user it would be for."""
    stock = mage.SessionResource.__dict__["create"].__func__

    async def create(cls: Any, /, payload: Mapping[str, Any], user: Any, **kwargs: Any) -> Any:
        reason = before(payload)
        if reason is not None:
            raise refusal(mage, reason)
        resource = await stock(cls, payload, user, **kwargs)
        token = resource.model
        reason = after(token.user)
        if reason is not None:
            token.delete()
            raise refusal(mage, reason)
        return resource

    mage.SessionResource.create = classmethod(create)


def withhold_new_users_sessions(mage: Mage) -> None:
    """Mage hands whoever makes a user a session of that user: a way in without Entra."""
    stock = mage.UserResource.__dict__["create"].__func__

    async def create(cls: Any, /, payload: Mapping[str, Any], user: Any, **kwargs: Any) -> Any:
        resource = await stock(cls, payload, user, **kwargs)
        token = resource.model_options.pop("oauth_token", None)
        if token is not None:
            token.delete()
        return resource

    mage.UserResource.create = classmethod(create)


def refusal(mage: Mage, reason: str) -> Exception:
    """What Mage's API answers as an error that its pages show."""
    error: Exception = mage.ApiError({**mage.ApiError.UNAUTHORIZED_ACCESS, "message": reason})
    return error


def add_addresses(server: Any, rules: Callable[[bool], Sequence[Any]]) -> None:
    """Our addresses before Mage's, in every application with pages; `rules(update_routes)` gives them.

    An application that did not come this way does not get to listen.
    """
    stock_make_app = server.make_app

    def make_app(template_dir: Any = None, update_routes: bool = False, status_only: bool = False) -> Any:
        app = stock_make_app(template_dir=template_dir, update_routes=update_routes, status_only=status_only)
        if not status_only:
            app.add_handlers(".*", list(rules(update_routes)))
        app.entrada = True
        return app

    server.make_app = make_app
    application = importlib.import_module("tornado.web").Application
    stock_listen = application.listen

    def listen(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not getattr(self, "entrada", False):
            raise does_not_fit(
                [Finding(hook=f"{SERVER}.make_app", problem="the server listens without having called it")]
            )
        return stock_listen(self, *args, **kwargs)

    application.listen = listen


def add_script(mage: Mage, address: str) -> None:
    """One script more on every page of Mage's."""
    tag = f'<script src="{address}"></script></head>'.encode()
    for handler in (mage.MainPageHandler, mage.PipelineRunsPageHandler, mage.ManagePageHandler):
        stock = handler.render_string

        def render_string(self: Any, template_name: str, *, _stock: Any = stock, **values: Any) -> bytes:
            page: bytes = _stock(self, template_name, **values)
            return page.replace(b"</head>", tag, 1)

        handler.render_string = render_string


def describe_user(mage: Mage, number: int) -> Mapping[str, Any]:
    """What Mage's pages keep of who is signed in. Runs in a thread of ours, with a session of its own."""
    session = mage.db_connection.session
    try:
        user = session.query(mage.User).filter(mage.User.id == number).one()
        return {
            "id": user.id,
            "username": user.username,
            "email": user.email,
            "first_name": user.first_name,
            "last_name": user.last_name,
            "avatar": user.avatar,
            "owner": bool(user.owner),
            "project_access": user.project_access,
            "roles": user.roles,
        }
    finally:
        session.remove()


def decoded_token(mage: Mage, encoded: str) -> str | None:
    """The token inside what Mage's cookie holds."""
    try:
        token = mage.decode_token(encoded).get("token")
    except Exception:
        return None  # whatever its JWT library makes of it
    return token if isinstance(token, str) else None


def default_password_works(mage: Mage) -> bool:
    """Whether the owner that Mage makes at its first start still has the password of its documentation."""
    session = mage.db_connection.session
    try:
        user = session.query(mage.User).filter(mage.User.email == mage.DEFAULT_OWNER_EMAIL).first()
        return bool(user and user.password_hash and mage.verify_password("admin", user.password_hash))
    finally:
        session.remove()
