"""Entrada inside somebody's own application: one object, made from settings, given to an adapter.

What is wrong is raised, never exited with: a server that starts workers would start them again and again
(docs/adr/0048). The traceback that the server prints has none of our insides, and ends in sentence and hint.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from entrada.build.auth_routes import build_auth_routes
from entrada.errors import EntradaError
from entrada.settings import (
    SettingValues,
    check_values,
    default_file,
    given_values,
    load_settings,
    with_loopback_url,
)
from entrada.web.auth_routes import AuthRoutes

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Entrada:
    """Sign-in for one application. Made by `from_environment` or `from_values`, given to an adapter.

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
        try:
            settings, found = load_settings(
                os.environ if environ is None else environ, file=file or default_file()
            )
            settings = with_loopback_url(settings, found.names)
            return cls(build_auth_routes(settings, found, application_name=application_name))
        except EntradaError as error:
            raise error.with_traceback(None) from None

    @classmethod
    def from_values(cls, **values: Unpack[SettingValues]) -> Entrada:
        """From values by the settings' names, checked like those of the environment, and from nothing else.

        What is left out, None or empty has the setting's default: neither the environment nor a file is
        read, so that two of these in one process know nothing of each other.

        Raises:
            ConfigurationError, StoreUnavailable: see `from_environment`; the sentence names the argument.
        """
        try:
            found = given_values(values)
            settings = with_loopback_url(check_values(found), found.names)
            return cls(build_auth_routes(settings, found))
        except EntradaError as error:
            raise error.with_traceback(None) from None

    def close(self) -> None:
        """Let go of the database and of connections to Entra."""
        self.auth.relying_party.close()
