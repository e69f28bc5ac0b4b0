"""Everything of dstack's inside that the plug-in touches, in one table.

dstack has no public interface for a sign-in provider, so each thing used is listed here with what is expected
of it, and all of it is looked at before any of it is used: a server is hooked wholly or not at all.
`entrada dstack check` shows the same table.

Source: dstack 0.22.5, 0.22.1 and 0.21.5, read and run.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from entrada.errors import ConfigurationError
from entrada.integrations.kit.hooks import Finding, Hook, Hooked, look_at, version_of

OLDEST_VERSION = (0, 21, 0)
_INSIDE = "dstack._internal"
_SERVER = f"{_INSIDE}.server"


HOOKS = (
    # The way in.
    Hook(name="Plugin", module="dstack.plugins", has=("get_apply_policies",)),
    Hook(name="register_on_startup_hook", module=f"{_SERVER}.app", has=("func",)),
    # Sign-in providers.
    Hook(name="register_provider", module=f"{_SERVER}.services.auth", has=("provider_info",)),
    Hook(name="list_providers", module=f"{_SERVER}.services.auth"),
    Hook(name="get_next_redirect_url", module=f"{_SERVER}.services.auth", has=("code", "state")),
    Hook(name="OAuthProviderInfo", module=f"{_INSIDE}.core.models.auth", has=("name", "enabled")),
    Hook(name="OAuthState", module=f"{_INSIDE}.core.models.auth", has=("value", "local_port")),
    # The database.
    Hook(name="get_db", module=f"{_SERVER}.db"),
    Hook(name="get_locker", module=f"{_SERVER}.services.locking", has=("dialect_name",)),
    Hook(
        name="UserModel",
        module=f"{_SERVER}.models",
        has=("id", "name", "created_at", "token", "token_hash", "global_role", "active", "deleted", "email"),
    ),
    Hook(name="MemberModel", module=f"{_SERVER}.models", has=("id", "project_id", "user_id", "project_role")),
    Hook(name="ProjectModel", module=f"{_SERVER}.models", has=("id", "name", "deleted")),
    Hook(name="DecryptedString", module=f"{_SERVER}.models", has=("plaintext",)),
    # Users.
    Hook(name="GlobalRole", module=f"{_INSIDE}.core.models.users", has=("ADMIN", "USER")),
    Hook(name="ProjectRole", module=f"{_INSIDE}.core.models.users", has=("ADMIN", "MANAGER", "USER")),
    Hook(name="ResourceExistsError", module=f"{_INSIDE}.core.errors"),
    Hook(
        name="create_user",
        module=f"{_SERVER}.services.users",
        has=("session", "username", "global_role", "email"),
    ),
    Hook(name="log_in_with_token", module=f"{_SERVER}.services.users", has=("session", "token")),
    Hook(name="user_model_to_user_with_creds", module=f"{_SERVER}.services.users", has=("user_model",)),
    Hook(name="get_token_hash", module=f"{_SERVER}.services.users", has=("token",)),
    Hook(name="CustomJSONResponse", module=f"{_SERVER}.utils.routers"),
    Hook(name="emit", module=f"{_SERVER}.services.events", has=("session", "message", "actor", "targets")),
    Hook(name="SystemActor", module=f"{_SERVER}.services.events"),
    Hook(name="Target", module=f"{_SERVER}.services.events", has=("from_model",)),
)


class Hooks(Hooked):
    """dstack's own parts by name, such as `hooks.create_user`. Made by `find_hooks`."""


def installed_version() -> str | None:
    """The version of dstack installed here, or None."""
    return version_of("dstack")


def is_supported(version: str) -> bool:
    """Whether this plug-in knows dstack of that version."""
    numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    return numbers is not None and tuple(map(int, numbers.groups())) >= OLDEST_VERSION


def findings() -> Sequence[Finding]:
    """Every hook, looked at. Loads dstack's server, which takes seconds the first time."""
    _set_up_process()
    return [look_at(hook)[1] for hook in HOOKS]


def find_hooks() -> Hooks:
    """All hooks.

    Raises:
        ConfigurationError: dstack is not installed, too old, or one of them is not what it should be.
    """
    version = installed_version()
    if version is None or not is_supported(version):
        oldest = ".".join(map(str, OLDEST_VERSION))
        raise ConfigurationError(
            f"dstack {version} is older than this plug-in knows." if version else "dstack is not installed.",
            hint=f'Install dstack {oldest} or newer: pip install -U "dstack[server]"',
        )
    _set_up_process()
    found = {hook.name: look_at(hook) for hook in HOOKS}
    problems = [f"{name} {finding.problem}" for name, (_, finding) in found.items() if finding.problem]
    if problems:
        raise ConfigurationError(
            f"dstack {version} is different inside from what this plug-in knows: {'; '.join(problems)}.",
            hint="Install a newer entrada, or a dstack that it supports; `entrada dstack check` shows "
            "every part.",
        )
    return Hooks({name: part for name, (part, _) in found.items()})


def page_of_the_ui() -> bytes:
    """dstack's own page, which every address of its user interface answers with.

    Raises:
        ConfigurationError: this dstack has no user interface, as when it runs from its source.
    """
    try:
        return (resources.files(_SERVER) / "statics" / "index.html").read_bytes()
    except OSError:
        raise ConfigurationError(
            "This dstack has no user interface, so there is no page to sign in on.",
            hint='Install it from a package: pip install "dstack[server]"',
        ) from None


def scripts_of_the_ui() -> Mapping[str, bytes]:
    """The scripts of that page by file name; empty in a dstack without user interface."""
    statics = resources.files(_SERVER).joinpath("statics")
    if not statics.is_dir():
        return {}
    return {
        entry.name: entry.read_bytes()
        for entry in statics.iterdir()
        if entry.name.startswith("main-") and entry.name.endswith(".js")
    }


def log_level() -> str:
    """What DSTACK_SERVER_LOG_LEVEL says: our own events follow it."""
    return str(getattr(importlib.import_module(f"{_SERVER}.settings"), "LOG_LEVEL", "INFO"))


def stock_application() -> Any:
    """The application that `dstack server` runs, with all its routes."""
    _set_up_process()
    return importlib.import_module(f"{_SERVER}.main").app


def _set_up_process() -> None:
    """What dstack 0.22.4 and newer want done before anything else of theirs is imported.

    Raises:
        ConfigurationError: there is no home directory, and no dstack can be imported.
    """
    try:
        Path.home()
    except RuntimeError:
        raise ConfigurationError(
            "There is no home directory, and dstack does not run without one.",
            hint="Set HOME to a directory that this user may write to, the same as for the server.",
        ) from None
    try:
        bootstrap = importlib.import_module(f"{_SERVER}.bootstrap")
    except ImportError:
        return
    if not bootstrap.is_process_set_up():
        bootstrap.set_up_process()
