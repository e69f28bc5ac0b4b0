"""Entrada inside somebody's own application: one object, made from settings, given to an adapter.

What is wrong is raised, never exited with: a server that starts workers would start them again and again
(docs/adr/0048). The traceback that the server prints has none of our insides, and ends in sentence and hint.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from entrada.accounts.principal import Principal
from entrada.build.auth_routes import build_auth_routes
from entrada.entra.api_token import ApiToken
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
            return cls(build_auth_routes(settings, found, application_name=application_name, calls_apis=True))
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
            return cls(build_auth_routes(settings, found, calls_apis=True))
        except EntradaError as error:
            raise error.with_traceback(None) from None

    def token_for(
        self, principal: Principal | None, scopes: Iterable[str], *, challenge: str | None = None
    ) -> ApiToken:
        """An access token with which to call Microsoft Graph, or another API, as this person.

        `principal` is whom a guard let in on this request. `Mail.Read` is a scope of Graph's; another API's
        begin with its App ID URI, and one token is for one API. Waits for Entra where it has to; the adapters
        have a form of their own, which is asynchronous where the framework is. An error that is not caught
        becomes the response: the person goes through Entra and comes back to where they were.
        `challenge` is the field WWW-Authenticate of an API's answer 401 that says `insufficient_claims`: the
        token it refused is dropped, and a new one brings what it asks for.

        Raises:
            InteractionRequired: Entra wants the person first: to consent, or to sign in again.
            ApiTokenRefused: there is none for this caller, or in this way.
            EntraRefused: Entra gives none, and the person cannot change that.
            Unavailable: Entra or the database did not answer.
        """
        return self.auth.token_for(principal, scopes, challenge=challenge)

    def close(self) -> None:
        """Let go of the database and of connections to Entra."""
        self.auth.relying_party.close()
