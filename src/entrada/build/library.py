"""Entrada inside somebody's own application: one object, made from settings, given to an adapter."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from entrada.build.auth_routes import build_auth_routes
from entrada.settings import default_file, load_settings, with_loopback_url
from entrada.web.auth_routes import AuthRoutes


class Entrada:
    """Sign-in for one application. Made by `from_environment`, given to an adapter, closed at the end.

    `auth` is for the adapters.
    """

    def __init__(self, auth: AuthRoutes) -> None:
        self.auth = auth

    @classmethod
    def from_environment(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        file: Path | None = None,
        application_name: str | None = None,
    ) -> Entrada:
        """From the same settings as the command line: the environment, and `entrada.toml` where it runs.

        Without a public URL it is http://localhost:8000, as with `entrada serve`, for trying things out.
        `application_name` stands on the pages unless the setting `application_name` says otherwise.

        Raises:
            ConfigurationError: a setting is missing or wrong; the sentence names it, the hint has the fix.
            StoreUnavailable: the database does not answer.
        """
        settings, found = load_settings(
            os.environ if environ is None else environ, file=file or default_file()
        )
        settings = with_loopback_url(settings, found.names)
        return cls(build_auth_routes(settings, found, application_name=application_name))

    def close(self) -> None:
        """Let go of the database and of connections to Entra."""
        self.auth.relying_party.close()
