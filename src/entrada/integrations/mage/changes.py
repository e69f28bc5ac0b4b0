"""What we change in a running Mage, with parts that `hooks` has found to fit, and what we ask of it.

    NAME_TO_PROVIDER        Microsoft's two entries, in place: other modules hold the same dictionary
    SessionResource         asks `other_sign_ins` before and after; what it opens counts; ending is ours
    UserResource.create     gives out no session for a user just made
    OauthResource, OauthAccessTokenResource    keep and show tokens for Git, never sessions
    Oauth2AccessToken.is_valid, authenticate_client_and_token    ask whether a sign-in opened it
    make_app                our addresses before Mage's, the guard before every handler
    render_string           of Mage's pages: one script more
    Application.listen      refuses an application that did not come from our make_app

All of it in this process only: nothing on disk is touched.

Source: Mage 0.9.80, read and run.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import select

from entrada.integrations.kit.hooks import Finding
from entrada.integrations.mage.guard import Asks
from entrada.integrations.mage.hooks import SERVER, Mage, does_not_fit


def replace_providers(mage: Mage, replacements: Mapping[str, Any]) -> None:
    """In place: Mage's API modules hold the same dictionary."""
    for name, replacement in replacements.items():
        mage.NAME_TO_PROVIDER[name] = replacement


def has_other_provider(mage: Mage, *, ours: str) -> bool:
    """Whether one more of Mage's providers is configured: each says so by not refusing to be made.

    Making the generic OIDC one asks the network for its metadata. Names are compared and never written out:
    what `str` makes of Mage's differs between Python 3.10 and later ones.
    """
    for name, provider in mage.NAME_TO_PROVIDER.items():
        if name == ours:
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
    note: Callable[[str], bool],
    end: Callable[[str], object],
) -> None:
    """Ask before Mage opens a session for a request, and after, with the user it would be for.

    `note` makes a session that Mage has opened count, `end` ends one, each by its token.
    """
    stock = mage.SessionResource.__dict__["create"].__func__

    async def create(cls: Any, /, payload: Mapping[str, Any], user: Any, **kwargs: Any) -> Any:
        reason = before(payload)
        if reason is not None:
            raise refusal(mage, reason)
        resource = await stock(cls, payload, user, **kwargs)
        token = resource.model
        reason = after(token.user)
        if reason is None and not note(token.token):
            reason = "Mage has opened no session."
        if reason is None:
            reason = after(token.user)  # once more: access may have ended before the session counted
        if reason is not None:
            end(token.token)
            raise refusal(mage, reason)
        return resource

    def update(self: Any, payload: Mapping[str, Any], **_: Any) -> None:
        del payload
        if self.model is not None:
            end(self.model.token)

    mage.SessionResource.create = classmethod(create)
    mage.SessionResource.update = update


def withhold_new_users_sessions(mage: Mage, *, end: Callable[[str], object]) -> None:
    """Mage hands whoever makes a user a session of that user, who has not signed in."""
    stock = mage.UserResource.__dict__["create"].__func__

    async def create(cls: Any, /, payload: Mapping[str, Any], user: Any, **kwargs: Any) -> Any:
        resource = await stock(cls, payload, user, **kwargs)
        token = resource.model_options.pop("oauth_token", None)
        if token is not None:
            end(token.token)
        return resource

    mage.UserResource.create = classmethod(create)


def guard_tokens(mage: Mage, *, is_open: Callable[[str, int | None], bool]) -> None:
    """Wherever Mage asks whether a token is good, ours is asked too, whatever application came with it."""
    stock, look_up = mage.Oauth2AccessToken.is_valid, mage.authenticate_client_and_token
    name = "authenticate_client_and_token"

    def is_valid(self: Any) -> bool:
        return bool(stock(self)) and is_open(self.token, self.user_id)

    def authenticate_client_and_token(client_id: Any, token: Any) -> tuple[Any, bool]:
        found, valid = look_up(client_id, token) if isinstance(token, str) else (None, False)
        return (found, True) if valid else (None, False)

    mage.Oauth2AccessToken.is_valid = is_valid
    for module in list(sys.modules.values()):
        if getattr(module, name, None) is look_up:
            setattr(module, name, authenticate_client_and_token)


def guard_kept_tokens(mage: Mage, *, is_session_token: Callable[[str], bool]) -> None:
    """Tokens that people keep for Git: never one that is or was a session; and nobody's are nobody's."""
    stock = mage.OauthResource.__dict__["create"].__func__

    def create(cls: Any, /, payload: Mapping[str, Any], user: Any, **kwargs: Any) -> Any:
        token = payload.get("token")
        if not isinstance(token, str) or user is None or is_session_token(token):
            raise refusal(mage, "This token cannot be kept.")
        return stock(cls, payload, user, **kwargs)

    mage.OauthResource.create = classmethod(create)
    module = sys.modules[mage.OauthResource.__module__]
    kept, refreshed = module.access_tokens_for_client, module.refresh_token_for_client

    def access_tokens_for_client(client_id: str, user: Any = None) -> Any:
        return [] if user is None else kept(client_id, user=user)

    async def refresh_token_for_client(client_id: str, provider: Any, user: Any = None) -> Any:
        return None if user is None else await refreshed(client_id, provider, user=user)

    # What a deleted user kept is nobody's: Mage takes it for what a visitor of its sign-in page keeps.
    module.access_tokens_for_client = access_tokens_for_client  # type: ignore[attr-defined]
    module.refresh_token_for_client = refresh_token_for_client  # type: ignore[attr-defined]


def hide_sessions(mage: Mage) -> None:
    """Mage's list of a person's tokens is about those kept for Git: sessions are not on it, ended or not."""
    stock = mage.OauthAccessTokenResource.__dict__["collection"].__func__

    def collection(cls: Any, /, *args: Any, **kwargs: Any) -> Any:
        token, application = mage.Oauth2AccessToken, mage.Oauth2Application
        others = select(application.id).where(application.client_id != mage.OAUTH2_APPLICATION_CLIENT_ID)
        return stock(cls, *args, **kwargs).filter(token.oauth2_application_id.in_(others))

    mage.OauthAccessTokenResource.collection = classmethod(collection)


def rights_of(mage: Mage, number: int) -> Asks:
    """What a user may do, as Mage itself reckons. Runs in a thread of ours, with a session of its own.

    Where permissions are required they are given one by one; then any role at all may look.
    """
    session = mage.db_connection.session
    try:
        user = session.query(mage.User).filter(mage.User.id == number).one_or_none()
        if user is None:  # Mage's own functions take nobody for anybody
            return Asks.NOTHING
        where = (mage.Entity.PROJECT, mage.get_project_uuid())
        if mage.has_at_least_editor_role(user, *where):
            return Asks.EDITOR
        if mage.has_at_least_viewer_role(user, *where):
            return Asks.VIEWER
        return Asks.VIEWER if mage.REQUIRE_USER_PERMISSIONS and user.roles_new else Asks.SESSION
    finally:
        session.remove()


def refusal(mage: Mage, reason: str) -> Exception:
    """What Mage's API answers as an error that its pages show."""
    error: Exception = mage.ApiError({**mage.ApiError.UNAUTHORIZED_ACCESS, "message": reason})
    return error


def add_addresses(
    server: Any,
    rules: Callable[[bool], Sequence[Any]],
    guard: Callable[[Any, frozenset[type[Any]]], None],
) -> None:
    """Our addresses before Mage's, in every application with pages; `rules(update_routes)` gives them.

    `guard` is then put before every handler of the application, knowing those that are ours.

    An application that did not come this way does not get to listen.
    """
    stock_make_app = server.make_app

    def make_app(template_dir: Any = None, update_routes: bool = False, status_only: bool = False) -> Any:
        app = stock_make_app(template_dir=template_dir, update_routes=update_routes, status_only=status_only)
        ours = [] if status_only else list(rules(update_routes))
        app.add_handlers(".*", ours)
        guard(app, frozenset(rule[1] for rule in ours))
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


def addresses_of(mage: Mage) -> Sequence[tuple[str, type[Any]]]:
    """Every address that this Mage has a handler for. Nothing is started or written."""
    from entrada.integrations.mage.dispatch import registered  # imports Tornado

    server: Any = importlib.import_module(SERVER)
    stock = server.file_path_aws_emr
    server.file_path_aws_emr = lambda: os.devnull  # a file that is there already, or Mage would make one
    try:
        return list(registered(mage.make_app()))
    finally:
        server.file_path_aws_emr = stock


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
