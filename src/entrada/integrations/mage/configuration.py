"""What can be wrong with the settings, found out before Mage's seconds of importing.

Mage's own switch is read as Mage reads it; its other variables are left to Mage.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping

from entrada.errors import ConfigurationError
from entrada.settings import LOOPBACK_HOSTS, Names, Settings

log = logging.getLogger("entrada.mage")

_ANY_ADDRESS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104  # read, not bound


def check_settings(settings: Settings, names: Names) -> None:
    """What can be known without Mage.

    Raises:
        ConfigurationError: see its sentence.
    """
    if settings.tenant_id and not settings.client_id and settings.broker_url is None:
        raise ConfigurationError(
            "$[tenant_id] is set without $[client_id]. Stock Mage then signs in through an "
            "application and a server of its makers, which hold the secret; nobody else can use those.",
            hint="Register an application of your own in the Entra admin center, with the redirect URI "
            "https://YOUR-MAGE/oauth; set $[client_id] and $[client_secret]. Or set $[broker_url] to an "
            "`entrada broker` that shares its registration with you.",
            setting="client_id",
        )
    log.info("People sign in at %s.", settings.registration.authority.url)
    if settings.entra_only and not settings.break_glass_users:
        log.warning(
            names.put_into(
                "$[entra_only] is on and $[break_glass_users] is empty: if Entra fails, nobody gets in."
            )
        )


def check_environment(environ: Mapping[str, str]) -> None:
    """Mage's own switch, read as Mage reads it.

    Raises:
        ConfigurationError: it is off.
    """
    if environ.get("REQUIRE_USER_AUTHENTICATION", "true").lower() not in ("true", "1", "t"):
        raise ConfigurationError(
            "REQUIRE_USER_AUTHENTICATION is off: Mage would let everybody in without asking who they are.",
            hint="Set REQUIRE_USER_AUTHENTICATION=1.",
        )


def with_public_url(settings: Settings, names: Names, *, host: str, port: str) -> Settings:
    """For trying things out on this machine the public URL may be left out; for anybody else it must be said.

    Raises:
        ConfigurationError: Mage listens for others, or its port is taken, and nobody said where it is found.
    """
    if settings.public_url is not None:
        return settings
    if host not in LOOPBACK_HOSTS:
        where = "on every address" if host in _ANY_ADDRESS else f"on {host}"
        raise ConfigurationError(
            f"$[public_url] is not set, and Mage listens {where}.",
            hint="Set it to the address people type, such as https://mage.contoso.com: redirect URI and "
            "cookies are made of it, never of what a request claims. On this machine alone: "
            f"http://localhost:{port}",
            setting="public_url",
        )
    if _is_taken(host, port):
        raise ConfigurationError(
            f"Something listens on port {port} already; Mage would move to another, where nobody finds it.",
            hint="Stop what listens there, choose a free port with --port, or set $[public_url].",
            setting="public_url",
        )
    name = "localhost" if host == "localhost" else f"[{host}]" if ":" in host else host
    url = f"http://{name}:{port}"
    log.warning(names.put_into("$[public_url] is not set; using %s"), url)
    return settings.model_copy(update={"public_url": url})


def _is_taken(host: str, port: str) -> bool:
    try:
        with socket.create_connection((host, int(port)), timeout=1):
            return True
    except (OSError, ValueError):
        return False
