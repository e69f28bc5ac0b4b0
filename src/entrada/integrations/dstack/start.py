"""From settings to a dstack server with sign-in: what the plug-in and the ASGI application share.

`prepare` finds everything that can be wrong about settings and about dstack, before the server is up;
`switch_on` runs at the end of dstack's own start-up, on its loop.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from entrada.build import build_parts
from entrada.build.announced import announce_redirect_uris
from entrada.clock import SystemClock
from entrada.errors import ConfigurationError, EntradaError
from entrada.integrations.dstack import hooks as dstack_hooks
from entrada.integrations.dstack import outcome, state
from entrada.integrations.dstack.access_log import keep_codes_out
from entrada.integrations.dstack.addresses import CALLBACK_PATH
from entrada.integrations.dstack.ending import OutcomeEnding
from entrada.integrations.dstack.entra_only import PURPOSE, EntraOnly
from entrada.integrations.dstack.hooks import Hooks, find_hooks
from entrada.integrations.dstack.label import labelled_scripts
from entrada.integrations.dstack.leavers import Leavers, find_hooks_of
from entrada.integrations.dstack.loop_database import LoopDatabase
from entrada.integrations.dstack.middleware import DstackMiddleware
from entrada.integrations.dstack.outcome import Outcomes
from entrada.integrations.dstack.recheck import start_rechecks
from entrada.integrations.dstack.roles import roles_of
from entrada.integrations.dstack.routes import DstackRoutes
from entrada.integrations.dstack.stop import StartRefused, stop
from entrada.integrations.dstack.store import DstackStore
from entrada.integrations.kit import links
from entrada.integrations.recheck import recheck_of, watch_of
from entrada.sealing import Sealer
from entrada.settings import Settings, default_file, load_settings

log = logging.getLogger("entrada")


@dataclass(frozen=True, kw_only=True)
class Prepared:
    hooks: Hooks
    database: LoopDatabase
    routes: DstackRoutes
    sign_in_label: str

    async def switch_on(self, app: Any) -> None:
        """Called by dstack once, with its application, when everything else is ready."""
        self.database.attach()
        await self.database.transaction(lambda session: links.create_tables(session.connection()))
        scripts = labelled_scripts(dstack_hooks.scripts_of_the_ui(), self.sign_in_label)
        app.middleware_stack = DstackMiddleware(
            inner=app.middleware_stack, routes=self.routes, scripts=scripts
        )
        self.hooks.register_provider(self.hooks.OAuthProviderInfo(name="entra", enabled=True))
        parts = self.routes.parts
        store = self.routes.ending.store
        recheck = recheck_of(parts, store)
        app.state.entrada_rechecks = start_rechecks(recheck)
        watch = watch_of(parts, store.directory, recheck)
        if watch is not None:
            watch.start()
        authority = parts.identification.application.authority
        announce_redirect_uris(log, authority, [url + CALLBACK_PATH for url in parts.site.urls])


ON_DSTACKS_PAGE = {
    "public_url": "DSTACK_SERVER_URL",
    "extra_urls": "DSTACK_ENTRA_EXTRA_URLS",
    "tenant_id": "DSTACK_ENTRA_TENANT_ID",
    "client_id": "DSTACK_ENTRA_CLIENT_ID",
    "client_secret": "DSTACK_ENTRA_CLIENT_SECRET",
}
"""What dstack's own page calls our settings, for whoever has followed that page."""

_registered: list[Prepared] = []


def register() -> None:
    """Have dstack switch sign-in on at the end of its start-up; asked twice, once.

    Raises:
        StartRefused: the server must not start; the sentence says why.
    """
    if _registered:
        return
    try:
        prepared = prepare()
    except EntradaError as error:
        raise stop(error) from None
    prepared.hooks.register_on_startup_hook(prepared.switch_on)
    _registered.append(prepared)


def application() -> Any:
    """dstack's server with sign-in as an ASGI application, for those who run uvicorn themselves.

    Needs no entry in config.yml, so people can sign in from the very first start; one that is there does no
    harm.

    Raises:
        SystemExit: the server must not start; the sentence says why, and no calls around it.
    """
    try:
        register()
    except StartRefused as refused:
        raise SystemExit(str(refused)) from None
    return dstack_hooks.stock_application()


def prepare() -> Prepared:
    """Everything but the database.

    Raises:
        ConfigurationError: the settings are wrong, or dstack is not what this plug-in knows.
    """
    settings, found = load_settings(os.environ, file=default_file(), usual=ON_DSTACKS_PAGE)
    with found.names.in_errors():
        check_settings(settings)
        roles = roles_of(settings)
    hooks = find_hooks()
    _let_events_through()
    keep_codes_out()
    database, clock = LoopDatabase(hooks), SystemClock()
    leavers = None
    if settings.dstack_end_with_access:
        ends = frozenset(settings.dstack_end_with_access)
        with found.names.in_errors():
            leavers = Leavers(database=database, hooks=find_hooks_of(ends), ends=ends)
    store = DstackStore(database=database, clock=clock, leavers=leavers)
    parts = build_parts(
        settings,
        found,
        application_name="dstack",
        urls=settings.urls,
        callback_paths=[CALLBACK_PATH],
        sign_in_page="/",
        spent=store,
        key_file=_key_file(hooks),
        roles=roles,
        clock=clock,
    )
    entra_only = EntraOnly(
        sealer=Sealer(parts.secret_keys, purpose=PURPOSE),
        life=parts.session_absolute,
        break_glass=frozenset(settings.break_glass_users),
        clock=clock,
    )
    ending = OutcomeEnding(
        parts=parts,
        store=store,
        outcomes=Outcomes(sealer=Sealer(parts.secret_keys, purpose=outcome.PURPOSE), clock=clock),
        state_sealer=Sealer(parts.secret_keys, purpose=state.PURPOSE),
        ui_page=dstack_hooks.page_of_the_ui(),
    )
    routes = DstackRoutes(
        parts=parts, ending=ending, hooks=hooks, entra_only=entra_only if parts.entra_only else None
    )
    return Prepared(hooks=hooks, database=database, routes=routes, sign_in_label=settings.sign_in_label)


def check_settings(settings: Settings) -> None:
    """What only matters with dstack.

    Raises:
        ConfigurationError: an address Entra will not take, or a way of answering dstack's page cannot read.
    """
    if settings.public_url is None:
        raise ConfigurationError(
            "$[public_url] is not set.",
            hint="It is the one address people use, such as https://dstack.contoso.com; for trying things "
            "out http://localhost:3000 will do. Register it in Entra with /auth/entra/callback behind it.",
            setting="public_url",
        )
    for url in settings.urls:
        if url.startswith("http:") and urlsplit(url).hostname != "localhost":
            name = "public_url" if url == settings.public_url else "extra_urls"
            raise ConfigurationError(
                f"$[{name}] holds {url}, which Entra takes no redirect URI for.",
                hint=f"Entra allows plain http for localhost only: write {_as_localhost(url)}, or use https.",
                setting=name,
            )
    if settings.response_mode != "query":
        raise ConfigurationError(
            "$[response_mode] is form_post, which dstack's own page cannot read.",
            hint="Leave it out; dstack's page takes Entra's answer from the address.",
            setting="response_mode",
        )
    if settings.callback_paths not in ([], [CALLBACK_PATH]):
        raise ConfigurationError(
            "$[callback_paths] names another path than dstack's page has.",
            hint=f"Leave it out; with dstack the redirect URI's path is {CALLBACK_PATH}.",
            setting="callback_paths",
        )


def _as_localhost(url: str) -> str:
    port = urlsplit(url).port
    return "http://localhost" + (f":{port}" if port else "")


def _key_file(hooks: Hooks) -> Path | None:
    """Beside dstack's SQLite database, which belongs to one server; None for PostgreSQL."""
    url = hooks.get_db().engine.url
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    folder = Path(url.database).parent
    folder.mkdir(parents=True, exist_ok=True)  # on the very first start dstack makes it later
    return folder / "entrada.keys"


def _let_events_through() -> None:
    """dstack shows errors only of whatever is not its own; our events follow its own level."""
    if log.level == logging.NOTSET:
        log.setLevel(dstack_hooks.log_level())
