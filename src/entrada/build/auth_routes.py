"""From settings to the sign-in pages: the last step before a framework."""

from __future__ import annotations

import hashlib
import hmac
import logging
from urllib.parse import urlsplit

from entrada.build.relying_party import Stores, build_relying_party, callback_paths_of, secret_keys_of
from entrada.clock import Clock
from entrada.errors import ConfigurationError
from entrada.sealing import Sealer
from entrada.settings import FoundValues, Settings
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
) -> AuthRoutes:
    """The sign-in pages these settings describe. Warns of everything that begins with `insecure`.

    Raises:
        ConfigurationError: see `build_relying_party`; also when the public URL is missing.
    """
    if settings.public_url is None:
        raise ConfigurationError(
            "ENTRADA_PUBLIC_URL is not set.",
            hint="It is the one address people use, such as https://app.contoso.com; "
            "for trying things out http://localhost:8000 will do.",
            setting="ENTRADA_PUBLIC_URL",
        )
    keys = secret_keys_of(settings)
    sealer = Sealer(keys, purpose="pending sign-in")
    warn_of(settings)
    return AuthRoutes(
        relying_party=build_relying_party(settings, found=found, stores=stores, clock=clock),
        site=Site(
            urls=[settings.public_url, *settings.extra_urls],
            callback_paths=callback_paths_of(settings, found),
        ),
        pages=Pages(application_name=application_name or urlsplit(settings.public_url).netloc),
        pending=PendingCookies(sealer=sealer, cross_site=settings.response_mode == "form_post"),
        form_key=hmac.new(keys[0], b"entrada form token", hashlib.sha256).digest(),
        sign_in_label=settings.sign_in_label,
        answers_by_post=settings.response_mode == "form_post",
    )


def warn_of(settings: Settings) -> None:
    """Warnings for settings that are not used, or that open a door."""
    if settings.redis_url is not None:
        log.warning(
            "ENTRADA_REDIS_URL is not used yet: sessions and their revocation are shared by the database."
        )
    if settings.insecure_allow_emulator:
        log.warning(
            "ENTRADA_INSECURE_ALLOW_EMULATOR is on: a login host that is not Microsoft's is believed. "
            "Anyone who runs it can sign in as anyone."
        )
    for url in (settings.public_url, *settings.extra_urls):
        if url and url.startswith("http:"):
            log.warning("%s is plain http: session cookies go without the Secure flag.", url)
