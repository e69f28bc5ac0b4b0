"""`entrada mage start`: Mage's own command, in this process, with our walk behind its Microsoft button.

In a row: settings → Mage's command and its options → Mage's modules are imported → every hook looked at →
its database and our tables → hooks in place → Mage starts. Whatever is wrong ends it before that.

Mage's command line is left as it is, so that Mage restarting itself when a file changes comes through here
again; its scheduler and its kernels are processes of its own and see nothing of us.
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from entrada.accounts.roles import RoleMapping
from entrada.build import ProductParts, build_parts
from entrada.build.announced import announce_redirect_uris
from entrada.clock import SystemClock
from entrada.errors import ConfigurationError
from entrada.integrations.mage import changes, children, hooks
from entrada.integrations.mage.addresses import CALLBACK_PATH, SIGN_IN_PATH, Addresses, base_path_of
from entrada.integrations.mage.background_jobs import BackgroundJobs
from entrada.integrations.mage.configuration import check_environment, check_settings, with_public_url
from entrada.integrations.mage.ending import MageEnding
from entrada.integrations.mage.hooks import Mage
from entrada.integrations.mage.no_role import no_role_page
from entrada.integrations.mage.other_sign_ins import FROM_THE_BUTTON, OtherSignIns
from entrada.integrations.mage.pages import back_to_sign_in
from entrada.integrations.mage.provider import ACTIVE_DIRECTORY, AZURE_DEVOPS, git_only, provider_class
from entrada.integrations.mage.routes import MageRoutes
from entrada.integrations.mage.store import MageStore, check_interval
from entrada.integrations.mage.walk import MageWalk
from entrada.integrations.recheck import recheck_of, watch_of
from entrada.sealing import Sealer
from entrada.settings import FoundValues, Settings

log = logging.getLogger("entrada.mage")


def start(arguments: Sequence[str], settings: Settings, found: FoundValues) -> int:
    """Runs `mage start` with these arguments; gives its exit status.

    Raises:
        ConfigurationError: a setting is missing or wrong, or a hook does not fit; nothing was started.
    """
    if hooks.installed_version() is None:
        raise hooks.does_not_fit([])
    options = _options(arguments)
    if options is not None:  # None: such as --help, which Mage answers itself
        with found.names.in_errors():
            _prepare(options, settings, found)
    return _run(["start", *arguments])


def _prepare(options: Mapping[str, Any], settings: Settings, found: FoundValues) -> None:
    if options.get("dbt_docs_instance") == "1":
        raise ConfigurationError(
            "--dbt-docs-instance starts a server of dbt's documentation that asks nobody who they are.",
            hint="Start it with `mage start`, where only those can reach it who may.",
        )
    check_environment(os.environ)
    # At a broker the public URL is the client id: nothing can be said of the registration without it.
    settings = with_public_url(settings, found.names, host=options["host"], port=options["port"])
    check_settings(settings, found.names)
    hooks.set_project(Path(options["project_path"]))
    install(hooks.find_mage(), settings, found)


def install(mage: Mage, settings: Settings, found: FoundValues) -> None:
    """Everything in its place; Mage may start.

    Raises:
        ConfigurationError: a setting cannot be carried out.
        StoreUnavailable: Mage's database does not answer.
    """
    check_environment({"REQUIRE_USER_AUTHENTICATION": str(mage.REQUIRE_USER_AUTHENTICATION)})
    break_glass = frozenset(name.lower() for name in settings.break_glass_users)
    store = MageStore(engine=mage.engine, tables=mage.tables, clock=SystemClock(), break_glass=break_glass)
    routes, parts = build_routes(mage, settings, found, store)
    store.create_tables()
    if parts.entra_only:
        ended = store.end_foreign_sessions()
        log.info("Entra only: %d sessions that it did not open have ended.", ended)
    _replace_sign_in(mage, parts, routes, store, break_glass)
    recheck = recheck_of(parts, store)
    jobs = BackgroundJobs(
        recheck,
        store,
        watch=watch_of(parts, store.directory, recheck),
        every=check_interval(parts.recheck_every),
        first_look=lambda: what_owners_should_know(mage, parts.admission.roles, store),
    )
    _serve(mage, routes, jobs, store)


def build_routes(
    mage: Mage, settings: Settings, found: FoundValues, store: MageStore
) -> tuple[MageRoutes, ProductParts]:
    """The walk and its addresses, as these settings and Mage's own describe them.

    Raises:
        ConfigurationError: a setting cannot be carried out.
    """
    base_path = _base_path(mage.REQUESTS_BASE_PATH, "MAGE_REQUESTS_BASE_PATH")
    callback_paths = [
        path.removeprefix(base_path) if path.startswith(f"{base_path}/") else path
        for path in settings.callback_paths or [CALLBACK_PATH]
    ]
    assert settings.public_url is not None
    host = settings.public_url.partition("://")[2]
    parts = build_parts(
        settings,
        found,
        application_name=f"Mage on {host}",
        urls=settings.urls,
        callback_paths=callback_paths,
        sign_in_page=SIGN_IN_PATH,
        base_path=base_path,
        spent=store,
        key_file=_key_file(mage),
        roles=replace(
            settings.roles, default_role=settings.default_role or mage.OAUTH_DEFAULT_ACCESS or None
        ),
    )
    life = min(parts.session_absolute, timedelta(seconds=mage.MAGE_ACCESS_TOKEN_EXPIRY_TIME))
    ending = MageEnding(
        walk=MageWalk(parts=parts, store=store, session_life=life),
        addresses=Addresses(site=parts.site),
        session_sealer=Sealer(parts.secret_keys, purpose="mage session"),
        encode=mage.encode_token,
        describe=lambda number: changes.describe_user(mage, number),
    )
    routes = MageRoutes(
        ending=ending,
        others_use_callback=lambda: changes.has_other_provider(mage, ours=ACTIVE_DIRECTORY),
    )
    return routes, parts


def what_owners_should_know(mage: Mage, roles: RoleMapping, store: MageStore) -> Sequence[str]:
    """Sentences, most often none."""
    sentences = []
    unknown = store.unknown_roles(sorted(roles.every_role))
    if unknown:
        names = ", ".join(repr(name) for name in unknown)
        sentences.append(f"The roles mapping names {names}, which Mage does not know; nobody gets it.")
    if changes.default_password_works(mage):
        sentences.append(
            f"The owner {mage.DEFAULT_OWNER_EMAIL} still has the password that Mage's documentation names. "
            "Change it: anyone who finds this server is an owner."
        )
    return sentences


def _replace_sign_in(
    mage: Mage, parts: ProductParts, routes: MageRoutes, store: MageStore, break_glass: frozenset[str]
) -> None:
    addresses = routes.addresses

    def refusal() -> Exception:
        return changes.refusal(mage, FROM_THE_BUTTON)

    others = OtherSignIns(
        entra_only=parts.entra_only, break_glass=break_glass, access_is_over=store.access_is_over
    )
    changes.replace_providers(
        mage,
        {
            ACTIVE_DIRECTORY: provider_class(
                ACTIVE_DIRECTORY, start_url_for=addresses.start_url_for, refusal=refusal
            ),
            AZURE_DEVOPS: git_only(
                mage.AzureDevopsProvider,
                start_url_for=addresses.start_url_for,
                is_sign_in_page=addresses.is_sign_in_page,
                refusal=refusal,
            ),
        },
    )
    changes.guard_sessions(
        mage,
        before=lambda payload: others.refuse_before(
            payload,
            providers=list(mage.NAME_TO_PROVIDER),
            mode=mage.AUTHENTICATION_MODE,
        ),
        after=lambda user: others.refuse_after(
            user_number=user.id, email=user.email, username=user.username, is_owner=bool(user.owner)
        ),
        note=lambda token: store.note_session(token, expires_at=store.clock.now() + routes.walk.session_life),
        end=store.end_session,
    )
    changes.withhold_new_users_sessions(mage, end=store.end_session)
    changes.guard_tokens(mage, is_open=store.is_open)
    changes.guard_kept_tokens(mage, is_session_token=store.is_session_token)
    changes.hide_sessions(mage)


def _serve(mage: Mage, routes: MageRoutes, jobs: BackgroundJobs, store: MageStore) -> None:
    from entrada.integrations.mage.dispatch import Guard, put_before  # import Tornado
    from entrada.integrations.mage.handlers import rules_for

    routes_base_path = _base_path(mage.ROUTES_BASE_PATH, "MAGE_ROUTES_BASE_PATH")
    site = routes.addresses.site
    callback_paths = {path.removeprefix(routes.addresses.base_path) for path in site.callback_routes}

    def rules(update_routes: bool) -> Sequence[Any]:
        jobs.start()  # only now: Mage has started its other processes
        authority = routes.walk.parts.identification.application.authority
        announce_redirect_uris(log, authority, [url + site.callback_paths[0] for url in site.urls])
        return rules_for(
            routes,
            page_handler=mage.MainPageHandler,
            list_handler=mage.ApiResourceListHandler,
            detail_handler=mage.ApiResourceDetailHandler,
            routes_prefix=routes_base_path if update_routes else "",
            callback_paths=sorted(callback_paths),
            decode=lambda encoded: changes.decoded_token(mage, encoded),
        )

    changes.add_script(mage, routes.addresses.script)
    asks = Guard(
        urls=site.urls,
        open_sessions=store.open_sessions,
        may=lambda number: changes.rights_of(mage, number),
        decode=lambda encoded: changes.decoded_token(mage, encoded),
        token_of=routes.token_of,
        ended_page=lambda request: back_to_sign_in(routes.addresses, request),
        refused_page=lambda _, number: no_role_page(routes, changes.describe_user(mage, number)),
    )
    changes.add_addresses(
        importlib.import_module(hooks.SERVER), rules, lambda app, ours: put_before(app, asks, ours=ours)
    )


def _base_path(text: str | None, setting: str) -> str:
    try:
        return base_path_of(text)
    except ValueError as error:
        raise ConfigurationError(
            f"{setting} cannot be used: {error}.",
            hint="Write it as Mage does, such as mage.",
        ) from None


def _key_file(mage: Mage) -> Path | None:
    """Beside Mage's SQLite file; servers that share a database are given a key."""
    url = mage.engine.url
    if url.get_backend_name() != "sqlite" or not url.database:
        return None
    return Path(url.database).absolute().with_suffix(".entrada.keys")


def _options(arguments: Sequence[str]) -> Mapping[str, Any] | None:
    """How Mage itself reads its options; None where it would show its help, or complain."""
    if "--help" in arguments:
        return None
    command = _command().commands["start"]
    try:
        with command.make_context("start", list(arguments)) as context:
            return dict(context.params)
    except importlib.import_module("click").ClickException:
        return None


def _command() -> Any:
    return importlib.import_module("typer.main").get_command(importlib.import_module("mage_ai.cli.main").app)


def _run(arguments: Sequence[str]) -> int:
    """Mage's own command line. Its log stays as it is without us."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    children.end_with_us()
    try:
        _command().main(args=list(arguments), prog_name="mage")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    finally:
        children.end_children()  # Ctrl-C ends the server, too
    return 0


def environment_of_check() -> None:
    """Lets Mage be imported to be looked at, without a project: its database is then nowhere."""
    os.environ["MAGE_DATABASE_CONNECTION_URL"] = "sqlite://"
