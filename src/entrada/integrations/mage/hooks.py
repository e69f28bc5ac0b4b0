"""Everything of Mage's inside that we touch, in one table, for `changes` and nobody else to use.

Mage has no public interface for a sign-in provider, so each thing used is listed in `HOOKS` with what is
expected of it, and all of it is looked at before any of it is changed: a server is hooked wholly or not at
all. `entrada mage check` shows the same table.

Source: Mage 0.9.80, read and run.
"""

from __future__ import annotations

import gc
import importlib
import inspect
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from entrada.errors import ConfigurationError
from entrada.integrations.kit.hooks import Finding, Hook, Hooked, look_at, version_of
from entrada.integrations.mage.tables import MageTables

TRIED_VERSIONS = ("0.9.80",)
DATABASE = frozenset(
    {
        "engine", "User", "Role", "UserRole", "Oauth2AccessToken", "Oauth2Application",
        "OAUTH2_APPLICATION_CLIENT_ID", "set_repo_path",
    }
)  # fmt: skip
"""The hooks that the commands about users need: a second's import instead of the whole server's."""

SERVER = "mage_ai.server.server"
_SAY_WHERE = ("MAGE_DATABASE_CONNECTION_URL", "DB_USER", "AWS_DB_SECRETS_NAME", "AZURE_SECRET_DB_CONN_URL")
"""Mage's variables that name its database; without them it lies in the project's data directory."""

_MODELS = "mage_ai.orchestration.db.models.oauth"
_RESOURCES = "mage_ai.api.resources"


HOOKS = (
    # The way in.
    Hook(
        name="start", module="mage_ai.cli.main", has=("project_path", "host", "port"), uses=("start_server",)
    ),
    Hook(name="start_server", module=SERVER, uses=("main", "asyncio")),
    Hook(name="main", module=SERVER, uses=("make_app", "listen")),
    Hook(name="make_app", module=SERVER, has=("template_dir", "update_routes", "status_only")),
    Hook(name="file_path_aws_emr", module=SERVER),
    # Its pages and addresses.
    Hook(name="MainPageHandler", module=SERVER, has=("get", "render_string")),
    Hook(name="PipelineRunsPageHandler", module=SERVER, has=("get", "render_string")),
    Hook(name="ManagePageHandler", module=SERVER, has=("get", "render_string")),
    Hook(name="ApiResourceListHandler", module="mage_ai.server.api.v1", has=("post",)),
    Hook(name="ApiResourceDetailHandler", module="mage_ai.server.api.v1", has=("put",)),
    # Sign-in providers.
    Hook(name="NAME_TO_PROVIDER", module="mage_ai.authentication.providers.constants", has=("get", "items")),
    Hook(
        name="AzureDevopsProvider",
        module="mage_ai.authentication.providers.azure_devops",
        has=("get_user_info",),
    ),
    # Sessions and users.
    Hook(name="SessionResource", module=f"{_RESOURCES}.SessionResource", has=("create", "update")),
    Hook(name="UserResource", module=f"{_RESOURCES}.UserResource", has=("create",)),
    Hook(
        name="OauthResource",
        module=f"{_RESOURCES}.OauthResource",
        has=("create",),
    ),
    Hook(name="access_tokens_for_client", module=f"{_RESOURCES}.OauthResource"),
    Hook(name="refresh_token_for_client", module=f"{_RESOURCES}.OauthResource"),
    Hook(
        name="OauthAccessTokenResource",
        module=f"{_RESOURCES}.OauthAccessTokenResource",
        has=("collection",),
    ),
    Hook(name="ApiError", module="mage_ai.api.errors", has=("UNAUTHORIZED_ACCESS",)),
    Hook(name="encode_token", module="mage_ai.authentication.oauth2", has=("token", "expires")),
    Hook(name="decode_token", module="mage_ai.authentication.oauth2", has=("encoded_token",)),
    Hook(
        name="verify_password",
        module="mage_ai.authentication.passwords",
        has=("password", "hash_from_database"),
    ),
    Hook(
        name="authenticate_client_and_token",
        module="mage_ai.api.utils",
        has=("client_id", "token"),
        uses=("Oauth2AccessToken", "query", "is_valid"),
    ),
    # What a user may do.
    Hook(name="has_at_least_viewer_role", module="mage_ai.api.utils", has=("user", "entity", "entity_id")),
    Hook(name="has_at_least_editor_role", module="mage_ai.api.utils", has=("user", "entity", "entity_id")),
    Hook(name="Entity", module="mage_ai.orchestration.constants", has=("PROJECT",)),
    Hook(name="get_project_uuid", module="mage_ai.data_preparation.repo_manager"),
    # The database.
    Hook(name="db_connection", module="mage_ai.orchestration.db", has=("session", "start_session")),
    Hook(name="engine", module="mage_ai.orchestration.db", has=("begin", "dispose")),
    Hook(
        name="User",
        module=_MODELS,
        has=(
            "id",
            "email",
            "username",
            "first_name",
            "last_name",
            "password_hash",
            "password_salt",
            "owner",
            "project_access",
            "created_at",
        ),
    ),
    Hook(name="Role", module=_MODELS, has=("id", "name")),
    Hook(name="UserRole", module=_MODELS, has=("user_id", "role_id")),
    Hook(
        name="Oauth2AccessToken",
        module=_MODELS,
        has=("token", "expires", "user_id", "oauth2_application_id", "is_valid"),
    ),
    Hook(name="Oauth2Application", module=_MODELS, has=("id", "client_id")),
    # Its settings.
    Hook(name="REQUIRE_USER_AUTHENTICATION", module="mage_ai.settings"),
    Hook(name="REQUIRE_USER_PERMISSIONS", module="mage_ai.settings"),
    Hook(name="AUTHENTICATION_MODE", module="mage_ai.settings"),
    Hook(name="OAUTH2_APPLICATION_CLIENT_ID", module="mage_ai.settings"),
    Hook(name="OAUTH_DEFAULT_ACCESS", module="mage_ai.settings"),
    Hook(name="MAGE_ACCESS_TOKEN_EXPIRY_TIME", module="mage_ai.settings"),
    Hook(name="DEFAULT_OWNER_EMAIL", module="mage_ai.settings"),
    Hook(name="REQUESTS_BASE_PATH", module="mage_ai.settings"),
    Hook(name="ROUTES_BASE_PATH", module="mage_ai.settings"),
    Hook(name="set_repo_path", module="mage_ai.settings.repo", has=("repo_path",)),
)

PAGES_SPEAK_OF = (b'"oauth_token"', b'"current_user"', b"updateAsyncServer")
"""What Mage's own script holds, as far as our answers count on it."""


class Mage(Hooked):
    """Mage's own parts by name, such as `mage.make_app`. Made by `find_mage`."""

    @property
    def tables(self) -> MageTables:
        """Mage's tables, as its models declare them."""
        return MageTables(
            users=self.User.__table__,
            roles=self.Role.__table__,
            user_roles=self.UserRole.__table__,
            access_tokens=self.Oauth2AccessToken.__table__,
            applications=self.Oauth2Application.__table__,
            application_client_id=self.OAUTH2_APPLICATION_CLIENT_ID,
        )


def installed_version() -> str | None:
    """The version of Mage installed here, or None."""
    return version_of("mage-ai")


def set_project(project: Path) -> None:
    """Tell Mage its project. Before anything else of it: its database's place depends on it."""
    set_repo_path, finding = look_at(Hook(name="set_repo_path", module="mage_ai.settings.repo"))
    if finding.problem is not None:
        raise does_not_fit([finding])
    set_repo_path(str(project.absolute()))


def require_project(project: Path) -> None:
    """For commands about users, which make no project and no database.

    Raises:
        ConfigurationError: Mage has no project there, and no variable says where else its database is.
    """
    if not project.is_dir():
        raise ConfigurationError(
            f"There is no directory {str(project)!r}.", hint="Name Mage's project: --project DIR"
        )
    if any(os.environ.get(name) for name in _SAY_WHERE) or (project / "metadata.yaml").is_file():
        return
    raise ConfigurationError(
        f"{str(project.absolute())!r} is no project of Mage's: it has no metadata.yaml.",
        hint="Go to the project's directory, or name it: --project DIR. Where Mage's database is elsewhere, "
        f"set {_SAY_WHERE[0]} as Mage's server has it.",
    )


@contextmanager
def no_database_made() -> Iterator[None]:
    """Importing Mage connects to its database, and SQLite makes a file that is missing: here an error.

    Raises:
        ConfigurationError: there is no such file.
    """
    sqlalchemy: Any = importlib.import_module("sqlalchemy")
    stock = sqlalchemy.create_engine

    def create_engine(url: Any, *args: Any, **kwargs: Any) -> Any:
        parts = sqlalchemy.make_url(url)
        is_file = parts.get_backend_name() == "sqlite" and parts.database not in (None, "", ":memory:")
        if is_file and not Path(parts.database).exists():
            raise ConfigurationError(
                f"Mage has no database at {parts.database!r} yet, so there is nobody in it.",
                hint="Start Mage once; or set MAGE_DATA_DIR as Mage's server has it.",
            )
        return stock(url, *args, **kwargs)

    sqlalchemy.create_engine = create_engine
    try:
        yield
    finally:
        sqlalchemy.create_engine = stock


def probe(only: frozenset[str] | None = None) -> tuple[Mapping[str, Any], Sequence[Finding]]:
    """Every part by name (or only those named), and how each hook was found. Changes nothing."""
    parts, findings = {}, []
    with _nothing_collected():
        for hook in HOOKS:
            if only is not None and hook.name not in only:
                continue
            parts[hook.name], finding = look_at(hook)
            findings.append(finding)
    if only is None and parts.get("main") is not None:
        findings.append(Finding(hook="the built pages", problem=_look_at_pages(parts["main"])))
    if not any(finding.problem for finding in findings):
        try:
            Mage(parts).tables  # noqa: B018  # looks at the columns
        except (AttributeError, ValueError) as error:
            findings.append(Finding(hook=_MODELS, problem=str(error)))
    return parts, findings


def find_mage(only: frozenset[str] | None = None) -> Mage:
    """Mage's parts, if every hook fits. Imports Mage's whole server, unless `only` some are wanted.

    Raises:
        ConfigurationError: one does not; names it.
    """
    parts, findings = probe(only)
    if any(finding.problem for finding in findings):
        raise does_not_fit(findings)
    return Mage(parts)


def does_not_fit(findings: Sequence[Finding]) -> ConfigurationError:
    """The error that stops the start and names the first hook that is not as expected."""
    wrong = [finding for finding in findings if finding.problem is not None]
    version = installed_version()
    if version is None:
        return ConfigurationError(
            "Mage is not installed here.",
            hint='Install both in one environment: pip install "./entrada[mage]"',
        )
    return ConfigurationError(
        f"Mage {version} is not built as Entrada's hooks expect: {wrong[0].hook}: {wrong[0].problem}.",
        hint=f"Mage was not started. Install a Mage that was tried ({', '.join(TRIED_VERSIONS)}), or a newer "
        "Entrada; `entrada mage check` lists every hook.",
    )


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Importing Mage makes very many objects that stay; looking for garbage among them takes half a second.

    Not looking pays for what we add to the start.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _look_at_pages(main: Any) -> str | None:
    """Mage's own script keeps the token in this cookie, the person under this key, and signs out this way."""
    pages = Path(inspect.unwrap(main).__code__.co_filename).parent / "frontend_dist"
    scripts = [file.read_bytes() for file in pages.glob("_next/static/chunks/pages/_app-*.js")]
    for word in PAGES_SPEAK_OF:
        if not any(word in script for script in scripts):
            return f"say nothing of {word.decode()}"
    return None
