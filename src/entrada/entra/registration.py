"""The app registration that an application signs people in through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from entrada.entra.authority import Authority, parse_guid
from entrada.entra.credential import ClientCredential, ClientSecret, NoCredential
from entrada.entra.hosts import required
from entrada.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class Registration:
    """Where it lives, its ID, and how the application proves itself: one kind of credential, in order."""

    authority: Authority
    client_id: str
    credentials: Sequence[ClientCredential]


def registration_at_broker(
    *, broker_url: str, tenant: str | None, public_url: str | None, client_id: str | None, secret: str | None
) -> Registration:
    """The registration that a broker shares with this application, whose public URL is its client id.

    PKCE and its listed address are its proof; `client_id` and `secret` are for one that was given others.

    Raises:
        ConfigurationError: the tenant is not named by its GUID, or the public URL is missing.
    """
    named = parse_guid(required(tenant, "tenant_id", "the Directory (tenant) ID"))
    if named is None:
        raise ConfigurationError(
            "$[broker_url] is set, and then $[tenant_id] is the GUID of the one tenant that signs in.",
            hint="Copy the Directory (tenant) ID from the overview page in the Entra admin center.",
            setting="tenant_id",
        )
    name = client_id or public_url
    if not name:
        raise ConfigurationError(
            "$[broker_url] is set, and $[public_url] is not: at a broker it is this application's name.",
            hint="Set it to the address people type, as the broker lists it.",
            setting="public_url",
        )
    return Registration(
        authority=Authority(login_url=broker_url, graph_url="", tenant=named, is_broker=True),
        client_id=name,
        credentials=[NoCredential() if secret is None else ClientSecret(value=secret)],
    )
