"""From settings to the sign-in pages: the last step before a framework."""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Callable
from urllib.parse import urlsplit

from entrada.accounts.roles import RoleMapping
from entrada.build.api_tokens import build_api_tokens
from entrada.build.relying_party import build_relying_party
from entrada.build.stores import Stores, open_stores, secret_keys_of
from entrada.build.token_callers import build_token_callers
from entrada.clock import Clock
from entrada.errors import ConfigurationError
from entrada.flows.health import Health
from entrada.sealing import Sealer
from entrada.settings import DEFAULT_CALLBACK_PATH, MAGE_CALLBACK_PATH, FoundValues, Names, Settings
from entrada.settings.values import read_roles_mapping
from entrada.web.auth_routes import AuthRoutes
from entrada.web.pages import Pages
from entrada.web.pending_cookies import PendingCookies
from entrada.web.site import Site

log = logging.getLogger("entrada")


def build_auth_routes(
    settings: Settings,
    found: FoundValues,
    *,
    stores: Stores | None = None,
    clock: Clock | None = None,
    application_name: str | None = None,
    calls_apis: bool = False,
) -> AuthRoutes:
    """The sign-in pages these settings describe. Warns of everything that begins with `insecure`.

    `calls_apis`: see `build_relying_party`.

    Raises:
        ConfigurationError: see `build_relying_party`; also when the public URL is missing.
    """
    with found.names.in_errors():
        if settings.public_url is None:
            raise ConfigurationError(
                "$[public_url] is not set.",
                hint="It is the one address people use, such as https://app.contoso.com; "
                "for trying things out http://localhost:8000 will do.",
                setting="public_url",
            )
        opened = stores or open_stores(settings.database_url)
        try:
            return _build(settings, found, settings.public_url, opened, clock, application_name, calls_apis)
        except BaseException:
            if stores is None:
                opened.close()
            raise


def _build(
    settings: Settings,
    found: FoundValues,
    public_url: str,
    stores: Stores,
    clock: Clock | None,
    application_name: str | None,
    calls_apis: bool,
) -> AuthRoutes:
    warn_of(settings, found.names)
    site = Site(urls=settings.urls, callback_paths=callback_paths_of(settings, found))
    keys = secret_keys_of(settings)
    relying_party = build_relying_party(
        settings, stores=stores, clock=clock, keys=keys, calls_apis=calls_apis
    )
    token_callers = build_token_callers(relying_party, settings)
    pending = PendingCookies(
        sealer=Sealer(keys, purpose="pending sign-in"),
        cross_site=settings.response_mode == "form_post",
        life=settings.sign_in_life,
    )
    return AuthRoutes(
        relying_party=relying_party,
        site=site,
        pages=Pages(
            application_name=settings.application_name or application_name or urlsplit(public_url).netloc,
            names=found.names,
        ),
        pending=pending,
        form_key=hmac.new(keys[0], b"entrada form token", hashlib.sha256).digest(),
        sign_in_label=settings.sign_in_label,
        admin_roles=frozenset(settings.admin_roles),
        read_mapping=mapping_reader(settings),
        health=Health(party=relying_party),
        token_callers=token_callers,
        api_tokens=build_api_tokens(relying_party, token_callers),
    )


def mapping_reader(settings: Settings) -> Callable[[str], RoleMapping]:
    """Reads another roles mapping for these settings; ValueError for one that they would refuse."""

    def read(text: str) -> RoleMapping:
        mapping: RoleMapping = read_roles_mapping(text)
        bare = [group for tenant, group in mapping.groups if tenant is None]
        unclear = next(iter([*bare, *mapping.group_names]), None)
        if settings.allowed_tenants and unclear is not None:
            raise ValueError(
                f"it names the group {unclear!r} without its tenant, but several tenants may sign in"
            )
        return mapping

    return read


def callback_paths_of(settings: Settings, found: FoundValues) -> list[str]:
    """The redirect URI's path first, then every other one that is answered.

    Whoever followed Mage's page has registered Mage's path, and has its variable names set.
    """
    paths = list(settings.callback_paths)
    if not paths and found.origins.get("client_id") == "ACTIVE_DIRECTORY_CLIENT_ID":
        paths = [MAGE_CALLBACK_PATH]
    return [*paths, *([] if DEFAULT_CALLBACK_PATH in paths else [DEFAULT_CALLBACK_PATH])]


def warn_of(settings: Settings, names: Names) -> None:
    """Warnings for settings that open a door."""
    if settings.insecure_allow_emulator:
        log.warning(
            names.put_into(
                "$[insecure_allow_emulator] is on: a login host that is not Microsoft's is believed. "
                "Anyone who runs it can sign in as anyone."
            )
        )
    for url in settings.urls:
        if url.startswith("http:"):
            log.warning("%s is plain http: session cookies go without the Secure flag.", url)
