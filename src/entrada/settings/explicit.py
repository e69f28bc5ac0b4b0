"""Values of settings that a program gives by name, for one application in its own process.

    Entrada.from_values(tenant_id="…", client_id="…", client_secret=vault.read("entra"))

They are the settings' own names, read by the settings' own readers: text as in a variable, or what stands in
`entrada.toml`. Beside them nothing is read, neither the environment nor a file (docs/adr/0046).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, TypedDict

from entrada.errors import ConfigurationError
from entrada.settings.declared import Settings
from entrada.settings.sources import FoundValues
from entrada.settings.words import Names


class SettingValues(TypedDict, total=False):
    """The settings that an application can be given; None counts as not given."""

    public_url: str | None
    extra_urls: str | list[str]
    tenant_id: str | None
    allowed_tenants: str | list[str]
    client_id: str | None
    client_secret: str | None
    client_certificate_path: str | Path | None
    federated_token_file: str | Path | None
    cloud: Literal["public", "usgov", "usgov-dod", "china"] | None
    authority_host: str | None
    graph_host: str | None
    ca_bundle: str | Path | None
    insecure_allow_emulator: bool
    response_mode: Literal["query", "form_post"]
    callback_paths: str | list[str]
    roles_mapping: str | Mapping[str, str]
    groups: str | list[str]
    default_role: str | None
    roles_required: bool
    roles_sync: Literal["every_sign_in", "first_sign_in"]
    guests: str | list[str]
    link_by_email: Literal["never", "verified"]
    verified_domains: str | list[str]
    database_url: str
    secret_keys: str | None
    session_idle: str | timedelta
    session_absolute: str | timedelta
    sign_in_life: str | timedelta
    recheck_every: str | timedelta
    delta_every: str | timedelta
    audit_keep: str | timedelta
    audit_log: str | None
    application_name: str | None
    sign_in_label: str
    admin_roles: str | list[str]
    bearer_scopes: str | list[str]
    broker_url: str | None


NOT_FOR_APPLICATIONS = frozenset(
    {
        "access_log",
        "assertion_algorithm",
        "assertion_audiences",
        "bearer_callers",
        "break_glass_users",
        "broker",
        "dstack_projects",
        "dstack_end_with_access",
        "entra_only",
        "habits",
        "log_level",
        "metrics_address",
        "trusted_proxies",
    }
)
"""Settings of `entrada serve` and of the products, which mean nothing inside an application."""


def given_values(values: Mapping[str, Any]) -> FoundValues:
    """As if these had been found; errors call a setting by its argument, such as `client_id=`.

    Raises:
        ConfigurationError: there is no such argument.
    """
    known = SettingValues.__annotations__
    for name in values:
        if name not in known:
            raise _no_argument(name, list(known))
    found = {name: value for name, value in values.items() if value is not None and value != ""}
    return FoundValues(
        values=found,
        origins={name: f"{name}=" for name in found},
        names=Names(usual={name: f"{name}=" for name in Settings.model_fields}),
    )


def _no_argument(name: str, known: Sequence[str]) -> ConfigurationError:
    close = difflib.get_close_matches(name.lower().removeprefix("entrada_"), known, 1, 0.5)
    if name in NOT_FOR_APPLICATIONS:
        hint = "It belongs to `entrada serve` or to one of the products; leave it out."
    else:
        hint = f"Did you mean {close[0]}=?" if close else "`entrada settings` lists what there is."
    return ConfigurationError(f"{name}= is nothing an application can be given.", hint=hint)
