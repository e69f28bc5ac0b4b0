"""Settings, checked: each by itself, and together.

Stops at the first thing that cannot be, with one sentence that names the setting as the person did.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from entrada.accounts.roles import RoleMapping
from entrada.entra.authority import MULTI_TENANT_SEGMENTS, parse_guid
from entrada.errors import ConfigurationError
from entrada.settings.declared import LOOPBACK_HOSTS, Settings
from entrada.settings.pasted import check_pasted
from entrada.settings.sources import FoundValues, find_values
from entrada.settings.words import Names

log = logging.getLogger("entrada")


def load_settings(
    environ: Mapping[str, str], *, file: Path | None = None, usual: Mapping[str, str] | None = None
) -> tuple[Settings, FoundValues]:
    """The settings, and where each value came from. `file` is an `entrada.toml`; None: no file.

    `usual` are the names on a product's own page, for settings that nobody has set: setting → name.

    Raises:
        ConfigurationError: names the first setting that cannot be used, and the fix.
    """
    found = find_values(environ, file=file, declared=Settings.model_fields, usual=usual)
    return check_values(found), found


def check_values(found: FoundValues) -> Settings:
    """The settings that were found, each checked by itself and all together.

    Raises:
        ConfigurationError: as `load_settings`.
    """
    with found.names.in_errors():
        try:
            _check_swapped(found.values)
            _check_pasted(found.values)
            settings = Settings(**found.values)
        except ValidationError as problem:
            raise _as_sentence(problem) from None
        _check_together(settings)
    if settings.client_secret and parse_guid(settings.client_secret.get_secret_value()):
        log.warning(
            found.names.put_into(
                "$[client_secret] is a GUID, which looks like the Secret ID: the secret is what stands "
                "beside it under Value."
            )
        )
    return settings


def with_loopback_url(settings: Settings, names: Names, *, port: int = 8000) -> Settings:
    """For trying things out on this machine: without a public URL, http://localhost and that port.

    Raises:
        ConfigurationError: the response mode wants https.
    """
    if settings.public_url is not None:
        return settings
    if settings.response_mode == "form_post":
        with names.in_errors():
            raise ConfigurationError(
                "$[public_url] is not set, and $[response_mode] is form_post, which needs https.",
                hint="Set the https address people use, or use response mode 'query' for trying things out.",
                setting="public_url",
            )
    told = "$[public_url] is not set; using http://localhost:%d. Set it where people open another address."
    log.warning(names.put_into(told), port)
    return settings.model_copy(update={"public_url": f"http://localhost:{port}"})


SHORTEST_RECHECK = timedelta(minutes=1)
FOR_PEOPLE = frozenset({"application_name", "sign_in_label"})
"""Lines that people read: quotation marks may belong to them."""


def _check_pasted(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, str) and name not in FOR_PEOPLE:
            try:
                check_pasted(value)
            except ValueError as problem:
                raise _cannot_be_used(name, str(problem)) from None


def _check_swapped(values: Mapping[str, Any]) -> None:
    """An ID that is no GUID beside a secret that is one were most likely pasted into each other's place."""
    client_id, secret = values.get("client_id"), values.get("client_secret")
    if parse_guid(secret) and isinstance(client_id, str) and not parse_guid(client_id):
        raise ConfigurationError(
            "$[client_id] and $[client_secret] hold each other's value.",
            hint="The ID is a GUID, the secret is not. Make a new secret if this ID stands in a log.",
            setting="client_id",
        )
    if parse_guid(secret) and parse_guid(secret) == parse_guid(client_id):
        raise ConfigurationError(
            "$[client_secret] is the same GUID as $[client_id].",
            hint="Put the Value of a client secret there (Entra admin center: App registrations, your app, "
            "Certificates & secrets).",
            setting="client_secret",
        )


_MESSAGES = {
    "string_type": "write it as text",
    "path_type": "write it as text",
    "bool_parsing": "write true or false",
    "bool_type": "write true or false",
}
"""Where pydantic's own words would help nobody."""


def _as_sentence(problem: ValidationError) -> ConfigurationError:
    first = problem.errors(include_url=False, include_input=False, include_context=False)[0]
    name = str(first["loc"][0])
    message = _MESSAGES.get(first["type"]) or first["msg"].removeprefix("Value error, ")
    return _cannot_be_used(name, message.replace("Input should be", "it should be"))


def _cannot_be_used(name: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"$[{name}] cannot be used: {why}.",
        hint=f"What it means: {Settings.model_fields[name].description}",
        setting=name,
    )


def _refused(name: str, sentence: str, hint: str) -> ConfigurationError:
    return ConfigurationError(f"$[{name}] {sentence}", hint=hint, setting=name)


def _check_together(settings: Settings) -> None:
    """What no single setting can get wrong."""
    if settings.client_id and settings.broker_url is None and parse_guid(settings.client_id) is None:
        raise _cannot_be_used("client_id", "this is not a GUID; copy the Application (client) ID")
    _check_tenants(settings)
    if settings.response_mode == "form_post" and not all(url.startswith("https:") for url in settings.urls):
        raise _refused(
            "response_mode",
            "is form_post, but not every URL of this application is https.",
            "Browsers send the needed cookie over https only: use https, or response mode 'query'.",
        )
    if settings.default_role and settings.roles_required:
        raise _refused(
            "roles_required",
            "and $[default_role] contradict each other.",
            "Either give people without a mapped role the default one, or refuse them.",
        )
    if settings.verified_domains and settings.allowed_tenants:
        raise _refused(
            "verified_domains",
            "speaks for one tenant, but several may sign in.",
            "With several tenants only the xms_edov claim can vouch for an address; drop the list.",
        )
    if settings.session_idle > settings.session_absolute:
        raise _refused(
            "session_idle",
            "is longer than $[session_absolute].",
            "Make the idle limit the shorter one.",
        )
    if settings.recheck_every < SHORTEST_RECHECK and not settings.insecure_allow_emulator:
        raise _refused(
            "recheck_every",
            "is below 1m, at which Entra throttles the whole application.",
            "Write 1m or more. Only against an emulator it may be shorter.",
        )
    if settings.delta_every is not None:
        _check_delta(settings)
    for url in settings.urls:
        if url.startswith("http:") and urlsplit(url).hostname not in LOOPBACK_HOSTS:
            raise _refused(
                "public_url" if url == settings.public_url else "extra_urls",
                f"holds {url}, which is plain http.",
                "Session cookies need https. Plain http works on localhost only, as Entra itself demands.",
            )


def _check_tenants(settings: Settings) -> None:
    """Who may sign in, and what is named must say of which tenant it is."""
    if settings.tenant_id in MULTI_TENANT_SEGMENTS and not settings.allowed_tenants:
        raise _refused(
            "tenant_id",
            f"is {settings.tenant_id!r}, which would let every organisation in.",
            "Name the tenants that may sign in in $[allowed_tenants], or set a single tenant's GUID.",
        )
    if settings.allowed_tenants and settings.tenant_id not in (None, *MULTI_TENANT_SEGMENTS):
        raise _refused(
            "allowed_tenants",
            "is set although $[tenant_id] names a single tenant.",
            "Set $[tenant_id] to organizations to let several tenants sign in, or drop the list.",
        )
    if settings.tenant_id and settings.tenant_id == settings.client_id:
        raise _refused(
            "tenant_id",
            "is the same GUID as $[client_id].",
            "They are two lines of the overview page of the app registration: Application (client) ID and "
            "Directory (tenant) ID.",
        )
    if settings.allowed_tenants and (unclear := _groups_of_no_tenant(settings.roles_mapping)):
        raise _refused(
            "roles_mapping",
            f"names the group {unclear!r} without its tenant, but several tenants may sign in.",
            "Write tenant-id/group-id: a group of one tenant must not give roles in another.",
        )
    if settings.allowed_tenants and (bare := settings.groups.of_no_tenant):
        raise _refused(
            "groups",
            f"names the group {str(bare)!r} without its tenant, but several tenants may sign in.",
            "Write tenant-id/group-id: a group of one tenant must not open anything in another.",
        )


def _check_delta(settings: Settings) -> None:
    if settings.broker_url is not None:
        raise _refused(
            "delta_every",
            "is set, but $[broker_url] signs people in, and only the broker's registration may ask Graph.",
            "Leave it out here, and set it at the broker.",
        )
    if settings.delta_every is not None and settings.delta_every > settings.recheck_every:
        raise _refused(
            "delta_every",
            "is longer than $[recheck_every], which finds the same by then.",
            "Write a few seconds, such as 5s, or leave it out.",
        )


def _groups_of_no_tenant(mapping: RoleMapping) -> str | None:
    """The first key that means a group but does not say of which tenant."""
    bare = [group for tenant, group in mapping.groups if tenant is None]
    return next(iter([*bare, *mapping.group_names]), None)
